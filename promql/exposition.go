package promql

import (
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	promengine "github.com/prometheus/prometheus/promql"
)

// instanceLabel is set on each exposed series, empty if it has none, so that the scraper does not put its own there.
const instanceLabel string = "instance"

// expose writes samples, which are sorted by name, as metric families. Samples without a name are left out, and so are
// native histograms if the format is text, which has no form for them.
func expose(enc expfmt.Encoder, samples promengine.Vector, text bool) error {
	var family *dto.MetricFamily
	for i := range samples {
		s := &samples[i]
		name := s.Metric.Get(labels.MetricName)
		if name == "" || text && s.H != nil && !s.H.UsesCustomBuckets() {
			continue
		}
		kind := kindOf(s.H)
		if family == nil || family.GetName() != name || family.GetType() != kind {
			if family != nil {
				if err := enc.Encode(family); err != nil {
					return err
				}
			}
			family = &dto.MetricFamily{Name: &name, Type: kind.Enum()}
		}
		family.Metric = append(family.Metric, metricOf(s))
	}
	if family == nil {
		return nil
	}
	return enc.Encode(family)
}

func kindOf(h *histogram.FloatHistogram) dto.MetricType {
	switch {
	case h == nil:
		return dto.MetricType_UNTYPED
	case h.CounterResetHint == histogram.GaugeType:
		return dto.MetricType_GAUGE_HISTOGRAM
	default:
		return dto.MetricType_HISTOGRAM
	}
}

func metricOf(s *promengine.Sample) *dto.Metric {
	m := &dto.Metric{TimestampMs: &s.T}
	hasInstance := false
	s.Metric.Range(func(l labels.Label) {
		if l.Name == labels.MetricName {
			return
		}
		hasInstance = hasInstance || l.Name == instanceLabel
		m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
	})
	if !hasInstance {
		m.Label = append(m.Label, &dto.LabelPair{Name: new(instanceLabel), Value: new("")})
	}
	switch {
	case s.H == nil:
		m.Untyped = &dto.Untyped{Value: &s.F}
	case s.H.UsesCustomBuckets():
		m.Histogram = classicHistogram(s.H)
	default:
		m.Histogram = nativeHistogram(s.H)
	}
	return m
}

func nativeHistogram(h *histogram.FloatHistogram) *dto.Histogram {
	return &dto.Histogram{
		SampleCountFloat: &h.Count,
		SampleSum:        &h.Sum,
		Schema:           &h.Schema,
		ZeroThreshold:    &h.ZeroThreshold,
		ZeroCountFloat:   &h.ZeroCount,
		PositiveSpan:     spans(h.PositiveSpans),
		PositiveCount:    h.PositiveBuckets,
		NegativeSpan:     spans(h.NegativeSpans),
		NegativeCount:    h.NegativeBuckets,
	}
}

func spans(list []histogram.Span) []*dto.BucketSpan {
	var out []*dto.BucketSpan
	for i := range list {
		out = append(out, &dto.BucketSpan{Offset: &list[i].Offset, Length: &list[i].Length})
	}
	return out
}

// classicHistogram turns custom buckets into cumulative ones. The format adds the one that ends at infinity.
func classicHistogram(h *histogram.FloatHistogram) *dto.Histogram {
	counts := make([]float64, len(h.CustomValues)+1)
	for it := h.PositiveBucketIterator(); it.Next(); {
		if b := it.At(); int(b.Index) < len(counts) {
			counts[b.Index] = b.Count
		}
	}
	out := &dto.Histogram{SampleCountFloat: &h.Count, SampleSum: &h.Sum}
	var cumulative float64
	for i, bound := range h.CustomValues {
		cumulative += counts[i]
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCountFloat: new(cumulative)})
	}
	return out
}
