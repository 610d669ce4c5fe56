package metric_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/luminate-metrics/luminate/internal/metric"
)

var now = time.UnixMilli(1_701_234_567_890)

// one applies r to a batch of one series with one sample and returns why it was refused, or "".
func one(r metric.Rules, s metric.Sample, pairs ...string) (metric.Reason, string) {
	b := metric.NewBatch(metric.NewHasher(1))
	b.StartSeries(encoded(b, pairs...), 0)
	b.AddSample(s)
	out := r.Apply(b, now)
	if len(out) == 0 {
		if len(b.Series) != 1 {
			return "lost without a rejection", ""
		}
		return "", ""
	}
	if len(out) != 1 || len(b.Series) != 0 || out[0].Lost.Samples != 1 {
		return "miscounted", ""
	}
	return out[0].Reason, out[0].Detail
}

func TestNamesAndValues(t *testing.T) {
	strict, prom := metric.StrictRules("_tenant_id"), metric.PrometheusRules("_tenant_id")
	f := func(r metric.Rules, want metric.Reason, detail string, pairs ...string) {
		t.Helper()
		got, text := one(r, metric.Sample{Timestamp: now.UnixMilli()}, pairs...)
		if got != want || !strings.Contains(text, detail) {
			t.Errorf("%.80q: %q %q; want %q %q", pairs, got, text, want, detail)
		}
	}
	long := strings.Repeat("n", 256)
	f(strict, "", "", "__name__", "api_latency", "endpoint", "/api/query")
	f(strict, "", "", "__name__", long, "x", "ä")
	f(strict, metric.InvalidName, "is 257 bytes long: the limit is 256", "__name__", long+"n")
	f(strict, metric.InvalidName, "does not match", "__name__", "api:latency")
	f(strict, metric.InvalidName, "does not match", "__name__", "0up")
	f(strict, metric.InvalidName, `dimension name "a-b"`, "__name__", "up", "a-b", "1")
	f(strict, metric.InvalidName, "no metric name", "a", "1")
	f(strict, metric.InvalidName, "no metric name")
	f(strict, metric.ReservedName, "leave it out", "__name__", "up", "_tenant_id", "other")
	f(strict, metric.InvalidValue, `"a" is not valid UTF-8`, "__name__", "up", "a", "\xff")
	f(strict, metric.InvalidValue, "is 2049 bytes long: the limit is 2048", "__name__", "up", "a", strings.Repeat("v", 2049))

	f(prom, "", "", "__name__", "job:requests:rate5m")
	f(prom, "", "", "__name__", "resource cpu usage", "job.name", "a\nb", "🎉", "x")
	f(prom, metric.InvalidName, "not valid UTF-8", "__name__", "a\xff")
	f(prom, metric.InvalidName, "not valid UTF-8", "__name__", "a", "b\xff", "1")
	f(prom, metric.InvalidValue, "not valid UTF-8", "__name__", "a", "b", "\xc3")
	f(prom, metric.ReservedName, "", "__name__", "up", "_tenant_id", "other")
	f(prom, metric.InvalidName, "no metric name", "job", "x")
	f(prom, metric.InvalidName, "dimension name is empty", "", "x", "__name__", "up")
}

func TestNumberOfDimensions(t *testing.T) {
	f := func(r metric.Rules, n int, want metric.Reason) {
		t.Helper()
		pairs := []string{"__name__", "m"}
		for i := range n {
			pairs = append(pairs, "d"+string(rune('a'+i/26))+string(rune('a'+i%26)), "v")
		}
		if got, text := one(r, metric.Sample{Timestamp: now.UnixMilli()}, pairs...); got != want {
			t.Errorf("%d dimensions: %q %q, want %q", n, got, text, want)
		}
	}
	f(metric.StrictRules(""), 20, "")
	f(metric.StrictRules(""), 21, metric.TooManyDimensions)
	f(metric.PrometheusRules(""), 128, "")
	f(metric.PrometheusRules(""), 129, metric.TooManyDimensions)
}

