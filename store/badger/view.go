package badger

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/aggregate"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// view is a store narrowed to one tenant.
type view struct {
	store *Store
	id    tenancy.ID
}

// Aggregate folds what a Reader gives.
func (v *view) Aggregate(ctx context.Context, q store.Aggregation) (out store.AggregateResult, err error) {
	r, err := v.Reader(q.Range)
	if err != nil {
		return out, err
	}
	out, err = aggregate.Fold(ctx, r, q)
	return out, errors.Join(err, r.Close())
}

// call reports why a call that needs no files can't be answered.
func (v *view) call(ctx context.Context) error {
	if err := v.store.enter(); err != nil {
		return err
	}
	v.store.leave()
	return ctx.Err()
}

// Exemplars returns exemplars, which are all in memory.
func (v *view) Exemplars(ctx context.Context, r store.Range, anyOf []store.Selection) ([]exemplar.QueryResult, error) {
	if err := v.call(ctx); err != nil {
		return nil, err
	}
	r, ok := v.store.visible(v.id, r)
	if !ok {
		return nil, nil
	}
	return v.store.annex.exemplars(v.id, r, anyOf), nil
}

// Metadata returns what is known about metric families, all of which is in memory.
func (v *view) Metadata(ctx context.Context, q store.MetadataQuery) ([]metric.Metadata, error) {
	if err := v.call(ctx); err != nil {
		return nil, err
	}
	return v.store.annex.metadata(v.id, q), nil
}

// Cardinality counts the series of a range.
func (v *view) Cardinality(ctx context.Context, q store.CardinalityQuery) (out store.Cardinality, err error) {
	r, err := v.reader(q.Range)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var census series.Census
	held := store.Range{Min: store.AllTime().Max, Max: store.AllTime().Min}
	set := r.newSet(ctx, store.Selection{Matchers: q.Matchers})
	for set.Next() {
		run, err := set.now.load()
		if err != nil {
			return out, fmt.Errorf("badger: cardinality: %w", err)
		}
		if run = run.Between(r.in); len(run) == 0 {
			continue
		}
		census.Add(set.now.labels)
		held.Min = min(held.Min, run[0].Timestamp)
		held.Max = max(held.Max, run[len(run)-1].Timestamp)
	}
	if set.Err() != nil {
		return out, fmt.Errorf("badger: cardinality: %w", set.Err())
	}
	return census.Result(q.Top, held), nil
}
