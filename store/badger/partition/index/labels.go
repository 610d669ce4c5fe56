package index

import (
	"math/bits"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/codec"
)

// mostValues is how many bytes of values a reader of label sets holds.
const mostValues = 4 << 20

// labelPage is a decoded page of label sets.
type labelPage struct {
	number  int // -1 if there is none.
	columns []labelColumn
	builder labels.ScratchBuilder
}

// labelColumn is one name in a page.
type labelColumn struct {
	name  string
	texts []string
	later []int // Numbers of values that texts does not have yet, or -1. Empty if it has all.
	refs  [pageSeries]uint8
	has   [pageSeries / 64]uint64
}

// Labels returns the labels of a series. It is cheapest in order.
func (s *Segment) Labels(i uint32) (labels.Labels, error) {
	if err := s.turnTo(i); err != nil {
		return labels.EmptyLabels(), err
	}
	p, k := &s.labels, i%pageSeries
	p.builder.Reset()
	for c := range p.columns {
		if c := &p.columns[c]; c.has[k/64]>>(k%64)&1 > 0 {
			text, err := s.textOf(c, c.refs[k])
			if err != nil {
				return labels.EmptyLabels(), err
			}
			p.builder.Add(c.name, text)
		}
	}
	return p.builder.Labels(), nil
}

// AppendCanonical appends the canonical labels of a series to dst.
func (s *Segment) AppendCanonical(dst []byte, i uint32) ([]byte, error) {
	if err := s.turnTo(i); err != nil {
		return dst, err
	}
	k := i % pageSeries
	for c := range s.labels.columns {
		if c := &s.labels.columns[c]; c.has[k/64]>>(k%64)&1 > 0 {
			text, err := s.textOf(c, c.refs[k])
			if err != nil {
				return dst, err
			}
			dst = metric.AppendLabel(dst, c.name, text)
		}
	}
	return dst, nil
}

// textOf returns a value of a column.
func (s *Segment) textOf(c *labelColumn, ref uint8) (text string, err error) {
	if len(c.later) > 0 && c.later[ref] >= 0 {
		if c.texts[ref], err = s.text(c.later[ref]); err != nil {
			return "", err
		}
		c.later[ref] = -1
	}
	return c.texts[ref], nil
}

// turnTo makes the page with a series the one at hand.
func (s *Segment) turnTo(i uint32) error {
	if int64(i) >= int64(s.series) {
		return malformed("reference to a series")
	}
	number := int(i / pageSeries)
	if s.labels.number == number {
		return nil
	}
	s.labels.number = -1
	if err := s.load(kindLabels, number); err != nil {
		return err
	}
	if err := s.decodeLabels(s.raw, min(pageSeries, s.series-number*pageSeries)); err != nil {
		return err
	}
	s.labels.number = number
	return nil
}

func (s *Segment) decodeLabels(raw []byte, n int) error {
	d := codec.NewDecoder(raw)
	s.labels.columns = s.labels.columns[:0]
	for before := -1; d.Len() > 0; {
		number := d.Uvarint()
		changes := d.Raw((n + 7) / 8)
		if d.Err() != nil || number >= uint64(len(s.names)) || int(number) <= before {
			return malformed("page of labels")
		}
		before = int(number)
		if k := len(s.labels.columns); k < cap(s.labels.columns) {
			s.labels.columns = s.labels.columns[:k+1]
		} else {
			s.labels.columns = append(s.labels.columns, labelColumn{})
		}
		c := &s.labels.columns[len(s.labels.columns)-1]
		c.name, c.texts, c.later, c.has = s.names[number].text, c.texts[:0], c.later[:0], [pageSeries / 64]uint64{}
		var err error
		if s.names[number].shared {
			err = c.sharedColumn(d, s.names[number], changes, n)
		} else {
			err = c.ownColumn(d, changes, n)
		}
		if err != nil {
			return err
		}
	}
	if d.Err() != nil {
		return malformed("page of labels")
	}
	return nil
}

// fill gives the values of a column to its series: next returns the place of a value in c.texts, and false if the series
// lacks the label.
func (c *labelColumn) fill(changes []byte, n int, next func() (int, bool, error)) error {
	ref, has := 0, false
	for i := range n {
		if changes[i/8]>>(i%8)&1 > 0 {
			var err error
			if ref, has, err = next(); err != nil {
				return err
			}
		}
		if has {
			c.refs[i] = uint8(ref)
			c.has[i/64] |= 1 << (i % 64)
		}
	}
	return nil
}

// sharedColumn is a column of numbers.
func (c *labelColumn) sharedColumn(d *codec.Decoder, n name, changes []byte, count int) error {
	return c.fill(changes, count, func() (int, bool, error) {
		ref := d.Uvarint()
		switch {
		case d.Err() != nil || ref > uint64(n.end-n.first):
			return 0, false, malformed("page of labels")
		case ref == 0:
			return 0, false, nil
		}
		c.texts, c.later = append(c.texts, ""), append(c.later, n.first+int(ref)-1)
		return len(c.texts) - 1, true, nil
	})
}

// ownColumn is a column whose values are in the page.
func (c *labelColumn) ownColumn(d *codec.Decoder, changes []byte, count int) error {
	most := 0
	for _, b := range changes {
		most += bits.OnesCount8(b)
	}
	arena := make([]byte, 0, 16*most)
	ends := make([]int, 0, most)
	before := 0
	err := c.fill(changes, count, func() (int, bool, error) {
		switch ref := d.Uvarint(); {
		case d.Err() != nil || ref > uint64(len(ends))+1:
			return 0, false, malformed("page of labels")
		case ref == 0:
			return 0, false, nil
		case ref > 1:
			return int(ref) - 2, true, nil
		}
		n := d.Uvarint()
		rest := d.Bytes()
		if d.Err() != nil || n > uint64(len(arena)-before) || len(arena) > mostRaw {
			return 0, false, malformed("page of labels")
		}
		start := len(arena)
		arena = append(arena, arena[before:before+int(n)]...)
		arena = append(arena, rest...)
		before, ends = start, append(ends, len(arena))
		return len(ends) - 1, true, nil
	})
	all := string(arena)
	from := 0
	for _, end := range ends {
		c.texts = append(c.texts, all[from:end])
		from = end
	}
	return err
}

// text returns a value that label sets refer to.
func (s *Segment) text(value int) (string, error) {
	p := s.lastPage
	if p >= len(s.pages) || value < s.pages[p].first || value >= s.pages[p].end {
		p = s.pageOf(value)
		s.lastPage = p
	}
	if s.values == nil {
		s.values = make([][]string, len(s.pages))
	}
	texts := s.values[p]
	if texts == nil {
		var err error
		if texts, err = s.texts(p); err != nil {
			return "", err
		}
		if s.held > mostValues {
			clear(s.values)
			s.held = 0
		}
		s.values[p] = texts
		for _, t := range texts {
			s.held += len(t) + 16
		}
	}
	return texts[value-s.pages[p].first], nil
}
