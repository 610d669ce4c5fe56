package active

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/store/series"
)

// Samples is what a series has in a range of time: floats as columns, and histograms. Timestamps ascend in both, and no
// timestamp is in both.
type Samples struct {
	chunk.Columns
	Histograms series.Run
}

// Len is the number of samples.
func (s *Samples) Len() int { return len(s.Timestamps) + len(s.Histograms) }

// Reset empties s and keeps its memory.
func (s *Samples) Reset() {
	s.Columns.Reset()
	s.Histograms = nil
}

// Run returns floats and histograms in one run, which is new.
func (s *Samples) Run() series.Run {
	floats := make(series.Run, len(s.Timestamps))
	for i, at := range s.Timestamps {
		floats[i] = series.Sample{Timestamp: at, Value: s.Values[i]}
		if len(s.Starts) > 0 {
			floats[i].Start = s.Starts[i]
		}
	}
	return series.Merge(floats, s.Histograms)
}

// age is the samples of a series that are flushed together: a chunk and what came aside, which is later.
type age struct {
	chunk []byte
	late  []late
}

// ages is a copy of what a series has, that which is being flushed first.
type ages struct {
	bytes   []byte
	part    [2]age
	shelved []age // Older than both.
	all     []age
}

// list returns all ages, the oldest first. It is valid until the next call.
func (a *ages) list() []age {
	a.all = append(append(a.all[:0], a.shelved...), a.part[:]...)
	return a.all
}

// copyAges copies what the series has. The stripe is locked.
func (h *Head) copyAges(s *stripe, ref uint32, into *ages) {
	r := h.records.At(ref)
	b := into.bytes[:0]
	frozen := 0
	if r.frozen != 0 {
		b = h.blocks.copy(b, r.frozen)
		frozen = len(b)
	}
	if r.N > 0 {
		b = h.blocks.copy(b, r.Block)
		b = append(b, r.tail[:r.Used]...)
	}
	into.bytes = b
	into.shelved = s.shelved(into.shelved[:0], ref)
	into.part = [2]age{{chunk: b[:frozen]}, {chunk: b[frozen:]}}
	if a := s.aside[ref]; a != nil {
		into.part[0].late, into.part[1].late = a.frozen, a.open
	}
}

// decode sets s to the samples of the ages.
func (s *Samples) decode(parts []age) error {
	s.Reset()
	simple := true
	for _, p := range parts {
		n := len(s.Timestamps)
		if err := s.Columns.Decode(p.chunk); err != nil {
			return fmt.Errorf("active: %w", err)
		}
		simple = simple && len(p.late) == 0 && (n == 0 || n == len(s.Timestamps) || s.Timestamps[n-1] < s.Timestamps[n])
	}
	s.pad()
	if simple {
		return nil
	}
	return s.merge(parts)
}

// pad makes Starts as long as the other columns, unless it is empty.
func (s *Samples) pad() {
	for len(s.Starts) > 0 && len(s.Starts) < len(s.Timestamps) {
		s.Starts = append(s.Starts, 0)
	}
}

// merge is decode for samples out of order, replaced ones and histograms.
func (s *Samples) merge(parts []age) error {
	var all series.Run
	for _, p := range parts {
		s.Columns.Reset()
		if err := s.Columns.Decode(p.chunk); err != nil {
			return fmt.Errorf("active: %w", err)
		}
		s.pad()
		s.Histograms = nil
		arrived, err := decodeLate(p.late)
		if err != nil {
			return err
		}
		all = series.Merge(all, s.Run(), series.Sort(arrived))
	}
	s.Reset()
	for i := range all {
		if all[i].Int != nil || all[i].Float != nil {
			s.Histograms = append(s.Histograms, all[i])
		} else {
			s.Add(all[i].Timestamp, all[i].Start, all[i].Value)
		}
	}
	return nil
}

func decodeLate(list []late) ([]series.Sample, error) {
	out := make([]series.Sample, len(list))
	for i := range list {
		l := &list[i]
		out[i] = series.Sample{Timestamp: l.timestamp, Start: l.start, Value: l.value}
		if l.histogram == "" {
			continue
		}
		d := codec.NewDecoder([]byte(l.histogram))
		if out[i].Int, out[i].Float = d.Histogram(); d.Err() != nil {
			return nil, fmt.Errorf("active: histogram at %d: %w", l.timestamp, chunk.ErrMalformed)
		}
	}
	return out, nil
}

// limit cuts s to a range. One histogram before it stays, for those who compare neighbours.
func (s *Samples) limit(r store.Range) {
	if n := len(s.Timestamps); n > 0 && (s.Timestamps[0] < r.Min || s.Timestamps[n-1] > r.Max) {
		from := sort.Search(n, func(i int) bool { return s.Timestamps[i] >= r.Min })
		to := from + sort.Search(n-from, func(i int) bool { return s.Timestamps[from+i] > r.Max })
		s.Timestamps, s.Values = s.Timestamps[from:to], s.Values[from:to]
		if len(s.Starts) > 0 {
			s.Starts = s.Starts[from:to]
		}
	}
	if len(s.Histograms) > 0 {
		s.Histograms = s.Histograms.Around(r)
	}
}

// overlaps reports whether a series has samples in a range. The stripe is locked.
func (h *Head) overlaps(s *stripe, ref uint32, in store.Range, scratch *ages, buf *Samples) (bool, error) {
	r := h.records.At(ref)
	if r.N > 0 && in.Contains(r.LastTimestamp) {
		return true, nil
	}
	if s.oldest(ref/GroupSize) > in.Max || s.aside[ref] == nil && r.LastTimestamp < in.Min && r.frozen == 0 && len(s.shelves) == 0 {
		return false, nil
	}
	h.copyAges(s, ref, scratch)
	if err := buf.decode(scratch.list()); err != nil {
		return false, err
	}
	buf.limit(in)
	n := len(buf.Histograms)
	return len(buf.Timestamps) > 0 || n > 0 && buf.Histograms[n-1].Timestamp >= in.Min, nil
}

// Bounds is the range of the samples of h, or wider, as far as they are not flushed; Min > Max if there are none. Max is
// not known and the largest there is.
func (h *Head) Bounds() store.Range {
	out := store.Range{Min: math.MaxInt64, Max: math.MinInt64}
	for _, s := range *h.stripes.Load() {
		s.mu.Lock()
		for i := range s.groups {
			if g := &s.groups[i]; g.mark != 0 || g.frozenMark != 0 {
				out.Min, out.Max = min(out.Min, g.min, g.frozenMin), math.MaxInt64
			}
		}
		s.mu.Unlock()
	}
	return out
}

// withoutLate returns list without the samples in a range; it is new if there are any.
func withoutLate(list []late, r store.Range) []late {
	if !slices.ContainsFunc(list, func(l late) bool { return r.Contains(l.timestamp) }) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(l late) bool { return r.Contains(l.timestamp) })
}
