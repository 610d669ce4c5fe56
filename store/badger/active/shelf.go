package active

import (
	"math"
	"math/bits"
	"slices"
)

// A shelf is what a group had frozen and published when it was to be frozen anew, kept in the Go heap for those who look
// for it only here. It is older than everything else that its series have.
type shelf struct {
	min  int64 // Not after any sample.
	ages [GroupSize]age
}

// shelve puts aside what is frozen of a group, so that it can be frozen anew. The stripe is locked.
func (h *Head) shelve(s *stripe, number uint32) {
	first := number * GroupSize
	g := s.group(first)
	kept := &shelf{min: g.frozenMin}
	for used := g.used; used != 0; used &= used - 1 {
		i := uint32(bits.TrailingZeros64(used))
		r, to := h.records.At(first+i), &kept.ages[i]
		if r.frozen != 0 {
			to.chunk = h.blocks.copy(nil, r.frozen)
			h.blocks.release(r.frozen)
			r.frozen = 0
		}
		if a := s.aside[first+i]; a != nil {
			to.late = a.frozen
			h.asideBytes.Add(-bytesOf(a.frozen))
			a.frozen = nil
			s.forget(first+i, a)
		}
	}
	if s.shelves == nil {
		s.shelves = map[uint32][]*shelf{}
	}
	s.shelves[number] = append(s.shelves[number], kept)
	g.frozenMark, g.frozenMin, g.published = 0, math.MaxInt64, false
}

// takeDown drops the oldest shelf of a group; ok is false if there is none. The stripe is locked.
func (s *stripe) takeDown(number uint32) (ok bool) {
	list := s.shelves[number]
	switch len(list) {
	case 0:
		return false
	case 1:
		delete(s.shelves, number)
	default:
		s.shelves[number] = slices.Clone(list[1:])
	}
	return true
}

// shelved appends to dst what the shelves have of a series, the oldest first. It does not change. The stripe is locked.
func (s *stripe) shelved(dst []age, ref uint32) []age {
	for _, kept := range s.shelves[ref/GroupSize] {
		if a := kept.ages[ref%GroupSize]; len(a.chunk) > 0 || len(a.late) > 0 {
			dst = append(dst, a)
		}
	}
	return dst
}

// oldest is not after any sample of a group. The stripe is locked.
func (s *stripe) oldest(number uint32) int64 {
	g := s.group(number * GroupSize)
	out := min(g.min, g.frozenMin)
	for _, kept := range s.shelves[number] {
		out = min(out, kept.min)
	}
	return out
}

// deleteShelved removes the samples in a range from the shelves.
func (d *deletion) deleteShelved() error {
	for _, kept := range d.stripe.shelves[d.ref/GroupSize] {
		a := &kept.ages[d.ref%GroupSize]
		rest, cut, err := d.without(a.chunk)
		if err != nil {
			return err
		}
		aside := withoutLate(a.late, d.in)
		d.found = d.found || len(aside) < len(a.late)
		if !cut {
			a.late = aside
			continue
		}
		// What is left of the chunk arrived before the others.
		all := make([]late, 0, len(rest.Timestamps)+len(aside))
		for i, at := range rest.Timestamps {
			l := late{timestamp: at, value: rest.Values[i]}
			if i < len(rest.Starts) {
				l.start = rest.Starts[i]
			}
			all = append(all, l)
		}
		a.chunk, a.late = nil, append(all, aside...)
	}
	return nil
}
