package postings_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
	"github.com/luminate-metrics/luminate/store/badger/active/postings"
	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

func newPostings(t *testing.T, n uint64) (*postings.Postings, *epoch.Epochs) {
	t.Helper()
	mem := slab.NewMemory(true)
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	e := epoch.New()
	p := postings.New(mem, e)
	if err := p.Grow(n); err != nil {
		t.Fatal(err)
	}
	return p, e
}

func all(p *postings.Postings, id uint32) []uint32 {
	out := roaring.New()
	for _, r := range p.Append(nil, out, id) {
		out.AddRange(uint64(r.Start()), r.End())
	}
	return out.ToArray()
}

func add(t *testing.T, p *postings.Postings, id, ref uint32) bool {
	t.Helper()
	ok, err := p.Add(id, ref)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const entries = 30
	p, epochs := newPostings(t, entries)
	want := make([]map[uint32]bool, entries)
	for i := range want {
		want[i] = map[uint32]bool{}
	}
	next := uint32(70_000)
	for round := range 6000 {
		id := uint32(rng.IntN(entries))
		switch n := rng.IntN(100); {
		case n < 60: // Neighbours, as a writer registers them.
			for range 1 + rng.IntN(20) {
				next += 1 + uint32(rng.IntN(3))/2
				if !p.Dead(id) {
					want[id][next] = add(t, p, id, next)
				}
			}
		case n < 90: // Another writer's, or references used again.
			if ref := uint32(rng.IntN(60_000)); !want[id][ref] && !p.Dead(id) {
				want[id][ref] = add(t, p, id, ref)
			}
		default:
			subtract(t, rng, p, want)
			epochs.Advance()
		}
		if p.Dead(id) {
			if add(t, p, id, 5) {
				t.Fatal("a dead entry takes references")
			}
			p.Revive(id)
		}
		if round%10 == 0 {
			compare(t, p, id, want[id])
		}
	}
}

// subtract takes random references out of all entries.
func subtract(t *testing.T, rng *rand.Rand, p *postings.Postings, want []map[uint32]bool) {
	t.Helper()
	var refs []uint32
	share := rng.IntN(4)
	for _, m := range want {
		for ref := range m {
			if share == 0 && rng.IntN(10) > 0 || rng.IntN(20) == 0 {
				refs = append(refs, ref)
			}
		}
	}
	set := postings.NewSet(refs)
	for id, m := range want {
		before := len(m)
		for _, ref := range refs {
			delete(m, ref)
		}
		died, err := p.Subtract(uint32(id), set)
		if err != nil {
			t.Fatal(err)
		}
		if died != (before > 0 && len(m) == 0) || died && !p.Dead(uint32(id)) {
			t.Fatalf("entry %d with %d of %d references left: died %v", id, len(m), before, died)
		}
		if died {
			p.Revive(uint32(id))
		}
	}
}

func compare(t *testing.T, p *postings.Postings, id uint32, want map[uint32]bool) {
	t.Helper()
	list := slices.Sorted(maps.Keys(want))
	if got := all(p, id); !slices.Equal(got, list) {
		t.Fatalf("entry %d has %d references, want %d", id, len(got), len(list))
	}
	if n := p.Count(id); n != int64(len(want)) {
		t.Fatalf("entry %d counts %d references, want %d", id, n, len(want))
	}
	half := roaring.New()
	half.AddRange(0, 90_000)
	n, _ := slices.BinarySearch(list, 90_000)
	if got := p.Intersect(id, half).ToArray(); !slices.Equal(got, list[:n]) {
		t.Fatalf("%d references of entry %d are below 90,000, want %d", len(got), id, n)
	}
}

func TestMostEntriesAreOneRun(t *testing.T) {
	p, _ := newPostings(t, 1)
	for ref := range uint32(10_000) {
		add(t, p, 0, ref)
	}
	if blocks, bitmaps, count := p.Size(); blocks > 16*8 || bitmaps != 0 || count != 0 {
		t.Errorf("a run takes %d bytes of blocks and %d bitmaps", blocks, count)
	}
}

// TestReaders has readers look at postings while runs are replaced: what was there when they began must be there.
func TestReaders(t *testing.T) {
	p, epochs := newPostings(t, 8)
	var added atomic.Uint32
	const most = 30_000
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for added.Load() < most {
				pin := epochs.Enter()
				least := added.Load()
				n := uint32(0)
				for id := range uint32(8) {
					for _, ref := range all(p, id) {
						if ref%8 != id {
							t.Errorf("entry %d has %d", id, ref)
						}
						n++
					}
				}
				epochs.Leave(pin)
				if n < least {
					t.Errorf("%d references, at least %d were there", n, least)
				}
			}
		})
	}
	for ref := range uint32(most) {
		pin := epochs.Enter()
		add(t, p, ref%8, ref*7919%most/8*8+ref%8) // Each number once, in no order.
		epochs.Leave(pin)
		added.Store(ref + 1)
	}
	readers.Wait()
}
