package promql_test

import (
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/promql"
)

func TestExpressionsAreBounded(t *testing.T) {
	api := newAPI(t, promql.Options{Limits: promql.Limits{MaxOperators: 10, MaxExpressionBytes: 200}})
	for _, query := range []string{
		strings.Repeat("(", 11) + "1" + strings.Repeat(")", 11), "1" + strings.Repeat("+1", 11), strings.Repeat("-", 11) + "1",
		strings.Repeat("(", 11), "up" + strings.Repeat("[5m:1m]", 11),
	} {
		for _, path := range []string{"/api/v1/query", "/api/v1/format_query", "/api/v1/parse_query", "/api/v1/query_exemplars"} {
			api.get(path, "query", query).fails(400, "bad_data", "has 11 operators, parentheses and brackets: the limit set by query.max_operators is 10")
		}
	}
	api.get("/api/v1/query", "query", "1"+strings.Repeat("+1", 10), "time", "1").data(`{"resultType":"scalar","result":[1,"11"]}`)
	long := `{a=~"` + strings.Repeat("x", 100) + `"}`
	api.get("/api/v1/query", "query", long+" or "+long).fails(400, "bad_data", "the limit set by query.max_expression_bytes is 200")
	for _, path := range []string{"/api/v1/series", "/api/v1/labels", "/api/v1/label/a/values"} {
		api.get(path, "match[]", long, "match[]", long).fails(400, "bad_data", "the limit set by query.max_expression_bytes is 200")
	}
}

func TestFormattingIsBounded(t *testing.T) {
	api := newAPI(t, promql.Options{})
	api.get("/api/v1/format_query", "query", "1"+strings.Repeat("+1", 501)).fails(400, "bad_data", "at most 500 are formatted")
	api.get("/api/v1/parse_query", "query", "1"+strings.Repeat("+1", 501)).decode(new(any))
}

func TestSubqueriesAreBounded(t *testing.T) {
	api := newAPI(t, promql.Options{Limits: promql.Limits{MaxSubquerySteps: 1000}})
	for _, query := range []string{
		"count_over_time(vector(1)[292y:1ms])", "count_over_time(vector(1)[1001s:1s])", "count_over_time(vector(1)[17h:])",
		"count_over_time(vector(1)[(500s*3):1s])", "max_over_time(count_over_time(vector(1)[600s:1s])[600s:10s])",
		"count_over_time(vector(1)[1001s:1s] @ 5)",
	} {
		api.get("/api/v1/query", "query", query).fails(422, "execution", "the limit set by query.max_subquery_steps is 1000: use a longer step or a shorter range")
	}
	rangeOf := func(query string) reply {
		t.Helper()
		return api.get("/api/v1/query_range", "query", query, "start", "0", "end", "5000", "step", "5000")
	}
	rangeOf("count_over_time(vector(1)[10s:1s])").fails(422, "execution", "a subquery has 5010 steps")
	rangeOf("count_over_time(vector(1)[10s:1s] @ 5)").data(`{"resultType":"matrix","result":[{"metric":{},"values":[[0,"10"],[5000,"10"]]}]}`)
	api.get("/api/v1/query", "query", "count_over_time(vector(1)[300s:1s])", "time", "0").data(`{"resultType":"vector","result":[{"metric":{},"value":[0,"300"]}]}`)
}

func TestPointsOfLongRanges(t *testing.T) {
	api := newAPI(t, promql.Options{})
	api.get("/api/v1/query_range", "query", "1", "start", "-9200000000", "end", "9200000000", "step", "1000000").
		fails(400, "bad_data", "exceeded maximum resolution of 11,000 points")
}
