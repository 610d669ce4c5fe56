package rollup_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/rollup"
	"github.com/luminate-metrics/luminate/store/series"
)

// The conformance suite compares answers with the engine's; this is about the calls.

// columns is a source of the same samples for each series.
type columns struct{ series.Columns }

func (c columns) Read(_ int, into *series.Columns) error {
	*into = series.Columns{Timestamps: slices.Clone(c.Timestamps), Values: slices.Clone(c.Values)}
	return nil
}

func (columns) Close() {}

func source(n int, of series.Columns) rollup.Source {
	s := rollup.Source{Open: func() (rollup.Reader, error) { return columns{of}, nil }}
	for i := range n {
		s.Labels = append(s.Labels, labels.FromStrings("__name__", "m", "i", fmt.Sprint(i)))
	}
	return s
}

func second() series.Columns {
	return series.Columns{Timestamps: []int64{1000, 2000, 4000}, Values: []float64{1, math.Float64frombits(value.StaleNaN), 5}}
}

func TestCheck(t *testing.T) {
	good := store.Rollup{Func: "rate", Window: 1, Steps: store.Steps{Step: 1}}
	f := func(change func(*store.Rollup), declined, invalid bool) {
		t.Helper()
		q := good
		change(&q)
		err := rollup.Check(&q)
		if errors.Is(err, store.ErrDeclined) != declined || (err != nil && problem.Describe(err).Kind == problem.Invalid) != invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
	f(func(*store.Rollup) {}, false, false)
	f(func(q *store.Rollup) { q.Func = "" }, false, false)
	f(func(q *store.Rollup) { q.Func = "deriv" }, true, false)
	f(func(q *store.Rollup) { q.Aggregate = parser.TOPK }, true, false)
	f(func(q *store.Rollup) { q.Limit = 1 }, true, false)
	f(func(q *store.Rollup) { q.Steps.Start = math.MinInt64 }, true, false)
	f(func(q *store.Rollup) { q.Steps.End = math.MaxInt64 }, true, false)
	f(func(q *store.Rollup) { q.Steps.Step = 0 }, false, true)
	f(func(q *store.Rollup) { q.Window = 0 }, false, true)
}

func TestManySeries(t *testing.T) {
	const n = 5000 // More than a block.
	q := store.Rollup{Window: 2000, Steps: store.Steps{Start: 0, End: 6000, Step: 1000}, Aggregate: parser.SUM}
	got, err := rollup.Evaluate(t.Context(), &q, source(n, second()))
	if err != nil {
		t.Fatal(err)
	}
	none := math.Float64frombits(value.StaleNaN)
	want := store.RollupResult{
		Series:  []store.RollupSeries{{Values: []float64{none, n, none, none, 5 * n, 5 * n, none}}},
		Names:   []string{"m"},
		Queried: []int64{0, n, 0, 0, n, n, 0}, Fresh: []int64{0, n, 0, 0, n, n, 0}, Values: 3 * n, Peak: 3 * n,
	}
	same := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
	if diff := cmp.Diff(want, got, same, cmp.Comparer(labels.Equal)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// What a series takes in an answer does not depend on how many values it has, so the limit of values is not enough.
func TestWideAnswersAreDeclined(t *testing.T) {
	f := func(op parser.ItemType, by ...string) {
		t.Helper()
		q := store.Rollup{Window: 1, Steps: store.Steps{Start: 0, End: 4000, Step: 1}, Aggregate: op, Grouping: by, MaxSamples: 1000}
		if _, err := rollup.Evaluate(t.Context(), &q, source(10, second())); !errors.Is(err, store.ErrDeclined) {
			t.Errorf("error %v", err)
		}
	}
	f(0)
	f(parser.SUM, "i")
}

func TestNamesThatCollideAreDeclined(t *testing.T) {
	from := source(1, second())
	from.Labels = append(from.Labels, labels.FromStrings("__name__", "other", "i", "0"))
	q := store.Rollup{Func: "count_over_time", Window: 1000, Steps: store.Steps{Start: 0, End: 4000, Step: 500}}
	if _, err := rollup.Evaluate(t.Context(), &q, from); !errors.Is(err, store.ErrDeclined) {
		t.Errorf("error %v", err)
	}
	q.DelayNameRemoval = true
	if got, err := rollup.Evaluate(t.Context(), &q, from); err != nil || len(got.Series) != 2 || !got.Series[0].DropName {
		t.Errorf("%+v, error %v", got, err)
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := store.Rollup{Window: 2000, Steps: store.Steps{Start: 0, End: 6000, Step: 1000}, Aggregate: parser.SUM}
	if _, err := rollup.Evaluate(ctx, &q, source(500, second())); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
