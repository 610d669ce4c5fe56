package native_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/tenancy"
)

const root = "/luminate/v1"

// catalogue returns a fixture with a few metrics, and another tenant's.
func catalogue(t *testing.T, change ...func(*native.Options)) *fixture {
	t.Helper()
	f := newFixture(t, change...)
	f.wrote(fmt.Sprintf(`[
		{"name":"api_errors","value":1,"dimensions":{"code":"500"}},
		{"name":"api_latency","value":1,"timestamp":%d,"dimensions":{"path":"/a","region":"eu"}},
		{"name":"api_latency","value":1,"timestamp":%d,"dimensions":{"path":"/b","region":"eu"}},
		{"name":"api_latency","value":1,"dimensions":{"path":"/a"}},
		{"name":"up","value":1}]`, start, start+1000))
	f.wrote(`{"name":"secret","value":1,"dimensions":{"hidden":"yes"}}`, "X-Scope-OrgID: other")
	return f
}

func TestListMetrics(t *testing.T) {
	f := catalogue(t)
	list := func(params, metrics string, truncated bool) {
		t.Helper()
		f.get(root+"/metrics"+params, 200, fmt.Sprintf(`{"metrics":%s,"truncated":%t}`, metrics, truncated))
	}
	list("", `["api_errors","api_latency","up"]`, false)
	list("?limit=2", `["api_errors","api_latency"]`, true)
	list("?limit=3", `["api_errors","api_latency","up"]`, false)
	list("?prefix=api_", `["api_errors","api_latency"]`, false)
	list("?prefix=.", `[]`, false)
	list("?match=.*(s|p)", `["api_errors","up"]`, false)
	list("?match=.*s&prefix=api", `["api_errors"]`, false)
	list("?match=p", `[]`, false) // Anchored.
	list(fmt.Sprintf("?to=%d", noon-1), `["api_latency"]`, false)
	list("?from=now&to=now", `["api_errors","api_latency","up"]`, false)
	list("?from=2023-11-29T12:00:00.001Z", `[]`, false)
	f.get(root+"/metrics", 200, `{"metrics":["secret"],"truncated":false}`, "X-Scope-OrgID: other")
	f.get(root+"/metrics", 200, `{"metrics":[],"truncated":false}`, "X-Scope-OrgID: nobody")
}

func TestDescribeMetric(t *testing.T) {
	f := catalogue(t)
	b := metric.NewBatch(f.hasher)
	b.Metadata = append(b.Metadata, metric.Metadata{Family: "api_latency", Type: "gauge", Help: "How long.", Unit: "seconds"})
	b.Metadata = append(b.Metadata, metric.Metadata{Family: "size", Type: "histogram", Help: "How big."})
	b.StartSeries(metric.AppendLabel(nil, "__name__", "size_bucket"), 0)
	b.AddSample(metric.Sample{Timestamp: noon, Value: 1})
	if _, err := f.store.Tenant(tenancy.Default).Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	f.get(root+"/metrics/api_latency", 200, fmt.Sprintf(`{"name":"api_latency",
		"metadata":{"type":"gauge","help":"How long.","unit":"seconds"},"series":3,
		"dimensions":[{"dimension":"path","values":2},{"dimension":"region","values":1}],
		"first":%d,"last":%d,"approximate":false}`, start, noon))
	f.get(root+fmt.Sprintf("/metrics/api_latency?from=%d&to=%d", start+1, start+1000), 200, fmt.Sprintf(`{"name":"api_latency",
		"metadata":{"type":"gauge","help":"How long.","unit":"seconds"},"series":1,
		"dimensions":[{"dimension":"path","values":1},{"dimension":"region","values":1}],
		"first":%d,"last":%[1]d,"approximate":false}`, start+1000))
	f.get(root+"/metrics/up", 200, fmt.Sprintf(`{"name":"up","metadata":null,"series":1,"dimensions":[],
		"first":%d,"last":%[1]d,"approximate":false}`, noon))
	f.get(root+"/metrics/size_bucket", 200, fmt.Sprintf(`{"name":"size_bucket",
		"metadata":{"type":"histogram","help":"How big.","unit":""},"series":1,"dimensions":[],
		"first":%d,"last":%[1]d,"approximate":false}`, noon))
	f.get(root+"/metrics/secret", 404, `{"detail":"there is no metric \"secret\" in the range"}`)
	f.get(root+"/metrics/up?from=0&to=1", 404, `{"detail":"there is no metric \"up\" in the range"}`)
}

