package partition

import (
	"cmp"
	"math"
	"slices"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
)

// held is what a cursor has decoded of a group, as columns.
type held struct {
	group      uint32
	members    uint64 // Those that were decoded; 0 if nothing was.
	histograms bool   // Whether the group has any.
	floats     [rowgroup.MaxMembers][]stretch
	chunks     [rowgroup.MaxMembers][]piece
	memory     rowgroup.Column
	spans      []stretch
}

// A stretch is a part of a member's samples: n from a place in the held memory.
type stretch struct {
	sequence                   uint64
	timestamps, values, starts int // starts is -1 if there are none.
	n                          int
}

// Expect says which series Columns will be asked for. Those of one group are decoded at once; without it all of a group
// are.
func (c *Cursor) Expect(list []Series) {
	c.wanted = make(map[uint32]uint64, len(list)/rowgroup.MaxMembers+1)
	for i := range list {
		c.wanted[list[i].ID.group()] |= 1 << list[i].ID.member()
	}
}

// Columns sets into to the floats of s in the cursor's range that no mask hides, in memory of into that is grown as needed,
// and returns its histograms in the range and the one before. Starts are nil if no sample has one. A value that is missing
// or damaged is an error that wraps store.ErrCorrupt.
//
// In the order of ids each group is read once. In another order use a cursor for each series, or Load with a Pass.
func (c *Cursor) Columns(s *Series, masks []Mask, into *rowgroup.Column) (histograms series.Run, err error) {
	into.Timestamps, into.Values, into.Starts = into.Timestamps[:0], into.Values[:0], into.Starts[:0]
	h, member := &c.held, s.ID.member()
	if h.group != s.ID.group() || h.members>>member&1 == 0 {
		if err := c.hold(s); err != nil {
			return nil, err
		}
	}
	if len(h.chunks[member]) > 0 || !h.visible(member, c.in, masks) {
		return c.mixed(member, masks, into), nil
	}
	starts := false
	for _, p := range h.spans {
		into.Timestamps = append(into.Timestamps, h.memory.Timestamps[p.timestamps:p.timestamps+p.n]...)
		into.Values = append(into.Values, h.memory.Values[p.values:p.values+p.n]...)
		starts = starts || p.starts >= 0
	}
	if !starts {
		into.Starts = nil
		return nil, nil
	}
	for _, p := range h.spans {
		if p.starts < 0 {
			into.Starts = append(into.Starts, make([]int64, p.n)...)
		} else {
			into.Starts = append(into.Starts, h.memory.Starts[p.starts:p.starts+p.n]...)
		}
	}
	return nil, nil
}

// hold decodes the group of s.
func (c *Cursor) hold(s *Series) error {
	h := &c.held
	group, members := s.ID.group(), uint64(math.MaxUint64)
	if c.wanted != nil {
		members = c.wanted[group] | 1<<s.ID.member()
	}
	if h.members != 0 && h.group == group {
		members = 1 << s.ID.member() // It was not expected.
	}
	for i := range h.floats {
		h.floats[i], h.chunks[i] = h.floats[i][:0], nil
	}
	h.group, h.members, h.histograms = group, 0, s.chunks > 0
	h.memory.Timestamps, h.memory.Values, h.memory.Starts = h.memory.Timestamps[:0], h.memory.Values[:0], h.memory.Starts[:0]
	err := c.each(s, func(p place, value []byte) error {
		if p.kind == dataRows {
			return c.holdRows(p, value, members)
		}
		if members>>p.member&1 == 0 {
			return nil
		}
		run, err := decodeChunk(value)
		if len(run) > 0 {
			h.chunks[p.member] = append(h.chunks[p.member], piece{p.sequence, run})
		}
		return err
	})
	if err == nil {
		h.members = members
	}
	return err
}

