package promql_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

const tenant = tenancy.ID("team-a")

// source adapts a store as the server does.
type source struct{ store.Store }

func (s source) Tenant(id tenancy.ID) store.Tenant { return store.Scope(s.Store, id) }

func sortSeries(list []testSeries) {
	slices.SortFunc(list, func(a, b testSeries) int { return labels.Compare(a.labels, b.labels) })
}

// newStore returns a store with the test data in one tenant and a series of another one.
func newStore(t testing.TB) *memory.Store {
	t.Helper()
	st := memory.New(memory.Options{Hasher: metric.NewHasher(7)})
	t.Cleanup(func() { _ = st.Close() })
	fill(t, st.Tenant(tenant), testData())
	fill(t, st.Tenant("team-b"), []testSeries{{labels: ls("__name__", "secret_of_b"), float: always(func(int) float64 { return 1 })}})
	describe(t, st.Tenant(tenant),
		metric.Metadata{Family: "http_requests_total", Type: "counter", Help: "Requests <served>.", Unit: ""},
		metric.Metadata{Family: "latency", Type: "histogram", Help: "How long.", Unit: "seconds"},
		metric.Metadata{Family: "up", Type: "gauge", Help: "Up.", Unit: ""})
	return st
}

// route is one call of Register's add.
type route struct {
	method, path string
	scope        tenancy.Scopes
}

// testAPI is an API behind a router.
type testAPI struct {
	t       testing.TB
	handler http.Handler
	routes  []route
	scopes  tenancy.Scopes // Of the caller; all unless a test changes it.
}

// newAPI returns an API over st. The clock stands at the end of the test data.
func newAPI(t testing.TB, o promql.Options) *testAPI {
	t.Helper()
	if o.Source == nil {
		o.Source = source{newStore(t)}
	}
	if o.Now == nil {
		o.Now = func() time.Time { return time.UnixMilli(end) }
	}
	out := &testAPI{t: t, scopes: tenancy.All}
	router := httprouter.New()
	promql.New(o).Register(func(method, path string, scope tenancy.Scopes, h http.Handler) {
		out.routes = append(out.routes, route{method, path, scope})
		router.Handler(method, path, h)
	})
	out.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := tenancy.Identity{Tenant: tenant, Scopes: out.scopes}
		router.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), id)))
	})
	return out
}

// reply is what came back.
type reply struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   string
}

func (a *testAPI) do(r *http.Request) reply {
	a.t.Helper()
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return reply{a.t, r.Method + " " + r.URL.String(), w.Code, w.Header(), w.Body.String()}
}

// get sends a GET; params alternate names and values.
func (a *testAPI) get(path string, params ...string) reply {
	a.t.Helper()
	return a.do(httptest.NewRequest(http.MethodGet, path+"?"+form(params...).Encode(), nil))
}

// post sends a form by POST.
func (a *testAPI) post(path string, params ...string) reply {
	a.t.Helper()
	return a.do(postRequest(path, form(params...).Encode()))
}

func postRequest(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func form(params ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(params); i += 2 {
		v.Add(params[i], params[i+1])
	}
	return v
}

// is checks status and the exact body.
func (r reply) is(status int, body string) {
	r.t.Helper()
	if r.status != status {
		r.t.Errorf("%s: status %d, want %d: %s", r.what, r.status, status, r.body)
		return
	}
	if got := strings.TrimSuffix(r.body, "\n"); got != body {
		r.t.Errorf("%s: %s", r.what, cmp.Diff(body, got))
	}
}

// data checks for a success with exactly this data and nothing else.
func (r reply) data(json string) {
	r.t.Helper()
	r.is(http.StatusOK, `{"status":"success","data":`+json+`}`)
}

// fails checks the status, type and text of an error.
func (r reply) fails(status int, errorType, text string) {
	r.t.Helper()
	var got struct{ Status, ErrorType, Error string }
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		r.t.Errorf("%s: %d, no JSON: %v: %s", r.what, r.status, err, r.body)
		return
	}
	if r.status != status || got.Status != "error" || got.ErrorType != errorType || !strings.Contains(got.Error, text) {
		r.t.Errorf("%s: %d %s\nwant %d %s with %q", r.what, r.status, r.body, status, errorType, text)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		r.t.Errorf("%s: Content-Type %q", r.what, ct)
	}
}

// decode reads the envelope of a success into data.
func (r reply) decode(data any) (warnings, infos []string) {
	r.t.Helper()
	env := struct {
		Status          string
		Data            any
		Warnings, Infos []string
	}{Data: data}
	if err := json.Unmarshal([]byte(r.body), &env); err != nil || env.Status != "success" {
		r.t.Fatalf("%s: %d %v: %s", r.what, r.status, err, r.body)
	}
	return env.Warnings, env.Infos
}

// server starts a real server.
func (a *testAPI) server() *httptest.Server {
	a.t.Helper()
	s := httptest.NewServer(a.handler)
	a.t.Cleanup(s.Close)
	return s
}
