package promql_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/promql"
)

// TestGrafanaSession replays what Grafana's Prometheus datasource sends, in its order, and checks what it needs.
func TestGrafanaSession(t *testing.T) {
	api := newAPI(t, promql.Options{})
	post := func(path, body string) reply { return api.do(postRequest(path, body)) }
	get := func(target string) reply { return api.do(httptest.NewRequest(http.MethodGet, target, nil)) }
	window := "start=1700000000&end=1700001860"

	// Save & test.
	post("/api/v1/query", "query=1%2B1&time=4").data(`{"resultType":"scalar","result":[4,"2"]}`)
	post("/api/v1/query", "query=1%2B1&time=1&timeout=60s").data(`{"resultType":"scalar","result":[1,"2"]}`)
	build := get("/api/v1/status/buildinfo")
	var info map[string]any
	build.decode(&info)
	if _, has := info["features"]; has || info["version"] != "0.1.0" {
		t.Errorf("build info %v", info) // With features, Grafana takes it for Mimir and asks for its ruler.
	}

	// Start of a dashboard.
	get("/api/v1/rules").data(`{"groups":[]}`)
	get("/api/v1/query_exemplars?query=test&start=1700000060000&end=1700001860000").data(`[]`) // Milliseconds.

	// Editor.
	var names []string
	get("/api/v1/label/__name__/values?limit=40000&" + window).decode(&names)
	if len(names) != 20 || names[0] != "http_requests_total" {
		t.Errorf("names %q", names)
	}
	post("/api/v1/labels", "limit=40000&"+window).data(`["__name__","a.label","code","instance","job","le","nameless","room"]`)
	post("/api/v1/labels", "limit=40000&"+window+"&match[]=up").data(`["__name__","instance","job"]`)
	var families map[string][]struct{ Type, Help, Unit string }
	get("/api/v1/metadata?limit=40000").decode(&families)
	if families["latency"][0].Unit != "seconds" {
		t.Errorf("metadata %v", families)
	}

	// Autocompletion and variables.
	get("/api/v1/label/U__a_2e_label/values?limit=40000&" + window + "&match[]=" + `%7B%22some.metric%22%7D`).decode(new([]string))
	get("/api/v1/label/instance/values?" + window + "&match[]=up&limit=40000").data(`["a:1","b:1"]`)
	get("/api/v1/label/__name__/values?" + window + "&match[]=" + `%7B__name__%3D~%22temp.*%22%7D`).data(`["temperature"]`)
	post("/api/v1/query", "query=count+by+(code)+(http_requests_total)&time=1700000600").
		data(`{"resultType":"vector","result":[{"metric":{"code":"200"},"value":[1700000600,"2"]},{"metric":{"code":"500"},"value":[1700000600,"2"]}]}`)
	var series []map[string]string
	post("/api/v1/series", window+"&match[]="+`%7B__name__%21%3D%22%22%7D`+"&limit=40000").decode(&series)
	if len(series) != len(testData())-1 {
		t.Errorf("%d series", len(series))
	}

	// Ad-hoc filters: several matchers, on both methods.
	post("/api/v1/labels", window+"&limit=40000&match[]=up&match[]=temperature").data(`["__name__","instance","job","room"]`)
	post("/api/v1/label/job/values", window+"&match[]=up&match[]=temperature").data(`["api"]`)
	get("/api/v1/label/job/values?" + window + "&match[]=up&match[]=temperature").data(`["api"]`)

	// Panels. The result type stands before the result, or Grafana has to hold everything.
	panel := post("/api/v1/query_range?stats=all", "query=sum(rate(http_requests_total%5B1m%5D))&start=1700000580&end=1700000610&step=15.0&timeout=30s")
	if !strings.HasPrefix(panel.body, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1700000580,"0.5499999999999999"],`) {
		t.Errorf("panel: %s", panel.body)
	}
	var withStats struct {
		Stats struct {
			Samples struct {
				TotalQueryableSamples json.Number `json:"totalQueryableSamples"`
			}
		}
	}
	panel.decode(&withStats)
	if withStats.Stats.Samples.TotalQueryableSamples != "48" {
		t.Errorf("stats %+v", withStats)
	}
	post("/api/v1/query", "query=up%7Binstance%3D%22a%3A1%22%7D&time=1700000600.123").
		data(`{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:1","job":"api"},"value":[1700000600.123,"1"]}]}`)
	post("/api/v1/query_exemplars", "query=http_requests_total%7Bcode%3D%22500%22%7D&start=1700000000&end=1700000100").data(
		`[{"seriesLabels":{"__name__":"http_requests_total","code":"500","instance":"a:1","job":"api"},"exemplars":[{"labels":{"trace_id":"t<a>"},"value":"0","timestamp":1700000000.007}]}]`)
	// Errors that Grafana shows come as JSON with 400, 422 or 503.
	post("/api/v1/query_range", "query=sum(&start=1&end=2&step=1").fails(400, "bad_data", "parse error")

	// Metrics drill-down.
	get("/api/v1/labels?" + window + "&match[]=" + `%7B__name__%3D~%22.%2B%22%2C%7D`).data(`["__name__","a.label","code","instance","job","le","room"]`)
}
