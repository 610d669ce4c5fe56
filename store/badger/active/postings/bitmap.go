package postings

import (
	"sync"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"
)

const (
	// window is the log of how many references a container of a bitmap spans.
	window = 16
	// short is the length of runs that are added reference by reference, which costs less.
	short = 8
)

// A bitmap is a set of many runs: what is finished, the container of the newest references, which is merged when it is
// full, and the newest runs.
type bitmap struct {
	mu       sync.Mutex
	finished *roaring.Bitmap
	current  *roaring.Bitmap
	at       uint32 // Container of current.
	newest   [2 * maxRuns]Run
	n        int
}

// newBitmap returns an entry.
func (p *Postings) newBitmap(runs []Run) uint64 {
	b := &bitmap{finished: roaring.New(), current: roaring.New()}
	for _, r := range runs {
		b.merge(r)
	}
	p.bitmapMu.Lock()
	defer p.bitmapMu.Unlock()
	if i, ok := p.spare.Take(p.epochs.Oldest()); ok {
		p.bitmaps[i] = b
		return kindBitmap | uint64(i)
	}
	p.bitmaps = append(p.bitmaps, b)
	return kindBitmap | uint64(len(p.bitmaps)-1)
}

// bitmapAt returns the bitmap of an entry. It is nil if the entry died since it was read without a lock.
func (p *Postings) bitmapAt(v uint64) *bitmap {
	p.bitmapMu.RLock()
	defer p.bitmapMu.RUnlock()
	return p.bitmaps[uint32(v)]
}

func (b *bitmap) add(ref uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n > 0 && b.newest[b.n-1].End() == uint64(ref) {
		b.newest[b.n-1]++
		return
	}
	if b.n == len(b.newest) {
		b.settle()
	}
	b.newest[b.n] = RunOf(ref, 1)
	b.n++
}

func (b *bitmap) settle() {
	for _, r := range b.newest[:b.n] {
		b.merge(r)
	}
	b.n = 0
}

func (b *bitmap) merge(r Run) {
	if at := uint32((r.End() - 1) >> window); at > b.at {
		b.current.RunOptimize()
		b.finished.Or(b.current)
		b.current, b.at = roaring.New(), at
	}
	into := b.current
	if r.Start()>>window < b.at {
		into = b.finished
	}
	if r.Len() > short {
		into.AddRange(uint64(r.Start()), r.End())
		return
	}
	for ref := uint64(r.Start()); ref < r.End(); ref++ {
		into.Add(uint32(ref))
	}
}

// subtract reports whether nothing is left.
func (b *bitmap) subtract(set *Set) (empty bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle()
	b.finished.AndNot(set.bitmap)
	b.current.AndNot(set.bitmap)
	b.finished.RunOptimize()
	return b.finished.IsEmpty() && b.current.IsEmpty()
}

func (b *bitmap) or(into *roaring.Bitmap) {
	b.mu.Lock()
	defer b.mu.Unlock()
	into.Or(b.finished)
	into.Or(b.current)
	for _, r := range b.newest[:b.n] {
		into.AddRange(uint64(r.Start()), r.End())
	}
}

func (b *bitmap) and(with *roaring.Bitmap) *roaring.Bitmap {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle()
	out := roaring.And(b.finished, with)
	out.Or(roaring.And(b.current, with))
	return out
}

func (b *bitmap) count() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle()
	return int64(b.finished.GetCardinality() + b.current.GetCardinality())
}

func (b *bitmap) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(b.finished.GetSizeInBytes()+b.current.GetSizeInBytes()) + int64(unsafe.Sizeof(*b))
}
