package remotewrite_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store"
)

func histograms() (map[string]*histogram.Histogram, map[string]*histogram.FloatHistogram) {
	integer := map[string]*histogram.Histogram{
		"exponential": {
			Schema: 3, ZeroThreshold: 1e-128, ZeroCount: 2, Count: 14, Sum: -3.5,
			PositiveSpans: []histogram.Span{{Offset: -4, Length: 2}, {Offset: 3, Length: 1}}, PositiveBuckets: []int64{3, -1, 2},
			NegativeSpans: []histogram.Span{{Offset: 1, Length: 1}}, NegativeBuckets: []int64{3},
		},
		"custom": {
			Schema: histogram.CustomBucketsSchema, Count: 6, Sum: 11, CustomValues: []float64{0.5, 1, 2.5},
			PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}}, PositiveBuckets: []int64{1, 1, 1},
		},
		"coarsest": {Schema: -4, Count: 1, Sum: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{1}},
		"stale":    {Sum: math.Float64frombits(value.StaleNaN)},
		"empty":    {Schema: 8},
	}
	float := map[string]*histogram.FloatHistogram{}
	for name, h := range integer {
		float[name] = h.ToFloat(nil)
	}
	float["fraction"] = &histogram.FloatHistogram{
		Schema: 0, Count: 2.75, ZeroCount: 0.5, ZeroThreshold: 0.25, Sum: math.Inf(1),
		PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{2.25},
	}
	return integer, float
}

// readHistograms reads all native histograms back by the name of their series.
func (r *rig) readHistograms() (map[string]*histogram.Histogram, map[string]*histogram.FloatHistogram) {
	r.t.Helper()
	reader, err := r.store.Tenant(team).Reader(store.AllTime())
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	integer, float := map[string]*histogram.Histogram{}, map[string]*histogram.FloatHistogram{}
	set := reader.Select(r.t.Context(), store.Selection{})
	for set.Next() {
		name := set.At().Labels().Get("__name__")
		it := set.At().Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			switch typ {
			case chunkenc.ValHistogram:
				_, integer[name] = it.AtHistogram(nil)
			case chunkenc.ValFloatHistogram:
				_, float[name] = it.AtFloatHistogram(nil)
			}
		}
	}
	if err := set.Err(); err != nil {
		r.t.Fatal(err)
	}
	return integer, float
}

func TestW27NativeHistograms(t *testing.T) {
	integer, float := histograms()
	for _, version := range []string{"1.0", "2.0"} {
		for hint := histogram.UnknownCounterReset; hint <= histogram.GaugeType; hint++ {
			r := newRig(t)
			wantInt, wantFloat := map[string]*histogram.Histogram{}, map[string]*histogram.FloatHistogram{}
			q, v1 := newV2(), []prompb.TimeSeries{}
			for name, h := range integer {
				h.CounterResetHint = hint
				wantInt["int_"+name] = h
				q.add([]string{"__name__", "int_" + name}).Histograms = []writev2.Histogram{writev2.FromIntHistogram(0, now, h)}
				ts := named("int_" + name)
				ts.Histograms = []prompb.Histogram{prompb.FromIntHistogram(now, h)}
				v1 = append(v1, ts)
			}
			for name, h := range float {
				h.CounterResetHint = hint
				wantFloat["float_"+name] = h
				q.add([]string{"__name__", "float_" + name}).Histograms = []writev2.Histogram{writev2.FromFloatHistogram(0, now, h)}
				ts := named("float_" + name)
				ts.Histograms = []prompb.Histogram{prompb.FromFloatHistogram(now, h)}
				v1 = append(v1, ts)
			}
			if version == "1.0" {
				r.v1(v1...).is(t, 204)
			} else {
				r.v2(q.done()).is(t, 204).wrote(t, 0, len(wantInt)+len(wantFloat), 0)
			}
			gotInt, gotFloat := r.readHistograms()
			if hint == histogram.NotCounterReset {
				// There is no histogram before, so that a store may know better than the sender.
				forgetHints(wantInt, gotInt)
				forgetHints(wantFloat, gotFloat)
			}
			bits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
			if diff := cmp.Diff(wantInt, gotInt, bits, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, hint %d: integer histograms (-want +got):\n%s", version, hint, diff)
			}
			if diff := cmp.Diff(wantFloat, gotFloat, bits, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, hint %d: float histograms (-want +got):\n%s", version, hint, diff)
			}
		}
	}
}

