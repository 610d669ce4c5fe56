package promql_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// blocking is a source whose reads last until their context ends or they are let go.
type blocking struct {
	store   *memory.Store
	started chan struct{} // One element for each read that waits.
	letGo   chan struct{}
}

func newBlocking(t testing.TB) *blocking {
	t.Helper()
	return &blocking{store: newStore(t), started: make(chan struct{}, 100), letGo: make(chan struct{})}
}

func (b *blocking) Tenant(id tenancy.ID) store.Tenant { return blockingTenant{b.store.Tenant(id), b} }

func (b *blocking) wait(ctx context.Context) error {
	b.started <- struct{}{}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.letGo:
		return nil
	}
}

type blockingTenant struct {
	store.Tenant
	b *blocking
}

func (t blockingTenant) Reader(r store.Range) (store.Reader, error) {
	rd, err := t.Tenant.Reader(r)
	return blockingReader{rd, t.b}, err
}

func (t blockingTenant) Rollup(ctx context.Context, q store.Rollup) (store.RollupResult, error) {
	if err := t.b.wait(ctx); err != nil {
		return store.RollupResult{}, err
	}
	return t.Tenant.Rollup(ctx, q)
}

type blockingReader struct {
	store.Reader
	b *blocking
}

func (r blockingReader) Select(ctx context.Context, sel store.Selection) storage.SeriesSet {
	if err := r.b.wait(ctx); err != nil {
		return storage.ErrSeriesSet(err)
	}
	return r.Reader.Select(ctx, sel)
}

func (r blockingReader) Series(ctx context.Context, sel store.Selection) (store.List[labels.Labels], error) {
	if err := r.b.wait(ctx); err != nil {
		return store.List[labels.Labels]{}, err
	}
	return r.Reader.Series(ctx, sel)
}

// later sends a request from another goroutine.
func (a *testAPI) later(ctx context.Context, target string) <-chan reply {
	out := make(chan reply, 1)
	go func() { out <- a.do(httptest.NewRequest(http.MethodGet, target, nil).WithContext(ctx)) }()
	return out
}

func TestQ26Samples(t *testing.T) {
	api := newAPI(t, promql.Options{Limits: promql.Limits{MaxSamples: 100}})
	r := api.get("/api/v1/query_range", "query", `rate(http_requests_total[5m])`, "start", "1700000000", "end", "1700001800", "step", "15")
	r.fails(422, "execution", "query processing would load too many samples into memory in query execution: the limit is 100 samples, set by query.max_samples")
	if r := api.get("/api/v1/query", "query", "http_requests_total", "time", "1700000600"); r.status != 200 {
		t.Errorf("a small query: %d %s", r.status, r.body)
	}
}

func TestQ26ClientGone(t *testing.T) {
	b := newBlocking(t)
	api := newAPI(t, promql.Options{Source: b})
	for _, target := range []string{
		"/api/v1/query?query=up", "/api/v1/query_range?query=sum(up)&start=1&end=2&step=1", "/api/v1/series?match[]=up", "/federate?match[]=up",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		answer := api.later(ctx, target)
		<-b.started
		cancel() // It has to reach the store: nothing else ends the read.
		if r := <-answer; r.status != 499 {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
}

func TestQ26Concurrency(t *testing.T) {
	b := newBlocking(t)
	api := newAPI(t, promql.Options{Source: b, Limits: promql.Limits{MaxConcurrent: 2}})
	var running []<-chan reply
	for range 2 {
		running = append(running, api.later(t.Context(), "/api/v1/query?query=up"))
		<-b.started
	}
	api.get("/api/v1/query", "query", "1", "timeout", "5ms").fails(503, "timeout", "query timed out in query queue: 2 are running, the limit set by query.max_concurrent, and none ended in time: try again later")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	api.do(httptest.NewRequest(http.MethodGet, "/api/v1/query?query=1", nil).WithContext(ctx)).fails(499, "canceled", "query was canceled in query queue")

	waiting := api.later(t.Context(), "/api/v1/query?query=1")
	close(b.letGo)
	for _, c := range append(running, waiting) {
		if r := <-c; r.status != 200 {
			t.Errorf("%s: %d %s", r.what, r.status, r.body)
		}
	}
}

// TestLookupsAreBounded fills the gate with one kind of lookup and asks for all kinds.
func TestLookupsAreBounded(t *testing.T) {
	b := newBlocking(t)
	reg := prometheus.NewRegistry()
	api := newAPI(t, promql.Options{Source: b, Registerer: reg, Limits: promql.Limits{MaxLookups: 2}})
	var running []<-chan reply
	for range 2 {
		running = append(running, api.later(t.Context(), "/api/v1/series?match[]=up"))
		<-b.started
	}
	lookups := []string{
		"/api/v1/series?match[]=up", "/api/v1/labels", "/api/v1/label/job/values", "/api/v1/metadata", "/api/v1/status/tsdb",
		"/api/v1/query_exemplars?query=up", "/federate?match[]=up",
	}
	for _, target := range lookups {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		r := api.do(httptest.NewRequest(http.MethodGet, target, nil).WithContext(ctx))
		cancel()
		const text = "2 are running, the limit set by query.max_concurrent_lookups, and none ended in time: try again later"
		if r.status != 503 || !strings.Contains(r.body, text) || r.header.Get("Retry-After") != "5" {
			t.Errorf("%s: %d, Retry-After %q: %s", r.what, r.status, r.header.Get("Retry-After"), r.body)
		}
	}
	expected := `
# HELP luminate_lookup_refused_requests_total Requests for names, series, exemplars and latest samples that got no turn in their time and were answered by 503.
# TYPE luminate_lookup_refused_requests_total counter
luminate_lookup_refused_requests_total 7
# HELP luminate_lookup_running_requests Requests for names, series, exemplars and latest samples that run now; more than query.max_concurrent_lookups wait.
# TYPE luminate_lookup_running_requests gauge
luminate_lookup_running_requests 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(expected), "luminate_lookup_refused_requests_total", "luminate_lookup_running_requests"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := api.later(ctx, "/api/v1/labels")
	cancel()
	if r := <-gone; r.status != 499 {
		t.Errorf("a client that went away while it waited: %d %s", r.status, r.body)
	}
	// Neither do queries wait for lookups, nor does what reads no data.
	for _, target := range []string{"/api/v1/query?query=1", "/api/v1/format_query?query=up", "/api/v1/status/buildinfo"} {
		if r := api.do(httptest.NewRequest(http.MethodGet, target, nil)); r.status != 200 {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
	for _, target := range lookups {
		running = append(running, api.later(t.Context(), target))
	}
	close(b.letGo)
	for _, c := range running {
		if r := <-c; r.status != 200 {
			t.Errorf("%s: %d %s", r.what, r.status, r.body)
		}
	}
}
