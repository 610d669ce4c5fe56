package active

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
	"github.com/luminate-metrics/luminate/store/badger/active/postings"
)

// evicted is the references that are no series any more: those whose postings are still there, those that somebody may
// know, those that wait for Recycle.
type evicted struct {
	mu        sync.Mutex
	abandoned []uint32

	graves     epoch.Queue[grave]
	buried     []grave
	generation uint32
}

// A grave is the references of one eviction.
type grave struct {
	generation uint32
	refs       []uint32
}

// holes is how many references of a group must be free so that a writer gets them: scattered references make long
// postings.
const holes = GroupSize / 4

// Evicted is what Evict did.
type Evicted struct {
	Series     int
	Pairs      int
	Refs       []uint32 // That were series, and that could not become one.
	Generation uint32   // For Recycle; it grows from call to call.
}

// Evict takes out the series that were told last with a smaller mark than the given one, if nothing of them is left to
// flush and no writer is about to append to them. Readers and writers go on meanwhile.
//
// The references of evicted series are not used again before Recycle.
func (h *Head) Evict(mark uint32) (out Evicted, err error) {
	h.maintenance.Lock()
	defer h.maintenance.Unlock()
	h.collect()
	e := &h.evicted
	e.generation++
	out.Generation = e.generation
	// Two epochs, because the stamp of a series may be one too new.
	h.epochs.Advance()
	h.epochs.Advance()
	e.mu.Lock()
	refs := e.abandoned
	e.abandoned = nil
	e.mu.Unlock()
	abandoned := len(refs)
	refs = h.unlink(refs, mark)
	out.Series, out.Refs = len(refs)-abandoned, refs
	h.series.Add(-int64(out.Series))
	if len(refs) == 0 {
		return out, nil
	}
	e.graves.Put(h.epochs, grave{e.generation, refs})
	if out.Pairs, err = h.pairs.Sweep(postings.NewSet(refs)); err != nil {
		// The references stay in some postings, where readers pass over them; they must not be used again.
		return out, fmt.Errorf("active: evict: %w", err)
	}
	h.epochs.Advance()
	h.collect()
	return out, nil
}

// unlink appends to refs those of idle series, which nobody finds by their labels any more.
func (h *Head) unlink(refs []uint32, mark uint32) []uint32 {
	oldest := uint32(h.epochs.Oldest())
	for i, s := range *h.stripes.Load() {
		n := len(refs)
		s.mu.Lock()
		for k := range s.groups {
			g := &s.groups[k]
			for used := g.used; used != 0; used &= used - 1 {
				bit := uint32(bits.TrailingZeros64(used))
				ref := uint32(i)<<stripeBits + uint32(k)*GroupSize + bit
				if h.idle(s, ref, mark, oldest) {
					g.used &^= 1 << bit
					g.dead |= 1 << bit
					refs = append(refs, ref)
				}
			}
		}
		s.mu.Unlock()
		for _, ref := range refs[n:] {
			h0 := atomic.LoadUint64(&h.records.At(ref).h0)
			shard := h.index.Lock(h0)
			shard.Remove(h0, ref)
			shard.Unlock()
		}
	}
	return refs
}

// idle takes the life of a series that may be evicted.
func (h *Head) idle(s *stripe, ref uint32, mark, oldest uint32) bool {
	r := h.records.At(ref)
	if r.N > 0 || r.frozen != 0 || len(s.shelves) > 0 || atomic.LoadUint32(&r.told) >= mark || s.aside[ref] != nil {
		return false
	}
	life := atomic.LoadUint32(&r.life)
	return int32(life-oldest) < 0 && atomic.CompareAndSwapUint32(&r.life, life, 0)
}

// collect frees what belonged to evicted series, as soon as nobody can know them.
func (h *Head) collect() {
	h.pairs.Collect()
	e := &h.evicted
	oldest := h.epochs.Oldest()
	for {
		g, ok := e.graves.Take(oldest)
		if !ok {
			return
		}
		for _, ref := range g.refs {
			r := h.records.At(ref)
			if set := atomic.LoadUint32(&r.labels); set != 0 {
				h.sets.Free(set, h.setBytes(set))
			}
			atomic.StoreUint32(&r.labels, 0)
			atomic.StoreUint64(&r.h0, 0)
			atomic.StoreUint64(&r.h1, 0)
			atomic.StoreUint32(&r.next, 0)
		}
		h.eachGroup(g.refs, func(group uint32, g *group) {
			if g.used|g.reserved == 0 && h.cleared(group) {
				// What it says does not matter; if it fails, the memory stays.
				_ = h.records.Release(group*GroupSize, GroupSize)
			}
		})
		e.buried = append(e.buried, g)
	}
}

// cleared reports that no record of a group says anything: others of its series may have been evicted later.
func (h *Head) cleared(group uint32) bool {
	for i := range uint32(GroupSize) {
		if atomic.LoadUint32(&h.records.At(group*GroupSize+i).labels) != 0 {
			return false
		}
	}
	return true
}

// setBytes is the length of a label set.
func (h *Head) setBytes(set uint32) int {
	b := h.sets.After(set)
	n, at := binary.Uvarint(b)
	for range n {
		_, w := binary.Uvarint(b[at:])
		at += w
	}
	return at
}

// eachGroup calls f for the group of each reference, once for neighbours, with its stripe locked.
func (h *Head) eachGroup(refs []uint32, f func(group uint32, g *group)) {
	last := uint32(math.MaxUint32)
	for _, ref := range refs {
		if ref/GroupSize == last {
			continue
		}
		last = ref / GroupSize
		s := h.stripe(ref)
		s.mu.Lock()
		f(last, s.group(ref))
		s.mu.Unlock()
	}
}

// Recycle says that nobody outside the head knows the references of series that were evicted up to a generation: not
// the log, and no file. They may be given to other series.
func (h *Head) Recycle(generation uint32) {
	h.maintenance.Lock()
	defer h.maintenance.Unlock()
	h.collect()
	e := &h.evicted
	for len(e.buried) > 0 && e.buried[0].generation <= generation {
		for _, ref := range e.buried[0].refs {
			s := h.stripe(ref)
			s.mu.Lock()
			s.group(ref).dead &^= bitOf(ref)
			s.mu.Unlock()
		}
		h.eachGroup(e.buried[0].refs, h.reuse)
		e.buried = e.buried[1:]
	}
}

// reuse offers the free references of a group to writers. The stripe is locked.
func (h *Head) reuse(at uint32, g *group) {
	free := ^(g.used | g.reserved | g.dead)
	p := &h.places
	switch {
	case free == math.MaxUint64 && g.mark == 0 && g.frozenMark == 0:
		p.mu.Lock()
		defer p.mu.Unlock()
		g.reserved = free // Until it is begun anew.
		p.empty = append(p.empty, at)
	case bits.OnesCount64(free) >= holes:
		p.mu.Lock()
		defer p.mu.Unlock()
		g.reserved |= free
		p.lanes[g.tenant] = append(p.lanes[g.tenant], lane{at, free})
	}
}
