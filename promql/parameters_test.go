package promql_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/promql"
)

func TestQ05Times(t *testing.T) {
	api := newAPI(t, promql.Options{})
	for _, c := range []struct{ in, want string }{
		{"4", "4"},
		{"-1.5", "-1.5"},
		{"1435781451.781", "1435781451.781"},
		{"1435781451.7814999", "1435781451.781"},
		{"1435781451.9996", "1435781452"},
		{"2015-07-01T20:10:51.781Z", "1435781451.781"},
		{"2015-07-01T22:10:51.781+02:00", "1435781451.781"},
		{"", fmt.Sprint(end / 1000)}, // Now.
	} {
		api.get("/api/v1/query", "query", "1", "time", c.in).data(`{"resultType":"scalar","result":[` + c.want + `,"1"]}`)
	}
	for _, in := range []string{"abc", "NaN", "2015-07-01", "1h"} {
		api.get("/api/v1/query", "query", "1", "time", in).fails(400, "bad_data", "cannot parse")
	}
	// Grafana's probe for exemplars sends milliseconds, and clients send the bounds that Prometheus names.
	api.get("/api/v1/query_exemplars", "query", "test", "start", "1700000000000", "end", "1700001800000").data(`[]`)
	for _, path := range []string{"/api/v1/series", "/api/v1/labels", "/api/v1/label/room/values"} {
		all := api.get(path, "match[]", "temperature")
		for _, bounds := range [][2]string{
			{"-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z"}, {"-1e300", "1e300"}, {"-Inf", "+Inf"},
		} {
			all.data(strings.TrimSuffix(strings.TrimPrefix(api.get(path, "match[]", "temperature", "start", bounds[0], "end", bounds[1]).body, `{"status":"success","data":`), "}"))
		}
		api.get(path, "match[]", "temperature", "start", "1700001000000", "end", "1700002000000").data(`[]`)
	}
	for _, in := range []string{"1700000000000", "-1e300", "9223309901257974"} {
		api.get("/api/v1/query", "query", "up", "time", in).fails(400, "bad_data", `invalid parameter "time": a query can be evaluated between 1678`)
		api.get("/api/v1/query_range", "query", "up", "start", in, "end", "1e300", "step", "1e9").fails(400, "bad_data", "")
	}
}

func TestQ06Durations(t *testing.T) {
	api := newAPI(t, promql.Options{})
	grid := func(start, end, step string) reply {
		t.Helper()
		return api.get("/api/v1/query_range", "query", "1", "start", start, "end", end, "step", step)
	}
	for _, step := range []string{"90", "90.0", "1m30s", "90s", "90000ms", "9e1"} {
		grid("0", "180", step).data(`{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[90,"1"],[180,"1"]]}]}`)
	}
	grid("0", "0.001", "1ms").data(`{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[0.001,"1"]]}]}`)
	for _, c := range []struct{ start, end, step, text string }{
		{"0", "10", "0", `invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer`},
		{"0", "10", "-5", `invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer`},
		{"10", "0", "1", `invalid parameter "end": end timestamp must not be before start time`},
		{"0", "11001", "1", `exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)`},
		{"0", "10", "1e30", `invalid parameter "step": cannot parse "1e30" to a valid duration. It overflows int64`},
		{"0", "10", "x", `invalid parameter "step": cannot parse "x" to a valid duration`},
		{"0", "10", "NaN", `invalid parameter "step": cannot parse "NaN" to a valid duration`},
		{"0", "10", "0.0001", `invalid parameter "step": the step is 100µs: the smallest is 1ms`},
	} {
		grid(c.start, c.end, c.step).fails(400, "bad_data", c.text)
	}
	few := newAPI(t, promql.Options{Limits: promql.Limits{MaxPoints: 5}})
	few.get("/api/v1/query_range", "query", "1", "start", "0", "end", "6", "step", "1").fails(400, "bad_data", "maximum resolution of 5 points")
}

func TestQ07Timeout(t *testing.T) {
	api := newAPI(t, promql.Options{})
	for _, v := range []string{"0", "-1s", "0s"} {
		want := "cannot parse"
		if v != "-1s" {
			want = `invalid parameter "timeout": timeout must be positive, got 0s`
		}
		api.get("/api/v1/query", "query", "1", "timeout", v).fails(400, "bad_data", want)
	}
	api.get("/api/v1/query", "query", "1", "time", "1", "timeout", "1d").data(`{"resultType":"scalar","result":[1,"1"]}`)

	b := newBlocking(t)
	slow := newAPI(t, promql.Options{Source: b})
	slow.get("/api/v1/query", "query", "up", "timeout", "5ms").fails(503, "timeout", "query timed out in")
	slow.get("/api/v1/query_range", "query", "up", "start", "0", "end", "1", "step", "1", "timeout", "5ms").fails(503, "timeout", "query timed out in")

	capped := newAPI(t, promql.Options{Source: b, Limits: promql.Limits{Timeout: 5e6}})
	capped.get("/api/v1/query", "query", "up", "timeout", "1h").fails(503, "timeout", "query timed out in")
	capped.get("/api/v1/series", "match[]", "up").fails(503, "timeout", "set by query.timeout")
}

