package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/internal/server"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

// api is a few routes in place of a protocol.
type api []server.Route

// Register lists the routes with handlers that say who asked.
func (a api) Register(add func(method, path string, scope tenancy.Scopes, h http.Handler)) {
	for _, r := range a {
		add(r.Method, r.Path, r.Scope, http.HandlerFunc(echo))
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	id, _ := tenancy.FromContext(r.Context())
	body, err := io.ReadAll(r.Body)
	if err != nil {
		problem.WritePrometheus(w, problem.New(problem.TooLarge, "%s", err))
		return
	}
	w.Write([]byte(string(id.Tenant) + " " + httprouter.ParamsFromContext(r.Context()).ByName("name") + " " + string(body)))
}

type handlers map[string]http.HandlerFunc

// Register serves each handler at its path by GET.
func (h handlers) Register(add func(method, path string, scope tenancy.Scopes, h http.Handler)) {
	for path, f := range h {
		add(http.MethodGet, path, tenancy.Read, f)
	}
}

var promAPI = api{
	{Method: "GET", Path: "/api/v1/query", Scope: tenancy.Read},
	{Method: "POST", Path: "/api/v1/query", Scope: tenancy.Read},
	{Method: "GET", Path: "/api/v1/label/:name/values", Scope: tenancy.Read},
	{Method: "POST", Path: "/api/v1/admin/tsdb/delete_series", Scope: tenancy.Admin},
}

var nativeAPI = api{
	{Method: "POST", Path: "/luminate/v1/metrics", Scope: tenancy.Write},
	{Method: "GET", Path: "/luminate/v1/metrics", Scope: tenancy.Read},
	{Method: "GET", Path: "/luminate/v1/openapi.yaml", Scope: 0},
}

var writeAPI = api{{Method: "POST", Path: "/api/v1/write", Scope: tenancy.Write}}

func groups() []server.Group {
	return []server.Group{
		{API: promAPI, Fail: problem.WritePrometheus, Prefixed: true},
		{API: writeAPI, Fail: problem.WriteText, Prefixed: true},
		{API: nativeAPI, Fail: func(w http.ResponseWriter, err error) { problem.WriteProblem(w, err, nil) }},
	}
}

func newServer(t *testing.T, change func(*server.Options), groups ...server.Group) *server.Server {
	t.Helper()
	o := server.Options{Registry: prometheus.NewRegistry(), Version: "1.2.3", CORSOrigin: ".*"}
	if change != nil {
		change(&o)
	}
	if o.Auth == nil {
		a, err := auth.New(auth.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o.Auth = a
	}
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(groups) > 0 {
		if err := s.Mount(groups...); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func do(s http.Handler, method, path string, body string, headers ...string) *httptest.ResponseRecorder {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, rd)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestRouting(t *testing.T) {
	s := newServer(t, nil, groups()...)
	f := func(method, path string, status int, contentType, want string) {
		t.Helper()
		w := do(s, method, path, "", "X-Scope-OrgID", "a")
		if w.Code != status || !strings.HasPrefix(w.Header().Get("Content-Type"), contentType) || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s %s: %d %s: %s", method, path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s: headers %v", method, path, w.Header())
		}
	}
	const text, envelope, document = "text/plain", "application/json", "application/problem+json"
	f("GET", "/api/v1/query", 200, text, "a  ")
	f("GET", "/prometheus/api/v1/query", 200, text, "a  ")
	f("GET", "/api/v1/label/job/values", 200, text, "a job ")
	f("GET", "/prometheus/api/v1/label/job/values", 200, text, "a job ")
	// The router sees the decoded path, and so does the check of scopes: %2f gains nothing.
	f("GET", "/api%2fv1/query", 200, text, "a  ")
	f("POST", "/api/v1%2fadmin/tsdb/delete_series", 403, envelope, "auth.header.admin")

	f("GET", "/api/v1/nothing", 404, envelope, `"errorType":"not_found"`)
	f("GET", "/prometheus/api/v1/nothing", 404, envelope, `"errorType":"not_found"`)
	f("GET", "/luminate/v1/nothing", 404, document, `"code":"not_found"`)
	f("GET", "/prometheus/luminate/v1/metrics", 404, text, "nothing at")
	f("GET", "/nothing", 404, text, "there is nothing at /nothing")
	for _, path := range []string{"//api/v1/query", "/api//v1/query", "/api/v1/query/", "/API/v1/query", "/api/v1/./query", "/x/../api/v1/query"} {
		w := do(s, "POST", path, "x")
		if w.Code != 404 || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d, Location %q", path, w.Code, w.Header().Get("Location"))
		}
	}

	f("GET", "/api/v1/write", 405, text, "use OPTIONS, POST")
	f("DELETE", "/api/v1/query", 405, envelope, "use GET, OPTIONS, POST")
	f("GET", "/api/v1/admin/tsdb/delete_series", 405, envelope, "use OPTIONS, POST")
	f("DELETE", "/luminate/v1/metrics", 405, document, `"code":"method_not_allowed"`)
	f("TRACE", "/", 405, text, "use GET, HEAD, OPTIONS")
	if got := do(s, "GET", "/api/v1/write", "").Header().Get("Allow"); got != "OPTIONS, POST" {
		t.Errorf("Allow: %q", got)
	}
}

func TestClashingRoutes(t *testing.T) {
	s := newServer(t, nil)
	err := s.Mount(server.Group{API: append(promAPI, promAPI[0]), Fail: problem.WriteText})
	if err == nil || !strings.Contains(err.Error(), "/api/v1/query") {
		t.Errorf("error %v", err)
	}
}

// TestStarting checks what a server says before its store is open.
func TestStarting(t *testing.T) {
	s := newServer(t, nil)
	f := func(path string, status int, want string) {
		t.Helper()
		w := do(s, "GET", path, "")
		if w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d: %s", path, w.Code, w.Body)
		}
		if status == 503 && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	f("/-/healthy", 200, "healthy")
	f("/-/ready", 503, "the server is starting")
	f("/api/v1/query", 503, `"errorType":"unavailable"`)
	f("/prometheus/api/v1/query", 503, `"errorType":"unavailable"`)
	f("/luminate/v1/query", 503, `"code":"unavailable"`)
	f("/nothing", 404, "")
	f("/metrics", 200, "luminate_http_requests_in_flight 1")
}

func TestProbes(t *testing.T) {
	s := newServer(t, nil, groups()...)
	f := func(status int, want any) {
		t.Helper()
		for _, path := range []string{"/-/ready", "/readyz", "/ready", "/prometheus/-/ready"} {
			for _, method := range []string{"GET", "HEAD"} {
				w := do(s, method, path, "")
				var got any
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); w.Code != status || diff != "" {
					t.Errorf("%s: %d (-want +got):\n%s", path, w.Code, diff)
				}
			}
		}
		for _, path := range []string{"/-/healthy", "/healthz", "/livez", "/health", "/prometheus/-/healthy"} {
			if w := do(s, "GET", path, ""); w.Code != 200 {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	}
	notReady := func(component, detail string) any {
		return map[string]any{"status": "not ready", "reasons": []any{map[string]any{"component": component, "detail": detail}}}
	}
	f(503, notReady("server", "the server is starting"))
	s.Health().Set("server", "")
	f(200, map[string]any{"status": "ready", "reasons": []any{}})

	var failure error = problem.New(problem.Unavailable, "the disk is full")
	s.Health().Watch("store", func(context.Context) error { return failure })
	f(503, notReady("store", "the disk is full"))
	failure = errors.New("open /secret/path: no such file")
	f(503, notReady("store", "internal error: the server's log has the cause"))
	failure = fmt.Errorf("badger: ping: %w", store.ErrReadOnly)
	f(200, map[string]any{"status": "read only", "reasons": []any{map[string]any{"component": "store", "detail": store.ErrReadOnly.Detail}}})
	s.Health().Set("other", "is away")
	f(503, map[string]any{"status": "not ready", "reasons": []any{
		map[string]any{"component": "other", "detail": "is away"}, map[string]any{"component": "store", "detail": store.ErrReadOnly.Detail},
	}})
	s.Health().Set("other", "")
	failure = nil
	f(200, map[string]any{"status": "ready", "reasons": []any{}})
	s.Drain()
	f(503, notReady("server", "the server is stopping"))
}

func TestAuthIsPerRoute(t *testing.T) {
	a, err := auth.New(auth.Options{Mode: auth.JWT, Tokens: auth.TokenOptions{Secret: []byte(strings.Repeat("s", 32))}})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(o *server.Options) { o.Auth = a }, groups()...)
	f := func(method, path string, status int, contentType string) {
		t.Helper()
		w := do(s, method, path, "")
		if w.Code != status || !strings.HasPrefix(w.Header().Get("Content-Type"), contentType) {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Header().Get("Content-Type"))
		}
		if status == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s %s: no WWW-Authenticate", method, path)
		}
	}
	f("GET", "/api/v1/query", 401, "application/json")
	f("POST", "/api/v1/write", 401, "text/plain")
	f("POST", "/prometheus/api/v1/write", 401, "text/plain")
	f("POST", "/luminate/v1/metrics", 401, "application/problem+json")
	f("GET", "/luminate/v1/openapi.yaml", 200, "")
	f("GET", "/metrics", 200, "text/plain")
	f("GET", "/", 200, "text/html")
	f("GET", "/-/ready", 503, "application/json")
	f("OPTIONS", "/api/v1/query", 204, "")
}

