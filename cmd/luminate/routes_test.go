package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/internal/server"
	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

func bootJWT(t *testing.T) *booted {
	t.Helper()
	return boot(t, map[string]string{"auth.mode": "jwt", "auth.jwt.secret": testSecret, "self_metrics.enabled": "false"})
}

// bearer returns the value of an Authorization header.
func bearer(t *testing.T, tenant tenancy.ID, scopes tenancy.Scopes) string {
	t.Helper()
	tokens, err := auth.NewTokens(auth.TokenOptions{Secret: []byte(testSecret)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Mint(auth.Claims{Tenant: tenant, Scopes: scopes, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token
}

// concrete fills in the parameters of a path.
func concrete(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			parts[i] = "x"
		}
	}
	return strings.Join(parts, "/")
}

// openPaths lists what needs no token. Everything else must refuse without one.
var openPaths = []string{
	"/", "/assets/luminate.css", "/metrics", "/luminate/v1/openapi.yaml",
	"/-/healthy", "/-/ready", "/prometheus/-/healthy", "/prometheus/-/ready", "/healthz", "/readyz", "/livez", "/health", "/ready",
}

// TestEveryRouteIsGuarded goes through all routes that there are, so that a new one can't be forgotten.
func TestEveryRouteIsGuarded(t *testing.T) {
	b := bootJWT(t)
	routes := b.server.Routes()
	if len(routes) < 60 {
		t.Fatalf("only %d routes", len(routes))
	}
	for _, r := range routes {
		path := concrete(r.Path)
		if r.Scope == 0 {
			if !slices.Contains(openPaths, r.Path) {
				t.Errorf("%s %s needs no token", r.Method, r.Path)
			}
			continue
		}
		if slices.Contains(openPaths, r.Path) {
			t.Errorf("%s %s needs a token", r.Method, r.Path)
		}
		// A tenant header alone proves nothing.
		got := b.do(r.Method, path, "", "X-Scope-OrgID", "a")
		if got.status != 401 || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s %s without a token: %d", r.Method, r.Path, got.status)
		}
		if got := b.do(r.Method, path, "", "Authorization", bearer(t, "a", tenancy.All&^r.Scope)); got.status != 403 {
			t.Errorf("%s %s without the scope %s: %d", r.Method, r.Path, r.Scope, got.status)
		}
		if got := b.do(r.Method, path, "", "Authorization", bearer(t, "a", tenancy.All), "X-Scope-OrgID", "b"); got.status != 403 {
			t.Errorf("%s %s as another tenant: %d", r.Method, r.Path, got.status)
		}
		got = b.do(r.Method, path, "", "Authorization", bearer(t, "a", r.Scope))
		if got.status == 401 || got.status == 403 || strings.Contains(got.body, "there is nothing at") || got.status == 405 {
			t.Errorf("%s %s with the scope %s: %d %s", r.Method, r.Path, r.Scope, got.status, got.body)
		}
	}
}

// TestScopesOfRoutes holds the few rules that say which scope a route must have.
func TestScopesOfRoutes(t *testing.T) {
	b := bootJWT(t)
	listed := map[string]bool{}
	for _, r := range b.server.Routes() {
		listed[r.Method+" "+r.Path] = true
		want := tenancy.Read
		switch {
		case slices.Contains(openPaths, r.Path):
			want = 0
		case strings.Contains(r.Path, "/admin/"), strings.HasSuffix(r.Path, "/delete"):
			want = tenancy.Admin
			if r.Method == http.MethodGet {
				t.Errorf("%s %s: a link could trigger it", r.Method, r.Path)
			}
		case r.Path == "/luminate/v1/metrics" && r.Method == http.MethodPost, slices.Contains([]string{
			"/api/v1/write", "/api/v1/push", "/api/v1/receive", "/api/v1/prom/remote/write",
		}, strings.TrimPrefix(r.Path, server.PrometheusPrefix)):
			want = tenancy.Write
		}
		if r.Scope != want {
			t.Errorf("%s %s has the scope %q, want %q", r.Method, r.Path, r.Scope, want)
		}
	}
	for _, r := range b.server.Routes() {
		if api := strings.HasPrefix(r.Path, "/api/") || r.Path == "/federate"; api && !listed[r.Method+" "+server.PrometheusPrefix+r.Path] {
			t.Errorf("%s %s is not served below %s", r.Method, r.Path, server.PrometheusPrefix)
		}
	}
}

// questions returns requests that a route may answer with data, as paths and bodies.
func questions(t *testing.T, r server.Route, now time.Time) [][2]string {
	t.Helper()
	api := strings.TrimPrefix(r.Path, server.PrometheusPrefix)
	values := url.Values{
		"query": {`{__name__!=""}`}, "match[]": {`{__name__!=""}`}, "time": {fmt.Sprint(now.Unix() + 1)}, "step": {"60"},
		"start": {fmt.Sprint(now.Add(-time.Hour).Unix())}, "end": {fmt.Sprint(now.Add(time.Minute).Unix())},
	}
	form := values.Encode()
	if r.Method == http.MethodPost && api == "/api/v1/read" {
		request := &prompb.ReadRequest{Queries: []*prompb.Query{{
			StartTimestampMs: 0, EndTimestampMs: math.MaxInt64,
			Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_NEQ, Name: "__name__"}},
		}}}
		plain, err := request.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		request.AcceptedResponseTypes = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS}
		streamed, err := request.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return [][2]string{{r.Path, string(snappy.Encode(nil, plain))}, {r.Path, string(snappy.Encode(nil, streamed))}}
	}
	if api == "/luminate/v1/query" {
		var out [][2]string
		for _, metric := range []string{"hidden_metric", "shown"} {
			body, err := json.Marshal(map[string]any{
				"metric": metric, "aggregations": []string{"AVG", "P99"}, "group_by": []string{"hidden_dimension", "team"},
				"from": now.Add(-time.Hour).UnixMilli(), "to": now.Add(time.Minute).UnixMilli(),
			})
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, [2]string{r.Path, string(body)})
		}
		return out
	}
	var out [][2]string
	for _, name := range []string{"__name__", "hidden_metric", "hidden_dimension", "team", "shown"} {
		path := strings.NewReplacer(":name", name, ":dimension", "hidden_dimension").Replace(r.Path)
		if r.Method == http.MethodPost {
			out = append(out, [2]string{path, form})
			continue
		}
		out = append(out, [2]string{path + "?" + form, ""}, [2]string{path, ""})
	}
	return out
}