func TestTimestamps(t *testing.T) {
	f := func(r metric.Rules, ago time.Duration, want metric.Reason) {
		t.Helper()
		if got, text := one(r, metric.Sample{Timestamp: now.Add(-ago).UnixMilli()}, "__name__", "m"); got != want {
			t.Errorf("%v ago: %q %q, want %q", ago, got, text, want)
		}
	}
	strict, prom := metric.StrictRules(""), metric.PrometheusRules("")
	week := 7 * 24 * time.Hour
	f(strict, week, "")
	f(strict, week+time.Millisecond, metric.TimestampTooOld)
	f(strict, -time.Hour, "")
	f(strict, -time.Hour-time.Millisecond, metric.TimestampTooNew)
	f(prom, 10*365*24*time.Hour, "")
	f(prom, -10*time.Minute, "")
	f(prom, -10*time.Minute-time.Millisecond, metric.TimestampTooNew)
	f(metric.Rules{UTF8Names: true}, -200*365*24*time.Hour, "")

	for _, at := range []int64{math.MinInt64, math.MaxInt64} {
		if got, _ := one(strict, metric.Sample{Timestamp: at}, "__name__", "m"); got == "" {
			t.Errorf("timestamp %d is taken", at)
		}
	}
}

func TestFiniteValues(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), stale} {
		s := metric.Sample{Timestamp: now.UnixMilli(), Value: v}
		if got, _ := one(metric.StrictRules(""), s, "__name__", "m"); got != metric.ValueNotFinite {
			t.Errorf("strict takes %v: %q", v, got)
		}
		if got, _ := one(metric.PrometheusRules(""), s, "__name__", "m"); got != "" {
			t.Errorf("Prometheus profile refuses %v: %q", v, got)
		}
	}
}

func TestTheGoodPartIsKept(t *testing.T) {
	b := metric.NewBatch(metric.NewHasher(1))
	at := now.UnixMilli()
	b.StartSeries(encoded(b, "__name__", "first"), 0)
	for _, s := range []metric.Sample{{Timestamp: at, Value: 1}, {Timestamp: at, Value: math.NaN()}, {Timestamp: at + 1, Value: 2}, {Timestamp: at, Value: math.Inf(1)}} {
		b.AddSample(s)
	}
	b.StartSeries(encoded(b, "__name__", "bad-name"), 1)
	b.AddSample(metric.Sample{Timestamp: at})
	b.AddExemplar(metric.Exemplar{Timestamp: at})
	b.StartSeries(encoded(b, "__name__", "empty_now"), 2)
	b.AddSample(metric.Sample{Timestamp: 0})
	b.StartSeries(encoded(b, "__name__", "last"), 3)
	b.AddSample(metric.Sample{Timestamp: at, Value: 3})

	rules := metric.StrictRules("_tenant_id")
	out := rules.Apply(b, now)
	for i := range out {
		out[i].Detail = ""
	}
	want := []metric.Rejection{
		{Series: 0, Lost: metric.Counts{Samples: 2}, Reason: metric.ValueNotFinite},
		{Series: 1, Lost: metric.Counts{Samples: 1, Exemplars: 1}, Reason: metric.InvalidName},
		{Series: 2, Lost: metric.Counts{Samples: 1}, Reason: metric.TimestampTooOld},
	}
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
	var kept []string
	for _, s := range b.Series {
		for _, v := range b.Samples[s.Samples.Start:s.Samples.End] {
			kept = append(kept, string(metric.MetricName(s.Labels))+" "+time.UnixMilli(v.Timestamp).Sub(now).String())
		}
	}
	if d := cmp.Diff([]string{"first 0s", "first 1ms", "last 0s"}, kept); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(metric.Counts{Samples: 3}, b.Counts()); d != "" {
		t.Error(d)
	}
}

