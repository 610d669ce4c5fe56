package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/aggregate"
	"github.com/luminate-metrics/luminate/store/series"
)

// fakeReader gives out what it holds.
type fakeReader struct {
	store.Reader
	list []storage.Series
	err  error
}

func (r fakeReader) Select(ctx context.Context, sel store.Selection) storage.SeriesSet {
	if r.err != nil {
		return storage.ErrSeriesSet(r.err)
	}
	if !sel.Sorted || sel.Limit != 0 {
		return storage.ErrSeriesSet(fmt.Errorf("selection %+v", sel))
	}
	return series.NewSet(ctx, r.list)
}

func floats(from, step int64, values ...float64) series.Run {
	var run series.Run
	for i, v := range values {
		run = append(run, series.Sample{Timestamp: from + int64(i)*step, Value: v})
	}
	return run
}

func reader(runs ...series.Run) fakeReader {
	var r fakeReader
	for i, run := range runs {
		r.list = append(r.list, series.New(labels.FromStrings("__name__", "m", "i", fmt.Sprint(i)), run))
	}
	return r
}

func all(funcs ...store.Func) store.Aggregation {
	return store.Aggregation{Range: store.Range{Min: 0, Max: math.MaxInt64}, Funcs: funcs}
}

func fold(t *testing.T, r store.Reader, q store.Aggregation) store.AggregateResult {
	t.Helper()
	res, err := aggregate.Fold(t.Context(), r, q)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// one returns the only value of a result.
func one(t *testing.T, res store.AggregateResult) float64 {
	t.Helper()
	if len(res.Groups) != 1 || len(res.Groups[0].Values[0]) != 1 {
		t.Fatalf("result %+v, want one value", res)
	}
	return res.Groups[0].Values[0][0].Value
}

func sameBits(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("%s is %v (%#x), want %v (%#x)", what, got, math.Float64bits(got), want, math.Float64bits(want))
	}
}

func TestValues(t *testing.T) {
	inf, nan, stale := math.Inf(1), math.NaN(), math.Float64frombits(value.StaleNaN)
	odd := math.Float64frombits(0x7ff8000000000abc)
	negativeZero := math.Copysign(0, -1)
	f := func(fn store.Func, want float64, values ...float64) {
		t.Helper()
		got := one(t, fold(t, reader(floats(0, 1000, values...)), all(fn)))
		sameBits(t, fmt.Sprintf("%v of %v", fn, values), got, want)
	}
	f(store.Sum, 6, 1, 2, 3)
	f(store.Sum, 2, 1e100, 1, -1e100, 1) // Lost without compensation.
	f(store.Sum, 10, slices.Repeat([]float64{0.1}, 100)...)
	f(store.Sum, inf, 1e308, 1e308)
	f(store.Sum, nan, inf, -inf)
	f(store.Sum, nan, 1, odd, 2)
	f(store.Sum, 3, 1, stale, 2)
	f(store.Avg, 2, 1, 2, 3)
	f(store.Avg, 1e308, 1e308, 1e308, 1e308) // The sum overflows.
	f(store.Avg, 0, 1.5e308, 1.5e308, -1.5e308, -1.5e308)
	f(store.Avg, inf, inf, 1)
	f(store.Avg, nan, inf, -inf)
	f(store.Count, 3, nan, 1, inf)
	f(store.Count, 1, stale, 1, stale)
	f(store.Min, -1, 3, -1, nan, 2)
	f(store.Min, negativeZero, 0, negativeZero)
	f(store.Min, negativeZero, negativeZero, 0)
	f(store.Min, nan, odd, odd)
	f(store.Max, 3, nan, -1, 3, 2)
	f(store.Max, 0, negativeZero, 0)
	f(store.Max, 0, 0, negativeZero)
	f(store.Max, inf, 1, inf)
	f(store.Max, nan, odd)
	f(store.P50, 2, 3, 1, 2)
	f(store.P50, 2.5, 4, 1, 3, 2)
	f(store.P50, 7, 7)
	f(store.P95, 95, sequence(0, 100)...)
	f(store.P99, 99, sequence(0, 100)...)
	f(store.P95, 9.549999999999999, sequence(1, 10)...)
	f(store.P50, 1, nan, 1, 2) // NaN is below everything.
	f(store.P50, nan, odd, odd, 1)
	f(store.P50, nan, 1, 2, inf) // As PromQL: infinity weighed with nothing.
	f(store.P50, inf, 1, inf)
	f(store.Integral, 4, 1, 2, 3) // 1.5 and 2.5 in a second each.
	f(store.Integral, 0, -1, 1)
	f(store.Integral, -3, -3, -3)
	f(store.Integral, nan, 1, odd, 1)
	f(store.Integral, 1.7e308, 1.7e308, 1.7e308) // The sum of both ends overflows.
}

func sequence(from, to int) []float64 {
	var out []float64
	for i := to; i >= from; i-- {
		out = append(out, float64(i))
	}
	return out
}

