package promql

import (
	"context"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/store"
)

// A Queryable is a tenant in the form that upstream's engine reads from. Each of its queriers holds one Reader.
type Queryable struct {
	tenant store.Tenant
	load   *load
}

// NewQueryable returns the engine's view of t.
func NewQueryable(t store.Tenant) *Queryable { return &Queryable{tenant: t} }

// A load is what a query has in memory. For each series that it selects, that is what the store has read, or the
// points that the engine makes of it, whichever is more.
type load struct {
	held  *reading.Hold
	steps int64 // Of the query, or of its subquery with the most of them.
}

// Tenant is what q reads from.
func (q *Queryable) Tenant() store.Tenant { return q.tenant }

// Querier opens a Reader of the given range, inclusive at both ends. The caller closes the querier. A range that ends
// before it begins holds nothing.
func (q *Queryable) Querier(mint, maxt int64) (storage.Querier, error) {
	if maxt < mint {
		return storage.NoopQuerier(), nil
	}
	r, err := q.tenant.Reader(store.Range{Min: mint, Max: maxt})
	if err != nil {
		return nil, fromStore(err)
	}
	return querier{r, q.load}, nil
}

type querier struct {
	reader store.Reader
	load   *load // nil means that nobody counts.
}

func (q querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	sel := store.Selection{Matchers: ms, Sorted: sorted, Hints: hints}
	if hints != nil {
		sel.Limit = hints.Limit
	}
	return &seriesSet{SeriesSet: q.reader.Select(ctx, sel), load: q.load}
}

func (q querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	l, err := q.reader.LabelValues(ctx, name, labelSelection(hints, ms))
	return l.Items, nil, fromStore(err)
}

func (q querier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	l, err := q.reader.LabelNames(ctx, labelSelection(hints, ms))
	return l.Items, nil, fromStore(err)
}

func (q querier) Close() error { return q.reader.Close() }

func labelSelection(hints *storage.LabelHints, ms []*labels.Matcher) store.Selection {
	sel := store.Selection{Matchers: ms}
	if hints != nil {
		sel.Limit = hints.Limit
	}
	return sel
}

// A seriesSet marks its error as the store's, and counts what is read.
type seriesSet struct {
	storage.SeriesSet
	load    *load
	pending int64 // Samples that the load has not been told of.
	err     error // Of the load.
}

// settleAt is how many samples are told to the load at once.
const settleAt = 4096

func (s *seriesSet) Next() bool {
	switch {
	case s.err != nil:
		return false
	case s.load == nil:
		return s.SeriesSet.Next()
	case !s.SeriesSet.Next():
		s.settle()
		return false
	}
	n := s.load.steps
	if loaded, ok := s.SeriesSet.At().(store.Loaded); ok {
		n = max(n, int64(loaded.LoadedSamples()))
	}
	if s.pending += n; s.pending >= settleAt {
		s.settle()
	}
	return s.err == nil
}

func (s *seriesSet) At() storage.Series { return storeSeries{s.SeriesSet.At()} }

func (s *seriesSet) settle() {
	s.err = s.load.held.Add(s.pending)
	s.pending = 0
}

func (s *seriesSet) Err() error {
	if s.err != nil {
		return s.err
	}
	return fromStore(s.SeriesSet.Err())
}

// A storeSeries marks the error of an iterator whose samples can't be read as the store's.
type storeSeries struct{ storage.Series }

func (s storeSeries) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it := s.Series.Iterator(reuse)
	if err := it.Err(); err != nil {
		return unreadable{chunkenc.NewNopIterator(), fromStore(err)}
	}
	return it
}

// unreadable is no samples, and why.
type unreadable struct {
	chunkenc.Iterator
	err error
}

func (u unreadable) Err() error { return u.err }

// NewExemplarQueryable returns t as a storage of exemplars.
func NewExemplarQueryable(t store.Tenant) storage.ExemplarQueryable { return exemplarQueryable{t} }

type exemplarQueryable struct{ tenant store.Tenant }

func (q exemplarQueryable) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	return exemplarQuerier{ctx: ctx, tenant: q.tenant}, nil
}

// An exemplarQuerier keeps its context because upstream's interface gives Select none.
type exemplarQuerier struct {
	ctx    context.Context
	tenant store.Tenant
}

func (q exemplarQuerier) Select(start, end int64, matchers ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	if end < start {
		return nil, nil
	}
	sels := make([]store.Selection, len(matchers))
	for i, ms := range matchers {
		sels[i] = store.Selection{Matchers: ms}
	}
	res, err := q.tenant.Exemplars(q.ctx, store.Range{Min: start, Max: end}, sels)
	return res, fromStore(err)
}
