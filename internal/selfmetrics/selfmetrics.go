// Package selfmetrics is the writer of the server's own metrics into the server's own store, as if a Prometheus had
// scraped them.
package selfmetrics

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Protocol is the label protocol of what the writer ingests.
const Protocol = "self"

// Job is the label job of all series that the writer writes.
const Job = "luminate"

// A Sink takes batches. *ingest.Pipeline is one.
type Sink interface {
	Batch() *metric.Batch
	Release(b *metric.Batch)
	Ingest(ctx context.Context, req ingest.Request) (ingest.Outcome, error)
}

// Options configure a Writer. All fields but Logger must be set.
type Options struct {
	Sink     Sink
	Gatherer prometheus.Gatherer
	Tenant   tenancy.ID
	Instance string // The label instance.
	Rules    *metric.Rules
	Now      func() time.Time
	Logger   *slog.Logger // nil discards.
}

// A Writer writes what its gatherer holds. Its methods are for one goroutine at a time.
type Writer struct {
	opts    Options
	builder metric.LabelBuilder
}

// New returns a writer.
func New(o Options) *Writer {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Writer{opts: o}
}

// Run writes once for each tick until ctx ends. Failures are logged; the next tick tries again.
func (w *Writer) Run(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			if err := w.Write(ctx); err != nil && ctx.Err() == nil {
				w.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "own metrics were not written", slog.Any("error", err))
			}
		}
	}
}

// Write gathers and writes once. All samples have the same timestamp.
func (w *Writer) Write(ctx context.Context) error {
	families, err := w.opts.Gatherer.Gather()
	if err != nil {
		return fmt.Errorf("selfmetrics: gather: %w", err)
	}
	batch := w.opts.Sink.Batch()
	defer w.opts.Sink.Release(batch)
	f := filler{w: w, b: batch, now: w.opts.Now().UnixMilli()}
	f.sample("up", nil, 1, 0)
	f.metadata("up", "gauge", "Whether the server could gather its own metrics.", "")
	for _, family := range families {
		f.family(family)
	}
	if f.err != nil {
		return fmt.Errorf("selfmetrics: %w", f.err)
	}
	out, err := w.opts.Sink.Ingest(ctx, ingest.Request{
		Tenant: w.opts.Tenant, Protocol: Protocol, Rules: w.opts.Rules, Batch: batch,
	})
	if err != nil {
		return fmt.Errorf("selfmetrics: %w", err)
	}
	if len(out.Rejected) > 0 {
		r := out.Rejected[0]
		return fmt.Errorf("selfmetrics: %d series were refused, the first one because of %s: %s", len(out.Rejected), r.Reason, r.Detail)
	}
	return nil
}

// A filler turns metric families into series of a batch.
type filler struct {
	w      *Writer
	b      *metric.Batch
	now    int64 // Milliseconds since the Unix epoch.
	series int
	err    error
}

func (f *filler) metadata(name, kind, help, unit string) {
	f.b.Metadata = append(f.b.Metadata, metric.Metadata{Family: name, Type: kind, Help: help, Unit: unit})
}

func (f *filler) family(mf *dto.MetricFamily) {
	name := mf.GetName()
	f.metadata(name, kindOf(mf.GetType()), mf.GetHelp(), mf.GetUnit())
	for _, m := range mf.GetMetric() {
		switch {
		case m.Counter != nil:
			f.sample(name, m.GetLabel(), m.Counter.GetValue(), millis(m.Counter.GetCreatedTimestamp()))
		case m.Gauge != nil:
			f.sample(name, m.GetLabel(), m.Gauge.GetValue(), 0)
		case m.Untyped != nil:
			f.sample(name, m.GetLabel(), m.Untyped.GetValue(), 0)
		case m.Summary != nil:
			f.summary(name, m)
		case m.Histogram != nil:
			f.histogram(name, m)
		}
	}
}

func kindOf(t dto.MetricType) string {
	switch t {
	case dto.MetricType_COUNTER:
		return "counter"
	case dto.MetricType_GAUGE:
		return "gauge"
	case dto.MetricType_SUMMARY:
		return "summary"
	case dto.MetricType_HISTOGRAM:
		return "histogram"
	case dto.MetricType_GAUGE_HISTOGRAM:
		return "gaugehistogram"
	default:
		return "unknown"
	}
}

// timestamp is the part of a protobuf timestamp that is needed.
type timestamp interface {
	AsTime() time.Time
	GetSeconds() int64
}

// millis returns t in milliseconds since the Unix epoch, or 0 if it is not set.
func millis(t timestamp) int64 {
	if t.GetSeconds() == 0 {
		return 0
	}
	return t.AsTime().UnixMilli()
}

func (f *filler) summary(name string, m *dto.Metric) {
	s := m.GetSummary()
	start := millis(s.GetCreatedTimestamp())
	for _, q := range s.GetQuantile() {
		f.sample(name, with(m.GetLabel(), "quantile", labels.FormatOpenMetricsFloat(q.GetQuantile())), q.GetValue(), 0)
	}
	f.sample(name+"_sum", m.GetLabel(), s.GetSampleSum(), start)
	f.sample(name+"_count", m.GetLabel(), float64(s.GetSampleCount()), start)
}

func (f *filler) histogram(name string, m *dto.Metric) {
	h := m.GetHistogram()
	start := millis(h.GetCreatedTimestamp())
	infinite := false
	for _, b := range h.GetBucket() {
		infinite = infinite || math.IsInf(b.GetUpperBound(), 1)
		f.sample(name+"_bucket", with(m.GetLabel(), labels.BucketLabel, labels.FormatOpenMetricsFloat(b.GetUpperBound())), float64(b.GetCumulativeCount()), start)
	}
	if !infinite {
		f.sample(name+"_bucket", with(m.GetLabel(), labels.BucketLabel, "+Inf"), float64(h.GetSampleCount()), start)
	}
	f.sample(name+"_sum", m.GetLabel(), h.GetSampleSum(), start)
	f.sample(name+"_count", m.GetLabel(), float64(h.GetSampleCount()), start)
}

// with returns pairs and one more, without changing pairs.
func with(pairs []*dto.LabelPair, name, value string) []*dto.LabelPair {
	return append(slices.Clip(pairs), &dto.LabelPair{Name: &name, Value: &value})
}

func (f *filler) sample(name string, pairs []*dto.LabelPair, value float64, start int64) {
	lb := &f.w.builder
	lb.Reset()
	lb.Add([]byte(labels.MetricName), []byte(name))
	lb.Add([]byte("job"), []byte(Job))
	lb.Add([]byte("instance"), []byte(f.w.opts.Instance))
	for _, p := range pairs {
		own := p.GetName()
		if own == "job" || own == "instance" {
			own = "exported_" + own // As Prometheus does on a clash.
		}
		lb.Add([]byte(own), []byte(p.GetValue()))
	}
	canonical, dup, ok := lb.Encode(f.b)
	if !ok {
		f.err = fmt.Errorf("metric %s has the label %s twice", name, dup)
		return
	}
	f.b.StartSeries(canonical, f.series)
	f.b.AddSample(metric.Sample{Timestamp: f.now, Start: start, Value: value})
	f.series++
}
