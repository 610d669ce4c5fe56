package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

// reader is a view of one range of a tenant. Each call sees what is stored when it is made.
type reader struct {
	view *view
	in   store.Range
}

// match returns the series that match sel and have samples in the reader's range, in label order.
func (r *reader) match(ctx context.Context, sel store.Selection) ([]entry, error) {
	var found []entry
	err := r.view.read(ctx, func(t *tenant) { found = t.match(r.in, sel) })
	return found, err
}

func (r *reader) Select(ctx context.Context, sel store.Selection) storage.SeriesSet {
	found, err := r.match(ctx, sel)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	list := make([]storage.Series, 0, len(found))
	for _, e := range found {
		if s, ok := series.NewIn(e.labels, e.run, r.in); ok {
			list = append(list, s)
		}
	}
	return series.NewSet(ctx, series.Truncate(list, sel.Limit).Items)
}

func (r *reader) SelectChunks(ctx context.Context, sel store.Selection) storage.ChunkSeriesSet {
	return series.Chunks(r.Select(ctx, sel))
}

func (r *reader) Series(ctx context.Context, sel store.Selection) (store.List[labels.Labels], error) {
	found, err := r.match(ctx, sel)
	if err != nil {
		return store.List[labels.Labels]{}, err
	}
	list := make([]labels.Labels, len(found))
	for i, e := range found {
		list[i] = e.labels
	}
	return series.Truncate(list, sel.Limit), nil
}

func (r *reader) LabelNames(ctx context.Context, sel store.Selection) (store.List[string], error) {
	return r.distinct(ctx, sel, func(ls labels.Labels, add func(string)) {
		ls.Range(func(l labels.Label) { add(l.Name) })
	})
}

func (r *reader) LabelValues(ctx context.Context, name string, sel store.Selection) (store.List[string], error) {
	return r.distinct(ctx, sel, func(ls labels.Labels, add func(string)) {
		if v := ls.Get(name); v != "" {
			add(v)
		}
	})
}

// distinct returns the different strings that of adds for the matching series.
func (r *reader) distinct(ctx context.Context, sel store.Selection, of func(labels.Labels, func(string))) (store.List[string], error) {
	found, err := r.match(ctx, sel)
	if err != nil {
		return store.List[string]{}, err
	}
	seen := map[string]struct{}{}
	for _, e := range found {
		of(e.labels, func(s string) { seen[s] = struct{}{} })
	}
	return series.Truncate(slices.Sorted(maps.Keys(seen)), sel.Limit), nil
}

func (r *reader) Close() error { return nil }
