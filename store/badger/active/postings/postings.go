// Package postings is, for each of many numbered pairs, the set of references to the series that have it.
//
// Neighbouring references mostly share their pairs, so that a set is mostly one run, which lies in the 8 bytes of the
// entry, or a few. Only a set of more than 16 runs becomes a bitmap. Readers of runs take no locks.
package postings

import (
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

// An entry is one of
//
//	0                                         nothing yet
//	01 length 30, first reference 32          one run; without a length: dead
//	10 class 3, number 5, 22 unused, place 32 2 to 16 runs in a block of 1<<class
//	11 number of the bitmap 32
const (
	kindRun    = uint64(1) << 62
	kindBlock  = uint64(2) << 62
	kindBitmap = uint64(3) << 62
	kindMask   = uint64(3) << 62

	dead = kindRun

	lengthShift = 32
	lengthMask  = 1<<30 - 1
	classShift  = 59
	numberShift = 54
	numberMask  = 31

	maxClass = 4
	maxRuns  = 1 << maxClass
	// patience is how many blocks of a class wait for readers before the epoch is advanced for them.
	patience = 256

	entryBits, entrySegments = 18, 1 << 13
	runBits, runSegments     = 18, 1 << 14
)

// Postings is the sets.
type Postings struct {
	epochs  *epoch.Epochs
	entries *slab.Slab[uint64]
	locks   [256]sync.Mutex // For changes of entries but for appends to their one run.

	runs    *slab.Slab[uint64]
	runMu   sync.Mutex // Guards what follows; the last lock to take.
	next    uint64
	free    [maxClass + 1][]uint32
	retired [maxClass + 1]epoch.Queue[uint32]

	bitmapMu sync.RWMutex
	bitmaps  []*bitmap           // nil where it is not used.
	spare    epoch.Queue[uint32] // Those.
}

// New returns empty postings. Whoever calls Add or Append holds a pin of the epochs.
func New(mem *slab.Memory, epochs *epoch.Epochs) *Postings {
	return &Postings{
		epochs: epochs, entries: slab.New[uint64](mem, entryBits, entrySegments),
		runs: slab.New[uint64](mem, runBits, runSegments), next: maxRuns,
	}
}

// Grow makes the entries below n exist. It is for one goroutine at a time.
func (p *Postings) Grow(n uint64) error { return p.entries.Grow(n) }

// Revive makes a dead entry empty. Nobody may know the entry.
func (p *Postings) Revive(id uint32) { atomic.StoreUint64(p.entries.At(id), 0) }

// Dead reports whether all references of the entry were taken out, so that it takes no more.
func (p *Postings) Dead(id uint32) bool { return atomic.LoadUint64(p.entries.At(id)) == dead }

func inline(r Run) uint64 {
	return kindRun | uint64(r.Len())<<lengthShift | uint64(r.Start())
}

func inlined(v uint64) Run { return RunOf(uint32(v), uint32(v>>lengthShift&lengthMask)) }

func block(v uint64) (class int, n, place uint32) {
	return int(v >> classShift & 7), uint32(v >> numberShift & numberMask), uint32(v)
}

// Add adds a reference that the entry does not have. ok is false if the entry is dead.
func (p *Postings) Add(id, ref uint32) (ok bool, err error) {
	e := p.entries.At(id)
	for {
		v := atomic.LoadUint64(e)
		switch {
		case v == dead:
			return false, nil
		case v == 0:
			if atomic.CompareAndSwapUint64(e, 0, inline(RunOf(ref, 1))) {
				return true, nil
			}
		case v&kindMask == kindRun && inlined(v).End() == uint64(ref):
			if atomic.CompareAndSwapUint64(e, v, v+1<<lengthShift) {
				return true, nil
			}
		default:
			return p.addSlow(id, ref)
		}
	}
}

func (p *Postings) addSlow(id, ref uint32) (ok bool, err error) {
	lock := &p.locks[id%uint32(len(p.locks))]
	lock.Lock()
	defer lock.Unlock()
	e := p.entries.At(id)
	for {
		v := atomic.LoadUint64(e)
		switch v & kindMask {
		case kindRun:
			if v == dead {
				return false, nil
			}
			var buf [2]Run
			entry, err := p.store(insert(buf[:0], []Run{inlined(v)}, ref))
			if err != nil {
				return false, err
			}
			if atomic.CompareAndSwapUint64(e, v, entry) {
				return true, nil
			}
			p.retire(entry)
		case kindBlock:
			return true, p.addToBlock(e, v, ref)
		default:
			p.bitmapAt(v).add(ref)
			return true, nil
		}
	}
}

// addToBlock adds a reference to a block of runs in place if it is the largest, which readers may see at any moment;
// else it replaces the block.
func (p *Postings) addToBlock(e *uint64, v uint64, ref uint32) error {
	class, n, place := block(v)
	newest := p.runs.At(place + n - 1)
	last := Run(*newest)
	switch {
	case last.End() == uint64(ref):
		atomic.StoreUint64(newest, uint64(last)+1)
		return nil
	case ref > last.Start() && n < 1<<class:
		atomic.StoreUint64(p.runs.At(place+n), uint64(RunOf(ref, 1)))
		atomic.StoreUint64(e, v+1<<numberShift)
		return nil
	}
	var old, all [maxRuns + 1]Run
	entry, err := p.store(insert(all[:0], p.load(old[:0], v), ref))
	if err != nil {
		return err
	}
	atomic.StoreUint64(e, entry)
	p.retire(v)
	return nil
}

// load appends the runs of a block to dst.
func (p *Postings) load(dst []Run, v uint64) []Run {
	_, n, place := block(v)
	for i := range n {
		dst = append(dst, Run(atomic.LoadUint64(p.runs.At(place+i))))
	}
	return dst
}

// store returns an entry with the given runs.
func (p *Postings) store(runs []Run) (entry uint64, err error) {
	switch {
	case len(runs) == 0:
		return dead, nil
	case len(runs) == 1 && runs[0].Len() <= lengthMask:
		return inline(runs[0]), nil
	case len(runs) > maxRuns:
		return p.newBitmap(runs), nil
	}
	class := 1
	for 1<<class < len(runs) {
		class++
	}
	place, err := p.allocate(class)
	if err != nil {
		return 0, err
	}
	for i, r := range runs {
		atomic.StoreUint64(p.runs.At(place+uint32(i)), uint64(r))
	}
	return kindBlock | uint64(class)<<classShift | uint64(len(runs))<<numberShift | uint64(place), nil
}

func (p *Postings) allocate(class int) (place uint32, err error) {
	p.runMu.Lock()
	defer p.runMu.Unlock()
	if len(p.free[class]) == 0 && p.retired[class].Len() > 0 {
		oldest := p.epochs.Oldest()
		for place, ok := p.retired[class].Take(oldest); ok; place, ok = p.retired[class].Take(oldest) {
			p.free[class] = append(p.free[class], place)
		}
	}
	if f := p.free[class]; len(f) > 0 {
		p.free[class] = f[:len(f)-1]
		return f[len(f)-1], nil
	}
	size := uint64(1) << class
	at := (p.next + size - 1) &^ (size - 1) // Aligned, a block does not cross a segment.
	if err := p.runs.Grow(at + size); err != nil {
		return 0, err
	}
	p.next = at + size
	return uint32(at), nil
}

// retire gives back what an entry, which nobody can find any more, refers to.
func (p *Postings) retire(v uint64) {
	switch v & kindMask {
	case kindBlock:
		class, _, place := block(v)
		p.runMu.Lock()
		defer p.runMu.Unlock()
		p.retired[class].Put(p.epochs, place)
		if p.retired[class].Len()%patience == 0 {
			p.epochs.Advance()
		}
	case kindBitmap:
		p.bitmapMu.Lock()
		defer p.bitmapMu.Unlock()
		p.bitmaps[uint32(v)] = nil
		p.spare.Put(p.epochs, uint32(v))
	}
}

// Subtract takes references out of an entry. It reports whether the entry died of it.
func (p *Postings) Subtract(id uint32, set *Set) (died bool, err error) {
	lock := &p.locks[id%uint32(len(p.locks))]
	lock.Lock()
	defer lock.Unlock()
	e := p.entries.At(id)
	for {
		v := atomic.LoadUint64(e)
		if v == 0 || v == dead {
			return false, nil
		}
		if v&kindMask == kindBitmap {
			if !p.bitmapAt(v).subtract(set) {
				return false, nil
			}
			atomic.StoreUint64(e, dead)
			p.retire(v)
			return true, nil
		}
		var buf [maxRuns]Run
		old := append(buf[:0], inlined(v))
		if v&kindMask == kindBlock {
			old = p.load(buf[:0], v)
		}
		var left []Run
		some := false
		for _, r := range old {
			var taken bool
			left, taken = set.cut(left, r)
			some = some || taken
		}
		if !some {
			return false, nil
		}
		entry, err := p.store(left)
		if err != nil {
			return false, err
		}
		if atomic.CompareAndSwapUint64(e, v, entry) {
			p.retire(v)
			return entry == dead, nil
		}
		p.retire(entry)
	}
}

// Append appends the runs of an entry to dst. If the entry is a bitmap, that is added to into instead.
func (p *Postings) Append(dst []Run, into *roaring.Bitmap, id uint32) []Run {
	v := atomic.LoadUint64(p.entries.At(id))
	switch v & kindMask {
	case kindRun:
		if v != dead {
			dst = append(dst, inlined(v))
		}
	case kindBlock:
		dst = p.load(dst, v)
	case kindBitmap:
		if b := p.bitmapAt(v); b != nil {
			b.or(into)
		}
	}
	return dst
}

// Intersect returns the references of an entry that are in the given bitmap, which it may change.
func (p *Postings) Intersect(id uint32, with *roaring.Bitmap) *roaring.Bitmap {
	v := atomic.LoadUint64(p.entries.At(id))
	if v&kindMask == kindBitmap {
		if b := p.bitmapAt(v); b != nil {
			return b.and(with)
		}
	}
	var buf [maxRuns]Run
	mine := roaring.New()
	for _, r := range p.Append(buf[:0], mine, id) {
		mine.AddRange(uint64(r.Start()), r.End())
	}
	with.And(mine)
	return with
}

// Count is the number of references of an entry.
func (p *Postings) Count(id uint32) int64 {
	v := atomic.LoadUint64(p.entries.At(id))
	switch v & kindMask {
	case kindRun:
		return int64(inlined(v).Len())
	case kindBlock:
		var buf [maxRuns]Run
		n := int64(0)
		for _, r := range p.load(buf[:0], v) {
			n += int64(r.Len())
		}
		return n
	case kindBitmap:
		if b := p.bitmapAt(v); b != nil {
			return b.count()
		}
	}
	return 0
}

// Size returns the bytes of runs in blocks, of bitmaps, and how many bitmaps there are.
func (p *Postings) Size() (blocks, bitmaps int64, count int) {
	p.runMu.Lock()
	blocks = int64(p.next) * 8
	p.runMu.Unlock()
	p.bitmapMu.RLock()
	defer p.bitmapMu.RUnlock()
	for _, b := range p.bitmaps {
		if b != nil {
			bitmaps += b.size()
			count++
		}
	}
	return blocks, bitmaps, count
}
