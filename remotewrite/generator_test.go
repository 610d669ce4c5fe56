package remotewrite

import (
	"math"
	"math/rand/v2"
	"strings"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// A generator makes random requests: usual ones, and those that nobody sends.
type generator struct{ *rand.Rand }

func oneOf[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func (g generator) name() string {
	return oneOf(g, "__name__", "job", "instance", "le", "a.b", "résumé", "", "z", strings.Repeat("n", 130))
}

func (g generator) value() string {
	return oneOf(g, "up", "x", "", "127.0.0.1:9090", "new\nline", "🙂", strings.Repeat("v", 127), strings.Repeat("v", 300), "http_requests_total", "x_bucket", "rpc_sum")
}

func (g generator) float() float64 {
	return oneOf(g, 0, 1, -1.5, math.NaN(), math.Inf(1), math.Inf(-1), math.Float64frombits(0x7ff0000000000002), math.Pi, 1e300, math.Copysign(0, -1))
}

func (g generator) time() int64 {
	return oneOf(g, 0, 1, -1, 1_700_000_000_000, math.MaxInt64, math.MinInt64, g.Int64())
}

func (g generator) labels() []prompb.Label {
	if g.IntN(2) == 0 {
		return []prompb.Label{{Name: "__name__", Value: "up"}, {Name: "instance", Value: strings.Repeat("i", g.IntN(300))}, {Name: "job", Value: "j"}}
	}
	var out []prompb.Label
	for range g.IntN(5) {
		out = append(out, prompb.Label{Name: g.name(), Value: g.value()})
	}
	return out
}

func (g generator) spans() (out []prompb.BucketSpan) {
	for range g.IntN(3) {
		out = append(out, prompb.BucketSpan{Offset: int32(g.IntN(9) - 4), Length: uint32(g.IntN(4))})
	}
	return out
}

func (g generator) deltas() (out []int64) {
	for range g.IntN(5) {
		out = append(out, oneOf[int64](g, 0, 1, -1, math.MaxInt64, math.MinInt64))
	}
	return out
}

func (g generator) counts() (out []float64) {
	for range g.IntN(5) {
		out = append(out, g.float())
	}
	return out
}

func (g generator) histogram() prompb.Histogram {
	h := prompb.Histogram{
		Sum: g.float(), Schema: oneOf[int32](g, 0, 3, 8, 12, -4, -53, 99), ZeroThreshold: g.float(), Timestamp: g.time(),
		NegativeSpans: g.spans(), NegativeDeltas: g.deltas(), NegativeCounts: g.counts(),
		PositiveSpans: g.spans(), PositiveDeltas: g.deltas(), PositiveCounts: g.counts(),
		ResetHint: prompb.Histogram_ResetHint(g.IntN(6)), CustomValues: g.counts(),
	}
	switch g.IntN(5) {
	case 0, 1:
		h.Count = &prompb.Histogram_CountInt{CountInt: g.Uint64()}
		h.ZeroCount = &prompb.Histogram_ZeroCountInt{ZeroCountInt: g.Uint64()}
	case 2, 3:
		h.Count = &prompb.Histogram_CountFloat{CountFloat: g.float()}
		h.ZeroCount = &prompb.Histogram_ZeroCountFloat{ZeroCountFloat: g.float()}
	case 4:
		h.ZeroCount = &prompb.Histogram_ZeroCountFloat{ZeroCountFloat: g.float()}
	}
	return h
}

func (g generator) requestV1() *prompb.WriteRequest {
	req := &prompb.WriteRequest{}
	for range g.IntN(4) {
		ts := prompb.TimeSeries{Labels: g.labels()}
		for range g.IntN(3) {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: g.float(), Timestamp: g.time()})
		}
		for range g.IntN(2) {
			ts.Histograms = append(ts.Histograms, g.histogram())
		}
		for range g.IntN(2) {
			ts.Exemplars = append(ts.Exemplars, prompb.Exemplar{Labels: g.labels(), Value: g.float(), Timestamp: g.time()})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	for range g.IntN(3) {
		req.Metadata = append(req.Metadata, prompb.MetricMetadata{
			Type: prompb.MetricMetadata_MetricType(g.IntN(10)), MetricFamilyName: g.value(), Help: g.value(), Unit: g.value(),
		})
	}
	return req
}

func (g generator) refs(symbols int) (out []uint32) {
	for range g.IntN(4) {
		out = append(out, uint32(g.IntN(symbols)), uint32(g.IntN(symbols)))
	}
	switch g.IntN(20) {
	case 0:
		out = append(out, 0)
	case 1:
		out = append(out, uint32(symbols), 0)
	case 2:
		out = append(out, 1, math.MaxUint32)
	}
	return out
}

func (g generator) requestV2() *writev2.Request {
	req := &writev2.Request{Symbols: []string{""}}
	for range g.IntN(12) {
		req.Symbols = append(req.Symbols, oneOf(g, g.name(), g.value()))
	}
	n := len(req.Symbols)
	for range g.IntN(4) {
		ts := writev2.TimeSeries{LabelsRefs: g.refs(n)}
		if kind := g.IntN(8); kind < 5 {
			for range g.IntN(3) {
				ts.Samples = append(ts.Samples, writev2.Sample{Value: g.float(), Timestamp: g.time(), StartTimestamp: oneOf(g, 0, g.time())})
			}
		} else if kind < 7 {
			ts.Histograms = append(ts.Histograms, g.histogramV2())
		} else {
			ts.Samples = append(ts.Samples, writev2.Sample{Value: 1})
			ts.Histograms = append(ts.Histograms, g.histogramV2())
		}
		for range g.IntN(2) {
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{LabelsRefs: g.refs(n), Value: g.float(), Timestamp: g.time()})
		}
		if g.IntN(2) == 0 {
			ts.Metadata = writev2.Metadata{
				Type: writev2.Metadata_MetricType(g.IntN(10)), HelpRef: uint32(g.IntN(n)), UnitRef: uint32(g.IntN(n + g.IntN(2))),
			}
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	return req
}

func (g generator) histogramV2() writev2.Histogram {
	h := g.histogram()
	out := writev2.Histogram{
		Sum: h.Sum, Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, Timestamp: h.Timestamp, StartTimestamp: g.time(),
		NegativeDeltas: h.NegativeDeltas, NegativeCounts: h.NegativeCounts,
		PositiveDeltas: h.PositiveDeltas, PositiveCounts: h.PositiveCounts,
		ResetHint: writev2.Histogram_ResetHint(h.ResetHint), CustomValues: h.CustomValues,
	}
	for _, s := range h.PositiveSpans {
		out.PositiveSpans = append(out.PositiveSpans, writev2.BucketSpan{Offset: s.Offset, Length: s.Length})
	}
	for _, s := range h.NegativeSpans {
		out.NegativeSpans = append(out.NegativeSpans, writev2.BucketSpan{Offset: s.Offset, Length: s.Length})
	}
	switch c := h.Count.(type) {
	case *prompb.Histogram_CountInt:
		out.Count = &writev2.Histogram_CountInt{CountInt: c.CountInt}
	case *prompb.Histogram_CountFloat:
		out.Count = &writev2.Histogram_CountFloat{CountFloat: c.CountFloat}
	}
	switch c := h.ZeroCount.(type) {
	case *prompb.Histogram_ZeroCountInt:
		out.ZeroCount = &writev2.Histogram_ZeroCountInt{ZeroCountInt: c.ZeroCountInt}
	case *prompb.Histogram_ZeroCountFloat:
		out.ZeroCount = &writev2.Histogram_ZeroCountFloat{ZeroCountFloat: c.ZeroCountFloat}
	}
	return out
}
