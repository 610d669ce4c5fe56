package series_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

// pairs makes samples of timestamp and value in turn.
func pairs(numbers ...int64) []series.Sample {
	var out []series.Sample
	for i := 0; i < len(numbers); i += 2 {
		out = append(out, series.Sample{Timestamp: numbers[i], Value: float64(numbers[i+1])})
	}
	return out
}

func same(t *testing.T, what string, got, want series.Run) {
	t.Helper()
	if len(got)+len(want) == 0 {
		return
	}
	if diff := cmp.Diff([]series.Sample(want), []series.Sample(got)); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}

func TestSort(t *testing.T) {
	f := func(in []series.Sample, want ...int64) {
		t.Helper()
		same(t, fmt.Sprint(in), series.Sort(slices.Clone(in)), pairs(want...))
	}
	f(nil)
	f(pairs(1, 1), 1, 1)
	f(pairs(1, 1, 2, 2), 1, 1, 2, 2)
	f(pairs(2, 2, 1, 1), 1, 1, 2, 2)
	f(pairs(1, 1, 1, 2, 1, 3), 1, 3)
	f(pairs(2, 1, 1, 5, 2, 2, 1, 6, 2, 3), 1, 6, 2, 3)
	f(pairs(math.MaxInt64, 1, math.MinInt64, 2), math.MinInt64, 2, math.MaxInt64, 1)
}

func TestMerge(t *testing.T) {
	f := func(runs []series.Run, want ...int64) {
		t.Helper()
		var before []series.Run
		for _, r := range runs {
			before = append(before, slices.Clone(r))
		}
		same(t, fmt.Sprint(runs), series.Merge(runs...), pairs(want...))
		for i := range runs {
			same(t, "an input after Merge", runs[i], before[i])
		}
	}
	f(nil)
	f([]series.Run{nil, pairs(1, 1), nil}, 1, 1)
	f([]series.Run{pairs(1, 1), pairs(2, 2)}, 1, 1, 2, 2)
	f([]series.Run{pairs(2, 2), pairs(1, 1)}, 1, 1, 2, 2)
	f([]series.Run{pairs(1, 1, 3, 3), pairs(1, 9, 2, 2, 3, 9)}, 1, 9, 2, 2, 3, 9)
	f([]series.Run{pairs(1, 1, 2, 1), pairs(2, 2, 3, 2), pairs(0, 3, 3, 3)}, 0, 3, 1, 1, 2, 2, 3, 3)
	f([]series.Run{pairs(1, 1, 2, 2, 3, 3, 9, 9), pairs(4, 4, 5, 5)}, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 9, 9)
}

func TestBetweenAndWithout(t *testing.T) {
	run := series.Run(pairs(1, 1, 2, 2, 4, 4, math.MaxInt64, 9))
	f := func(lo, hi int64, between, without []series.Sample) {
		t.Helper()
		in := store.Range{Min: lo, Max: hi}
		same(t, fmt.Sprintf("between %v", in), run.Between(in), between)
		same(t, fmt.Sprintf("without %v", in), run.Without(in), without)
	}
	f(2, 4, pairs(2, 2, 4, 4), pairs(1, 1, math.MaxInt64, 9))
	f(2, 3, pairs(2, 2), pairs(1, 1, 4, 4, math.MaxInt64, 9))
	f(3, 3, nil, run)
	f(4, 2, nil, run)
	f(math.MinInt64, math.MaxInt64, run, nil)
	f(math.MaxInt64, math.MaxInt64, pairs(math.MaxInt64, 9), pairs(1, 1, 2, 2, 4, 4))
	f(math.MinInt64, 0, nil, run)
	part := run.Between(store.Range{Min: 1, Max: 2})
	_ = append(part, pairs(77, 77)...)
	same(t, "the run after an append to a part", run, pairs(1, 1, 2, 2, 4, 4, math.MaxInt64, 9))
}

// counter returns a histogram with one bucket.
func counter(n int64) *histogram.Histogram {
	return &histogram.Histogram{Count: uint64(n), PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{n}}
}