// TestIsolation asks every endpoint that reads for everything, as one tenant, and looks for what the other one wrote.
func TestIsolation(t *testing.T) {
	b := bootJWT(t)
	now := time.Now()
	write := func(tenant tenancy.ID, name, dimension, value string) {
		t.Helper()
		body, err := json.Marshal(map[string]any{
			"name": name, "value": 31337.5, "timestamp": now.UnixMilli(), "dimensions": map[string]string{dimension: value, "team": value},
		})
		if err != nil {
			t.Fatal(err)
		}
		r := b.do("POST", "/luminate/v1/metrics", string(body), "Authorization", bearer(t, tenant, tenancy.Write))
		if r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	write("a", "hidden_metric", "hidden_dimension", "hiddenvalue")
	write("b", "shown", "own_dimension", "own")

	// What only tenant a's data can bring into an answer, and no request of tenant b.
	reveals := func(r reply) bool {
		body := r.body
		if plain, err := snappy.Decode(nil, []byte(body)); err == nil {
			body = string(plain)
		}
		return strings.Contains(body, "hiddenvalue") || r.status == 200 && strings.Contains(body, "31337.5") && !strings.Contains(body, "own")
	}
	seen := map[string]bool{}
	asked := 0
	for _, r := range b.server.Routes() {
		if r.Scope != tenancy.Read {
			continue
		}
		for _, q := range questions(t, r, now) {
			headers := []string{"Authorization", bearer(t, "b", tenancy.Read), "Content-Type", "application/x-www-form-urlencoded"}
			if strings.HasPrefix(r.Path, "/luminate/") {
				headers[3] = "application/json"
			}
			if strings.HasSuffix(r.Path, "/read") {
				headers[3] = "application/x-protobuf"
			}
			asked++
			if got := b.do(r.Method, q[0], q[1], headers...); reveals(got) || got.status >= 500 {
				t.Errorf("%s %s as b: %d %s", r.Method, q[0], got.status, got.body)
			}
			headers[1] = bearer(t, "a", tenancy.Read)
			if got := b.do(r.Method, q[0], q[1], headers...); reveals(got) {
				seen[r.Path] = true
			}
		}
	}
	// The test proves something only where the owner finds the marks.
	for _, path := range []string{
		"/api/v1/query", "/api/v1/query_range", "/api/v1/series", "/api/v1/label/:name/values", "/api/v1/read", "/federate",
		"/prometheus/api/v1/query", "/luminate/v1/query", "/luminate/v1/metrics/:name/dimensions/:dimension/values",
	} {
		if !seen[path] {
			t.Errorf("%s shows nothing to the owner either", path)
		}
	}
	if asked < 100 {
		t.Errorf("only %d questions", asked)
	}

	// Deleting everything as b leaves a's data alone.
	everything := "match[]=" + url.QueryEscape(`{__name__!=""}`)
	if r := b.do("POST", "/api/v1/admin/tsdb/delete_series?"+everything, "", "Authorization", bearer(t, "b", tenancy.Admin)); r.status != 204 {
		t.Errorf("delete as b: %d %s", r.status, r.body)
	}
	if r := b.do("GET", "/api/v1/query?query=hidden_metric", "", "Authorization", bearer(t, "a", tenancy.Read)); !reveals(r) {
		t.Errorf("what a wrote is gone: %s", r.body)
	}
	if r := b.do("GET", "/api/v1/query?query=shown", "", "Authorization", bearer(t, "b", tenancy.Read)); strings.Contains(r.body, "31337.5") {
		t.Errorf("what b deleted is there: %s", r.body)
	}
}
