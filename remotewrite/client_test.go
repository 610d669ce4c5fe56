package remotewrite_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/remotewrite"
	"github.com/luminate-metrics/luminate/tenancy"
)

// An observed sink fails its first request, and tells about the others.
type observed struct {
	remotewrite.Sink
	requests atomic.Int64
	outcomes chan ingest.Outcome
}

func (o *observed) Ingest(ctx context.Context, req ingest.Request) (ingest.Outcome, error) {
	if o.requests.Add(1) == 1 {
		return ingest.Outcome{}, errors.New("a passing trouble")
	}
	out, err := o.Sink.Ingest(ctx, req)
	if err == nil {
		o.outcomes <- out
	}
	return out, err
}

// prometheusSender is the storage of a Prometheus that remote-writes what is appended to it.
func prometheusSender(t *testing.T, base, version string) (db *tsdb.DB, notify func()) {
	t.Helper()
	dir := t.TempDir()
	opts := tsdb.DefaultOptions()
	opts.EnableExemplarStorage, opts.MaxExemplars = true, 100
	db, err := tsdb.Open(dir, promslog.NewNopLogger(), prometheus.NewRegistry(), opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	rs := remote.NewStorage(nil, prometheus.NewRegistry(), func() (int64, error) { return 0, nil }, dir, time.Second, nil, false)
	db.SetWriteNotified(rs)
	t.Cleanup(func() {
		if err := errors.Join(rs.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(base + "/api/v1/write")
	if err != nil {
		t.Fatal(err)
	}
	rw := config.DefaultRemoteWriteConfig
	rw.URL, rw.Name = &promconfig.URL{URL: u}, t.Name()
	if version == "2.0" {
		rw.ProtobufMessage = "io.prometheus.write.v2.Request"
	}
	rw.SendExemplars, rw.SendNativeHistograms = true, true
	rw.HTTPClientConfig = promconfig.HTTPClientConfig{FollowRedirects: true}
	rw.QueueConfig.BatchSendDeadline = model.Duration(20 * time.Millisecond)
	rw.QueueConfig.MaxShards = 1
	rw.MetadataConfig.Send = false
	if err := rs.ApplyConfig(&config.Config{GlobalConfig: config.DefaultGlobalConfig, RemoteWriteConfigs: []*config.RemoteWriteConfig{&rw}}); err != nil {
		t.Fatal(err)
	}
	return db, rs.Notify
}

// TestW31PrometheusSends lets the queue of a real Prometheus send both versions, through a failure at first.
func TestW31PrometheusSends(t *testing.T) {
	for _, version := range []string{"1.0", "2.0"} {
		t.Run(version, func(t *testing.T) {
			sink := &observed{outcomes: make(chan ingest.Outcome, 100)}
			rules := metric.PrometheusRules(tenancy.Dimension)
			rules.MaxAhead = 0 // The clock of the receiver stands still, that of Prometheus does not.
			r := newRig(t, func(o *remotewrite.Options) {
				sink.Sink, o.Sink, o.Rules = o.Sink, sink, &rules
			})
			db, notify := prometheusSender(t, r.base, version)
			want := fill(t, db)
			sent := metric.Counts{Samples: 5, Histograms: 2, Exemplars: 1}
			if version == "1.0" { // Prometheus sends no custom buckets in it.
				sent.Histograms = 1
				want = slices.DeleteFunc(want, func(s string) bool { return strings.Contains(s, "latency_custom") })
			}
			deadline := time.After(30 * time.Second)
			poll := time.NewTicker(20 * time.Millisecond)
			defer poll.Stop()
			var got metric.Counts
			for got != sent {
				select {
				case <-poll.C:
					notify() // Prometheus may not have listened yet when the samples were appended.
				case out := <-sink.outcomes:
					got.Add(out.Stored)
					if len(out.Rejected) > 0 {
						t.Fatalf("rejected %+v", out.Rejected)
					}
				case <-deadline:
					t.Fatalf("stored %+v only", got)
				}
			}
			r.holds(want...)
			if got := r.exemplars(); len(got) != 1 || !strings.Contains(got[0], `{__name__="requests_total", job="api"} {trace_id="abc"}`) {
				t.Errorf("exemplars %q", got)
			}
			if n := r.counter("luminate_remote_write_retried_requests_total", "version", version); n == 0 {
				t.Error("the retry was not counted")
			}
		})
	}
}

// fill appends samples of all kinds and returns them as rig.holds wants them.
func fill(t *testing.T, db *tsdb.DB) []string {
	t.Helper()
	base := time.Now().UnixMilli() + 60_000 // Prometheus sends only what is newer than its start.
	app := db.Appender(t.Context())
	requests := labels.FromStrings("__name__", "requests_total", "job", "api")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	values := []float64{1, 2.5, math.Inf(1), math.NaN(), math.Float64frombits(value.StaleNaN)}
	var want []string
	h := &histogram.Histogram{Schema: 1, Count: 3, Sum: 4, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{1, 1}}
	fh := h.ToFloat(nil)
	fh.Schema, fh.CustomValues = histogram.CustomBucketsSchema, []float64{1, 2}
	must(app.AppendHistogram(0, labels.FromStrings("__name__", "latency"), base, h, nil))
	must(app.AppendHistogram(0, labels.FromStrings("__name__", "latency_custom"), base, nil, fh))
	want = append(want,
		fmt.Sprintf(`{__name__="latency"} @%d int %s`, base-now, h),
		fmt.Sprintf(`{__name__="latency_custom"} @%d float %s`, base-now, fh))
	for i, v := range values {
		must(app.Append(0, requests, base+int64(i), v))
		want = append(want, fmt.Sprintf(`%s @%d %s`, requests, base+int64(i)-now, valueText(v)))
	}
	must(app.AppendExemplar(0, requests, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", "abc"), Value: 2, Ts: base, HasTs: true}))
	must(nil, app.Commit())
	return want
}

// Prometheus's client understands what it is told: how much was written, and whether to come again.
func TestW09PrometheusClientReadsHeaders(t *testing.T) {
	r := newRig(t)
	q := newV2()
	q.add(name("a"), atV2(0, 1), atV2(1, 2))
	q.add(name("h")).Histograms = append(q.req.Timeseries[0].Histograms, histogramV2(0))
	q.add([]string{"job", "nameless"}, atV2(0, 1))
	stats, err := storeBy(t, r, "2.0", pack(t, q.done()))
	if stats.Samples != 2 || stats.Histograms != 1 || !stats.Confirmed || err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("the client read %+v, %v", stats, err)
	}
	var again remote.RecoverableError
	if errors.As(err, &again) {
		t.Error("the client would send it again")
	}
	if _, err = storeBy(t, newRig(t, failWith(errQuota)), "1.0", snappy.Encode(nil, nil)); err == nil || errors.As(err, &again) {
		t.Errorf("429: %v, want an error that by default is not retried", err)
	}
	_, err = storeBy(t, newRig(t, failWith(nil), func(o *remotewrite.Options) { o.Timeout = 1 }), "1.0",
		pack(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{named("a", at(0, 1))}}))
	if !errors.As(err, &again) {
		t.Errorf("503: %v, want an error that is retried", err)
	}
}

func storeBy(t *testing.T, r *rig, version string, body []byte) (remote.WriteResponseStats, error) {
	t.Helper()
	u, err := url.Parse(r.base + "/api/v1/write")
	if err != nil {
		t.Fatal(err)
	}
	conf := &remote.ClientConfig{URL: &promconfig.URL{URL: u}, Timeout: model.Duration(10 * time.Second)}
	if version == "2.0" {
		conf.WriteProtoMsg = "io.prometheus.write.v2.Request"
	}
	c, err := remote.NewWriteClient(t.Name(), conf)
	if err != nil {
		t.Fatal(err)
	}
	return c.Store(t.Context(), body, 0)
}