func TestListDimensionsAndValues(t *testing.T) {
	f := catalogue(t)
	dimensions := func(metric, want string) {
		t.Helper()
		f.get(root+"/metrics/"+metric, 200, want)
	}
	dimensions("api_latency/dimensions", `{"metric":"api_latency","dimensions":["path","region"],"truncated":false}`)
	dimensions("api_latency/dimensions?limit=1", `{"metric":"api_latency","dimensions":["path"],"truncated":true}`)
	dimensions("api_latency/dimensions?limit=2", `{"metric":"api_latency","dimensions":["path","region"],"truncated":false}`)
	dimensions("api_latency/dimensions?from=now", `{"metric":"api_latency","dimensions":["path"],"truncated":false}`)
	dimensions("up/dimensions", `{"metric":"up","dimensions":[],"truncated":false}`)
	dimensions("secret/dimensions", `{"metric":"secret","dimensions":[],"truncated":false}`)

	values := func(path, values string, truncated bool) {
		t.Helper()
		name, rest, _ := strings.Cut(path, "/")
		dimension, params, _ := strings.Cut(rest, "?")
		f.get(root+"/metrics/"+name+"/dimensions/"+dimension+"/values?"+params, 200,
			fmt.Sprintf(`{"metric":%q,"dimension":%q,"values":%s,"truncated":%t}`, name, dimension, values, truncated))
	}
	values("api_latency/path", `["/a","/b"]`, false)
	values("api_latency/path?limit=1", `["/a"]`, true)
	values("api_latency/path?prefix=/b", `["/b"]`, false)
	values("api_latency/path?match=.[a]", `["/a"]`, false)
	values("api_latency/region?from=now", `[]`, false)
	values("api_latency/nowhere", `[]`, false)
	values("api_latency/hidden", `[]`, false)
	values("secret/hidden", `[]`, false)
	values("api_latency/_tenant_id", `[]`, false)
}

func TestNamesThatPathsCannotHold(t *testing.T) {
	f := newFixture(t)
	b := metric.NewBatch(f.hasher)
	b.StartSeries(metric.AppendLabel(metric.AppendLabel(nil, "__name__", "k8s.io/größe"), "a/b", "c d"), 0)
	b.AddSample(metric.Sample{Timestamp: noon, Value: 1})
	b.StartSeries(metric.AppendLabel(nil, "__name__", "job:rate 5m"), 0)
	b.AddSample(metric.Sample{Timestamp: noon, Value: 1})
	if _, err := f.store.Tenant(tenancy.Default).Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	f.get(root+"/metrics/U__k8s_2e_io_2f_gr_f6__df_e/dimensions/U__a_2f_b/values", 200,
		`{"metric":"k8s.io/größe","dimension":"a/b","values":["c d"],"truncated":false}`)
	f.get(root+"/metrics/"+url.PathEscape("job:rate 5m")+"/dimensions", 200,
		`{"metric":"job:rate 5m","dimensions":[],"truncated":false}`)
}

