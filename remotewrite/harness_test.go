package remotewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/remotewrite"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	team = tenancy.ID("team")

	// now is what the receiver's clock says.
	now = int64(1_700_000_000_000)

	typeV1 = "application/x-protobuf"
	typeV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// A rig is a receiver on a real store, behind a router and an authenticator that believes X-Scope-OrgID.
type rig struct {
	t     *testing.T
	store store.Store
	reg   *prometheus.Registry
	base  string
	http  *http.Client
}

func newRig(t *testing.T, change ...func(*remotewrite.Options)) *rig {
	t.Helper()
	hasher := metric.NewHasher(1)
	r := &rig{t: t, store: memory.New(memory.Options{Hasher: hasher}), reg: prometheus.NewRegistry()}
	o := remotewrite.Options{
		Sink:       ingest.New(r.store, hasher, func() time.Time { return time.UnixMilli(now) }, r.reg),
		Registerer: r.reg,
	}
	for _, f := range change {
		f(&o)
	}
	router := httprouter.New()
	remotewrite.New(o).Register(func(method, path string, scope tenancy.Scopes, h http.Handler) {
		if scope != tenancy.Write {
			t.Errorf("%s asks for scope %q, want write", path, scope)
		}
		router.Handler(method, path, authenticate(h))
	})
	server := httptest.NewServer(router)
	r.base, r.http = server.URL, server.Client()
	t.Cleanup(func() {
		server.Close()
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func authenticate(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := tenancy.Identity{Tenant: team, Scopes: tenancy.Write}
		if org := r.Header.Get("X-Scope-OrgID"); org != "" {
			id.Tenant = tenancy.ID(org)
		}
		h.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), id)))
	})
}

// A reply is what a sender sees.
type reply struct {
	status int
	header http.Header
	body   string
}

// send posts a compressed body. Headers come in pairs; one with an empty value is left out.
func (r *rig) send(body []byte, headers ...string) reply {
	r.t.Helper()
	return r.do(http.MethodPost, "/api/v1/write", body, headers...)
}

func (r *rig) do(method, path string, body []byte, headers ...string) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.base+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "snappy")
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

func pack(t *testing.T, m proto.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, body)
}

func (r *rig) v1(series ...prompb.TimeSeries) reply {
	r.t.Helper()
	return r.send(pack(r.t, &prompb.WriteRequest{Timeseries: series}), "Content-Type", typeV1)
}

func (r *rig) v2(req *writev2.Request) reply {
	r.t.Helper()
	return r.send(pack(r.t, req), "Content-Type", typeV2)
}

// is checks the status, and that a text, if one is wanted, stands in the body.
func (a reply) is(t *testing.T, status int, text ...string) reply {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d; body: %s", a.status, status, a.body)
	}
	if status == http.StatusNoContent && a.body != "" {
		t.Errorf("204 with the body %q", a.body)
	}
	for _, want := range text {
		if !strings.Contains(a.body, want) {
			t.Errorf("body %q does not hold %q", a.body, want)
		}
	}
	return a
}

// wrote checks the three headers of version 2.0.
func (a reply) wrote(t *testing.T, samples, histograms, exemplars int) reply {
	t.Helper()
	for name, want := range map[string]int{"Samples": samples, "Histograms": histograms, "Exemplars": exemplars} {
		key := "X-Prometheus-Remote-Write-" + name + "-Written"
		if got := a.header.Get(key); got != strconv.Itoa(want) {
			t.Errorf("%s is %q, want %d; body: %s", key, got, want, a.body)
		}
	}
	return a
}

// wroteNothingSaid checks that the headers of version 2.0 are absent.
func (a reply) wroteNothingSaid(t *testing.T) {
	t.Helper()
	for key := range a.header {
		if strings.HasSuffix(key, "-Written") {
			t.Errorf("answer has the header %s", key)
		}
	}
}

// stored reads everything of a tenant back, one line for each sample.
func (r *rig) stored(id tenancy.ID) []string {
	r.t.Helper()
	reader, err := r.store.Tenant(id).Reader(store.AllTime())
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	var out []string
	set := reader.Select(context.Background(), store.Selection{Sorted: true})
	for set.Next() {
		ls := set.At().Labels()
		it := set.At().Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			line := fmt.Sprintf("%s @%d ", ls, it.AtT()-now)
			switch typ {
			case chunkenc.ValFloat:
				_, v := it.At()
				line += valueText(v)
			case chunkenc.ValHistogram:
				_, h := it.AtHistogram(nil)
				line += "int " + h.String()
			case chunkenc.ValFloatHistogram:
				_, h := it.AtFloatHistogram(nil)
				line += "float " + h.String()
			}
			if st := it.AtST(); st != 0 {
				line += fmt.Sprintf(" since %d", st-now)
			}
			out = append(out, line)
		}
	}
	if err := set.Err(); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// valueText shows special values by their bits.