func TestCORS(t *testing.T) {
	f := func(s http.Handler, method, path, origin, want string, status int) {
		t.Helper()
		w := do(s, method, path, "", "Origin", origin)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != status || got != want {
			t.Errorf("%s %s from %s: %d, allowed %q, want %q", method, path, origin, w.Code, got, want)
		}
		if h := w.Header().Get("Access-Control-Allow-Headers"); strings.Contains(h, "OrgID") || w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s: too much is allowed: %v", method, path, w.Header())
		}
	}
	open := newServer(t, nil, groups()...)
	f(open, "OPTIONS", "/api/v1/query", "https://grafana.test", "*", 204)
	f(open, "OPTIONS", "/prometheus/api/v1/label/job/values", "https://grafana.test", "*", 204)
	f(open, "GET", "/api/v1/query", "https://grafana.test", "*", 200)
	f(open, "OPTIONS", "/api/v1/write", "https://grafana.test", "", 204)
	f(open, "POST", "/api/v1/write", "https://grafana.test", "", 403)
	f(open, "GET", "/metrics", "https://grafana.test", "", 200)
	f(open, "OPTIONS", "/luminate/v1/metrics", "https://grafana.test", "", 204)
	f(open, "OPTIONS", "/api/v1/admin/tsdb/delete_series", "https://grafana.test", "", 204)

	some := newServer(t, func(o *server.Options) { o.CORSOrigin = `https://(grafana|prometheus)\.test` }, groups()...)
	f(some, "GET", "/api/v1/query", "https://grafana.test", "https://grafana.test", 200)
	f(some, "GET", "/api/v1/query", "https://grafana.test.evil.test", "", 200)
	f(some, "GET", "/api/v1/query", "https://grafanaXtest", "", 200)

	none := newServer(t, func(o *server.Options) { o.CORSOrigin = "" }, groups()...)
	f(none, "GET", "/api/v1/query", "https://grafana.test", "", 200)
	f(none, "OPTIONS", "/api/v1/query", "https://grafana.test", "", 204)
}