func (c *Cursor) holdRows(p place, value []byte, members uint64) error {
	h := &c.held
	ok, err := c.open(p, value, members, h.histograms)
	if !ok || err != nil {
		return err
	}
	m := &h.memory
	var timelines [rowgroup.MaxMembers]int // Where each timeline is, and one more.
	for c.groups.Select(members); c.groups.Next(); {
		member, column := c.groups.At()
		from, to := 0, len(column.Timestamps)
		if !h.histograms {
			from, to = within(column.Timestamps, c.in)
		}
		if from >= to {
			continue
		}
		line := c.groups.Timeline(member)
		if timelines[line] == 0 {
			timelines[line] = len(m.Timestamps) + 1
			m.Timestamps = append(m.Timestamps, column.Timestamps[from:to]...)
		}
		s := stretch{p.sequence, timelines[line] - 1, len(m.Values), -1, to - from}
		m.Values = append(m.Values, column.Values[from:to]...)
		if column.Starts != nil {
			s.starts = len(m.Starts)
			m.Starts = append(m.Starts, column.Starts[from:to]...)
		}
		h.floats[member] = append(h.floats[member], s)
	}
	return nil
}

// visible sets h.spans to what no mask hides of a member in a range. It returns false if they are not in the order of time.
func (h *held) visible(member int, in store.Range, masks []Mask) bool {
	h.spans = h.spans[:0]
	last := int64(math.MinInt64)
	for i, s := range h.floats[member] {
		first := h.memory.Timestamps[s.timestamps]
		if i > 0 && first <= last {
			return false
		}
		last = h.memory.Timestamps[s.timestamps+s.n-1]
		from := len(h.spans)
		if h.histograms { // Then there is more than the range.
			if s = s.part(within(h.memory.Timestamps[s.timestamps:s.timestamps+s.n], in)); s.n <= 0 {
				continue
			}
		}
		h.spans = append(h.spans, s)
		for _, m := range masks {
			if s.sequence <= m.Sequence {
				from = h.hide(from, m.Range)
			}
		}
	}
	return true
}

// hide takes a range out of the spans from a place on.
func (h *held) hide(from int, in store.Range) int {
	for i := from; i < len(h.spans); i++ {
		s := h.spans[i]
		start, end := within(h.memory.Timestamps[s.timestamps:s.timestamps+s.n], in)
		if start >= end {
			continue
		}
		before, after := s.part(0, start), s.part(end, s.n)
		switch {
		case before.n > 0 && after.n > 0:
			h.spans[i] = before
			h.spans = slices.Insert(h.spans, i+1, after)
			i++
		case before.n > 0:
			h.spans[i] = before
		case after.n > 0:
			h.spans[i] = after
		default:
			h.spans = slices.Delete(h.spans, i, i+1)
			i--
		}
	}
	return from
}

func (s stretch) part(from, to int) stretch {
	s.timestamps, s.values, s.n = s.timestamps+from, s.values+from, to-from
	if s.starts >= 0 {
		s.starts += from
	}
	return s
}

// mixed is Columns for a member whose pieces overlap, or that has histograms.
func (c *Cursor) mixed(member int, masks []Mask, into *rowgroup.Column) series.Run {
	h := &c.held
	pieces := slices.Clone(h.chunks[member])
	for _, s := range h.floats[member] {
		column := rowgroup.Column{Timestamps: h.memory.Timestamps[s.timestamps : s.timestamps+s.n], Values: h.memory.Values[s.values : s.values+s.n]}
		if s.starts >= 0 {
			column.Starts = h.memory.Starts[s.starts : s.starts+s.n]
		}
		pieces = append(pieces, piece{s.sequence, runOf(column, c.in, true)})
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(a.sequence, b.sequence) })
	floats, histograms := divide(join(pieces, masks))
	*into = fill(*into, floats.Between(c.in))
	if !slices.ContainsFunc(into.Starts, func(t int64) bool { return t != 0 }) {
		into.Starts = nil
	}
	return histograms.Around(c.in)
}
