package promql_test

import (
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/tenancy"
)

func TestQ14Labels(t *testing.T) {
	api := newAPI(t, promql.Options{})
	api.get("/api/v1/labels").data(`["__name__","a.label","code","instance","job","le","nameless","room"]`)
	api.get("/api/v1/labels", "match[]", "up", "match[]", "temperature").data(`["__name__","instance","job","room"]`)
	api.get("/api/v1/labels", "start", "1", "end", "2").data(`[]`)
	api.get("/api/v1/labels", "start", "2000000000", "end", "1700000000").data(`[]`)
	api.get("/api/v1/label/instance/values").data(`["a:1","b:1"]`)
	api.get("/api/v1/label/instance/values", "match[]", `{code="500"}`, "match[]", "temperature").data(`["a:1","b:1"]`)
	api.get("/api/v1/label/nothing/values").data(`[]`)
	api.get("/api/v1/label/U__a_2e_label/values", "match[]", `{"some.metric"}`).decode(new([]string))
	if got := api.get("/api/v1/label/U__a_2e_label/values").body; got != api.get("/api/v1/label/a.label/values").body {
		t.Errorf("an escaped name is another name: %s", got)
	}
	api.get("/api/v1/label/bad%FFname/values").fails(400, "bad_data", `invalid label name: "bad\xffname"`)
	// Grafana's ad-hoc filters send POST, which Prometheus refuses.
	api.post("/api/v1/label/instance/values", "match[]", "up", "match[]", "temperature").data(`["a:1","b:1"]`)
}

func TestQ15Series(t *testing.T) {
	api := newAPI(t, promql.Options{})
	api.get("/api/v1/series").fails(400, "bad_data", "no match[] parameter provided")
	for _, path := range []string{"/api/v1/series", "/api/v1/labels", "/api/v1/label/job/values"} {
		for _, m := range []string{"{}", `{a=""}`, `{a=~".*"}`} {
			api.get(path, "match[]", "up", "match[]", m).fails(400, "bad_data", "match[] must contain at least one non-empty matcher")
		}
	}
	ups := `{"__name__":"up","instance":"a:1","job":"api"},{"__name__":"up","instance":"b:1","job":"api"}`
	api.get("/api/v1/series", "match[]", "up", "match[]", "up", "match[]", `{__name__=~"temperature|up",room!="attic"}`).
		data(`[{"__name__":"temperature","room":"cellar"},` + ups + `]`)
	api.get("/api/v1/series", "match[]", "up").data(`[` + ups + `]`)
	api.get("/api/v1/series", "match[]", "nothing").data(`[]`)
	for _, m := range []string{`{__name__!=""}`, `{__name__=~".+",}`} { // Grafana and its drill-down page.
		var list []map[string]string
		api.get("/api/v1/series", "match[]", m).decode(&list)
		if len(list) != len(testData())-1 { // All but the series without a name.
			t.Errorf("%s: %d series", m, len(list))
		}
	}
}

func TestQ16Metadata(t *testing.T) {
	api := newAPI(t, promql.Options{})
	all := `{"http_requests_total":[{"type":"counter","unit":"","help":"Requests \u003cserved\u003e."}],` +
		`"latency":[{"type":"histogram","unit":"seconds","help":"How long."}],"up":[{"type":"gauge","unit":"","help":"Up."}]}`
	api.get("/api/v1/metadata").data(all)
	api.get("/api/v1/metadata", "limit", "40000").data(all)
	api.get("/api/v1/metadata", "limit", "0").data(all) // Grafana means no limit.
	api.get("/api/v1/metadata", "limit", "-1", "limit_per_metric", "1").data(all)
	api.get("/api/v1/metadata", "limit", "1").data(`{"http_requests_total":[{"type":"counter","unit":"","help":"Requests \u003cserved\u003e."}]}`)
	api.get("/api/v1/metadata", "metric", "up").data(`{"up":[{"type":"gauge","unit":"","help":"Up."}]}`)
	api.get("/api/v1/metadata", "metric", "nothing").data(`{}`)
	api.get("/api/v1/metadata", "limit", "x").fails(400, "bad_data", "limit must be a number")
	api.get("/api/v1/metadata", "limit_per_metric", "x").fails(400, "bad_data", "limit_per_metric must be a number")
}

func TestQ17Exemplars(t *testing.T) {
	api := newAPI(t, promql.Options{})
	series := `"seriesLabels":{"__name__":"http_requests_total","code":"`
	api.get("/api/v1/query_exemplars", "query", "sum(rate(http_requests_total[5m]))", "start", "1700000000", "end", "1700000150.007").data(
		`[{` + series + `200","instance":"a:1","job":"api"},"exemplars":[{"labels":{"trace_id":"t<a>"},"value":"0","timestamp":1700000000.007},{"labels":{"trace_id":"t<k>"},"value":"1.25","timestamp":1700000150.007}]},` +
			`{` + series + `500","instance":"a:1","job":"api"},"exemplars":[{"labels":{"trace_id":"t<a>"},"value":"0","timestamp":1700000000.007},{"labels":{"trace_id":"t<k>"},"value":"1.25","timestamp":1700000150.007}]}]`)
	api.get("/api/v1/query_exemplars", "query", "up").data(`[]`)
	api.get("/api/v1/query_exemplars", "query", "1+1").data(`[]`)
	api.get("/api/v1/query_exemplars", "query", "up{").fails(400, "bad_data", "1:4: parse error")
	api.get("/api/v1/query_exemplars", "query", "up", "start", "2", "end", "1").fails(400, "bad_data", "end timestamp must not be before start timestamp")

	few := newAPI(t, promql.Options{Limits: promql.Limits{MaxExemplars: 14}})
	var data []struct{ Exemplars []any }
	warnings, _ := few.get("/api/v1/query_exemplars", "query", "http_requests_total").decode(&data)
	if len(data) != 2 || len(data[0].Exemplars) != 13 || len(data[1].Exemplars) != 1 || len(warnings) != 1 {
		t.Errorf("cut to 14: %v %q", data, warnings)
	}
	few = newAPI(t, promql.Options{Limits: promql.Limits{MaxExemplars: 13}})
	if few.get("/api/v1/query_exemplars", "query", "http_requests_total").decode(&data); len(data) != 1 {
		t.Errorf("cut to 13: %v", data)
	}
}