func TestDiscoveryComplaints(t *testing.T) {
	f := catalogue(t, func(o *native.Options) { o.Limits.Names = 10 })
	bad := func(path, detail string) {
		t.Helper()
		w := f.do(http.MethodGet, root+path, "")
		if w.Code != 400 || !strings.Contains(w.Body.String(), fmt.Sprintf(`"detail":%q`, detail)) {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
	}
	bad("/metrics?form=1", "form: unknown parameter: the parameters are from, to, prefix, match, limit")
	bad("/metrics?from=1&from=2", "from: is given 2 times")
	bad("/metrics?from=x&limit=0&to=2&zz=", "zz: unknown parameter: the parameters are from, to, prefix, match, limit; "+
		`from: "x" is no time: use milliseconds since the Unix epoch, RFC 3339, now, or now-1h; `+
		`limit: "0" is not a whole number from 1`)
	bad("/metrics?from=2&to=1", "from: is after to")
	bad("/metrics?limit=11", "limit: 11 is more than 10, the limit set by query.max_names")
	bad("/metrics?match=(", "match: \"(\" is no regular expression (RE2 syntax): error parsing regexp: missing closing ): `(`")
	bad("/metrics?from=%zz", `the query string can't be understood: invalid URL escape "%zz"`)
	bad("/metrics/up?prefix=x", "prefix: unknown parameter: the parameters are from, to")
	bad("/metrics/up/dimensions?match=x", "match: unknown parameter: the parameters are from, to, limit")
	bad("/cardinality?top=1001", "top: 1001 is more than 1000, the limit")
	bad("/cardinality?name=x", "name: unknown parameter: the parameters are metric, from, to, top")
}

func TestCardinality(t *testing.T) {
	f := catalogue(t)
	f.get(root+"/cardinality?metric=api_latency&top=2", 200, fmt.Sprintf(`{"series":3,"dimension_pairs":4,
		"by_metric":[{"metric":"api_latency","series":3}],
		"by_dimension":[{"dimension":"path","values":2},{"dimension":"__name__","values":1}],
		"by_bytes":[{"dimension":"__name__","bytes":11},{"dimension":"path","bytes":4}],
		"by_pair":[{"pair":"__name__=api_latency","series":3},{"pair":"path=/a","series":2}],
		"first":%d,"last":%d,"approximate":false}`, start, noon))
	f.get(root+"/cardinality?from=now&top=1", 200, fmt.Sprintf(`{"series":3,"dimension_pairs":5,
		"by_metric":[{"metric":"api_errors","series":1}],
		"by_dimension":[{"dimension":"__name__","values":3}],
		"by_bytes":[{"dimension":"__name__","bytes":23}],
		"by_pair":[{"pair":"__name__=api_errors","series":1}],
		"first":%d,"last":%[1]d,"approximate":false}`, noon))
	f.get(root+"/cardinality", 200, `{"series":0,"dimension_pairs":0,"by_metric":[],"by_dimension":[],"by_bytes":[],"by_pair":[],
		"first":null,"last":null,"approximate":false}`, "X-Scope-OrgID: nobody")
}

func TestDelete(t *testing.T) {
	f := catalogue(t)
	const asJSON = "Content-Type: application/json"
	del := func(body string, status int, want string) {
		t.Helper()
		f.want(f.do(http.MethodPost, root+"/delete", body, asJSON), status, want)
	}
	before := f.stored(tenancy.Default)
	del(`{}`, 400, `{
		"detail":"metric: is missing; from: is missing: use milliseconds since the Unix epoch, RFC 3339, or now-1h; to: is missing: use milliseconds since the Unix epoch, RFC 3339, or now; filters: is missing: use [] to delete all series of the metric",
		"errors":[{"field":"metric","detail":"is missing"},
			{"field":"from","detail":"is missing: use milliseconds since the Unix epoch, RFC 3339, or now-1h"},
			{"field":"to","detail":"is missing: use milliseconds since the Unix epoch, RFC 3339, or now"},
			{"field":"filters","detail":"is missing: use [] to delete all series of the metric"}]}`)
	del(`{"metric":"up","from":0,"to":"now","filters":[{"dimension":"a","op":"=~","value":"("}]}`, 400, `{
		"detail":"filters[0].value: \"(\" is no regular expression (RE2 syntax): error parsing regexp: missing closing ): `+"`(`"+`",
		"errors":[{"field":"filters[0].value","detail":"\"(\" is no regular expression (RE2 syntax): error parsing regexp: missing closing ): `+"`(`"+`"}]}`)
	del(`{"metric":"api_latency","from":0,"to":"now","filters":[{"dimension":"_tenant_id","op":"=","value":"other"}]}`, 400, `{
		"detail":"matcher _tenant_id=\"other\" names a tenant that this request may not read: its tenant is \"default\""}`)
	f.want(f.do(http.MethodPost, root+"/delete", `{"metric":"up","from":0,"to":"now","filters":[]}`), 415,
		`{"detail":"Content-Type \"\" is not taken here: use application/json"}`)
	f.want(f.do(http.MethodPost, root+"/delete", `{"metric":"up","from":0,"to":"now","filters":[]}`, asJSON, "X-Scopes: read"), 403,
		`{"detail":"needs admin"}`)
	if got := f.stored(tenancy.Default); got != before {
		t.Fatalf("refused deletions changed the store:\n%s", got)
	}

	del(`{"metric":"api_latency","from":0,"to":"now","filters":[{"dimension":"path","op":"=","value":"/a"},{"dimension":"region","op":"exists"}]}`, 200,
		fmt.Sprintf(`{"metric":"api_latency","from":0,"to":%d,"deleted":true}`, noon))
	del(`{"metric":"up","from":0,"to":"now-1s","filters":[]}`, 200, fmt.Sprintf(`{"metric":"up","from":0,"to":%d,"deleted":true}`, noon-1000))
	del(`{"metric":"secret","from":0,"to":"now","filters":[]}`, 200, fmt.Sprintf(`{"metric":"secret","from":0,"to":%d,"deleted":true}`, noon))
	want := `{__name__="api_errors", code="500"} 1701259200000 1
{__name__="api_latency", path="/a"} 1701259200000 1
{__name__="api_latency", path="/b", region="eu"} 1701259141000 1
{__name__="up"} 1701259200000 1
`
	if got := f.stored(tenancy.Default); got != want {
		t.Errorf("left:\n%s", got)
	}
	if f.stored("other") == "" {
		t.Error("another tenant's samples are gone")
	}
}

func TestRoutesNeedATenant(t *testing.T) {
	f := newFixture(t)
	native.New(native.Options{Sink: f.pipeline, Source: source{f.store}}).Register(
		func(method, path string, scope tenancy.Scopes, h http.Handler) {
			if scope == 0 {
				return
			}
			w := f.bare(method, path, h)
			if w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s without a tenant: status %d", method, path, w.Code)
			}
		})
}
