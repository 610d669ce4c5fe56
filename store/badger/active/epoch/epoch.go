// Package epoch is the waiting until nobody can know any more what was unlinked from a shared structure.
//
// Whoever reads without locks does so within a pin. What was unlinked in an epoch may be used again as soon as all pins
// are of later ones.
package epoch

import "sync/atomic"

const (
	kept  = 4 // Epochs that pins may be of at one time.
	first = kept
)

type counter struct {
	n atomic.Int64
	_ [56]byte // A cache line each.
}

// An Epochs counts epochs and the pins of each.
type Epochs struct {
	now  atomic.Uint64
	pins [kept]counter
}

// New returns the first epoch, without pins.
func New() *Epochs {
	e := &Epochs{}
	e.now.Store(first)
	return e
}

// A Pin keeps what could be reached when it was taken from being used again.
type Pin uint64

// Enter takes a pin.
func (e *Epochs) Enter() Pin {
	for {
		now := e.now.Load()
		c := &e.pins[now%kept].n
		c.Add(1)
		if e.now.Load() == now {
			return Pin(now)
		}
		c.Add(-1)
	}
}

// Leave gives a pin back.
func (e *Epochs) Leave(p Pin) { e.pins[uint64(p)%kept].n.Add(-1) }

// Now is the current epoch. What is unlinked before the call was unlinked in the epoch that it returns, or earlier.
func (e *Epochs) Now() uint64 { return e.now.Load() }

// Advance starts the next epoch, unless there is a pin of the one that is three before the current.
func (e *Epochs) Advance() bool {
	now := e.now.Load()
	return e.pins[(now+1)%kept].n.Load() == 0 && e.now.CompareAndSwap(now, now+1)
}

// Oldest is the epoch of the oldest pin, or the current one if there is none: what was unlinked before it is out of
// everybody's reach.
func (e *Epochs) Oldest() uint64 {
	now := e.now.Load()
	for old := now - kept + 1; old < now; old++ {
		if e.pins[old%kept].n.Load() != 0 {
			return old
		}
	}
	return now
}

// A Queue holds what was unlinked until it may be used again. It is not safe for concurrent use.
type Queue[T any] struct {
	items []unlinked[T]
	head  int
}

type unlinked[T any] struct {
	epoch uint64
	item  T
}

// Len is the number of items that wait.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }

// Put adds an item that is unlinked already.
func (q *Queue[T]) Put(e *Epochs, item T) { q.items = append(q.items, unlinked[T]{e.Now(), item}) }

// Take returns the item that waited longest if it was unlinked before the given epoch.
func (q *Queue[T]) Take(oldest uint64) (item T, ok bool) {
	if q.head == len(q.items) || q.items[q.head].epoch >= oldest {
		return item, false
	}
	item = q.items[q.head].item
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head >= 1024 && q.head*2 >= len(q.items):
		q.items = append(q.items[:0], q.items[q.head:]...)
		q.head = 0
	}
	return item, true
}
