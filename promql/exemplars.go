package promql

import (
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// queryExemplars lists the exemplars of the series that an expression selects.
func (a *API) queryExemplars(req *request) (*answer, error) {
	span, err := req.lookupRange()
	if err != nil {
		return nil, err
	}
	if span.Max < span.Min {
		return nil, problem.New(problem.Invalid, "end timestamp must not be before start timestamp")
	}
	if err := a.checkText(req.FormValue("query")); err != nil {
		return nil, err
	}
	expr, err := a.parser.ParseExpr(req.FormValue("query"))
	if err != nil {
		return nil, bad(err)
	}
	var found []exemplar.QueryResult
	// Without selectors Prometheus answers 204 without a body, which clients can't read.
	if selectors := parser.ExtractSelectors(expr); len(selectors) > 0 {
		q, err := NewExemplarQueryable(req.tenant).ExemplarQuerier(req.Context())
		if err != nil {
			return nil, err
		}
		if found, err = q.Select(span.Min, span.Max, selectors...); err != nil {
			return nil, err
		}
	}
	found, truncated := cutExemplars(found, a.limits.MaxExemplars)
	return &answer{data: func(e *encoder) { e.exemplars(found) }, warnings: truncationWarning(truncated)}, nil
}

// cutExemplars keeps the first limit exemplars.
func cutExemplars(list []exemplar.QueryResult, limit int) (cut []exemplar.QueryResult, truncated bool) {
	for i := range list {
		if n := len(list[i].Exemplars); n > limit {
			last := list[i]
			last.Exemplars = last.Exemplars[:limit]
			cut = append(list[:i:i], last)
			if limit == 0 {
				cut = cut[:i]
			}
			return cut, true
		}
		limit -= len(list[i].Exemplars)
	}
	return list, false
}