func TestQ08Limit(t *testing.T) {
	api := newAPI(t, promql.Options{})
	const warning = "results truncated due to limit"
	check := func(length int, cut bool, path string, params ...string) {
		t.Helper()
		var list []json.RawMessage
		r := api.get(path, params...)
		var warnings []string
		if strings.Contains(path, "query") {
			var data struct{ Result []json.RawMessage }
			warnings, _ = r.decode(&data)
			list = data.Result
		} else {
			warnings, _ = r.decode(&list)
		}
		if len(list) != length || (len(warnings) == 1 && warnings[0] == warning) != cut {
			t.Errorf("%s: %d elements, warnings %q; want %d, %v", r.what, len(list), warnings, length, cut)
		}
	}
	at := func(query, limit string) []string {
		return []string{"query", query, "time", "1700000600", "limit", limit}
	}
	check(4, false, "/api/v1/query", at("http_requests_total", "0")...)
	check(3, true, "/api/v1/query", at("http_requests_total", "3")...)
	check(4, false, "/api/v1/query", at("http_requests_total", "4")...)
	check(2, false, "/api/v1/query", at("1", "1")...) // A scalar has two elements and is not cut.
	check(1, true, "/api/v1/query", at("up[1m]", "1")...)
	check(3, true, "/api/v1/query_range", "query", "http_requests_total", "start", "1700000600", "end", "1700000700", "step", "15", "limit", "3")
	check(3, true, "/api/v1/labels", "limit", "3")
	check(2, false, "/api/v1/label/room/values", "limit", "2")
	check(1, true, "/api/v1/label/room/values", "limit", "1")
	check(2, false, "/api/v1/series", "match[]", "up", "limit", "2")
	// A union is cut after it is made, and a series in both parts counts once.
	check(2, false, "/api/v1/series", "match[]", "up", "match[]", `{__name__="up",job="api"}`, "limit", "2")
	check(3, true, "/api/v1/series", "match[]", "up", "match[]", "temperature", "limit", "3")
	check(2, true, "/api/v1/label/__name__/values", "match[]", "up", "match[]", "temperature", "match[]", "m01", "limit", "2")
	for _, v := range []string{"-1", "x", "1.5"} {
		api.get("/api/v1/query", at("up", v)...).fails(400, "bad_data", `invalid parameter "limit"`)
		api.get("/api/v1/labels", "limit", v).fails(400, "bad_data", `invalid parameter "limit"`)
	}
}

func TestQ09Stats(t *testing.T) {
	api := newAPI(t, promql.Options{})
	type figures struct {
		Stats *struct {
			Timings map[string]float64
			Samples map[string]json.RawMessage
		}
	}
	ask := func(stats string) (figures, []string) {
		t.Helper()
		var f figures
		warnings, _ := api.get("/api/v1/query_range", "query", "rate(up[1m])", "start", "1700000600", "end", "1700000630", "step", "15", "stats", stats).decode(&f)
		return f, warnings
	}
	if f, _ := ask(""); f.Stats != nil {
		t.Errorf("stats without being asked: %v", f)
	}
	f, _ := ask("true")
	for _, name := range []string{"evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime", "execQueueTime", "execTotalTime"} {
		if _, ok := f.Stats.Timings[name]; !ok {
			t.Errorf("no timing %s", name)
		}
	}
	if got := string(f.Stats.Samples["totalQueryableSamples"]); got != "24" { // A number: Grafana can't read a string.
		t.Errorf("totalQueryableSamples %s", got)
	}
	if _, ok := f.Stats.Samples["totalQueryableSamplesPerStep"]; ok {
		t.Error("samples of each step without being asked")
	}
	f, _ = ask("all")
	if got := string(f.Stats.Samples["totalQueryableSamplesPerStep"]); got != "[[1700000600,8],[1700000615,8],[1700000630,8]]" {
		t.Errorf("samples of each step: %s", got)
	}
	if f, warnings := ask("yes"); f.Stats == nil || len(warnings) != 1 || !strings.Contains(warnings[0], `value "yes" for parameter "stats" is deprecated`) {
		t.Errorf("unknown value: %v %q", f, warnings)
	}
}

func TestQ10Lookback(t *testing.T) {
	api := newAPI(t, promql.Options{})
	count := func(api *testAPI, at, lookback, want string) {
		t.Helper()
		api.get("/api/v1/query", "query", "count(m01) or vector(0)", "time", at, "lookback_delta", lookback).
			data(`{"resultType":"vector","result":[{"metric":{},"value":[` + at + `,"` + want + `"]}]}`)
	}
	last := end / 1000
	count(api, fmt.Sprint(last+299), "", "1")
	count(api, fmt.Sprint(last+300), "", "0") // The window is open on the left.
	count(api, fmt.Sprint(last+300), "10m", "1")
	count(api, fmt.Sprint(last+20), "10", "0")
	short := newAPI(t, promql.Options{Limits: promql.Limits{Lookback: 60e9}})
	count(short, fmt.Sprint(last+60), "", "0")
	api.get("/api/v1/query", "query", "up", "lookback_delta", "x").fails(400, "bad_data", `error parsing lookback delta duration: cannot parse "x" to a valid duration`)
}
