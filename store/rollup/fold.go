package rollup

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

// Fold computes q from the samples of a tenant, sample by sample.
func Fold(ctx context.Context, of store.Tenant, q *store.Rollup) (out store.RollupResult, err error) {
	if err := Check(q); err != nil {
		return out, err
	}
	r, err := of.Reader(Needs(q))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	set := r.Select(ctx, store.Selection{Matchers: q.Matchers})
	var from Source
	var list []storage.Series
	for set.Next() {
		list = append(list, set.At())
		from.Labels = append(from.Labels, set.At().Labels())
	}
	if set.Err() != nil {
		return out, fmt.Errorf("rollup: select: %w", set.Err())
	}
	from.Open = func() (Reader, error) { return &folding{list: list}, nil }
	return Evaluate(ctx, q, from)
}

// folding reads series by their iterators.
type folding struct {
	list []storage.Series
	it   chunkenc.Iterator
}

func (f *folding) Read(place int, into *series.Columns) error {
	into.Timestamps, into.Values, into.Starts = into.Timestamps[:0], into.Values[:0], into.Starts[:0]
	f.it = f.list[place].Iterator(f.it)
	for {
		switch f.it.Next() {
		case chunkenc.ValNone:
			return f.it.Err()
		case chunkenc.ValFloat:
			t, v := f.it.At()
			into.Timestamps, into.Values, into.Starts = append(into.Timestamps, t), append(into.Values, v), append(into.Starts, f.it.AtST())
		default:
			return fmt.Errorf("rollup: native histograms: %w", store.ErrDeclined)
		}
	}
}

func (f *folding) Close() {}
