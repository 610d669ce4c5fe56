package promql_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

func TestQ01Envelope(t *testing.T) {
	api := newAPI(t, promql.Options{})
	r := api.get("/api/v1/query", "query", "1+1", "time", "4")
	r.data(`{"resultType":"scalar","result":[4,"2"]}`)
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
	api.get("/api/v1/query", "query", "nothing_there").data(`{"resultType":"vector","result":[]}`)
	api.get("/api/v1/labels", "match[]", "nothing_there").data(`[]`)
	api.get("/api/v1/query", "query", "up{").is(http.StatusBadRequest,
		`{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces"}`)

	var data any
	_, infos := api.get("/api/v1/query", "query", manyInfos()).decode(&data)
	if len(infos) != 11 || infos[10] != "2 more info annotations omitted" {
		t.Errorf("infos %q", infos)
	}
	warnings, _ := api.get("/api/v1/query", "query", "quantile(2, up)").decode(&data)
	if len(warnings) != 1 {
		t.Errorf("warnings %q", warnings)
	}
}

// failing is a tenant whose reads fail.
type failing struct {
	store.Tenant
	err error
}

func (f failing) Reader(r store.Range) (store.Reader, error) {
	rd, err := f.Tenant.Reader(r)
	return failingReader{rd, f.err}, err
}

func (f failing) Rollup(context.Context, store.Rollup) (store.RollupResult, error) {
	if f.err == nil {
		return store.RollupResult{}, store.ErrDeclined
	}
	return store.RollupResult{}, f.err
}

type failingReader struct {
	store.Reader
	err error
}

func (f failingReader) Select(context.Context, store.Selection) storage.SeriesSet {
	return storage.ErrSeriesSet(f.err)
}

func (f failingReader) Series(context.Context, store.Selection) (store.List[labels.Labels], error) {
	return store.List[labels.Labels]{}, f.err
}

// tenantFunc is a source that wraps the tenant.
type tenantFunc func(tenancy.ID) store.Tenant

func (f tenantFunc) Tenant(id tenancy.ID) store.Tenant { return f(id) }

func failingSource(t *testing.T, err error) promql.Source {
	t.Helper()
	st := newStore(t)
	return tenantFunc(func(id tenancy.ID) store.Tenant { return failing{st.Tenant(id), err} })
}

func TestQ02ErrorTypes(t *testing.T) {
	api := newAPI(t, promql.Options{})
	api.get("/api/v1/query", "query", "up{").fails(400, "bad_data", "parse error")
	api.get("/api/v1/query", "query", "http_requests_total + on (job) up").fails(422, "execution", "found duplicate series for the match group")
	api.post("/api/v1/admin/tsdb/snapshot").fails(404, "not_found", "no snapshots on its disk")

	for _, c := range []struct {
		err     error
		status  int
		typ     string
		text    string
		without string // Must not reach the client.
	}{
		{store.ErrUnavailable, 503, "unavailable", "try again later", ""},
		{store.ErrClosed, 503, "unavailable", "shutting down", ""},
		{fmt.Errorf("clickhouse: dial: %w", problem.Wrap(problem.Unavailable, context.DeadlineExceeded, "store away")), 503, "unavailable", "store away", "dial"},
		{&store.LimitError{Limit: "series", Max: 5, Setting: "x.y"}, 422, "execution", "more than 5 series, the limit set by x.y", ""},
		{fmt.Errorf("badger: /secret/path: %w", store.ErrCorrupt), 500, "internal", "internal error", "secret"},
		{errors.New("disk /secret/path on fire"), 500, "internal", "internal error", "secret"},
		{context.Canceled, 499, "canceled", "canceled", ""},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 503, "timeout", "", "read:"},
		{problem.New(problem.Invalid, "matcher names another tenant"), 400, "bad_data", "matcher names another tenant", ""},
	} {
		broken := newAPI(t, promql.Options{Source: failingSource(t, c.err)})
		for _, r := range []reply{
			broken.get("/api/v1/query", "query", "up"),
			broken.get("/api/v1/query_range", "query", "sum(rate(up[5m]))", "start", "1700000000", "end", "1700000600", "step", "15"),
			broken.get("/api/v1/series", "match[]", "up"),
		} {
			r.fails(c.status, c.typ, c.text)
			if c.without != "" && strings.Contains(r.body, c.without) {
				t.Errorf("%v: the client is told %s", c.err, r.body)
			}
			if retry := r.header.Get("Retry-After"); (retry != "") != (c.typ == "unavailable") {
				t.Errorf("%v: Retry-After %q", c.err, retry)
			}
		}
		r := broken.get("/federate", "match[]", "up")
		if r.status != c.status || strings.HasPrefix(r.body, "{") {
			t.Errorf("federate with %v: %d %s", c.err, r.status, r.body)
		}
	}
}

// crashing is a tenant whose series can't be iterated without a panic.
type crashing struct{ failing }

func (c crashing) Reader(r store.Range) (store.Reader, error) {
	rd, err := c.Tenant.Reader(r)
	return crashingReader{rd}, err
}

type crashingReader struct{ store.Reader }

func (r crashingReader) Select(ctx context.Context, sel store.Selection) storage.SeriesSet {
	return crashingSet{r.Reader.Select(ctx, sel)}
}

type crashingSet struct{ storage.SeriesSet }

func (s crashingSet) At() storage.Series { return crashingSeries{s.SeriesSet.At()} }

type crashingSeries struct{ storage.Series }

func (s crashingSeries) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	none := make([]chunkenc.Iterator, 0)
	return none[s.Labels().Len()]
}

