package promql

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/luminate-metrics/luminate/store"
)

// A grid is the times at which the engine evaluates a node, in milliseconds.
type grid struct {
	start, end, step int64
	once             bool // Below a node that does not depend on the step.
}

// A plan is what the store evaluates of one query.
type plan struct {
	query    *plannedQuery
	lookback int64
	steps    int                           // Of the query.
	results  map[*labels.Matcher]*rolledUp // By what selects them.
	stats    *stats.QuerySamples
	held     int64 // Values in results.
}

// A part is a subtree that a store may evaluate.
type part struct {
	rollup   store.Rollup
	argument posrange.PositionRange // Where the engine's annotations point.
}

// walk replaces the parts of a tree that the store evaluates. A part that it declines is not looked into: what is left of
// it are selectors. Subqueries have times of their own and stay as they are.
func (p *plan) walk(e *parser.Expr, g grid) error {
	if g.end < g.start || g.step <= 0 {
		return nil
	}
	if found := p.match(*e, g); found != nil {
		return p.replace(e, found, g)
	}
	switch n := (*e).(type) {
	case *parser.StepInvariantExpr:
		g.end, g.once = g.start, true
		return p.walk(&n.Expr, g)
	case *parser.AggregateExpr:
		if n.Param != nil {
			if err := p.walk(&n.Param, g); err != nil {
				return err
			}
		}
		return p.walk(&n.Expr, g)
	case *parser.BinaryExpr:
		if err := p.walk(&n.LHS, g); err != nil {
			return err
		}
		return p.walk(&n.RHS, g)
	case *parser.ParenExpr:
		return p.walk(&n.Expr, g)
	case *parser.UnaryExpr:
		return p.walk(&n.Expr, g)
	case *parser.Call:
		if n.Func.Name == "info" { // It looks at the selectors below it.
			return nil
		}
		for i := range n.Args {
			if err := p.walk(&n.Args[i], g); err != nil {
				return err
			}
		}
	}
	return nil
}

// aggregators are the aggregations that stores have.
var aggregators = []parser.ItemType{parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.COUNT, parser.GROUP}

// match returns e as a part, or nil.
func (p *plan) match(e parser.Expr, g grid) *part {
	out := &part{rollup: store.Rollup{
		DelayNameRemoval: p.query.planner.language.DelayedNameRemoval, UseStartTimestamps: p.query.planner.language.UseStartTimestamps,
	}}
	r := &out.rollup
	if a, ok := e.(*parser.AggregateExpr); ok {
		if !slices.Contains(aggregators, a.Op) {
			return nil // But there may be a part below it.
		}
		r.Aggregate, r.Grouping, r.Without = a.Op, a.Grouping, a.Without
		e = withoutParens(a.Expr)
	}
	var of *parser.VectorSelector
	switch n := e.(type) {
	case *parser.VectorSelector:
		if r.Aggregate == 0 {
			return nil // Nothing to gain.
		}
		of, r.Window = n, p.lookback
	case *parser.Call:
		if of = out.call(n); of == nil {
			return nil
		}
	default:
		return nil
	}
	if of.Anchored || of.Smoothed || r.Window <= 0 {
		return nil
	}
	r.Steps = store.Steps{Start: g.start, End: g.end, Step: g.step}
	n := int64(r.Steps.Count())
	if of.Timestamp != nil {
		if n > 1 {
			return nil
		}
		r.Steps.Start = *of.Timestamp
	}
	r.Steps.Start -= of.OriginalOffset.Milliseconds()
	r.Steps.End = r.Steps.Start + (n-1)*g.step
	r.Matchers = of.LabelMatchers
	return out
}

