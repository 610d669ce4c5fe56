package selfmetrics_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/selfmetrics"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
)

var now = time.UnixMilli(1_700_000_000_123)

type fixture struct {
	store    *memory.Store
	registry *prometheus.Registry
	writer   *selfmetrics.Writer
	log      strings.Builder
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	hasher := metric.NewHasher(1)
	f := &fixture{store: memory.New(memory.Options{Hasher: hasher}), registry: prometheus.NewRegistry()}
	t.Cleanup(func() { f.store.Close() })
	clock := func() time.Time { return now }
	rules := metric.PrometheusRules("_tenant_id")
	f.writer = selfmetrics.New(selfmetrics.Options{
		Sink:     ingest.New(f.store, hasher, clock, prometheus.NewRegistry()),
		Gatherer: f.registry, Tenant: "own", Instance: "host:1", Rules: &rules, Now: clock,
		Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	return f
}

// content lists the samples of the tenant, one a line.
func (f *fixture) content(t *testing.T) string {
	t.Helper()
	rd, err := f.store.Tenant("own").Reader(store.AllTime())
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	var b strings.Builder
	set := rd.Select(t.Context(), store.Selection{Sorted: true})
	for set.Next() {
		it := set.At().Iterator(nil)
		ls := labels.NewBuilder(set.At().Labels()).Del("job", "instance").Labels()
		if set.At().Labels().Get("job") != "luminate" || set.At().Labels().Get("instance") != "host:1" {
			t.Errorf("labels %s", set.At().Labels())
		}
		for it.Next() != chunkenc.ValNone {
			ts, v := it.At()
			if ts != now.UnixMilli() {
				t.Errorf("%s has the timestamp %d", ls, ts)
			}
			fmt.Fprintf(&b, "%s %v\n", ls, v)
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	f := newFixture(t)
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"code", "job"})
	requests.WithLabelValues("200", "x").Add(7)
	depth := prometheus.NewGauge(prometheus.GaugeOpts{Name: "depth", Help: "Depth."})
	depth.Set(-1.5)
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_seconds", Help: "Latency.", Buckets: []float64{0.1, 1}})
	latency.Observe(0.05)
	latency.Observe(3)
	gc := prometheus.NewSummary(prometheus.SummaryOpts{Name: "gc_seconds", Help: "GC.", Objectives: map[float64]float64{0.5: 0.05, 1: 0}})
	gc.Observe(2)
	f.registry.MustRegister(requests, depth, latency, gc)
	if err := f.writer.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `{__name__="depth"} -1.5
{__name__="gc_seconds", quantile="0.5"} 2
{__name__="gc_seconds", quantile="1.0"} 2
{__name__="gc_seconds_count"} 1
{__name__="gc_seconds_sum"} 2
{__name__="latency_seconds_bucket", le="+Inf"} 2
{__name__="latency_seconds_bucket", le="0.1"} 1
{__name__="latency_seconds_bucket", le="1.0"} 1
{__name__="latency_seconds_count"} 2
{__name__="latency_seconds_sum"} 3.05
{__name__="requests_total", code="200", exported_job="x"} 7
{__name__="up"} 1
`
	if diff := cmp.Diff(want, f.content(t)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	got, err := f.store.Tenant("own").Metadata(t.Context(), store.MetadataQuery{Family: "latency_seconds"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]metric.Metadata{{Family: "latency_seconds", Type: "histogram", Help: "Latency."}}, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestRun(t *testing.T) {
	f := newFixture(t)
	gathered := make(chan struct{})
	f.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "g", Help: "G."}, func() float64 {
		gathered <- struct{}{}
		return 1
	}))
	ticks, done := make(chan time.Time), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		f.writer.Run(ctx, ticks)
	}()
	for range 2 {
		ticks <- now
		<-gathered
	}
	cancel()
	<-done
	if !strings.Contains(f.content(t), `{__name__="g"} 1`) {
		t.Errorf("stored %s", f.content(t))
	}
}

func TestFailures(t *testing.T) {
	f := newFixture(t)
	f.store.Close()
	if err := f.writer.Write(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("error %v", err)
	}
	ticks, done := make(chan time.Time), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		f.writer.Run(ctx, ticks)
	}()
	ticks <- now
	ticks <- now // The first write has ended.
	cancel()
	<-done
	if !strings.Contains(f.log.String(), "own metrics were not written") {
		t.Errorf("log %q", f.log.String())
	}
}
