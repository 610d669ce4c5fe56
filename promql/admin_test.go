package promql_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/tenancy"
)

type compactions struct {
	count int
	err   error
}

func (c *compactions) Compact(context.Context) error {
	c.count++
	return c.err
}

func TestQ23Admin(t *testing.T) {
	st := newStore(t)
	c := &compactions{}
	api := newAPI(t, promql.Options{Source: source{st}, Maintenance: c})
	count := func(query, want string) {
		t.Helper()
		api.get("/api/v1/query", "query", "count("+query+") or vector(0)", "time", "1700000600").
			data(`{"resultType":"vector","result":[{"metric":{},"value":[1700000600,"` + want + `"]}]}`)
	}
	const path = "/api/v1/admin/tsdb/delete_series"
	api.post(path).fails(400, "bad_data", "no match[] parameter provided")
	api.post(path, "match[]", "{}").fails(400, "bad_data", "at least one non-empty matcher")
	api.post(path, "match[]", "up", "start", "x").fails(400, "bad_data", `invalid parameter "start"`)
	api.post(path, "match[]", "up", "start", "5", "end", "4").fails(400, "bad_data", "must not be before")
	api.post(path, "match[]", "up", "match[]", "up{").fails(400, "bad_data", `invalid parameter "match[]"`)
	count("up", "2") // A bad selector keeps the good one from being carried out.

	api.post(path, "match[]", `up{instance="a:1"}`, "match[]", "temperature", "start", "1700000200", "end", "1700000600").is(http.StatusNoContent, "")
	count("up", "1") // The samples up to 200 s are gone from the lookback of 5 minutes.
	count("temperature", "0")
	count("count_over_time(up[10m])", "2")
	api.do(httptest.NewRequest(http.MethodPut, path+"?match[]=up", nil)).is(http.StatusNoContent, "")
	count("count_over_time(up[10m])", "0")
	count("http_requests_total", "4")

	api.post("/api/v1/admin/tsdb/clean_tombstones").is(http.StatusNoContent, "")
	if c.count != 1 {
		t.Errorf("%d compactions", c.count)
	}
	c.err = errors.New("disk on fire")
	api.post("/api/v1/admin/tsdb/clean_tombstones").fails(500, "internal", "internal error")
	newAPI(t, promql.Options{}).post("/api/v1/admin/tsdb/clean_tombstones").is(http.StatusNoContent, "")
}

func TestQ23Snapshot(t *testing.T) {
	const path = "/api/v1/admin/tsdb/snapshot"
	api := newAPI(t, promql.Options{})
	api.post(path).fails(404, "not_found", "set storage.snapshot_dir on the server, or let POST /luminate/v1/admin/backup stream an archive of the tenant")

	var failure error
	api = newAPI(t, promql.Options{Snapshot: func(_ context.Context, id tenancy.ID) (string, error) { return "now-of-" + string(id), failure }})
	api.post(path).data(`{"name":"now-of-team-a"}`)
	api.post(path, "skip_head", "true").data(`{"name":"now-of-team-a"}`)
	api.post(path, "skip_head", "perhaps").fails(400, "bad_data", `invalid parameter "skip_head": unable to parse boolean "perhaps" argument`)
	failure = errors.New("disk on fire")
	api.post(path).fails(500, "internal", "internal error")
}

// TestQ25Routes also holds what may change data: never a GET, and always the scope admin.
func TestQ25Routes(t *testing.T) {
	var got []string
	for _, r := range newAPI(t, promql.Options{}).routes {
		got = append(got, fmt.Sprintf("%s %s %s", r.path, r.method, r.scope))
		if destructive := strings.Contains(r.path, "/admin/"); destructive != (r.scope == tenancy.Admin) || destructive && r.method == http.MethodGet {
			t.Errorf("%s %s has the scope %s", r.method, r.path, r.scope)
		}
		if !strings.HasPrefix(r.path, "/api/v1/") && r.path != "/federate" {
			t.Errorf("%s can't be served under a prefix beside other protocols", r.path)
		}
	}
	var want []string
	both := func(path string) { want = append(want, path+" GET read", path+" POST read") }
	for _, p := range []string{"query", "query_range", "query_exemplars", "format_query", "parse_query", "labels", "label/:name/values", "series"} {
		both("/api/v1/" + p)
	}
	for _, p := range []string{
		"metadata", "rules", "alerts", "alertmanagers", "targets", "targets/metadata", "scrape_pools", "status/buildinfo",
		"status/runtimeinfo", "status/flags", "status/config", "status/tsdb", "status/tsdb/blocks", "status/walreplay",
	} {
		want = append(want, "/api/v1/"+p+" GET read")
	}
	want = append(want, "/federate GET read")
	for _, p := range []string{"delete_series", "clean_tombstones", "snapshot"} {
		want = append(want, "/api/v1/admin/tsdb/"+p+" POST admin", "/api/v1/admin/tsdb/"+p+" PUT admin")
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoTenantNoAnswer(t *testing.T) {
	for _, path := range []string{"/api/v1/query?query=1", "/federate?match[]=up"} {
		w := httptest.NewRecorder()
		mux := http.NewServeMux()
		promql.New(promql.Options{Source: source{newStore(t)}}).Register(func(method, path string, _ tenancy.Scopes, h http.Handler) {
			if method == http.MethodGet && !strings.Contains(path, ":") {
				mux.Handle(path, h)
			}
		})
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s without an identity: %d %s", path, w.Code, w.Body)
		}
	}
}
