package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// noon is the time of all tests, in milliseconds: 2023-11-29T12:00:00Z.
const noon = int64(1701259200000)

// A fixture is the API on a store in memory, with routes and a stand-in for authentication.
type fixture struct {
	*testing.T
	store    store.Store
	pipeline *ingest.Pipeline
	hasher   metric.Hasher
	router   *httprouter.Router
	routes   []route
	mu       sync.Mutex
	matched  route // Of the request that was sent last.
}

type route struct {
	method, path string
	scope        tenancy.Scopes
}

// source is what the server passes: views that know the tenant dimension.
type source struct{ st store.Store }

func (s source) Tenant(id tenancy.ID) store.Tenant { return store.Scope(s.st, id) }

func newFixture(t *testing.T, change ...func(*native.Options)) *fixture {
	t.Helper()
	f := &fixture{T: t, hasher: metric.NewHasher(1), router: httprouter.New()}
	now := func() time.Time { return time.UnixMilli(noon) }
	f.store = memory.New(memory.Options{Hasher: f.hasher})
	t.Cleanup(func() { _ = f.store.Close() })
	f.pipeline = ingest.New(f.store, f.hasher, now, prometheus.NewRegistry())
	o := native.Options{Sink: f.pipeline, Source: source{f.store}, Registerer: prometheus.NewRegistry(), Now: now}
	for _, c := range change {
		c(&o)
	}
	native.New(o).Register(f.add)
	return f
}

// add stands in for the server: it takes the tenant and the scopes from headers.
func (f *fixture) add(method, path string, scope tenancy.Scopes, h http.Handler) {
	f.routes = append(f.routes, route{method, path, scope})
	f.router.Handler(method, path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.matched = route{method, path, scope}
		f.mu.Unlock()
		if scope == 0 {
			h.ServeHTTP(w, r)
			return
		}
		id := tenancy.Identity{Tenant: tenancy.Default, Scopes: tenancy.All}
		if tenant := r.Header.Get("X-Scope-OrgID"); tenant != "" {
			id.Tenant = tenancy.ID(tenant)
		}
		if names, ok := r.Header["X-Scopes"]; ok {
			id.Scopes, _ = tenancy.ParseScopes(names)
		}
		if !id.Scopes.Has(scope) {
			problem.WriteProblem(w, problem.New(problem.Forbidden, "needs %v", scope), nil)
			return
		}
		h.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), id)))
	}))
}

// do sends a request and wants the answer to be as the description says; headers come as "Name: value".
func (f *fixture) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	f.Helper()
	return f.send(httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body)), headers...)
}

func (f *fixture) send(r *http.Request, headers ...string) *httptest.ResponseRecorder {
	f.Helper()
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, r)
	described(f.T, f.matched, w)
	return w
}

// write posts metrics and wants status and body.
func (f *fixture) write(body string, status int, want string, headers ...string) {
	f.Helper()
	f.want(f.do(http.MethodPost, "/luminate/v1/metrics", body, headers...), status, want)
}

// wrote posts metrics that must all be stored.
func (f *fixture) wrote(body string, headers ...string) {
	f.Helper()
	w := f.do(http.MethodPost, "/luminate/v1/metrics", body, headers...)
	if w.Code != http.StatusOK {
		f.Fatalf("status %d: %s", w.Code, w.Body)
	}
}

// query posts a query and wants status and body, the statistics aside.
func (f *fixture) query(body string, status int, want string, headers ...string) {
	f.Helper()
	f.want(f.do(http.MethodPost, "/luminate/v1/query", body, headers...), status, want)
}

// groups posts a query and wants its groups.
func (f *fixture) groups(body, want string, headers ...string) {
	f.Helper()
	w := f.do(http.MethodPost, "/luminate/v1/query", body, headers...)
	if w.Code != http.StatusOK {
		f.Errorf("query %s: status %d: %s", body, w.Code, w.Body)
		return
	}
	var got struct {
		Groups json.RawMessage `json:"groups"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		f.Fatal(err)
	}
	if diff := cmp.Diff(compact(f.T, []byte(want)), compact(f.T, got.Groups)); diff != "" {
		f.Errorf("query %s: (-want +got)\n%s", body, diff)
	}
}

func (f *fixture) get(target string, status int, want string, headers ...string) {
	f.Helper()
	f.want(f.do(http.MethodGet, target, "", headers...), status, want)
}

// want compares an answer. Members of a problem document that its kind implies are left out of want.
func (f *fixture) want(w *httptest.ResponseRecorder, status int, want string) {
	f.Helper()
	if w.Code != status {
		f.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
		return
	}
	contentType := "application/json"
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		f.Errorf("answer %q: %v", w.Body, err)
		return
	}
	if status >= 400 {
		contentType = "application/problem+json"
		for _, implied := range []string{"type", "title", "status", "code"} {
			if _, ok := got[implied]; !ok {
				f.Errorf("problem document without %q: %s", implied, w.Body)
			}
			delete(got, implied)
		}
	}
	if got := w.Header().Get("Content-Type"); got != contentType {
		f.Errorf("content type %q, want %q", got, contentType)
	}
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		f.Fatalf("%s: %v", want, err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		f.Errorf("(-want +got)\n%s\n%s", diff, w.Body)
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b.String()
}

// stored lists everything that a tenant has, one "labels timestamp value" a line.
func (f *fixture) stored(tenant tenancy.ID) string {
	f.Helper()
	rd, err := f.store.Tenant(tenant).Reader(store.AllTime())
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = rd.Close() }()
	return dump(f.T, rd)
}

// bare calls a handler without anything in the context.
func (f *fixture) bare(method, path string, h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader("{}")))
	return w
}
