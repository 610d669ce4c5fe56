package slab_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

func memory(t *testing.T, inHeap bool) *slab.Memory {
	t.Helper()
	m := slab.NewMemory(inHeap)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestSlab(t *testing.T) {
	for _, inHeap := range []bool{false, true} {
		s := slab.New[uint64](memory(t, inHeap), 10, 4)
		if err := s.Grow(1025); err != nil {
			t.Fatal(err)
		}
		for i := range uint32(2048) {
			if *s.At(i) != 0 {
				t.Fatalf("element %d is %d at first", i, *s.At(i))
			}
			*s.At(i) = uint64(i) * 3
		}
		old := s.At(5)
		if err := s.Grow(4096); err != nil {
			t.Fatal(err)
		}
		if s.At(5) != old || *s.At(2047) != 2047*3 || s.Slice(1024, 3)[2] != 1026*3 {
			t.Error("elements moved")
		}
		if err := s.Grow(4097); !errors.Is(err, slab.ErrFull) {
			t.Errorf("error %v, want %v", err, slab.ErrFull)
		}
		if err := s.Release(0, 1024); err != nil {
			t.Fatal(err)
		}
		if v := *s.At(7); v != 0 && !inHeap {
			t.Errorf("a released element is %d", v)
		}
		if *s.At(1024) != 1024*3 {
			t.Error("a neighbour of what was released changed")
		}
	}
}

func TestReleaseKeepsPartsOfPages(t *testing.T) {
	s := slab.New[byte](memory(t, false), 16, 1)
	if err := s.Grow(1 << 16); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(1 << 16) {
		*s.At(i) = 1
	}
	if err := s.Release(4000, 5000); err != nil { // One whole page lies within.
		t.Fatal(err)
	}
	for i, want := range map[uint32]byte{4095: 1, 4096: 0, 8191: 0, 8192: 1} {
		if *s.At(i) != want {
			t.Errorf("byte %d is %d, want %d", i, *s.At(i), want)
		}
	}
}

func TestArena(t *testing.T) {
	a := slab.NewArena(memory(t, false))
	rng := rand.New(rand.NewPCG(1, 1))
	held := map[uint32][]byte{}
	for i := range 20000 {
		if len(held) > 0 && rng.IntN(3) == 0 {
			for off, b := range held {
				if !bytes.Equal(a.Bytes(off, len(b)), b) {
					t.Fatalf("string at %d changed", off)
				}
				a.Free(off, len(b))
				delete(held, off)
				break
			}
			continue
		}
		n := rng.IntN(300)
		if i%500 == 0 {
			n = rng.IntN(1 << 20)
		}
		b := bytes.Repeat([]byte(fmt.Sprint(i, ".")), n/2+1)[:n]
		off, err := a.Put(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := held[off]; ok || off == 0 {
			t.Fatalf("offset %d twice", off)
		}
		held[off] = b
	}
	for off, b := range held {
		if !bytes.Equal(a.Bytes(off, len(b)), b) || !bytes.HasPrefix(a.After(off), b) {
			t.Fatalf("string at %d changed", off)
		}
	}
}

func TestArenaUsesSpaceAgain(t *testing.T) {
	a := slab.NewArena(memory(t, false))
	b := make([]byte, 23)
	for range 1000 {
		off, err := a.Put(b)
		if err != nil {
			t.Fatal(err)
		}
		a.Free(off, len(b))
	}
	if held, free := a.Size(); held != 24 || free != 24 {
		t.Errorf("%d bytes held, %d free; want 24 and 24", held, free)
	}
	if _, err := a.Put(make([]byte, 2<<20+1)); !errors.Is(err, slab.ErrTooLong) {
		t.Errorf("error %v, want %v", err, slab.ErrTooLong)
	}
}
