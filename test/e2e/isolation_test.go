package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/test/client"
)

// mark stands in everything that tenant a writes: names, labels, help texts.
const mark = "alphasecret"

// A probe is one way to ask for something.
type probe struct {
	method, path string
	header       http.Header
	params       url.Values
	body         []byte
	shows        bool // The owner of the data sees the mark in the answer.
}

func (p probe) send(t *testing.T, c *client.Client) *client.Reply {
	t.Helper()
	path := p.path
	if len(p.params) > 0 {
		path += "?" + p.params.Encode()
	}
	method := p.method
	if method == "" {
		method = http.MethodGet
	}
	reply := must(t)(c.Do(t.Context(), method, path, p.header, p.body))
	if strings.HasPrefix(p.path, "/api/v1/read") && reply.OK() && reply.Header.Get("Content-Encoding") == "snappy" {
		raw, err := snappy.Decode(nil, reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		reply.Body = raw
	}
	return reply
}

// writeMarked writes every kind of thing for tenant a.
func writeMarked(t *testing.T, c *client.Client, ts int64) {
	t.Helper()
	lbls := []prompb.Label{{Name: "__name__", Value: mark + "_metric"}, {Name: mark + "_label", Value: mark + "_value"}, {Name: "job", Value: "j"}}
	exemplar := prompb.Exemplar{Labels: []prompb.Label{{Name: "trace", Value: mark + "_trace"}}, Value: 1, Timestamp: ts}
	request := &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{{Labels: lbls, Samples: []prompb.Sample{{Timestamp: ts, Value: 1}}, Exemplars: []prompb.Exemplar{exemplar}}},
		Metadata:   []prompb.MetricMetadata{{MetricFamilyName: mark + "_metric", Type: prompb.MetricMetadata_GAUGE, Help: mark + " help"}},
	}
	reply := must(t)(c.Do(t.Context(), http.MethodPost, writePath, headers1(), encoded(request)))
	if !reply.OK() {
		t.Fatal(reply)
	}
	reply = must(t)(c.Write(t.Context(), client.JSON, client.One(ts, 1, "__name__", mark+"_json", mark+"_label", mark+"_value")))
	if !reply.OK() {
		t.Fatal(reply)
	}
}

func readRequest(ts int64, types ...prompb.ReadRequest_ResponseType) []byte {
	return encoded(&prompb.ReadRequest{
		AcceptedResponseTypes: types,
		Queries: []*prompb.Query{{
			StartTimestampMs: ts - 60_000, EndTimestampMs: ts + 60_000,
			Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: "__name__", Value: ".+"}},
		}},
	})
}

// probes lists every way to ask, with the tricks that try to reach another tenant.
func probes(now time.Time) []probe {
	at := client.Seconds(now)
	window := func(pairs ...string) url.Values {
		v := params(pairs...)
		v.Set("start", client.Seconds(now.Add(-time.Minute)))
		v.Set("end", client.Seconds(now.Add(time.Minute)))
		return v
	}
	rng := func(query string) url.Values {
		v := window("query", query)
		v.Set("step", "10")
		return v
	}
	all := `{__name__=~".+"}`
	out := []probe{
		{path: "/api/v1/query", params: params("query", all, "time", at), shows: true},
		{path: "/api/v1/query", params: params("query", "count by (job) ("+mark+"_metric)", "time", at)},
		{path: "/api/v1/query_range", params: rng(all), shows: true},
		{path: "/api/v1/query_exemplars", params: window("query", all), shows: true},
		{path: "/api/v1/query_exemplars", params: window("query", mark+"_metric"), shows: true},
		{path: "/api/v1/series", params: window("match[]", all), shows: true},
		{path: "/api/v1/labels", params: window(), shows: true},
		{path: "/api/v1/labels", params: window("match[]", all), shows: true},
		{path: "/api/v1/label/__name__/values", params: window(), shows: true},
		{path: "/api/v1/label/" + mark + "_label/values", params: window(), shows: true},
		{path: "/api/v1/metadata", shows: true},
		{path: "/api/v1/metadata", params: params("metric", mark+"_metric"), shows: true},
		{path: "/federate", params: params("match[]", all), shows: true},
		{path: "/api/v1/status/tsdb", shows: true},
		{path: "/api/v1/status/config"},
		{path: "/api/v1/status/flags"},
		{path: "/api/v1/status/runtimeinfo"},
		{path: "/api/v1/status/buildinfo"},
		{path: "/api/v1/rules"},
		{path: "/api/v1/alerts"},
		{path: "/api/v1/targets"},
		{path: "/api/v1/targets/metadata"},
		{path: "/api/v1/scrape_pools"},
		{path: "/metrics"},
		{path: "/luminate/v1/metrics", shows: true},
		{path: "/luminate/v1/metrics/" + mark + "_json/dimensions", shows: true},
		{path: "/luminate/v1/metrics/" + mark + "_json/dimensions/" + mark + "_label/values", shows: true},
		{path: "/luminate/v1/cardinality"},
		{path: "/luminate/v1/usage"},
		{path: "/luminate/v1/limits"},
		{path: "/api/v1/admin/tsdb/delete_series", method: http.MethodPost, params: params("match[]", all)},
		{path: "/api/v1/read", method: http.MethodPost, header: headers1(), body: readRequest(now.UnixMilli()), shows: true},
		{path: "/api/v1/read", method: http.MethodPost, header: headers1(), body: readRequest(now.UnixMilli(), prompb.ReadRequest_STREAMED_XOR_CHUNKS), shows: true},
		{
			path: "/luminate/v1/query", method: http.MethodPost, header: http.Header{"Content-Type": {"application/json"}},
			body: fmt.Appendf(nil, `{"metric":"%s_json","aggregation":"COUNT","from":%d,"to":%d,"group_by":["%s_label"]}`,
				mark, now.UnixMilli()-60_000, now.UnixMilli()+60_000, mark),
			shows: true,
		},
	}
	for _, matcher := range []string{`_tenant_id="a"`, `_tenant_id=~"a|b"`, `_tenant_id!="b"`, `_tenant_id=~".*"`, `_tenant_id!=""`, `tenant="a"`} {
		selector := `{__name__=~".+",` + matcher + `}`
		out = append(out,
			probe{path: "/api/v1/query", params: params("query", selector, "time", at)},
			probe{path: "/api/v1/query", params: params("query", "count_over_time("+selector+"[5m])", "time", at)},
			probe{path: "/api/v1/query_range", params: rng(selector)},
			probe{path: "/api/v1/series", params: window("match[]", selector)},
			probe{path: "/api/v1/labels", params: window("match[]", selector)},
			probe{path: "/api/v1/label/__name__/values", params: window("match[]", selector)},
			probe{path: "/api/v1/query_exemplars", params: window("query", selector)},
			probe{path: "/federate", params: params("match[]", selector)},
		)
	}
	out = append(out, probe{path: "/api/v1/label/_tenant_id/values", params: window()})
	for _, p := range out {
		if strings.HasPrefix(p.path, "/api/") {
			p.path = "/prometheus" + p.path
			out = append(out, p)
		}
	}
	return out
}