// call takes over a function of a range; it returns the selector, or nil.
func (p *part) call(n *parser.Call) *parser.VectorSelector {
	args := n.Args
	switch {
	case n.Func.Name == "quantile_over_time":
		q, ok := withoutParens(args[0]).(*parser.NumberLiteral)
		if !ok {
			return nil
		}
		p.rollup.Arg, args = q.Val, args[1:]
	case len(args) != 1:
		return nil
	}
	m, ok := args[0].(*parser.MatrixSelector)
	if !ok {
		return nil
	}
	of, ok := m.VectorSelector.(*parser.VectorSelector)
	if !ok {
		return nil
	}
	p.rollup.Func, p.rollup.Window, p.argument = n.Func.Name, m.Range.Milliseconds(), n.Args[0].PositionRange()
	return of
}

func withoutParens(e parser.Expr) parser.Expr {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e
		}
		e = p.Expr
	}
}

// replace has the store evaluate a part, and puts the result in its place.
func (p *plan) replace(e *parser.Expr, found *part, g grid) error {
	planner := p.query.planner
	var full error
	found.rollup.MaxSamples = max(1, int64(planner.limits.MaxSamples)-p.held)
	found.rollup.Hold = func(values int64) error {
		if q, ok := p.query.from.(*Queryable); ok && q.load != nil {
			full = q.load.held.Add(values)
		}
		return full
	}
	res, err := p.query.from.Tenant().Rollup(p.query.ctx, found.rollup)
	var limit *store.LimitError
	switch {
	case full != nil:
		return full
	case errors.As(err, &limit) && limit.Limit == "samples":
		return promengine.ErrTooManySamples("query execution")
	case err != nil:
		planner.parts.WithLabelValues("declined").Inc()
		return nil //nolint:nilerr // The engine meets whatever it was again, and has its own words for it.
	}
	planner.parts.WithLabelValues("evaluated").Inc()
	p.held += int64(len(res.Series)) * int64(found.rollup.Steps.Count())
	// Nothing but its identity matters.
	m, err := labels.NewMatcher(labels.MatchEqual, "__result__", "")
	if err != nil {
		return err
	}
	p.results[m] = &rolledUp{RollupResult: res, grid: g, annotations: found.annotations(&res)}
	*e = resultSelector(m, (*e).PositionRange())
	return nil
}

// resultSelector returns what takes each result at its own step, and none besides: last_over_time(...[1ms]). It is the one
// function that leaves a series its labels, and the dropping of its name to the end of the query if that is asked for.
func resultSelector(m *labels.Matcher, at posrange.PositionRange) parser.Expr {
	return &parser.Call{Func: parser.Functions["last_over_time"], PosRange: at, Args: parser.Expressions{&parser.MatrixSelector{
		VectorSelector: &parser.VectorSelector{LabelMatchers: []*labels.Matcher{m}, PosRange: at}, Range: time.Millisecond, EndPos: at.End,
	}}}
}

// annotations are those of the engine for the function.
func (p *part) annotations(res *store.RollupResult) annotations.Annotations {
	var out annotations.Annotations
	switch p.rollup.Func {
	case "rate", "increase":
		for _, name := range res.Names {
			if !slices.ContainsFunc([]string{"_total", "_sum", "_count", "_bucket"}, func(s string) bool { return strings.HasSuffix(name, s) }) {
				out.Add(annotations.NewPossibleNonCounterInfo(name, p.argument))
			}
		}
	case "quantile_over_time":
		if q := p.rollup.Arg; res.Values > 0 && (math.IsNaN(q) || q < 0 || q > 1) {
			out.Add(annotations.NewInvalidQuantileWarning(q, p.argument))
		}
	}
	return out
}

// points returns a row as the engine has it.
func (r *rolledUp) points(row *store.RollupSeries) []promengine.FPoint {
	n := 0
	for _, v := range row.Values {
		if isValue(v) {
			n++
		}
	}
	out := make([]promengine.FPoint, 0, n)
	for k, v := range row.Values {
		if isValue(v) {
			out = append(out, promengine.FPoint{T: r.grid.start + int64(k)*r.grid.step, F: v})
		}
	}
	return out
}

// isValue reports whether there is a value at a step.
func isValue(v float64) bool { return !value.IsStaleNaN(v) }
