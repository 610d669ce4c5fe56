package store

import (
	"context"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Scope returns the view of one tenant for a request: st.Tenant(id) that also understands matchers on the reserved
// dimension tenancy.Dimension. Such a matcher is taken off if it matches id; if not, it names a tenant that the request
// may not read, and the call fails with problem.Invalid.
func Scope(st Store, id tenancy.ID) Tenant { return scoped{st.Tenant(id), id} }

type scoped struct {
	Tenant
	id tenancy.ID
}

func (s scoped) resolve(sel Selection) (Selection, error) {
	reserved := 0
	for _, m := range sel.Matchers {
		if m.Name != tenancy.Dimension {
			continue
		}
		reserved++
		if !m.Matches(string(s.id)) {
			return sel, problem.New(problem.Invalid, "matcher %s names a tenant that this request may not read: its tenant is %q", m, s.id)
		}
	}
	if reserved == 0 {
		return sel, nil
	}
	kept := make([]*labels.Matcher, 0, len(sel.Matchers)-reserved)
	for _, m := range sel.Matchers {
		if m.Name != tenancy.Dimension {
			kept = append(kept, m)
		}
	}
	sel.Matchers = kept
	return sel, nil
}

func (s scoped) Reader(r Range) (Reader, error) {
	rd, err := s.Tenant.Reader(r)
	if err != nil {
		return nil, err
	}
	return scopedReader{rd, s}, nil
}

func (s scoped) Aggregate(ctx context.Context, q Aggregation) (AggregateResult, error) {
	sel, err := s.resolve(q.Selection)
	if err != nil {
		return AggregateResult{}, err
	}
	q.Selection = sel
	return s.Tenant.Aggregate(ctx, q)
}

func (s scoped) Rollup(ctx context.Context, q Rollup) (RollupResult, error) {
	sel, err := s.resolve(q.Selection)
	if err != nil {
		return RollupResult{}, err
	}
	q.Selection = sel
	return s.Tenant.Rollup(ctx, q)
}

func (s scoped) Exemplars(ctx context.Context, r Range, anyOf []Selection) ([]exemplar.QueryResult, error) {
	resolved := make([]Selection, len(anyOf))
	for i, sel := range anyOf {
		var err error
		if resolved[i], err = s.resolve(sel); err != nil {
			return nil, err
		}
	}
	return s.Tenant.Exemplars(ctx, r, resolved)
}

func (s scoped) Cardinality(ctx context.Context, q CardinalityQuery) (Cardinality, error) {
	sel, err := s.resolve(q.Selection)
	if err != nil {
		return Cardinality{}, err
	}
	q.Selection = sel
	return s.Tenant.Cardinality(ctx, q)
}

func (s scoped) Delete(ctx context.Context, r Range, sel Selection) error {
	sel, err := s.resolve(sel)
	if err != nil {
		return err
	}
	return s.Tenant.Delete(ctx, r, sel)
}

type scopedReader struct {
	Reader
	s scoped
}

func (r scopedReader) Select(ctx context.Context, sel Selection) storage.SeriesSet {
	sel, err := r.s.resolve(sel)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	return r.Reader.Select(ctx, sel)
}

func (r scopedReader) SelectChunks(ctx context.Context, sel Selection) storage.ChunkSeriesSet {
	sel, err := r.s.resolve(sel)
	if err != nil {
		return storage.ErrChunkSeriesSet(err)
	}
	return r.Reader.SelectChunks(ctx, sel)
}

func (r scopedReader) Series(ctx context.Context, sel Selection) (List[labels.Labels], error) {
	sel, err := r.s.resolve(sel)
	if err != nil {
		return List[labels.Labels]{}, err
	}
	return r.Reader.Series(ctx, sel)
}

func (r scopedReader) LabelNames(ctx context.Context, sel Selection) (List[string], error) {
	sel, err := r.s.resolve(sel)
	if err != nil {
		return List[string]{}, err
	}
	return r.Reader.LabelNames(ctx, sel)
}

func (r scopedReader) LabelValues(ctx context.Context, name string, sel Selection) (List[string], error) {
	sel, err := r.s.resolve(sel)
	if err != nil {
		return List[string]{}, err
	}
	return r.Reader.LabelValues(ctx, name, sel)
}