func TestHistograms(t *testing.T) {
	at := now.UnixMilli()
	f := func(h metric.Histogram, want metric.Reason) {
		t.Helper()
		b := metric.NewBatch(metric.NewHasher(1))
		b.StartSeries(encoded(b, "__name__", "h"), 0)
		b.AddHistogram(h)
		rules := metric.PrometheusRules("")
		var got metric.Reason
		if out := rules.Apply(b, now); len(out) > 0 {
			got = out[0].Reason
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", h, got, want)
		}
	}
	good := &histogram.Histogram{
		Count: 3, Sum: 5, Schema: 0, PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []int64{1, 1},
	}
	miscounted := good.Copy()
	miscounted.Count = 7
	f(metric.Histogram{Timestamp: at, Int: good}, "")
	f(metric.Histogram{Timestamp: at, Float: good.ToFloat(nil)}, "")
	f(metric.Histogram{Timestamp: at, Int: miscounted}, metric.InvalidHistogram)
	f(metric.Histogram{Timestamp: at}, metric.InvalidHistogram)
	f(metric.Histogram{Timestamp: at + 3_600_000, Int: good}, metric.TimestampTooNew)
	f(metric.Histogram{Timestamp: at, Int: &histogram.Histogram{Schema: 77}}, metric.InvalidHistogram)
	f(metric.Histogram{Timestamp: at, Int: &histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, Count: 1, CustomValues: []float64{1, 2},
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}}, PositiveBuckets: []int64{1},
	}}, "")
	f(metric.Histogram{Timestamp: at, Int: &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}}, "")
}

// The arithmetic of such histograms never ends, or ends in the wrong bucket.
func TestHistogramsOutOfBounds(t *testing.T) {
	r := metric.PrometheusRules("_tenant_id")
	f := func(threshold float64, want string, spans ...histogram.Span) {
		t.Helper()
		h := histogram.Histogram{ZeroThreshold: threshold, PositiveSpans: spans, NegativeSpans: spans}
		for _, s := range spans {
			h.PositiveBuckets = append(h.PositiveBuckets, make([]int64, s.Length)...)
		}
		h.NegativeBuckets = h.PositiveBuckets
		for _, one := range []metric.Histogram{{Int: &h}, {Float: h.ToFloat(nil)}} {
			one.Timestamp = now.UnixMilli()
			b := metric.NewBatch(metric.NewHasher(1))
			b.StartSeries(encoded(b, "__name__", "m"), 0)
			b.AddHistogram(one)
			out := r.Apply(b, now)
			if want == "" && len(out) > 0 || want != "" && (len(out) != 1 || !strings.Contains(out[0].Detail, want)) {
				t.Errorf("threshold %v, spans %v: got %v, want %q", threshold, spans, out, want)
			}
		}
	}
	f(0, "")
	f(1e-128, "")
	f(math.MaxFloat64, "")
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1e-300} {
		f(bad, "the zero threshold of the histogram is")
	}
	f(0, "", histogram.Span{Offset: 1<<29 - 2, Length: 2})
	f(0, "from bucket 536870911 to 536870912", histogram.Span{Offset: 1<<29 - 1, Length: 2})
	f(0, "from bucket 2147483649 to 2147483650", histogram.Span{Offset: 1, Length: 1}, histogram.Span{Offset: math.MaxInt32, Length: 2})
	f(0, "", histogram.Span{Offset: -1 << 29, Length: 2})
	f(0, "from bucket -2147483648 to -2147483647", histogram.Span{Offset: math.MinInt32, Length: 2})

	for _, offset := range []int32{-1, 2} { // Of buckets 0 to 2.
		h := histogram.Histogram{
			Schema: histogram.CustomBucketsSchema, CustomValues: []float64{1, 2},
			PositiveSpans: []histogram.Span{{Offset: offset, Length: 2}}, PositiveBuckets: []int64{0, 0},
		}
		b := metric.NewBatch(metric.NewHasher(1))
		b.StartSeries(encoded(b, "__name__", "m"), 0)
		b.AddHistogram(metric.Histogram{Timestamp: now.UnixMilli(), Int: &h})
		if out := r.Apply(b, now); len(out) != 1 || !strings.Contains(out[0].Detail, "there can be those from 0 to 2") {
			t.Errorf("custom buckets from %d: got %v", offset, out)
		}
	}
}

