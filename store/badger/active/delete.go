package active

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
)

// Delete removes the samples of a series in a range, also frozen ones: Frozen does not give them any more, but a flush
// that has them already must be dealt with by the caller. It reports whether there were any.
func (h *Head) Delete(ref uint32, in store.Range) (found bool, err error) {
	h.flushMu.Lock()
	defer h.flushMu.Unlock()
	s := h.stripe(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := h.records.At(ref)
	if !r.alive() {
		return false, nil
	}
	d := deletion{head: h, stripe: s, record: r, ref: ref, in: in}
	d.aside()
	if err := d.chunks(); err != nil {
		return d.found, fmt.Errorf("active: delete: %w", err)
	}
	return d.found, nil
}

// Expire removes all samples before the given time.
func (h *Head) Expire(before int64) error {
	if before == math.MinInt64 {
		return nil
	}
	in := store.Range{Min: math.MinInt64, Max: before - 1}
	for i, s := range *h.stripes.Load() {
		for k := range s.groups {
			first := uint32(i)<<stripeBits + uint32(k)*GroupSize
			s.mu.Lock()
			g := &s.groups[k]
			used := g.used
			if s.oldest(uint32(i*stripeGroups+k)) >= before {
				used = 0
			}
			s.mu.Unlock()
			for ; used != 0; used &= used - 1 {
				if _, err := h.Delete(first+uint32(bits.TrailingZeros64(used)), in); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// deletion is one Delete. The stripe is locked.
type deletion struct {
	head   *Head
	stripe *stripe
	record *record
	ref    uint32
	in     store.Range
	found  bool
}

func (d *deletion) aside() {
	a := d.stripe.aside[d.ref]
	if a == nil {
		return
	}
	before, n := bytesOf(a.open)+bytesOf(a.frozen), len(a.open)+len(a.frozen)
	a.open, a.frozen = withoutLate(a.open, d.in), withoutLate(a.frozen, d.in)
	d.found = len(a.open)+len(a.frozen) < n
	d.head.asideBytes.Add(bytesOf(a.open) + bytesOf(a.frozen) - before)
	if len(a.open) == 0 {
		d.record.Flags &^= hasLate
	}
	d.stripe.forget(d.ref, a)
}

// chunks writes the chunks anew that lose samples.
func (d *deletion) chunks() error {
	h, r := d.head, d.record
	if err := d.deleteShelved(); err != nil {
		return err
	}
	var a ages
	h.copyAges(d.stripe, d.ref, &a)
	frozen, cut, err := d.without(a.part[0].chunk)
	if err != nil {
		return err
	}
	if cut {
		old := r.frozen
		r.frozen = 0
		if len(frozen.Timestamps) > 0 {
			var st chunk.State
			var tail [chunk.Tail]byte
			if err := h.encode(frozen, &st, &tail); err != nil {
				r.frozen = old
				return err
			}
			if !h.spare.ready(&h.blocks) {
				h.blocks.release(st.Block)
				r.frozen = old
				return ErrFull
			}
			block := st.Block
			st.End(&tail)
			r.frozen = h.blocks.push(&h.spare, block, &tail)
		}
		h.blocks.release(old)
	}
	open, cut, err := d.without(a.part[1].chunk)
	if err != nil || !cut {
		return err
	}
	return d.reopen(open)
}

// reopen replaces the open chunk.
func (d *deletion) reopen(c *chunk.Columns) error {
	h, r := d.head, d.record
	st := chunk.State{LastTimestamp: r.LastTimestamp, Limit: r.Limit, Flags: r.Flags &^ hasStarts}
	var tail [chunk.Tail]byte
	if err := h.encode(c, &st, &tail); err != nil {
		return err
	}
	h.blocks.release(r.Block)
	if n := len(c.Starts); n > 0 {
		st.Flags |= hasStarts
		*h.starts.At(d.ref) = c.Starts[n-1]
	}
	r.State, r.tail = st, tail
	return nil
}

// without returns the samples of a chunk outside the range, and whether there are others.
func (d *deletion) without(b []byte) (kept *chunk.Columns, cut bool, err error) {
	var all chunk.Columns
	if err := all.Decode(b); err != nil {
		return nil, false, err
	}
	kept = &chunk.Columns{}
	for i, at := range all.Timestamps {
		if d.in.Contains(at) {
			cut, d.found = true, true
			continue
		}
		start := int64(0)
		if i < len(all.Starts) {
			start = all.Starts[i]
		}
		kept.Add(at, start, all.Values[i])
	}
	return kept, cut, nil
}

// encode appends samples to an empty chunk.
func (h *Head) encode(c *chunk.Columns, st *chunk.State, tail *[chunk.Tail]byte) error {
	var spill [chunk.Tail]byte
	start := int64(0)
	for i, at := range c.Timestamps {
		if !h.spare.ready(&h.blocks) {
			h.blocks.release(st.Block)
			return ErrFull
		}
		if i < len(c.Starts) && c.Starts[i] != start {
			start = c.Starts[i]
			if st.AppendStart(tail, &spill, start) {
				st.Block = h.blocks.push(&h.spare, st.Block, &spill)
			}
		}
		if st.Append(tail, &spill, at, c.Values[i]) {
			st.Block = h.blocks.push(&h.spare, st.Block, &spill)
		}
	}
	return nil
}