func TestBodyLimit(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxBody = 10 }, groups()...)
	w := do(s, "POST", "/api/v1/write", "0123456789")
	if w.Code != 200 || !strings.HasSuffix(w.Body.String(), "0123456789") {
		t.Errorf("at the limit: %d %s", w.Code, w.Body)
	}
	w = do(s, "POST", "/api/v1/write", "0123456789x")
	if w.Code != 413 || !strings.Contains(w.Body.String(), "server.max_body_bytes is 10") {
		t.Errorf("over the limit: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/query", io.MultiReader(strings.NewReader("0123456789x")))
	r.ContentLength = -1
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if rec.Code != 413 {
		t.Errorf("over the limit without a length: %d %s", rec.Code, rec.Body)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newServer(t, func(o *server.Options) { o.Registry = reg }, groups()...)
	do(s, "GET", "/api/v1/label/customer_1/values", "")
	do(s, "GET", "/api/v1/label/customer_2/values", "")
	do(s, "GET", "/made/up/by/a/client", "")
	do(s, "MADEUP", "/api/v1/query", "")
	do(s, "POST", "/api/v1/admin/tsdb/delete_series", "")
	want := `
# HELP luminate_http_requests_total HTTP requests that were answered, by the pattern of their route.
# TYPE luminate_http_requests_total counter
luminate_http_requests_total{code="200",handler="/api/v1/label/:name/values",method="GET"} 2
luminate_http_requests_total{code="403",handler="/api/v1/admin/tsdb/delete_series",method="POST"} 1
luminate_http_requests_total{code="404",handler="unmatched",method="GET"} 1
luminate_http_requests_total{code="405",handler="unmatched",method="other"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "luminate_http_requests_total"); err != nil {
		t.Error(err)
	}
	// A route that nobody asks for costs no series.
	if n, err := testutil.GatherAndCount(reg, "luminate_http_request_duration_seconds"); err != nil || n != 3 {
		t.Errorf("%d histograms, want those of 3 handlers (%v)", n, err)
	}
}

func TestMetricsFormats(t *testing.T) {
	s := newServer(t, nil, groups()...)
	f := func(accept, want string) {
		t.Helper()
		w := do(s, "GET", "/metrics", "", "Accept", accept)
		if got := w.Header().Get("Content-Type"); w.Code != 200 || !strings.HasPrefix(got, want) {
			t.Errorf("Accept %s: %d, %s, want %s", accept, w.Code, got, want)
		}
	}
	f("*/*", "text/plain; version=0.0.4")
	f("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0")
	f("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "application/vnd.google.protobuf")
}

func TestPanics(t *testing.T) {
	var log strings.Builder
	s := newServer(t, func(o *server.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) },
		server.Group{Fail: problem.WritePrometheus, API: handlers{
			"/api/v1/early": func(http.ResponseWriter, *http.Request) { panic("secret of the program") },
			"/api/v1/held": func(w http.ResponseWriter, _ *http.Request) {
				w.Write([]byte("begun"))
				panic("secret of the program")
			},
			"/api/v1/late": func(w http.ResponseWriter, _ *http.Request) {
				w.Write([]byte(strings.Repeat("begun", 1000)))
				panic("secret of the program")
			},
		}})
	for _, path := range []string{"/api/v1/early", "/api/v1/held"} {
		w := do(s, "GET", path, "", "Accept-Encoding", "gzip", "X-Request-Id", "abc")
		if w.Code != 500 || !strings.Contains(w.Body.String(), `"errorType":"internal"`) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d: %s", path, w.Code, w.Body)
		}
	}
	if !strings.Contains(log.String(), "secret of the program") || !strings.Contains(log.String(), "server_test.go") || !strings.Contains(log.String(), "request_id=abc") {
		t.Errorf("log: %s", log.String())
	}
	defer func() {
		if recover() != any(http.ErrAbortHandler) {
			t.Error("an answer that broke off was ended as if it were complete")
		}
	}()
	do(s, "GET", "/api/v1/late", "")
}

func TestRequestID(t *testing.T) {
	s := newServer(t, nil, groups()...)
	f := func(given string, kept bool) {
		t.Helper()
		got := do(s, "GET", "/", "", "X-Request-Id", given).Header().Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("given %q, got %q", given, got)
		}
	}
	f("5f2a-b_c.d", true)
	f("", false)
	f("a b", false)
	f("a\"b", false)
	f(strings.Repeat("x", 65), false)
}

func TestPage(t *testing.T) {
	s := newServer(t, nil, groups()...)
	w := do(s, "GET", "/", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "Version 1.2.3") ||
		!strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'self'") {
		t.Errorf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
	if w := do(s, "GET", "/assets/luminate.css", ""); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	// The version comes from the build, but the page must not trust even that.
	s = newServer(t, func(o *server.Options) { o.Version = "<script>" }, groups()...)
	if w := do(s, "GET", "/", ""); strings.Contains(w.Body.String(), "<script>") {
		t.Error("the version is not escaped")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// TestShutdown stops a server in the middle of a request: the request is answered, and nobody else gets in.
func TestShutdown(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := newServer(t, nil, server.Group{Fail: problem.WriteText, API: handlers{"/slow": func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		w.Write([]byte("done"))
	}}})
	ln := listen(t)
	served, stopped, answer := make(chan error, 1), make(chan error, 1), make(chan string, 1)
	go func() { served <- s.Serve(ln) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	go func() {
		resp, err := client.Get("http://" + ln.Addr().String() + "/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-entered
	go func() { stopped <- s.Shutdown(t.Context()) }()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("a stopping server accepts connections")
	}
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the request in flight got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestShutdownCutsOff checks that a request that never ends does not keep the server from stopping.
func TestShutdownCutsOff(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	s := newServer(t, nil, server.Group{Fail: problem.WriteText, API: handlers{"/slow": func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}}})
	ln := listen(t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	go func() {
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		if resp, err := (&http.Client{Transport: tr}).Get("http://" + ln.Addr().String() + "/slow"); err == nil {
			resp.Body.Close()
		}
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-left
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestTimeouts checks that slow and greedy clients are bounded whatever the configuration leaves out.
func TestTimeouts(t *testing.T) {
	got := server.HTTPLimits(newServer(t, nil))
	want := server.Limits{ReadHeader: 5 * time.Second, Read: time.Minute, Write: 5 * time.Minute, Idle: 2 * time.Minute, MaxHeader: 32 << 10}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s := newServer(t, func(o *server.Options) { o.MaxHeader = 4 << 10 }, groups()...)
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = server.HTTPServer(s)
	ts.Start()
	defer ts.Close()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL+"/", nil)
	r.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := ts.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long headers: %d", resp.StatusCode)
	}
}
