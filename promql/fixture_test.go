package promql_test

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// The test data: 31 minutes from base on, a sample every 15 s.
const (
	base     = int64(1_700_000_000_000)
	interval = int64(15_000)
	steps    = 125
	end      = base + (steps-1)*interval
)

// testSeries is one series of the test data.
type testSeries struct {
	labels    labels.Labels
	float     func(i int) (v float64, ok bool)
	histogram func(i int) *histogram.Histogram
	floatHist func(i int) *histogram.FloatHistogram
	exemplar  func(i int) (x exemplar.Exemplar, ok bool)
}

func always(f func(i int) float64) func(int) (float64, bool) {
	return func(i int) (float64, bool) { return f(i), true }
}

func ls(pairs ...string) labels.Labels { return labels.FromStrings(pairs...) }

// testData is sorted by labels, so that a TSDB gives the series out in that order.
func testData() []testSeries {
	counter := func(slope float64) func(int) (float64, bool) {
		return always(func(i int) float64 { return float64(i%50) * slope }) // A reset every 50 samples.
	}
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e-7, 1e21, 1 << 53, -1.5, 0, 1e-6, 123456789.125}
	all := []testSeries{
		{labels: ls("nameless", "yes"), float: always(func(i int) float64 { return float64(i) })},
		{labels: ls("__name__", "http_requests_total", "code", "200", "instance", "a:1", "job", "api"), float: counter(3), exemplar: traceEvery10},
		{labels: ls("__name__", "http_requests_total", "code", "200", "instance", "b:1", "job", "api"), float: counter(5)},
		{labels: ls("__name__", "http_requests_total", "code", "500", "instance", "a:1", "job", "api"), float: counter(0.25), exemplar: traceEvery10},
		{labels: ls("__name__", "http_requests_total", "code", "500", "instance", "b:1", "job", "api"), float: counter(0)},
		{labels: ls("__name__", "latency", "job", "api"), histogram: func(i int) *histogram.Histogram {
			return &histogram.Histogram{
				Schema: 1, ZeroThreshold: 0.001, ZeroCount: uint64(i), Count: uint64(7 * i), Sum: 2.5 * float64(i),
				PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}}, PositiveBuckets: []int64{int64(i), int64(i), 0},
				NegativeSpans: []histogram.Span{{Offset: 0, Length: 1}}, NegativeBuckets: []int64{int64(i)},
			}
		}},
		{labels: ls("__name__", "latency_bucket", "le", "+Inf"), float: counter(4)},
		{labels: ls("__name__", "latency_bucket", "le", "0.1"), float: counter(1)},
		{labels: ls("__name__", "latency_bucket", "le", "1"), float: counter(3)},
		{labels: ls("__name__", "latency_custom", "job", "api"), floatHist: func(i int) *histogram.FloatHistogram {
			return &histogram.FloatHistogram{
				Schema: histogram.CustomBucketsSchema, Count: float64(3 * i), Sum: float64(i),
				PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}, {Offset: 1, Length: 1}}, PositiveBuckets: []float64{float64(i), float64(2 * i)},
				CustomValues: []float64{0.5, 1, 2.5},
			}
		}},
		{labels: ls("__name__", "odd_values"), float: always(func(i int) float64 { return odd[i%len(odd)] })},
		{labels: ls("__name__", "some.metric", "a.label", "<a&b>\"\\\n\u2028\t\x01é"), float: always(func(int) float64 { return 1 })},
		{labels: ls("__name__", "temperature", "room", "attic"), float: func(i int) (float64, bool) { return 20 + math.Sin(float64(i)/10), i%4 != 3 }},
		{labels: ls("__name__", "temperature", "room", "cellar"), float: func(i int) (float64, bool) {
			if i == 60 {
				return math.Float64frombits(value.StaleNaN), true
			}
			return 11.5, i < 60
		}},
		{labels: ls("__name__", "up", "instance", "a:1", "job", "api"), float: always(func(int) float64 { return 1 })},
		{labels: ls("__name__", "up", "instance", "b:1", "job", "api"), float: always(func(i int) float64 { return float64(i % 2) })},
	}
	for _, name := range []string{"m00", "m01", "m02", "m03", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11"} {
		all = append(all, testSeries{labels: ls("__name__", name), float: always(func(i int) float64 { return float64(i) })})
	}
	sortSeries(all)
	return all
}

func traceEvery10(i int) (exemplar.Exemplar, bool) {
	return exemplar.Exemplar{
		Labels: ls("trace_id", "t<"+string(rune('a'+i%26))+">"), Value: float64(i) / 8, Ts: base + int64(i)*interval + 7, HasTs: true,
	}, i%10 == 0
}

// fill writes series to a tenant.
func fill(t testing.TB, tn store.Tenant, data []testSeries) {
	t.Helper()
	b := metric.NewBatch(metric.NewHasher(7))
	for n, s := range data {
		b.StartSeries(metric.EncodeLabels(nil, s.labels), n)
		for i := range steps {
			ts := base + int64(i)*interval
			switch {
			case s.histogram != nil:
				b.AddHistogram(metric.Histogram{Timestamp: ts, Int: s.histogram(i)})
			case s.floatHist != nil:
				b.AddHistogram(metric.Histogram{Timestamp: ts, Float: s.floatHist(i)})
			default:
				if v, ok := s.float(i); ok {
					b.AddSample(metric.Sample{Timestamp: ts, Value: v})
				}
			}
			if s.exemplar != nil {
				if x, ok := s.exemplar(i); ok {
					b.AddExemplar(metric.Exemplar{Timestamp: x.Ts, Value: x.Value, Labels: metric.EncodeLabels(nil, x.Labels)})
				}
			}
		}
	}
	rejected, err := tn.Append(t.Context(), b)
	if err != nil || len(rejected) > 0 {
		t.Fatalf("append: %v, rejected %v", err, rejected)
	}
}

// describe writes metadata to a tenant.
func describe(t testing.TB, tn store.Tenant, list ...metric.Metadata) {
	t.Helper()
	b := metric.NewBatch(metric.NewHasher(7))
	b.Metadata = append(b.Metadata, list...)
	if _, err := tn.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// fillTSDB writes the same series to upstream's storage.
func fillTSDB(t testing.TB, db *teststorage.TestStorage, data []testSeries) {
	t.Helper()
	for _, s := range data {
		app := db.AppenderV2(t.Context())
		for i := range steps {
			var (
				v    float64
				h    *histogram.Histogram
				fh   *histogram.FloatHistogram
				opts storage.AOptions
				ok   = true
			)
			switch {
			case s.histogram != nil:
				h = s.histogram(i)
			case s.floatHist != nil:
				fh = s.floatHist(i)
			default:
				v, ok = s.float(i)
			}
			if !ok {
				continue
			}
			if s.exemplar != nil {
				if x, ok := s.exemplar(i); ok {
					opts.Exemplars = append(opts.Exemplars, x)
				}
			}
			if _, err := app.Append(0, s.labels, 0, base+int64(i)*interval, v, h, fh, opts); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}
