package active

import (
	"math"
	"math/bits"

	"github.com/luminate-metrics/luminate/store"
)

// Frozen is what a group gives to a flush. It is for reuse; what it holds is valid until the next call.
type Frozen struct {
	Tenant  uint32
	Members [GroupSize]Samples // By reference; without samples where there is nothing to flush.

	ages [GroupSize]ages
}

// Due appends to dst the groups whose chunks are long enough to be flushed.
func (h *Head) Due(dst []uint32) []uint32 {
	for i, s := range *h.stripes.Load() {
		for due := s.due.Load(); due != 0; due &= due - 1 {
			dst = append(dst, uint32(i*stripeGroups+bits.TrailingZeros32(due)))
		}
	}
	return dst
}

// Pending appends to dst all groups that have something to flush.
func (h *Head) Pending(dst []uint32) []uint32 {
	for i, s := range *h.stripes.Load() {
		s.mu.Lock()
		for k := range s.groups {
			if g := &s.groups[k]; g.mark != 0 || g.frozenMark != 0 && !g.published {
				dst = append(dst, uint32(i*stripeGroups+k))
			}
		}
		s.mu.Unlock()
	}
	return dst
}

// OldestMark is the smallest mark of a sample that is not frozen; ok is false if there is none. Once everything that is
// frozen is on disk elsewhere, what the caller keeps for older marks is not needed to restore the head.
func (h *Head) OldestMark() (mark uint32, ok bool) {
	mark = math.MaxUint32
	for _, s := range *h.stripes.Load() {
		s.mu.Lock()
		for k := range s.groups {
			if m := s.groups[k].mark; m != 0 {
				mark, ok = min(mark, m), true
			}
		}
		s.mu.Unlock()
	}
	return mark, ok
}

// Freeze ends the chunks of a group, so that what is appended from now on is for another flush. It reports whether there
// is anything to flush. If the group is frozen since an earlier flush, which failed, it stays as it is. What is published
// and not released yet is put on a shelf.
func (h *Head) Freeze(group uint32) bool {
	h.flushMu.Lock()
	defer h.flushMu.Unlock()
	first := group * GroupSize
	s := h.stripe(first)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group(first)
	if g.frozenMark != 0 && !g.published {
		return true
	}
	s.due.And(^uint32(1 << (group % stripeGroups)))
	if g.mark == 0 {
		return false
	}
	if g.frozenMark != 0 {
		h.shelve(s, group)
	}
	whole := true
	g.frozenMax = math.MinInt64
	for used := g.used; used != 0; used &= used - 1 {
		whole = h.freeze(s, first+uint32(bits.TrailingZeros64(used))) && whole
	}
	g.frozenMark, g.frozenMin = g.mark, g.min
	if whole {
		g.mark, g.min, g.blocks = 0, math.MaxInt64, 0
	}
	return true
}

// freeze ends the chunk of a series. It fails, and the chunk stays open, if there is no block for the tail.
func (h *Head) freeze(s *stripe, ref uint32) bool {
	r, g := h.records.At(ref), s.group(ref)
	if r.N > 0 {
		if !h.spare.ready(&h.blocks) {
			return false
		}
		g.frozenMax = max(g.frozenMax, r.LastTimestamp)
		r.End(&r.tail)
		r.frozen = h.blocks.push(&h.spare, r.Block, &r.tail)
		r.Block, r.Blocks = 0, 0
		r.Flags &^= hasStarts
	}
	r.Limit = uint8(h.opts.ChunkSamples)
	if a := s.aside[ref]; a != nil {
		a.frozen, a.open = a.open, nil
		if len(a.frozen) > 0 {
			g.frozenMax = max(g.frozenMax, a.max)
		}
		r.Flags &^= hasLate
	}
	return true
}

// Frozen sets into to what Freeze put apart.
func (h *Head) Frozen(group uint32, into *Frozen) error {
	first := group * GroupSize
	s := h.stripe(first)
	s.mu.Lock()
	g := s.group(first)
	into.Tenant = g.tenant
	used := g.used
	for i := range uint32(GroupSize) {
		a := &into.ages[i]
		a.part = [2]age{}
		if used&bitOf(i) != 0 {
			h.copyAges(s, first+i, a)
		}
	}
	s.mu.Unlock()
	for i := range into.Members {
		if err := into.Members[i].decode(into.ages[i].part[:1]); err != nil {
			return err
		}
	}
	return nil
}

// FrozenRange is the range of the samples that Freeze put apart, or wider.
func (h *Head) FrozenRange(group uint32) store.Range {
	s := h.stripe(group * GroupSize)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group(group * GroupSize)
	return store.Range{Min: g.frozenMin, Max: g.frozenMax}
}

// Publish says that what Freeze put apart can be read elsewhere from now on, and is on disk there. It stays for those who
// look only here, until Release.
func (h *Head) Publish(group uint32) {
	s := h.stripe(group * GroupSize)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group(group * GroupSize).published = true
}

// Release drops what Freeze put apart, the oldest if it did more than once: everybody looks for it elsewhere now. It is
// called once for each Publish.
func (h *Head) Release(group uint32) {
	h.flushMu.Lock()
	defer h.flushMu.Unlock()
	first := group * GroupSize
	s := h.stripe(first)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group(first)
	if s.takeDown(group) {
		return
	}
	for used := g.used; used != 0; used &= used - 1 {
		ref := first + uint32(bits.TrailingZeros64(used))
		r := h.records.At(ref)
		h.blocks.release(r.frozen)
		r.frozen = 0
		if a := s.aside[ref]; a != nil {
			h.asideBytes.Add(-bytesOf(a.frozen))
			a.frozen = nil
			s.forget(ref, a)
		}
	}
	g.frozenMark, g.frozenMin, g.published = 0, math.MaxInt64, false
}

// forget drops what is aside for a series if that is nothing any more.
func (s *stripe) forget(ref uint32, a *aside) {
	if len(a.open) == 0 && len(a.frozen) == 0 {
		delete(s.aside, ref)
	}
}
