package badger

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/rollup"
	"github.com/luminate-metrics/luminate/store/series"
)

// Rollup evaluates a function over columns, in several goroutines. It declines histograms and what package rollup lacks.
func (v *view) Rollup(ctx context.Context, q store.Rollup) (out store.RollupResult, err error) {
	if err := rollup.Check(&q); err != nil {
		return out, err
	}
	r, err := v.reader(rollup.Needs(&q))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	list, err := r.gather(ctx, store.Selection{Matchers: q.Matchers})
	if err != nil {
		return out, fmt.Errorf("badger: rollup: %w", err)
	}
	from := rollup.Source{
		Labels: make([]labels.Labels, len(list)),
		Open:   func() (rollup.Reader, error) { return r.columns(list) },
	}
	for i := range list {
		from.Labels[i] = list[i].labels
	}
	out, err = rollup.Evaluate(ctx, &q, from)
	if err != nil {
		err = fmt.Errorf("badger: rollup: %w", err)
	}
	return out, err
}

// columns returns a reader of the samples of gathered series.
func (r *reader) columns(list []merged) (*columnReader, error) {
	c := &columnReader{reader: r, list: list, cursors: map[*source]*partition.Cursor{}}
	if r.memory != nil {
		var err error
		c.memory, err = r.another()
		return c, err
	}
	return c, nil
}

// A columnReader reads gathered series for one goroutine. The reader closes what it uses.
type columnReader struct {
	reader  *reader
	list    []merged
	memory  *active.Reader
	cursors map[*source]*partition.Cursor
	scratch rowgroup.Column
}

// Read reads a series into columns.
func (c *columnReader) Read(place int, into *series.Columns) error {
	m := &c.list[place]
	ok, err := c.ordered(m, into)
	if ok || err != nil {
		return err
	}
	run, err := c.run(m)
	if err != nil {
		return err
	}
	into.Timestamps, into.Values, into.Starts = into.Timestamps[:0], into.Values[:0], into.Starts[:0]
	if !into.AddRun(run.Between(c.reader.in)) {
		return fmt.Errorf("native histograms: %w", store.ErrDeclined)
	}
	return nil
}

// ordered reads a series whose places follow each other in time and have no histograms; otherwise it is not ok.
func (c *columnReader) ordered(m *merged, into *series.Columns) (ok bool, err error) {
	into.Timestamps, into.Values, into.Starts = into.Timestamps[:0], into.Values[:0], into.Starts[:0]
	for i := range m.parts {
		p := &m.parts[i]
		to := &c.scratch
		if len(into.Timestamps) == 0 {
			to = &rowgroup.Column{Timestamps: into.Timestamps, Values: into.Values, Starts: into.Starts}
		}
		histograms, err := c.cursor(p.from).Columns(&p.series, masksFor(p.from.in.deletions, &p.series), to)
		if err != nil || len(histograms) > 0 {
			return false, err
		}
		if to != &c.scratch {
			into.Timestamps, into.Values, into.Starts = to.Timestamps, to.Values, to.Starts
		} else if !into.Add(to.Timestamps, to.Values, to.Starts) {
			return false, nil
		}
	}
	if m.ref == active.NoRef {
		return true, nil
	}
	s, err := c.memory.Samples(m.ref, c.reader.in)
	if err != nil {
		return false, err
	}
	return len(s.Histograms) == 0 && into.Add(s.Timestamps, s.Values, s.Starts), nil
}

// run reads a series whose places overlap: later samples stand for earlier ones.
func (c *columnReader) run(m *merged) (series.Run, error) {
	var out series.Run
	for i := range m.parts {
		p := &m.parts[i]
		run, err := c.cursor(p.from).Load(&p.series, nil, masksFor(p.from.in.deletions, &p.series))
		if err != nil {
			return nil, err
		}
		out = partition.Join(out, run)
	}
	if m.ref == active.NoRef {
		return out, nil
	}
	s, err := c.memory.Samples(m.ref, c.reader.in)
	if err == nil && s.Len() > 0 {
		out = partition.Join(out, s.Run())
	}
	return out, err
}

// cursor returns the reader's own cursor of a partition.
func (c *columnReader) cursor(of *source) *partition.Cursor {
	if c.cursors[of] == nil {
		c.cursors[of] = of.in.newCursor()
		c.cursors[of].Expect(of.expected)
	}
	return c.cursors[of]
}

// Close does nothing.
func (c *columnReader) Close() {}