func forgetHints[H *histogram.Histogram | *histogram.FloatHistogram](sets ...map[string]H) {
	for _, set := range sets {
		for _, h := range set {
			switch h := any(h).(type) {
			case *histogram.Histogram:
				h.CounterResetHint = histogram.UnknownCounterReset
			case *histogram.FloatHistogram:
				h.CounterResetHint = histogram.UnknownCounterReset
			}
		}
	}
}

func TestW27BadHistograms(t *testing.T) {
	for what, change := range map[string]func(h *writev2.Histogram){
		"count":            func(h *writev2.Histogram) { h.Count = &writev2.Histogram_CountInt{CountInt: 7} },
		"too few buckets":  func(h *writev2.Histogram) { h.PositiveDeltas = h.PositiveDeltas[:1] },
		"too many buckets": func(h *writev2.Histogram) { h.PositiveDeltas = append(h.PositiveDeltas, 0) },
		"endless span":     func(h *writev2.Histogram) { h.PositiveSpans[0].Length = math.MaxUint32 },
		"negative offset":  func(h *writev2.Histogram) { h.PositiveSpans = append(h.PositiveSpans, writev2.BucketSpan{Offset: -1}) },
		"negative bucket":  func(h *writev2.Histogram) { h.PositiveDeltas[1] = -5 },
		"schema":           func(h *writev2.Histogram) { h.Schema = -5 },
		"huge schema":      func(h *writev2.Histogram) { h.Schema = math.MaxInt32 },
		"custom values":    func(h *writev2.Histogram) { h.CustomValues = []float64{1} },
		"custom with zero": func(h *writev2.Histogram) { h.Schema = -53 },
		"fine and broken": func(h *writev2.Histogram) {
			h.Schema = 20
			h.PositiveDeltas = h.PositiveDeltas[:1]
		},
	} {
		r := newRig(t)
		q := newV2()
		bad := histogramV2(0)
		change(&bad)
		q.add(name("bad")).Histograms = []writev2.Histogram{bad, histogramV2(1)}
		a := r.v2(q.done())
		if a.status != 400 || !strings.Contains(a.body, "invalid_histogram: 1 histograms of 1 series") {
			t.Errorf("%s: status %d: %s", what, a.status, a.body)
		}
		a.wrote(t, 0, 1, 0)
		if n := len(r.stored(team)); n != 1 {
			t.Errorf("%s: %d histograms are stored, want 1", what, n)
		}
	}
}

func TestW27ResolutionIsReduced(t *testing.T) {
	r := newRig(t)
	fine := histogramV2(0)
	fine.Schema = 10
	q := newV2()
	q.add(name("fine")).Histograms = []writev2.Histogram{fine}
	r.v2(q.done()).is(t, 204).wrote(t, 0, 1, 0)
	got, _ := r.readHistograms()
	if h := got["fine"]; h == nil || h.Schema != 8 || h.Count != 6 {
		t.Errorf("stored %v, want schema 8 with 6 observations", h)
	}
}

// A hint that nobody has defined means that one has to look.
func TestW27UnknownResetHint(t *testing.T) {
	r := newRig(t)
	h := histogramV2(0)
	h.ResetHint = 77
	q := newV2()
	q.add(name("h")).Histograms = []writev2.Histogram{h}
	r.v2(q.done()).is(t, 204).wrote(t, 0, 1, 0)
	got, _ := r.readHistograms()
	if hint := got["h"].CounterResetHint; hint != histogram.UnknownCounterReset {
		t.Errorf("hint %d, want unknown", hint)
	}
}