func TestACrashOfAQueryIsOurFault(t *testing.T) {
	st := newStore(t)
	log := &records{Handler: slog.DiscardHandler}
	api := newAPI(t, promql.Options{Logger: slog.New(log), Source: tenantFunc(func(id tenancy.ID) store.Tenant {
		return crashing{failing{Tenant: st.Tenant(id)}}
	})})
	r := api.get("/api/v1/query", "query", "rate(up[5m])", "time", "1700000600")
	r.fails(500, "internal", "internal error: the server's log has the cause")
	if strings.Contains(r.body, "index") || len(log.list) == 0 {
		t.Errorf("the client is told %s, the log %v", r.body, log.list)
	}
}

func TestOtherTenantsStayOutOfSight(t *testing.T) {
	api := newAPI(t, promql.Options{})
	for _, r := range []reply{
		api.get("/api/v1/query", "query", `{__name__=~".+"}`),
		api.get("/api/v1/series", "match[]", `{__name__!=""}`),
		api.get("/api/v1/label/__name__/values"),
		api.get("/api/v1/status/tsdb"),
		api.get("/federate", "match[]", `{__name__!=""}`),
	} {
		if r.status != 200 || strings.Contains(r.body, "secret_of_b") {
			t.Errorf("%s: %d %s", r.what, r.status, r.body)
		}
	}
	for _, path := range []string{"/api/v1/series", "/api/v1/labels", "/api/v1/label/job/values"} {
		api.get(path, "match[]", `{_tenant_id="team-b",job=~".*"}`).fails(400, "bad_data", "may not read")
	}
	for _, path := range []string{"/api/v1/query", "/api/v1/query_exemplars"} {
		api.get(path, "query", `up{_tenant_id="team-b"}`).fails(400, "bad_data", "may not read")
	}
	api.post("/api/v1/admin/tsdb/delete_series", "match[]", `{_tenant_id="team-b"}`).fails(400, "bad_data", "may not read")
	api.get("/api/v1/query", "query", `count(up{_tenant_id="team-a"})`, "time", "1700000600").
		data(`{"resultType":"vector","result":[{"metric":{},"value":[1700000600,"2"]}]}`)
}

func TestQ03MessageForms(t *testing.T) {
	api := newAPI(t, promql.Options{})
	for _, c := range []struct{ path, param, value, text string }{
		{"/api/v1/query", "query", "sum(", `invalid parameter "query": 1:5: parse error: unclosed left parenthesis`},
		{"/api/v1/query", "time", "x", `invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp`},
		{"/api/v1/query", "limit", "-1", `invalid parameter "limit": limit must be non-negative`},
		{"/api/v1/query_range", "start", "", `invalid parameter "start": cannot parse "" to a valid timestamp`},
		{"/api/v1/format_query", "query", "(", `invalid parameter "query": 1:2: parse error: unclosed left parenthesis`},
	} {
		api.get(c.path, c.param, c.value).fails(400, "bad_data", c.text)
	}
}

func TestQ03bAnnotations(t *testing.T) {
	api := newAPI(t, promql.Options{})
	var data any
	warnings, infos := api.get("/api/v1/query", "query", `rate(temperature[5m]) + quantile(3, up)`, "time", "1700000600").decode(&data)
	want := func(got []string, prefix, position string) {
		t.Helper()
		if len(got) != 1 || !strings.HasPrefix(got[0], prefix) || !strings.HasSuffix(got[0], position) {
			t.Errorf("annotations %q, want %q ... %q", got, prefix, position)
		}
	}
	want(warnings, "PromQL warning: quantile value should be between 0 and 1", "(1:34)")
	want(infos, `PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "temperature"`, "(1:6)")
}

func TestQ04Methods(t *testing.T) {
	api := newAPI(t, promql.Options{})
	for _, path := range []string{"/api/v1/query", "/api/v1/format_query", "/api/v1/parse_query", "/api/v1/query_exemplars"} {
		if get, post := api.get(path, "query", "up", "time", "1700000600"), api.post(path, "query", "up", "time", "1700000600"); get.status != 200 || get.body != post.body {
			t.Errorf("%s: GET %d %s, POST %d %s", path, get.status, get.body, post.status, post.body)
		}
	}
	for _, path := range []string{"/api/v1/labels", "/api/v1/series", "/api/v1/label/job/values"} {
		if get, post := api.get(path, "match[]", "up"), api.post(path, "match[]", "up"); get.status != 200 || get.body != post.body {
			t.Errorf("%s: GET %d %s, POST %d %s", path, get.status, get.body, post.status, post.body)
		}
	}
	// Grafana puts custom parameters and stats into the URL and the rest into the body.
	api.do(postRequest("/api/v1/query?time=1700000600&limit=1", "query=up")).is(200,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:1","job":"api"},"value":[1700000600,"1"]}]},"warnings":["results truncated due to limit"]}`)
	// Lists are joined.
	api.do(postRequest("/api/v1/label/room/values?match[]=nothing", "match[]=temperature")).data(`["attic","cellar"]`)

	api.do(postRequest("/api/v1/query", "query=%zz")).fails(400, "bad_data", "error parsing form values")
	small := newAPI(t, promql.Options{Limits: promql.Limits{MaxFormBytes: 100}})
	small.do(postRequest("/api/v1/query", "query="+strings.Repeat("x", 200))).fails(413, "bad_data", "larger than 100 bytes")

	body := "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n1\r\n--b--\r\n"
	multipart := postRequest("/api/v1/query?time=1", body)
	multipart.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	api.do(multipart).data(`{"resultType":"scalar","result":[1,"1"]}`)
}