// reveals reports whether an answer holds the mark anywhere but in the caller's own words.
func reveals(reply *client.Reply) bool {
	if !reply.OK() {
		return false // An error repeats what was asked.
	}
	// The answer names the metric and the dimension that were asked for; that is no data.
	body := reply.Body
	for _, echo := range []string{`"metric":"` + mark + `_json"`, `"dimension":"` + mark + `_label"`} {
		body = bytes.Replace(body, []byte(echo), nil, 1)
	}
	return bytes.Contains(body, []byte(mark))
}

// No endpoint shows one tenant what another has written, whatever it asks and whatever it claims to be.
func TestIsolation(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir(), "LUMINATE_AUTH_MODE=jwt", secretSetting)
	as := func(tenant, token string) *client.Client {
		c := newClient(t, server.URL(), tenant)
		c.Token = token
		return c
	}
	tokenA, tokenB := mint(t, "a", "read,write"), mint(t, "b", "read,write,admin")
	now := time.Now()
	a := as("", tokenA)
	writeMarked(t, a, now.UnixMilli())
	if r := must(t)(as("", tokenB).Write(t.Context(), client.RemoteWrite1, client.One(now.UnixMilli(), 2, "__name__", "own"))); !r.OK() {
		t.Fatal(r)
	}
	for i, p := range probes(now) {
		t.Run(fmt.Sprintf("%d%s", i, strings.ReplaceAll(p.path, "/", "_")), func(t *testing.T) {
			// Deleting as b must not touch a, which the checks after it show.
			if r := p.send(t, as("", tokenB)); reveals(r) || r.Status >= 500 && r.Status != 501 {
				t.Errorf("as b: %s %v: %v", p.path, p.params, r)
			}
			for _, header := range []string{"a", "a|b", "b|a"} {
				if r := p.send(t, as(header, tokenB)); reveals(r) {
					t.Errorf("as b that claims to be %q: %s %v: %v", header, p.path, p.params, r)
				}
			}
			if r := p.send(t, a); p.shows && !reveals(r) {
				t.Errorf("a does not see its own data, so the check proves nothing: %s %v: %v", p.path, p.params, r)
			}
		})
	}
}

// A client can't write into another tenant by a label, in any protocol.
func TestTenantLabelIsRefused(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir())
	b := newClient(t, server.URL(), "b")
	now := time.Now()
	for _, p := range client.Protocols() {
		r := must(t)(b.Write(t.Context(), p, client.One(now.UnixMilli(), 1, "__name__", "intruder", "_tenant_id", "a")))
		if r.Status != http.StatusBadRequest || !strings.Contains(string(r.Body), "_tenant_id") {
			t.Errorf("%v: want a 400 that names _tenant_id, got %v", p, r)
		}
	}
	for _, tenant := range []string{"a", "b"} {
		r := must(t)(newClient(t, server.URL(), tenant).Query(t.Context(), "intruder", now))
		if streams, err := r.Streams(); err != nil || len(streams) != 0 {
			t.Errorf("tenant %s has %v, %v", tenant, streams, err)
		}
	}
}
