package promql_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

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
	api.get("/api/v1/query", "query", "1", "timeout", "5ms").fails(503, "timeout", "query timed out in query queue")

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
