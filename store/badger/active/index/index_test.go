package index_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger/active/index"
)

func has(x *index.Index, hash uint64, number uint32) bool {
	p := x.Find(hash)
	for {
		n, ok := p.Next()
		if !ok {
			return false
		}
		if n == number {
			return true
		}
	}
}

func TestRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := index.New()
	held := map[uint32]uint64{}
	next := uint32(0)
	for round := range 60_000 {
		if len(held) > 0 && rng.IntN(100) < 20+round/1000 {
			for number, hash := range held {
				s := x.Lock(hash)
				s.Remove(hash, number)
				s.Unlock()
				delete(held, number)
				if has(x, hash, number) {
					t.Fatalf("%d is there after its removal", number)
				}
				break
			}
			continue
		}
		hash := rng.Uint64()
		switch rng.IntN(5) {
		case 0:
			hash = hash&^0xffffffff | uint64(rng.IntN(3)) // Collisions of tags at the start,
		case 1:
			hash |= 0xffffffff // and at the end.
		}
		s := x.Lock(hash)
		s.Insert(hash, next)
		s.Unlock()
		held[next] = hash
		next++
	}
	for number, hash := range held {
		if !has(x, hash, number) {
			t.Fatalf("%d is not there", number)
		}
	}
	if n, bytes := x.Size(); n != len(held) || bytes > int64(len(held))*32+256*8*64 {
		t.Errorf("%d numbers in %d bytes, want %d", n, bytes, len(held))
	}
}

func TestReadersSeeWhatIsThere(t *testing.T) {
	x := index.New()
	const n = 20_000
	hash := func(i uint32) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 }
	var inserted atomic.Uint32
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(3, 4))
			for inserted.Load() < n {
				if top := inserted.Load(); top > 0 {
					if i := rng.Uint32N(top); i%3 != 0 && !has(x, hash(i), i) {
						t.Errorf("%d is not there", i)
						return
					}
				}
			}
		})
	}
	for i := range uint32(n) {
		s := x.Lock(hash(i))
		s.Insert(hash(i), i)
		s.Unlock()
		inserted.Store(i + 1)
		if i >= 99 && (i-99)%3 == 0 {
			s := x.Lock(hash(i - 99))
			s.Remove(hash(i-99), i-99)
			s.Unlock()
		}
	}
	readers.Wait()
}

func BenchmarkFind(b *testing.B) {
	x := index.New()
	const n = 100_000
	rng := rand.New(rand.NewPCG(1, 1))
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = rng.Uint64()
		s := x.Lock(hashes[i])
		s.Insert(hashes[i], uint32(i))
		s.Unlock()
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := x.Find(hashes[i%n])
		if _, ok := p.Next(); !ok {
			b.Fatal("not there")
		}
	}
}
