package promql

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/luminate-metrics/luminate/store"
)

// A Planner is upstream's engine with parts of queries evaluated by the store. When the engine asks for a querier it has
// parsed, checked and preprocessed the query, but read nothing. Then the Planner has the store roll up the parts that it
// can, and puts a selector of the results in the place of each; the engine evaluates what is left. A part that the store
// declines stays as it is, so that no query runs twice.
type Planner struct {
	engine   promengine.QueryEngine
	limits   Limits
	language Language
	parts    *prometheus.CounterVec
}

var _ promengine.QueryEngine = (*Planner)(nil)

// NewPlanner returns a planner for an engine with the limits and the language of o, as NewEngine makes it.
func NewPlanner(engine promengine.QueryEngine, o Options) *Planner {
	p := &Planner{engine: engine, limits: o.Limits.withDefaults(), language: o.Language, parts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "luminate_query_planned_parts_total",
		Help: "Parts of PromQL queries that the store was asked to evaluate, by what became of them.",
	}, []string{"result"})}
	if o.Registerer != nil {
		o.Registerer.MustRegister(p.parts)
	}
	return p
}

// A rollable is a storage.Queryable of which the tenant is known.
type rollable interface {
	storage.Queryable
	Tenant() store.Tenant
}

// NewInstantQuery returns a query at one time.
func (p *Planner) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promengine.QueryOpts, text string, at time.Time) (promengine.Query, error) {
	from, ok := q.(rollable)
	if !ok {
		return p.engine.NewInstantQuery(ctx, q, opts, text, at)
	}
	planned := &plannedQuery{planner: p, from: from}
	return planned.of(p.engine.NewInstantQuery(ctx, planned, opts, text, at))
}

// NewRangeQuery returns a query at many times.
func (p *Planner) NewRangeQuery(
	ctx context.Context, q storage.Queryable, opts promengine.QueryOpts, text string, start, end time.Time, step time.Duration,
) (promengine.Query, error) {
	from, ok := q.(rollable)
	if !ok {
		return p.engine.NewRangeQuery(ctx, q, opts, text, start, end, step)
	}
	planned := &plannedQuery{planner: p, from: from}
	return planned.of(p.engine.NewRangeQuery(ctx, planned, opts, text, start, end, step))
}

// A plannedQuery is a query, and what the engine reads from when it runs.
type plannedQuery struct {
	promengine.Query
	planner *Planner
	from    rollable
	ctx     context.Context //nolint:containedctx // Of Exec: upstream's interface gives Querier none.
	cancel  context.CancelFunc
}

// of returns q planned. The statement is upstream's own: what is put in its place is what runs.
func (p *plannedQuery) of(q promengine.Query, err error) (promengine.Query, error) {
	if err != nil {
		return nil, err
	}
	p.Query = q
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Exec runs the query.
func (p *plannedQuery) Exec(ctx context.Context) *promengine.Result {
	p.cancel()
	p.ctx, p.cancel = context.WithTimeout(ctx, p.planner.limits.Timeout)
	defer p.cancel()
	return p.Query.Exec(ctx)
}

// Close ends the query.
func (p *plannedQuery) Close() {
	p.cancel()
	p.Query.Close()
}

// Querier plans.
func (p *plannedQuery) Querier(mint, maxt int64) (storage.Querier, error) {
	base, err := p.from.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	stmt, ok := p.Statement().(*parser.EvalStmt)
	if !ok {
		return base, nil
	}
	pl := &plan{query: p, lookback: stmt.LookbackDelta.Milliseconds(), results: map[*labels.Matcher]*rolledUp{}, stats: p.Stats().Samples}
	g := grid{start: stmt.Start.UnixMilli(), end: stmt.End.UnixMilli(), step: stmt.Interval.Milliseconds()}
	if stmt.Interval == 0 && stmt.Start.Equal(stmt.End) {
		g.step = 1
	}
	pl.steps = store.Steps{Start: g.start, End: g.end, Step: max(g.step, 1)}.Count()
	if err := pl.walk(&stmt.Expr, g); err != nil {
		return nil, errors.Join(err, base.Close())
	}
	if len(pl.results) == 0 {
		return base, nil
	}
	return &plannedQuerier{base, pl}, nil
}

// A plannedQuerier gives results where the plan put them.
type plannedQuerier struct {
	storage.Querier
	plan *plan
}

// Select knows the selectors of results by the identity of their matcher, which no user can make.
func (q *plannedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if len(ms) == 1 {
		if r, ok := q.plan.results[ms[0]]; ok {
			return &resultSet{result: r}
		}
	}
	return q.Querier.Select(ctx, sorted, hints, ms...)
}

// Close ends the reading. Statistics are complete before the engine logs them.
func (q *plannedQuerier) Close() error {
	for _, r := range q.plan.results {
		r.account(q.plan.stats, q.plan.steps)
	}
	return q.Querier.Close()
}

// A rolledUp is the result of one part.
type rolledUp struct {
	store.RollupResult
	grid        grid
	annotations annotations.Annotations
}

// A resultSet goes through the series of a result.
type resultSet struct {
	result *rolledUp
	next   int
}

func (s *resultSet) Next() bool {
	s.next++
	return s.next <= len(s.result.Series)
}

func (s *resultSet) At() storage.Series {
	row := &s.result.Series[s.next-1]
	return promengine.NewStorageSeries(promengine.Series{Metric: row.Labels, DropName: row.DropName, Floats: s.result.points(row)})
}

func (s *resultSet) Err() error                        { return nil }
func (s *resultSet) Warnings() annotations.Annotations { return s.result.annotations }

// account sets statistics to what they would be without the plan.
func (r *rolledUp) account(to *stats.QuerySamples, steps int) {
	queried, fresh := r.Queried, r.Fresh
	var total, read int64
	for k := range queried {
		shown := int64(0) // To the engine.
		for i := range r.Series {
			if isValue(r.Series[i].Values[k]) {
				shown++
			}
		}
		if r.grid.once {
			// What does not depend on the step is evaluated once, and counts at each.
			total = (queried[k] - shown) * int64(steps)
			for s := range to.TotalSamplesPerStep {
				to.TotalSamplesPerStep[s] = max(0, to.TotalSamplesPerStep[s]+queried[k]-shown)
			}
		} else {
			total += queried[k] - shown
			if k < len(to.TotalSamplesPerStep) {
				to.TotalSamplesPerStep[k] = max(0, to.TotalSamplesPerStep[k]+queried[k]-shown)
			}
		}
		read += fresh[k] - shown
		if k < len(to.SamplesReadPerStep) {
			to.SamplesReadPerStep[k] = max(0, to.SamplesReadPerStep[k]+fresh[k]-shown)
		}
	}
	to.TotalSamples = max(0, to.TotalSamples+total)
	to.SamplesRead = max(0, to.SamplesRead+read)
	to.UpdatePeak(int(r.Peak))
}