func TestTooFineHistogramsAreReduced(t *testing.T) {
	b := metric.NewBatch(metric.NewHasher(1))
	b.StartSeries(encoded(b, "__name__", "h"), 0)
	fine := histogram.Histogram{
		Count: 3, Schema: 9, PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}}, PositiveBuckets: []int64{1, 1},
	}
	b.AddHistogram(metric.Histogram{Timestamp: now.UnixMilli(), Int: fine.Copy()})
	b.AddHistogram(metric.Histogram{Timestamp: now.UnixMilli(), Float: fine.ToFloat(nil)})
	rules := metric.PrometheusRules("")
	if out := rules.Apply(b, now); out != nil {
		t.Fatal(out)
	}
	if i, f := b.Histograms[0].Int, b.Histograms[1].Float; i.Schema != 8 || i.Count != 3 || f.Schema != 8 || f.Count != 3 {
		t.Errorf("reduced to %v and %v", i, f)
	}
}

func TestExemplars(t *testing.T) {
	at := now.UnixMilli()
	f := func(e metric.Exemplar, want metric.Reason, detail string) {
		t.Helper()
		b := metric.NewBatch(metric.NewHasher(1))
		b.StartSeries(encoded(b, "__name__", "m"), 0)
		b.AddSample(metric.Sample{Timestamp: at})
		b.AddExemplar(e)
		rules := metric.PrometheusRules("")
		out := rules.Apply(b, now)
		switch {
		case want == "" && (len(out) > 0 || b.Counts().Exemplars != 1):
			t.Errorf("%+v is refused: %v", e, out)
		case want != "" && (len(out) != 1 || out[0].Reason != want || !strings.Contains(out[0].Detail, detail) || b.Counts() != metric.Counts{Samples: 1}):
			t.Errorf("%+v: %v, want %q %q", e, out, want, detail)
		}
	}
	trace := func(n int) []byte {
		return metric.EncodeLabels(nil, labels.FromStrings("trace_id", strings.Repeat("ä", n)))
	}
	f(metric.Exemplar{Timestamp: at, Labels: trace(16)}, "", "")
	f(metric.Exemplar{Timestamp: at}, "", "")
	f(metric.Exemplar{Timestamp: at, Labels: trace(120)}, "", "")
	f(metric.Exemplar{Timestamp: at, Labels: trace(121)}, metric.InvalidExemplar, "129 characters of labels: the limit is 128")
	f(metric.Exemplar{Labels: trace(1)}, metric.InvalidExemplar, "no timestamp")
	f(metric.Exemplar{Timestamp: at, Labels: []byte("x")}, metric.InvalidExemplar, "malformed")
	f(metric.Exemplar{Timestamp: at, Labels: metric.AppendLabel(nil, "a", "\xff")}, metric.InvalidExemplar, "UTF-8")
	f(metric.Exemplar{Timestamp: at, Labels: metric.AppendLabel(nil, "", "b")}, metric.InvalidExemplar, "empty label name")
	f(metric.Exemplar{Timestamp: at + 3_600_000}, metric.TimestampTooNew, "")
}

func TestDetailsStayShort(t *testing.T) {
	_, text := one(metric.StrictRules(""), metric.Sample{}, "__name__", strings.Repeat("ä", 5000))
	if len(text) > 300 || !strings.Contains(text, "10000 bytes") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func TestRejectionsNameTheSetting(t *testing.T) {
	r := metric.StrictRules("")
	r.Settings = "native.limits"
	f := func(setting string, at time.Time, pairs ...string) {
		t.Helper()
		if _, text := one(r, metric.Sample{Timestamp: at.UnixMilli()}, pairs...); !strings.Contains(text, "set by native.limits."+setting) {
			t.Errorf("%q does not name %s", text, setting)
		}
	}
	r.MaxDimensions = 1
	f("max_dimensions", now, "__name__", "m", "a", "1", "b", "2")
	f("max_name_length", now, "__name__", strings.Repeat("m", 257))
	f("max_value_length", now, "__name__", "m", "a", strings.Repeat("v", 2049))
	f("max_age", now.Add(-8*24*time.Hour), "__name__", "m")
	f("max_ahead", now.Add(2*time.Hour), "__name__", "m")
}

func TestReasonsAreListedOnce(t *testing.T) {
	seen := map[metric.Reason]bool{}
	for _, r := range metric.Reasons {
		if seen[r] || r == "" {
			t.Errorf("reason %q twice or empty", r)
		}
		seen[r] = true
	}
}