func valueText(v float64) string {
	if v == 0 && math.Signbit(v) || math.IsNaN(v) {
		return fmt.Sprintf("%#x", math.Float64bits(v))
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// exemplars reads the exemplars of the default tenant back.
func (r *rig) exemplars() []string {
	r.t.Helper()
	all := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+")
	res, err := r.store.Tenant(team).Exemplars(context.Background(), store.AllTime(), []store.Selection{{Matchers: []*labels.Matcher{all}}})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, s := range res {
		for _, e := range s.Exemplars {
			out = append(out, fmt.Sprintf("%s %s @%d %s", s.SeriesLabels, e.Labels, e.Ts-now, valueText(e.Value)))
		}
	}
	return out
}

func (r *rig) metadata() []metric.Metadata {
	r.t.Helper()
	md, err := r.store.Tenant(team).Metadata(context.Background(), store.MetadataQuery{})
	if err != nil {
		r.t.Fatal(err)
	}
	return md
}

// holds checks everything that is stored for the default tenant.
func (r *rig) holds(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.stored(team), cmpopts.EquateEmpty()); diff != "" {
		r.t.Errorf("stored samples (-want +got):\n%s", diff)
	}
}

// counter reads one of the receiver's own metrics.
func (r *rig) counter(name string, pairs ...string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var got []string
			for _, l := range m.GetLabel() {
				got = append(got, l.GetName(), l.GetValue())
			}
			if f.GetName() == name && slices.Equal(got, pairs) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// series makes a series of version 1.0 from names and values in pairs.
func series(pairs []string, samples ...prompb.Sample) prompb.TimeSeries {
	ts := prompb.TimeSeries{Samples: samples}
	for i := 0; i < len(pairs); i += 2 {
		ts.Labels = append(ts.Labels, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return ts
}

func named(name string, samples ...prompb.Sample) prompb.TimeSeries {
	return series([]string{"__name__", name}, samples...)
}

// at is a sample with a time relative to now.
func at(ms int64, v float64) prompb.Sample { return prompb.Sample{Timestamp: now + ms, Value: v} }

func atV2(ms int64, v float64) writev2.Sample { return writev2.Sample{Timestamp: now + ms, Value: v} }

// A request2 builds a request of version 2.0.
type request2 struct {
	symbols writev2.SymbolsTable
	req     writev2.Request
}

func newV2() *request2 { return &request2{symbols: writev2.NewSymbolTable()} }

func (q *request2) refs(pairs ...string) (out []uint32) {
	for _, s := range pairs {
		out = append(out, q.symbols.Symbolize(s))
	}
	return out
}

// add adds a series with the labels in pairs and returns it for more.
func (q *request2) add(pairs []string, samples ...writev2.Sample) *writev2.TimeSeries {
	q.req.Timeseries = append(q.req.Timeseries, writev2.TimeSeries{LabelsRefs: q.refs(pairs...), Samples: samples})
	return &q.req.Timeseries[len(q.req.Timeseries)-1]
}

func (q *request2) done() *writev2.Request {
	q.req.Symbols = q.symbols.Symbols()
	return &q.req
}

func name(n string) []string { return []string{"__name__", n} }

// A failing sink takes nothing.
type failing struct {
	remotewrite.Sink
	err error
}

func (f failing) Ingest(ctx context.Context, req ingest.Request) (ingest.Outcome, error) {
	if f.err == nil { // A store that hangs.
		<-ctx.Done()
		return ingest.Outcome{}, fmt.Errorf("ingest: append: %w", ctx.Err())
	}
	return ingest.Outcome{}, f.err
}

func failWith(err error) func(*remotewrite.Options) {
	return func(o *remotewrite.Options) { o.Sink = failing{o.Sink, err} }
}

// A rejecting sink stores as the store does and then says that the last series was over a limit.
type rejecting struct {
	remotewrite.Sink
	reason metric.Reason
}

func (s rejecting) Ingest(ctx context.Context, req ingest.Request) (ingest.Outcome, error) {
	last := len(req.Batch.Series) - 1
	lost := req.Batch.Series[last]
	req.Batch.Series = req.Batch.Series[:last]
	req.Rejected = append(req.Rejected, metric.Rejection{
		Series: lost.Origin, Lost: lost.Counts(), Reason: s.reason,
		Detail: "tenant has 10 of 10 series (limits.series)",
	})
	return s.Sink.Ingest(ctx, req)
}

var errQuota = &problem.Error{Of: problem.QuotaExceeded, Detail: "rate over 10 samples/s (limits.rate)", RetryAfter: 7 * time.Second}

// A forgetful sink stores the first request and reports a failure.
type forgetful struct {
	remotewrite.Sink
	failed bool
}

func (f *forgetful) Ingest(ctx context.Context, req ingest.Request) (ingest.Outcome, error) {
	out, err := f.Sink.Ingest(ctx, req)
	if !f.failed && err == nil {
		f.failed = true
		return ingest.Outcome{}, store.ErrUnavailable
	}
	return out, err
}

type tenantScopes = tenancy.Scopes

func newServer(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// histogramV2 is a good native histogram with integer counts.
func histogramV2(ms int64) writev2.Histogram {
	return writev2.Histogram{
		Count: &writev2.Histogram_CountInt{CountInt: 6}, Sum: 12, Schema: 1, ZeroThreshold: 0.001,
		ZeroCount:      &writev2.Histogram_ZeroCountInt{ZeroCountInt: 1},
		PositiveSpans:  []writev2.BucketSpan{{Offset: 0, Length: 2}},
		PositiveDeltas: []int64{2, 1},
		Timestamp:      now + ms,
	}
}
