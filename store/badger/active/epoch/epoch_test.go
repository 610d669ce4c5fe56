package epoch_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
)

func TestPins(t *testing.T) {
	e := epoch.New()
	start := e.Now()
	if !e.Advance() || e.Oldest() != start+1 {
		t.Fatalf("oldest %d without pins, want %d", e.Oldest(), start+1)
	}
	p := e.Enter()
	for range 10 {
		e.Advance()
	}
	if e.Oldest() != uint64(p) {
		t.Errorf("oldest %d, want the pin's %d", e.Oldest(), p)
	}
	if e.Advance() {
		t.Error("the epoch went on though a pin is three before it")
	}
	q := e.Enter()
	e.Leave(p)
	if e.Oldest() != uint64(q) || !e.Advance() {
		t.Errorf("oldest %d, want %d", e.Oldest(), q)
	}
	e.Leave(q)
	if e.Oldest() != e.Now() {
		t.Errorf("oldest %d, now %d", e.Oldest(), e.Now())
	}
}

func TestQueue(t *testing.T) {
	e := epoch.New()
	var q epoch.Queue[int]
	for i := range 5000 {
		q.Put(e, i)
		if i%100 == 0 {
			e.Advance()
		}
	}
	if _, ok := q.Take(4); ok {
		t.Error("an item of the first epoch is taken in it")
	}
	for i := range 5000 {
		if got, ok := q.Take(e.Now() + 1); !ok || got != i {
			t.Fatalf("item %d is %d, %v", i, got, ok)
		}
	}
	if _, ok := q.Take(e.Now() + 1); ok || q.Len() != 0 {
		t.Error("more items than were put")
	}
}

// TestNothingIsUsedAgainUnderAPin has readers look at a cell that a writer replaces and poisons as soon as it may.
func TestNothingIsUsedAgainUnderAPin(t *testing.T) {
	e := epoch.New()
	var current atomic.Pointer[atomic.Bool] // True: poisoned.
	current.Store(new(atomic.Bool))
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				p := e.Enter()
				cell := current.Load()
				for range 20 {
					if cell.Load() {
						t.Error("a cell is used again under a pin")
						done.Store(true)
					}
				}
				e.Leave(p)
			}
		})
	}
	var q epoch.Queue[*atomic.Bool]
	poisoned := 0
	for poisoned < 2000 && !done.Load() {
		old := current.Swap(new(atomic.Bool))
		q.Put(e, old)
		e.Advance()
		for cell, ok := q.Take(e.Oldest()); ok; cell, ok = q.Take(e.Oldest()) {
			cell.Store(true)
			poisoned++
		}
	}
	done.Store(true)
	readers.Wait()
}
