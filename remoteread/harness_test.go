package remoteread_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/remoteread"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

const team = tenancy.ID("team")

// A rig is the endpoint on a real store, behind a router and an authenticator.
type rig struct {
	t     *testing.T
	store *memory.Store
	base  string
	http  *http.Client
}

// scoped is a remoteread.Source as the server makes one.
type scoped struct{ store.Store }

func (s scoped) Tenant(id tenancy.ID) store.Tenant { return store.Scope(s.Store, id) }

func newRig(t *testing.T, change ...func(*remoteread.Options)) *rig {
	t.Helper()
	r := &rig{t: t, store: memory.New(memory.Options{})}
	o := remoteread.Options{Source: scoped{r.store}}
	for _, f := range change {
		f(&o)
	}
	router := httprouter.New()
	remoteread.New(o).Register(func(method, path string, scope tenancy.Scopes, h http.Handler) {
		if scope != tenancy.Read {
			t.Errorf("%s asks for scope %q, want read", path, scope)
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
		h.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), tenancy.Identity{Tenant: team, Scopes: tenancy.Read})))
	})
}

// put stores float samples of a series, labels given in pairs, at 1000, 2000 and so on.
func (r *rig) put(pairs []string, values ...float64) {
	r.t.Helper()
	b := r.batch(pairs)
	for i, v := range values {
		b.AddSample(metric.Sample{Timestamp: int64(i+1) * 1000, Value: v})
	}
	r.append(team, b)
}

func (r *rig) batch(pairs []string) *metric.Batch {
	b := metric.NewBatch(metric.NewHasher(0))
	b.StartSeries(metric.EncodeLabels(nil, labels.FromStrings(pairs...)), 0)
	return b
}

func (r *rig) append(id tenancy.ID, b *metric.Batch) {
	r.t.Helper()
	rejected, err := r.store.Tenant(id).Append(context.Background(), b)
	if err != nil || len(rejected) > 0 {
		r.t.Fatal(err, rejected)
	}
}

// special are values whose bits must come back.
func special() []float64 {
	return []float64{
		1, math.Float64frombits(value.StaleNaN), math.Float64frombits(value.NormalNaN), math.Float64frombits(0x7ff8dead0000beef),
		math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.Pi,
	}
}

func integerHistogram() *histogram.Histogram {
	return &histogram.Histogram{
		Schema: 2, ZeroThreshold: 0.01, ZeroCount: 1, Count: 6, Sum: 9,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}}, PositiveBuckets: []int64{2, 1},
	}
}

func customHistogram() *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, Count: 3.5, Sum: 9, CustomValues: []float64{1, 2},
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []float64{1.5, 2},
	}
}

// fill stores series of every kind.
func (r *rig) fill() {
	r.t.Helper()
	r.put([]string{"__name__", "up", "job", "b"}, 1, 2, 3)
	r.put([]string{"__name__", "up", "job", "a"}, 4, 5)
	r.put([]string{"__name__", "special"}, special()...)
	b := r.batch([]string{"__name__", "latency"})
	b.AddHistogram(metric.Histogram{Timestamp: 1000, Int: integerHistogram()})
	b.AddHistogram(metric.Histogram{Timestamp: 2000, Int: &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}})
	b.AddHistogram(metric.Histogram{Timestamp: 3000, Float: customHistogram()})
	b.AddSample(metric.Sample{Timestamp: 4000, Value: 4})
	r.append(team, b)
	b = r.batch([]string{"__name__", "up", "job", "secret"})
	b.AddSample(metric.Sample{Timestamp: 1000, Value: 13})
	r.append("other", b)
}

// A reply is what a client sees.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *rig) post(body []byte) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.base+"/api/v1/read", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Accept-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("X-Prometheus-Remote-Read-Version", "0.1.0")
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, text}
}

func (r *rig) ask(types []prompb.ReadRequest_ResponseType, queries ...*prompb.Query) reply {
	r.t.Helper()
	return r.post(pack(r.t, &prompb.ReadRequest{AcceptedResponseTypes: types, Queries: queries}))
}

func pack(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

// is checks status and text of a refusal.
func (a reply) is(t *testing.T, status int, text string) {
	t.Helper()
	if a.status != status || !strings.Contains(string(a.body), text) || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		t.Errorf("status %d, type %q, body %q; want status %d, plain text with %q", a.status, a.header.Get("Content-Type"), a.body, status, text)
	}
}

// samples takes an answer of the type SAMPLES apart: for each query one line for each sample.
func (a reply) samples(t *testing.T) [][]string {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/x-protobuf" || a.header.Get("Content-Encoding") != "snappy" {
		t.Fatalf("status %d, headers %v, body %q", a.status, a.header, a.body)
	}
	raw, err := snappy.Decode(nil, a.body)
	if err != nil {
		t.Fatal(err)
	}
	var resp prompb.ReadResponse
	if err := proto.Unmarshal(raw, &resp); err != nil {
		t.Fatal(err)
	}
	out := make([][]string, len(resp.Results))
	for i, res := range resp.Results {
		for _, ts := range res.Timeseries {
			ls := labelText(ts.Labels)
			for _, s := range ts.Samples {
				out[i] = append(out[i], fmt.Sprintf("%s %d %s", ls, s.Timestamp, valueText(s.Value)))
			}
			for _, h := range ts.Histograms {
				if h.IsFloatHistogram() {
					out[i] = append(out[i], fmt.Sprintf("%s %d float %s", ls, h.Timestamp, h.ToFloatHistogram()))
				} else {
					out[i] = append(out[i], fmt.Sprintf("%s %d int %s", ls, h.Timestamp, histogramText(h.ToIntHistogram())))
				}
			}
		}
	}
	return out
}

func histogramText(h *histogram.Histogram) string { return h.String() + " " + valueText(h.Sum) }

// labelText shows labels in the order in which they came.
func labelText(ls []prompb.Label) string {
	var parts []string
	for _, l := range ls {
		parts = append(parts, l.Name+"="+l.Value)
	}
	return strings.Join(parts, ",")
}

// valueText shows special values by their bits.
func valueText(v float64) string {
	if v == 0 && math.Signbit(v) || math.IsNaN(v) {
		return fmt.Sprintf("%#x", math.Float64bits(v))
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func query(from, to int64, matchers ...*prompb.LabelMatcher) *prompb.Query {
	return &prompb.Query{StartTimestampMs: from, EndTimestampMs: to, Matchers: matchers}
}

func eq(name, value string) *prompb.LabelMatcher {
	return &prompb.LabelMatcher{Type: prompb.LabelMatcher_EQ, Name: name, Value: value}
}

func all() *prompb.LabelMatcher {
	return &prompb.LabelMatcher{Type: prompb.LabelMatcher_RE, Name: "__name__", Value: ".+"}
}

var (
	inSamples = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_SAMPLES}
	inChunks  = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS}
)