func TestHints(t *testing.T) {
	const unknown, reset, none, gauge = histogram.UnknownCounterReset, histogram.CounterReset, histogram.NotCounterReset, histogram.GaugeType
	with := func(h *histogram.Histogram, hint histogram.CounterResetHint) *histogram.Histogram {
		h.CounterResetHint = hint
		return h
	}
	stale := &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
	f := func(want []histogram.CounterResetHint, list ...*histogram.Histogram) {
		t.Helper()
		var ints, floats series.Run
		for i, h := range list {
			ints = append(ints, series.Sample{Timestamp: int64(i), Int: h})
			floats = append(floats, series.Sample{Timestamp: int64(i), Float: h.ToFloat(nil)})
		}
		for _, run := range []series.Run{ints, floats} {
			for _, start := range []int64{0, 1} {
				s, ok := series.NewIn(labels.EmptyLabels(), run, store.Range{Min: start, Max: 99})
				if !ok {
					t.Fatal("no sample in the range")
				}
				it := s.Iterator(nil)
				var got []histogram.CounterResetHint
				for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
					_, fh := it.AtFloatHistogram(nil)
					got = append(got, fh.CounterResetHint)
					if kind == chunkenc.ValHistogram {
						if _, h := it.AtHistogram(&histogram.Histogram{}); h.CounterResetHint != fh.CounterResetHint {
							t.Errorf("hint %v as integers, %v as floats", h.CounterResetHint, fh.CounterResetHint)
						}
					}
				}
				if diff := cmp.Diff(want[start:], got); diff != "" {
					t.Errorf("from %d: -want +got\n%s", start, diff)
				}
			}
		}
	}
	f([]histogram.CounterResetHint{unknown, none, unknown, none}, counter(1), counter(2), counter(1), counter(1))
	f([]histogram.CounterResetHint{unknown, reset, none}, counter(1), with(counter(2), reset), counter(3))
	f([]histogram.CounterResetHint{gauge, unknown, none, gauge}, with(counter(1), gauge), counter(2), counter(3), with(counter(1), gauge))
	f([]histogram.CounterResetHint{unknown, unknown, unknown, none}, counter(1), stale, counter(2), counter(3))
}

func TestIteratorHandsOutCopies(t *testing.T) {
	run := series.Run{{Timestamp: 1, Int: counter(3)}, {Timestamp: 2, Float: counter(4).ToFloat(nil)}}
	it := run.Iterator(nil)
	it.Next()
	_, h := it.AtHistogram(nil)
	h.PositiveBuckets[0] = 99
	it.Next()
	_, fh := it.AtFloatHistogram(nil)
	fh.PositiveBuckets[0] = 99
	if run[0].Int.PositiveBuckets[0] != 3 || run[1].Float.PositiveBuckets[0] != 4 {
		t.Error("what the iterator handed out shares memory with the run")
	}
}

func TestIteratorIsReused(t *testing.T) {
	a, b := series.Run(pairs(1, 1)), series.Run(pairs(2, 2))
	it := a.Iterator(nil)
	it.Next()
	again := b.Iterator(it)
	if again != it {
		t.Error("the iterator is not reused")
	}
	if again.Next() != chunkenc.ValFloat || again.AtT() != 2 {
		t.Errorf("at %d", again.AtT())
	}
}

func TestAppendBatchCopies(t *testing.T) {
	b := metric.NewBatch(metric.NewHasher(1))
	b.StartSeries(nil, 0)
	b.AddSample(metric.Sample{Timestamp: 1, Start: 2, Value: 3})
	h := &histogram.Histogram{Schema: histogram.CustomBucketsSchema, CustomValues: []float64{1}, CounterResetHint: histogram.NotCounterReset}
	b.AddHistogram(metric.Histogram{Timestamp: 4, Start: 5, Int: h})
	b.AddHistogram(metric.Histogram{Timestamp: 6, Float: h.ToFloat(nil)})
	got := series.AppendBatch(nil, b, &b.Series[0])
	h.CustomValues[0] = 99
	if len(got) != 3 || got[0] != (series.Sample{Timestamp: 1, Start: 2, Value: 3}) || got[1].Start != 5 || got[2].Timestamp != 6 {
		t.Fatalf("samples %+v", got)
	}
	if got[1].Int.CustomValues[0] != 1 || got[1].Int.CounterResetHint != histogram.UnknownCounterReset {
		t.Errorf("histogram %+v", got[1].Int)
	}
}

