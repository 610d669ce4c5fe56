package badger

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
)

// merged is one series with all the places where its samples are. They are loaded when somebody iterates over them.
type merged struct {
	set    *set
	labels labels.Labels
	parts  []located // In the order of time.
	ref    uint32    // In memory, or active.NoRef.
	inside bool      // Whether any of them may lie in the range, not only before it.
	sure   bool      // Whether some do.

	run series.Run // If they were loaded to see whether there are any.
}

var (
	_ storage.Series = (*merged)(nil)
	_ store.Loaded   = (*merged)(nil)
)

// located is a series in a partition.
type located struct {
	from   *source
	series partition.Series
}

// A source is a partition as one set reads it.
type source struct {
	in       *partitionReader
	pass     *partition.Pass    // For runs.
	cursor   *partition.Cursor  // For columns; nil before the first.
	expected []partition.Series // That the set asks for.
}

// columns is partitionReader.load by columns: into gets the floats that the view sees.
func (s *source) columns(of *partition.Series, into *rowgroup.Column) (histograms series.Run, err error) {
	if s.cursor == nil {
		s.cursor = s.in.newCursor()
		s.cursor.Expect(s.expected)
	}
	return s.cursor.Columns(of, masksFor(s.in.deletions, of), into)
}

// set goes from one series to the next.
type set struct {
	ctx   context.Context
	in    store.Range
	rest  []merged
	limit int // How many may still come; -1 means any number.
	now   *merged
	err   error

	sorted bool

	mu      sync.Mutex // Of the rest, and the sources: several series may be loaded at a time.
	memory  *active.Reader
	scratch rowgroup.Column
}

var _ storage.SeriesSet = (*set)(nil)

func (r *reader) newSet(ctx context.Context, sel store.Selection) *set {
	list, err := r.gather(ctx, sel)
	if err != nil {
		return &set{ctx: ctx, err: fmt.Errorf("badger: select: %w", err)}
	}
	if sel.Sorted || sel.Limit > 0 {
		slices.SortFunc(list, func(a, b merged) int { return labels.Compare(a.labels, b.labels) })
	}
	s := &set{ctx: ctx, in: r.in, rest: list, limit: -1, sorted: sel.Sorted || sel.Limit > 0}
	if r.memory != nil {
		if s.memory, err = r.another(); err != nil {
			return &set{ctx: ctx, err: err}
		}
	}
	if sel.Limit > 0 {
		s.limit = sel.Limit
	}
	return s
}

// load reads the samples. Those in memory are later than those in partitions.
func (m *merged) load() (series.Run, error) {
	var out series.Run
	for i := range m.parts {
		run, err := m.parts[i].from.in.load(&m.parts[i].series, m.parts[i].from.pass)
		if err != nil {
			return nil, err
		}
		out = partition.Join(out, run)
	}
	if m.ref == active.NoRef {
		return out, nil
	}
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	s, err := m.set.memory.Samples(m.ref, m.set.in)
	if err == nil && s.Len() > 0 {
		out = partition.Join(out, s.Run())
	}
	return out, err
}

// columns reads the samples of the range into to. It is not ok, and to is of no use, if there are histograms among them, or
// if later ones stand in the way of earlier ones.
func (m *merged) columns(to *series.Columns) (ok bool, err error) {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	for i := range m.parts {
		ok, err := m.set.partColumns(&m.parts[i], to)
		if !ok || err != nil {
			return false, err
		}
	}
	if m.ref == active.NoRef {
		return true, nil
	}
	s, err := m.set.memory.Samples(m.ref, m.set.in)
	if err != nil {
		return false, err
	}
	return len(s.Histograms) == 0 && to.Add(s.Timestamps, s.Values, s.Starts), nil
}

// partColumns adds what a partition has of a series to to.
func (s *set) partColumns(of *located, to *series.Columns) (ok bool, err error) {
	if s.sorted { // Columns want the order of the partition.
		run, err := of.from.in.load(&of.series, of.from.pass)
		return err == nil && to.AddRun(run.Between(s.in)), err
	}
	if len(to.Timestamps) > 0 {
		histograms, err := of.from.columns(&of.series, &s.scratch)
		return err == nil && len(histograms) == 0 && to.Add(s.scratch.Timestamps, s.scratch.Values, s.scratch.Starts), err
	}
	c := rowgroup.Column{Timestamps: to.Timestamps, Values: to.Values, Starts: to.Starts}
	histograms, err := of.from.columns(&of.series, &c)
	to.Timestamps, to.Values, to.Starts = c.Timestamps, c.Values, c.Starts
	return len(histograms) == 0, err
}

// Labels returns the labels.
func (m *merged) Labels() labels.Labels { return m.labels }

// LoadedSamples is the number of samples that were loaded already.
func (m *merged) LoadedSamples() int { return len(m.run) }

// Iterator loads the samples.
func (m *merged) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	run, err := m.run, m.set.ctx.Err()
	if run == nil && err == nil {
		it := series.NewColumnIterator(reuse)
		var ok bool
		if ok, err = m.columns(&it.Columns); ok && err == nil {
			return it
		}
		if err == nil {
			run, err = m.load()
		}
	}
	if err != nil {
		return failed{chunkenc.NewNopIterator(), fmt.Errorf("badger: select: %w", err)}
	}
	found, ok := series.NewIn(m.labels, run, m.set.in)
	if !ok {
		return chunkenc.NewNopIterator() // It was deleted since.
	}
	return found.Iterator(reuse)
}

// failed is an iterator over samples that can't be read.
type failed struct {
	chunkenc.Iterator
	err error
}

// Err returns why.
func (f failed) Err() error { return f.err }

func (s *set) Next() bool {
	for s.err == nil && len(s.rest) > 0 && s.limit != 0 {
		if s.err = s.ctx.Err(); s.err != nil {
			break
		}
		next := &s.rest[0]
		s.rest = s.rest[1:]
		next.set = s
		if !next.sure {
			if next.run, s.err = next.load(); s.err != nil {
				s.err = fmt.Errorf("badger: select: %w", s.err)
				break
			}
			if len(next.run.Between(s.in)) == 0 {
				continue
			}
		}
		s.now, s.limit = next, max(s.limit-1, -1)
		return true
	}
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	return false
}

func (s *set) At() storage.Series                { return s.now }
func (s *set) Err() error                        { return s.err }
func (s *set) Warnings() annotations.Annotations { return nil }