func TestQuantile(t *testing.T) {
	f := func(q, want float64, values ...float64) {
		t.Helper()
		aggregate.SortValues(values)
		sameBits(t, fmt.Sprintf("quantile %v of %v", q, values), aggregate.Quantile(q, values), want)
	}
	f(0, 1, 3, 2, 1)
	f(1, 3, 3, 2, 1)
	f(0.25, 1.75, 4, 3, 2, 1)
	f(0.5, math.NaN())
	f(0.5, 0, 0, math.Copysign(0, -1), math.Copysign(0, -1))
}

func TestOrderMakesNoDifference(t *testing.T) {
	values := []float64{0.1, 0.2, 0.7, 0.3, 1e16, -1e16, math.Copysign(0, -1), 0, 3.3}
	q := all(store.Min, store.Max, store.P50, store.P95, store.P99, store.Count)
	want := fold(t, reader(floats(0, 1, values...)), q)
	slices.Reverse(values)
	if diff := cmp.Diff(want, fold(t, reader(floats(0, 1, values...)), q), cmp.Comparer(labels.Equal)); diff != "" {
		t.Error(diff)
	}
}

// text writes the values of the only group.
func text(t *testing.T, res store.AggregateResult) string {
	t.Helper()
	if len(res.Groups) != 1 {
		t.Fatalf("%d groups", len(res.Groups))
	}
	var lines []string
	for _, values := range res.Groups[0].Values {
		var parts []string
		for _, s := range values {
			parts = append(parts, fmt.Sprintf("%d:%g", s.Timestamp, s.Value))
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	return strings.Join(lines, "; ")
}

func TestBuckets(t *testing.T) {
	f := func(q store.Aggregation, run series.Run, want string) {
		t.Helper()
		if got := text(t, fold(t, reader(run), q)); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	q := all(store.Count, store.Integral)
	q.Step = 10 * time.Second
	f(q, floats(0, 5000, 2, 2, 2, 2, 2), "0:2 10000:2 20000:1; 0:20 10000:20")
	// From (8s, 0) to (32s, 24): 1 unit a second, cut at 10s, 20s and 30s.
	f(q, floats(8000, 24000, 0, 24), "0:1 30000:1; 0:2 10000:70 20000:170 30000:46")
	// A trapezoid that ends at a border has nothing in the next bucket.
	f(q, floats(5000, 5000, 1, 1), "0:1 10000:1; 0:5")
	q.MaxGap = 23 * time.Second
	f(q, floats(8000, 24000, 0, 24), "0:1 30000:1; ")
	q.MaxGap = 24 * time.Second
	f(q, floats(8000, 24000, 0, 24), "0:1 30000:1; 0:2 10000:70 20000:170 30000:46")

	q = all(store.Sum, store.Integral)
	q.Range = store.Range{Min: math.MinInt64, Max: math.MaxInt64}
	q.Step, q.MaxGap = 10*time.Millisecond, 290*365*24*time.Hour
	f(q, series.Run{{Timestamp: math.MaxInt64 - 20, Value: 1}, {Timestamp: math.MaxInt64, Value: 1}},
		"9223372036854775782:1 9223372036854775802:1; 9223372036854775782:0.005 9223372036854775792:0.01 9223372036854775802:0.005")
	q.Step = time.Millisecond
	f(q, series.Run{{Timestamp: math.MaxInt64 - 1, Value: 1}, {Timestamp: math.MaxInt64, Value: 1}},
		"9223372036854775806:1 9223372036854775807:1; 9223372036854775806:0.001")
	q.Step = 0
	f(q, series.Run{{Timestamp: math.MinInt64, Value: 1}, {Timestamp: math.MinInt64 + 1000, Value: 3}, {Timestamp: math.MaxInt64, Value: 5}},
		"-9223372036854775808:9; -9223372036854775808:2")
}

func TestIntegralIsPerSeries(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	runs := []series.Run{floats(0, 1000, 1, 1), floats(500, 1000, 10, 10), floats(0, 1000, 5, stale, 5)}
	res := fold(t, reader(runs...), all(store.Integral, store.Count))
	if got := text(t, res); got != "0:11; 0:6" || res.Series != 3 || res.Samples != 6 {
		t.Errorf("got %s of %d series and %d samples", got, res.Series, res.Samples)
	}
}

func TestHistogramsAndStaleMarkersAreNoSamples(t *testing.T) {
	h := &histogram.Histogram{Count: 1, Sum: 1}
	run := series.Run{{Timestamp: 0, Value: 1}, {Timestamp: 1000, Int: h}, {Timestamp: 2000, Float: h.ToFloat(nil)}, {Timestamp: 3000, Value: 3}}
	// A histogram in between does not end the trapezoid.
	if got := text(t, fold(t, reader(run), all(store.Count, store.Sum, store.Integral))); got != "0:2; 0:4; 0:6" {
		t.Errorf("got %s", got)
	}
	res := fold(t, reader(run[1:3], floats(0, 1, math.Float64frombits(value.StaleNaN))), all(store.Funcs()...))
	if len(res.Groups) != 0 || res.Series != 0 || res.Samples != 0 {
		t.Errorf("result %+v, want nothing", res)
	}
}

func TestGroups(t *testing.T) {
	var r fakeReader
	for _, pairs := range [][]string{{"a", "2"}, {"a", "1", "b", "x"}, {"b", "x"}, {"a", "1", "b", "y"}, {}, {"a", "10"}} {
		r.list = append(r.list, series.New(labels.FromStrings(pairs...), floats(0, 1, 1)))
	}
	f := func(limit int, by []string, want ...string) {
		t.Helper()
		q := all(store.Sum)
		q.GroupBy, q.Limit = by, limit
		res := fold(t, r, q)
		var got []string
		for _, g := range res.Groups {
			got = append(got, fmt.Sprintf("%s %g", g.By, g.Values[0][0].Value))
		}
		if res.Truncated {
			got = append(got, "truncated")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %v: -want +got\n%s", by, diff)
		}
		if res.Series != 6 || res.Samples != 6 {
			t.Errorf("by %v: %d series and %d samples", by, res.Series, res.Samples)
		}
	}
	f(0, nil, `{} 6`)
	f(0, []string{"a"}, `{} 2`, `{a="1"} 2`, `{a="10"} 1`, `{a="2"} 1`)
	f(2, []string{"a"}, `{} 2`, `{a="1"} 2`, "truncated")
	f(4, []string{"a"}, `{} 2`, `{a="1"} 2`, `{a="10"} 1`, `{a="2"} 1`)
	f(0, []string{"b", "a", "b"}, `{} 1`, `{a="1", b="x"} 1`, `{a="1", b="y"} 1`, `{a="10"} 1`, `{a="2"} 1`, `{b="x"} 1`)
	f(0, []string{"c"}, `{} 6`)
}

func TestLimits(t *testing.T) {
	f := func(most int64, run series.Run, step time.Duration, fails bool) {
		t.Helper()
		q := all(store.Integral)
		q.MaxSamples, q.Step = most, step
		_, err := aggregate.Fold(t.Context(), reader(run), q)
		var limit *store.LimitError
		if errors.As(err, &limit) != fails {
			t.Errorf("at most %d: error %v", most, err)
		}
		if fails && (limit.Max != most || limit.Limit != "samples" || limit.Setting != "query.max_samples" || problem.KindOf(err) != problem.Execution) {
			t.Errorf("error %#v", limit)
		}
	}
	f(3, floats(0, 1000, 1, 2, 3), 0, false)
	f(2, floats(0, 1000, 1, 2, 3), 0, true)
	f(2, floats(0, 100_000, 1, 2), time.Minute, false)
	f(2, floats(0, 100_000, 1, 2), 10*time.Second, true) // One gap, eleven buckets.
}

func TestWhatIsHeldIsTold(t *testing.T) {
	f := func(fn store.Func, step time.Duration, want int64) {
		t.Helper()
		q, held := all(fn), int64(0)
		q.Step, q.Hold = step, func(n int64) error { held += n; return nil }
		fold(t, reader(floats(0, 1000, make([]float64, 10_000)...)), q)
		if held != want {
			t.Errorf("%v by %v: %d samples are held, want %d", fn, step, held, want)
		}
		bad := errors.New("too much is held")
		q.Hold = func(int64) error { return bad }
		if _, err := aggregate.Fold(t.Context(), reader(floats(0, 1000, make([]float64, 10_000)...)), q); errors.Is(err, bad) != (want > 0) {
			t.Errorf("%v by %v: error %v", fn, step, err)
		}
	}
	f(store.Sum, 0, 0)
	f(store.P95, 0, 8192)               // All values, told by 4096.
	f(store.Sum, time.Second, 2*4096*8) // All buckets, as large as 8 samples.
	f(store.P95, time.Second, 2*4096*8+2*4096)
}

func TestErrors(t *testing.T) {
	bad := errors.New("bad disk")
	if _, err := aggregate.Fold(t.Context(), fakeReader{err: bad}, all(store.Sum)); !errors.Is(err, bad) {
		t.Errorf("error %v, want %v", err, bad)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := aggregate.Fold(ctx, reader(floats(0, 1, 1)), all(store.Sum)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if _, err := aggregate.Fold(t.Context(), reader(), store.Aggregation{}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("error %v, want the kind %s", err, problem.Invalid)
	}
}

// TestCancelledInOneSeries ends the context after the set has given out its only series.
func TestCancelledInOneSeries(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := reader(floats(0, 1, make([]float64, 10_000)...))
	r.list[0] = cancelling{r.list[0], cancel}
	if _, err := aggregate.Fold(ctx, r, all(store.Sum)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

type cancelling struct {
	storage.Series
	cancel func()
}

func (c cancelling) Labels() labels.Labels {
	c.cancel()
	return c.Series.Labels()
}