func TestQ18FormatAndParse(t *testing.T) {
	api := newAPI(t, promql.Options{})
	api.get("/api/v1/format_query", "query", "sum(rate(foo_total{bar=\"baz\"}[5m]))/on(x)group_left  y").
		data(`"sum(rate(foo_total{bar=\"baz\"}[5m])) / on (x) group_left () y"`)
	api.get("/api/v1/parse_query", "query", `a / on (x) group_left (y) b{c="d"} offset 5m`).data(
		`{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},` +
			`"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"include":["y"],"labels":["x"],"on":true},"op":"/",` +
			`"rhs":{"anchored":false,"matchers":[{"name":"c","type":"=","value":"d"},{"name":"__name__","type":"=","value":"b"}],"name":"b","offset":300000,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"}`)
	api.get("/api/v1/parse_query", "query", `+`).fails(400, "bad_data", "parse error")
}

func TestQ19RulesAndAlerts(t *testing.T) {
	api := newAPI(t, promql.Options{})
	api.get("/api/v1/rules").data(`{"groups":[]}`)
	api.get("/api/v1/rules", "type", "alert", "exclude_alerts", "true", "group_limit", "10", "match[]", "{a=\"b\"}").data(`{"groups":[]}`)
	api.get("/api/v1/rules", "type", "x").fails(400, "bad_data", `not supported value "x"`)
	api.get("/api/v1/alerts").data(`{"alerts":[]}`)
}

func TestQ20BuildInfo(t *testing.T) {
	version := func(v, want string) {
		t.Helper()
		api := newAPI(t, promql.Options{Status: promql.Status{Build: promql.Build{
			Version: v, Revision: "abc", Branch: "main", User: "ci", Date: "20261123", GoVersion: "go1.26",
		}}})
		api.get("/api/v1/status/buildinfo").data(`{"version":"` + want +
			`","revision":"abc","branch":"main","buildUser":"ci","buildDate":"20261123","goVersion":"go1.26","application":"Luminate"}`)
	}
	version("2.3.4", "2.3.4")
	version("v2.3.4-rc.1", "2.3.4-rc.1")
	version("dev", "0.1.0")
	version("", "0.1.0")
	version("(devel)", "0.1.0")
}

func TestQ21Status(t *testing.T) {
	api := newAPI(t, promql.Options{Status: promql.Status{
		Started: time.UnixMilli(base), Retention: "15d", Flags: map[string]string{"log.level": "info"}, Config: func() string { return "a: b\n" },
	}})
	api.get("/api/v1/status/config").data(`{"yaml":"a: b\n"}`)
	api.get("/api/v1/status/flags").data(`{"log.level":"info"}`)
	api.get("/api/v1/status/walreplay").data(`{"min":0,"max":0,"current":0}`)
	api.get("/api/v1/targets").data(`{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}`)
	api.get("/api/v1/targets/metadata").data(`[]`)
	api.get("/api/v1/scrape_pools").data(`{"scrapePools":[]}`)
	api.get("/api/v1/alertmanagers").data(`{"activeAlertmanagers":[],"droppedAlertmanagers":[]}`)

	var info struct {
		StartTime, ServerTime time.Time
		StorageRetention      string
		CWD, Hostname         string
		GoroutineCount        int
	}
	api.get("/api/v1/status/runtimeinfo").decode(&info)
	if !info.StartTime.Equal(time.UnixMilli(base)) || !info.ServerTime.Equal(time.UnixMilli(end)) || info.StorageRetention != "15d" || info.CWD+info.Hostname != "" || info.GoroutineCount < 1 {
		t.Errorf("runtime info %+v", info)
	}
	api.get("/api/v1/status/tsdb", "limit", "2").data(`{"headStats":{"numSeries":28,"numLabelPairs":32,"chunkCount":0,"minTime":1700000000000,"maxTime":1700001860000},` +
		`"seriesCountByMetricName":[{"name":"http_requests_total","value":4},{"name":"latency_bucket","value":3}],` +
		`"labelValueCountByLabelName":[{"name":"__name__","value":20},{"name":"le","value":3}],` +
		`"memoryInBytesByLabelName":[{"name":"__name__","value":124},{"name":"a.label","value":15}],` +
		`"seriesCountByLabelValuePair":[{"name":"job=api","value":8},{"name":"__name__=http_requests_total","value":4}]}`)
	for _, v := range []string{"0", "-1", "x"} {
		api.get("/api/v1/status/tsdb", "limit", v).fails(400, "bad_data", "limit must be a positive number")
	}
	api.get("/api/v1/status/tsdb", "limit", "10001").fails(400, "bad_data", "limit must not exceed 10000")

	api.scopes = tenancy.Read | tenancy.Write
	api.get("/api/v1/status/config").data(`{"yaml":""}`)
	api.get("/api/v1/status/flags").data(`{}`)

	empty := newAPI(t, promql.Options{})
	empty.get("/api/v1/status/config").data(`{"yaml":""}`)
	empty.get("/api/v1/status/flags").data(`{}`)
}
