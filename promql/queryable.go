package promql

import (
	"context"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/store"
)

// A Queryable is a tenant in the form that upstream's engine reads from. Each of its queriers holds one Reader.
type Queryable struct{ tenant store.Tenant }

// NewQueryable returns the engine's view of t.
func NewQueryable(t store.Tenant) *Queryable { return &Queryable{t} }

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
	return querier{r}, nil
}

type querier struct{ reader store.Reader }

func (q querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	sel := store.Selection{Matchers: ms, Sorted: sorted, Hints: hints}
	if hints != nil {
		sel.Limit = hints.Limit
	}
	return seriesSet{q.reader.Select(ctx, sel)}
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

// A seriesSet marks its error as the store's.
type seriesSet struct{ storage.SeriesSet }

func (s seriesSet) Err() error { return fromStore(s.SeriesSet.Err()) }

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