func TestChunks(t *testing.T) {
	var run series.Run
	for i := range int64(300) {
		run = append(run, series.Sample{Timestamp: i, Start: 1, Value: float64(i)})
	}
	set := series.Chunks(series.NewSet(t.Context(), []storage.Series{series.New(labels.EmptyLabels(), run)}))
	if !set.Next() {
		t.Fatalf("no series: %v", set.Err())
	}
	var got []string
	it := set.At().Iterator(nil)
	for it.Next() {
		m := it.At()
		got = append(got, fmt.Sprintf("%v %d-%d %d", m.Chunk.Encoding(), m.MinTime, m.MaxTime, m.Chunk.NumSamples()))
	}
	if diff := cmp.Diff([]string{"XOR 0-119 120", "XOR 120-239 120", "XOR 240-299 60"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestSetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := series.New(labels.EmptyLabels(), nil)
	set := series.NewSet(ctx, []storage.Series{s, s})
	if !set.Next() {
		t.Fatal("no series")
	}
	cancel()
	if set.Next() || !errors.Is(set.Err(), context.Canceled) {
		t.Errorf("error %v, want %v", set.Err(), context.Canceled)
	}
}

func TestTruncate(t *testing.T) {
	f := func(limit, items int, truncated bool) {
		t.Helper()
		if l := series.Truncate([]int{1, 2, 3}, limit); len(l.Items) != items || l.Truncated != truncated {
			t.Errorf("limit %d: %+v", limit, l)
		}
	}
	f(0, 3, false)
	f(1, 1, true)
	f(2, 2, true)
	f(3, 3, false)
	f(4, 3, false)
}

func TestExemplarsAreBounded(t *testing.T) {
	e := series.NewExemplars(2)
	add := func(e *series.Exemplars, name string, at int64) {
		t.Helper()
		canonical := metric.EncodeLabels(nil, labels.FromStrings("__name__", name))
		if err := e.Add(canonical, metric.Exemplar{Timestamp: at, Value: float64(at)}); err != nil {
			t.Fatal(err)
		}
	}
	text := func(e *series.Exemplars) string {
		var out strings.Builder
		for _, r := range e.Select(store.AllTime(), []store.Selection{{}}) {
			out.WriteString(r.SeriesLabels.Get("__name__"))
			for _, x := range r.Exemplars {
				fmt.Fprint(&out, " ", x.Ts)
			}
			out.WriteByte(';')
		}
		return out.String()
	}
	add(e, "b", 9)
	add(e, "a", 1)
	add(e, "a", 5) // The oldest by arrival gives way.
	if got := text(e); got != "a 1 5;" || e.Len() != 2 {
		t.Errorf("%q, %d held", got, e.Len())
	}
	add(e, "a", 1) // Already there.
	add(e, "c", 7)
	if got := text(e); got != "a 5;c 7;" {
		t.Errorf("%q", got)
	}
	other := series.NewExemplars(2)
	if err := e.All(other.Add); err != nil || text(other) != text(e) {
		t.Errorf("copy %q, error %v", text(other), err)
	}
	e.Expire(6)
	if got := text(e); got != "c 7;" {
		t.Errorf("%q", got)
	}
	e.Delete(store.Range{Min: 7, Max: 7}, store.Selection{})
	if e.Len() != 0 || text(e) != "" {
		t.Errorf("%d held", e.Len())
	}
	if err := e.Add([]byte("x"), metric.Exemplar{}); err == nil || e.Len() != 0 {
		t.Errorf("malformed series: error %v, %d held", err, e.Len())
	}
	if err := e.Add(nil, metric.Exemplar{Labels: []byte("x")}); err == nil || e.Len() != 0 {
		t.Errorf("malformed labels: error %v, %d held", err, e.Len())
	}
}

func TestCensus(t *testing.T) {
	var c series.Census
	if got := c.Result(0, store.Range{}); got.Series != 0 || len(got.ByPair) != 0 {
		t.Errorf("an empty census gives %+v", got)
	}
	for i := range 12 {
		c.Add(labels.FromStrings("__name__", "m", "i", fmt.Sprintf("%02d", i)))
	}
	got := c.Result(0, store.Range{Min: 1, Max: 2})
	if got.Series != 12 || got.LabelPairs != 13 || len(got.ByPair) != 10 || got.Range != (store.Range{Min: 1, Max: 2}) {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]store.Rank{{Key: "__name__=m", Count: 12}, {Key: "i=00", Count: 1}}, c.Result(2, store.Range{}).ByPair); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff([]store.Rank{{Key: "i", Count: 24}, {Key: "__name__", Count: 1}}, got.ByBytes); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
