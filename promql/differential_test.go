package promql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	promroute "github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/util/teststorage"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/luminate-metrics/luminate/promql"
)

// upstream is Prometheus's own API over its own storage, with the same data.
func upstream(t *testing.T, language parser.Options) http.Handler {
	t.Helper()
	db := teststorage.New(t)
	fillTSDB(t, db, testData())
	p := parser.NewParser(language)
	engine := promengine.NewEngine(promengine.EngineOpts{
		MaxSamples: 50_000_000, Timeout: 2 * time.Minute, LookbackDelta: 5 * time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
		EnableAtModifier:         true, EnableNegativeOffset: true, EnablePerStepStats: true, Parser: p,
	})
	api := v1.NewAPI(engine, db, nil, nil, db,
		func(context.Context) v1.ScrapePoolsRetriever { return noTargets{} },
		func(context.Context) v1.TargetRetriever { return noTargets{} },
		func(context.Context) v1.AlertmanagerRetriever { return noTargets{} },
		func() config.Config { return config.Config{} }, map[string]string{}, v1.GlobalURLOptions{},
		func(f http.HandlerFunc) http.HandlerFunc { return f },
		nil, "", false, false, 0, slog.New(slog.DiscardHandler),
		func(context.Context) v1.RulesRetriever { return noTargets{} },
		0, 0, 0, false, nil, nil, &v1.PrometheusVersion{}, nil, nil, prometheus.NewRegistry(), nil, nil,
		false, nil, false, false, false, false, 5*time.Minute, false, false, nil, nil, v1.OpenAPIOptions{}, p)
	router := promroute.New()
	api.Register(router.WithPrefix("/api/v1"))
	return router
}

// noTargets is a Prometheus that scrapes nothing and has no rules.
type noTargets struct{}

func (noTargets) ScrapePools() []string                                 { return []string{} }
func (noTargets) TargetsActive() map[string][]*scrape.Target            { return nil }
func (noTargets) TargetsDropped() map[string][]*scrape.Target           { return nil }
func (noTargets) TargetsDroppedCounts() map[string]int                  { return map[string]int{} }
func (noTargets) Alertmanagers() []*url.URL                             { return nil }
func (noTargets) DroppedAlertmanagers() []*url.URL                      { return nil }
func (noTargets) RuleGroups() []*rules.Group                            { return nil }
func (noTargets) AlertingRules() []*rules.AlertingRule                  { return nil }
func (noTargets) ScrapePoolConfig(string) (*config.ScrapeConfig, error) { return nil, nil }

var experimental = parser.Options{
	EnableExperimentalFunctions: true, ExperimentalDurationExpr: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
}

// expressions are evaluated at one time and over a range.
var expressions = []string{
	`1+1`, `"a <string> \"quoted\""`, `time()`, `1e300*10`, `-Inf`, `0/0`, `vector(1e-7)`, `scalar(up)`, `1/3`,
	`up`, `up == 1`, `up{job=~"a.*"} offset 5m`, `nothing_there`, `absent(nothing_there{a="b"})`,
	`http_requests_total`, `rate(http_requests_total[2m])`, `irate(http_requests_total[1m])`, `increase(http_requests_total[90s])`,
	`sum by (code) (rate(http_requests_total[2m]))`, `sum without (instance, code) (http_requests_total)`, `resets(http_requests_total[20m])`,
	`topk(2, http_requests_total)`, `bottomk(1, http_requests_total)`, `quantile(0.9, http_requests_total)`, `count_values("v", up)`,
	`http_requests_total / on (instance, job) group_left up`, `http_requests_total * up`, `up + on (instance) up`, `up and up == 1`,
	`up or temperature`, `up unless up == 1`, `sort_desc(http_requests_total)`, `label_replace(up, "x", "$1", "instance", "(.*):1")`,
	`{__name__=~"m0.*"}`, `{nameless="yes"}`, `odd_values`, `max_over_time(odd_values[5m])`, `{"some.metric"}`, `{"some.metric", "a.label"=~".+"}`,
	`temperature`, `avg_over_time(temperature[3m])`, `temperature{room="cellar"} @ 1700000600`, `last_over_time(temperature{room="cellar"}[1h])`,
	`count_over_time(up[10m:30s])`, `max_over_time(rate(http_requests_total[1m])[10m:1m])`, `deriv(temperature[5m])`, `predict_linear(temperature[5m], 60)`,
	`histogram_quantile(0.9, rate(latency_bucket[5m]))`, `histogram_quantile(0.9, rate(latency[5m]))`, `histogram_quantile(2, latency_bucket)`,
	`latency`, `rate(latency[2m])`, `sum(latency)`, `histogram_count(latency)`, `histogram_sum(latency)`, `histogram_avg(latency)`, `latency_custom`,
	`histogram_fraction(0, 1, latency)`, `histogram_quantile(0.5, latency_custom)`, `latency + latency_custom`, `latency > 1`, `latency * 2`,
	`{__name__=~"latency.*"}`, `rate(temperature[5m])`, `sum(rate(temperature[5m])) + sum(rate(up[5m]))`, `avg(odd_values)`, `stddev(up)`,
	`timestamp(up)`, `hour()`, `day_of_week(up)`, `clamp(temperature, 12, 20.5)`, `round(temperature, 0.5)`, `sgn(-up)`, `group(up)`,
	`rate({__name__=~"m.*"}[5m])`, `min_over_time(up[1h] offset 10m)`, `up[1m]`, `{__name__=~"up|temperature"}[1m:20s]`, `latency[1m]`,
	`limitk(1, up)`, `limit_ratio(0.5, up)`, `sort_by_label(up, "instance")`, `info(up)`, `up + on(instance) fill(3) http_requests_total{code="200"}`,
	`rate(http_requests_total[2m] anchored)`, `increase(http_requests_total[2m] smoothed)`, `rate(http_requests_total[1m+30s])`, `mad_over_time(temperature[5m])`,
	// Errors.
	``, `up{`, `sum(`, `up[5m`, `foo bar`, `rate(up)`, `rate(up[0s])`, `up offset`, `http_requests_total + on (job) up`,
	`label_replace(up, "instance", "x", "", "")`, `{}`, `{a=""}`, `{__name__=~".*"}`, `unknown_function(up)`, `up{a=~"("}`, `1 @ 5`, `sum by (1x) (up)`,
	`count_values("bad name\xff", up)`, `quantile_over_time(7, up[1m])`, `topk(-1, up)`, `topk(NaN, up)`, `up and 1`, `bool`, `up == bool "a"`,
}

func seconds(ms int64) string { return fmt.Sprintf("%d.%03d", ms/1000, ms%1000) }

// manyInfos is an expression with more annotations than an answer holds.
func manyInfos() string {
	var terms []string
	for i := range 12 {
		terms = append(terms, fmt.Sprintf("rate(m%02d[5m])", i))
	}
	return strings.Join(terms, " + ")
}

// requests lists everything that is sent to both.
func requests() []string {
	var out []string
	add := func(path string, params ...string) { out = append(out, path+"?"+form(params...).Encode()) }
	from, mid := seconds(base+60_000), seconds(base+1_000_500)
	for _, q := range expressions {
		add("/api/v1/query", "query", q, "time", mid)
		add("/api/v1/query_range", "query", q, "start", from, "end", mid, "step", "47")
		add("/api/v1/format_query", "query", q)
		add("/api/v1/parse_query", "query", q)
		add("/api/v1/query_exemplars", "query", q)
	}
	for _, q := range []string{
		`a+b*c^d`, `sum by (a,b) (rate(x{y!="z",u!~"v"}[5m] offset 1w))`, `x @ start() / ignoring (a) group_right (b) y @ end()`,
		`-(-x)`, `max_over_time(x[1h:5m] @ 100.5 offset -3m)`, `x[step()+5m]`, `x offset (1m*2)`, `topk by (z) (5, x > bool 3)`, `x[5m:step()*2]`,
		`quantile(0.5, {"utf8.name", "a b"="c"})`, `count_values without (x) ("n", y)`, `x + fill_left(0) fill_right(NaN) y`, `range() + 5`, `time()`,
		`max_of(1,2)`, `x[max(5m,1s)]`, `fill + fill_left`, `sum(fill_right{fill="x"})`, `anchored + smoothed`,
	} {
		add("/api/v1/format_query", "query", q)
		add("/api/v1/parse_query", "query", q)
	}
	timeParameters(add)
	lookups(add)
	return append(out, "/api/v1/query?query=up;x=1&time=1700000600", "/api/v1/query?query=up%zz&time=1700000600")
}

func timeParameters(add func(path string, params ...string)) {
	for _, v := range []string{
		"0", "4", "-1", "1.5e9", "1700000600.1234", "1700000600.9996", "2023-11-14T22:30:00Z", "2023-11-14T22:30:00.5+01:00", "abc", "NaN1", "2023-11-14", "+5", "0x10",
		"1700000600.001", "1700000600.999", "-0.5",
	} {
		add("/api/v1/query", "query", "up + time()", "time", v)
		add("/api/v1/query_range", "query", "up", "start", v, "end", "1700000700", "step", "10000000")
		add("/api/v1/query_range", "query", "up", "start", "-100", "end", v, "step", "1e8")
		add("/api/v1/series", "match[]", "up", "start", v)
		add("/api/v1/labels", "end", v)
		add("/api/v1/query_exemplars", "query", "http_requests_total", "start", v)
	}
	for _, v := range []string{"15", "15s", "1m30s", "0.5", "500ms", "0", "-1", "abc", "", "1e30", "1y", "10", "0.001", "1d1h", "1h1d", "5 m"} {
		add("/api/v1/query_range", "query", "up", "start", "1700000000", "end", "1700000010", "step", v)
		add("/api/v1/query", "query", "temperature", "time", "1700001200", "lookback_delta", v)
	}
	for _, v := range []string{"1", "10m", "abc", "1e30", "5 m", "0", "-1s", "0.0"} {
		add("/api/v1/query", "query", "up", "time", "1700000600", "timeout", v)
		add("/api/v1/query_range", "query", "up", "start", "1700000600", "end", "1700000600", "step", "1", "timeout", v)
	}
	add("/api/v1/query_range", "query", "up", "start", "100", "end", "50", "step", "1")
	add("/api/v1/query_range", "query", "up", "start", "0", "end", "11000", "step", "1")
	add("/api/v1/query_range", "query", "1", "start", "0", "end", "11001", "step", "1")
	add("/api/v1/query_range", "query", "up")
	add("/api/v1/query_range", "query", "up", "start", "5", "end", "5", "step", "0.0001")
	add("/api/v1/query", "query", "vector(1)", "time", "NaN")
	add("/api/v1/query", "query", "vector(1)", "time", "1700000600000")
	add("/api/v1/query", "query", manyInfos(), "time", "1700000600")
	add("/api/v1/query")
	for _, v := range []string{"0", "1", "2", "100", "-1", "x", "1.5", "99999999999999999999"} {
		add("/api/v1/query", "query", "http_requests_total", "time", "1700000600", "limit", v)
		add("/api/v1/query", "query", "1", "time", "1700000600", "limit", v)
		add("/api/v1/query", "query", "up[1m]", "time", "1700000600", "limit", v)
		add("/api/v1/query_range", "query", "http_requests_total", "start", "1700000600", "end", "1700000660", "step", "30", "limit", v)
		add("/api/v1/labels", "limit", v)
		add("/api/v1/label/__name__/values", "limit", v)
		add("/api/v1/series", "match[]", "up", "match[]", "temperature", "limit", v)
		add("/api/v1/series", "match[]", "up", "limit", v)
	}
	for _, v := range []string{"true", "all", "1", "false", "<x>"} {
		add("/api/v1/query", "query", "rate(up[5m])", "time", "1700000600", "stats", v)
		add("/api/v1/query_range", "query", "sum(rate(up[5m]))", "start", "1700000600", "end", "1700000660", "step", "30", "stats", v)
	}
}

func lookups(add func(path string, params ...string)) {
	matches := [][]string{
		nil,
		{"up"},
		{"up", "temperature"},
		{`{__name__=~"lat.*"}`},
		{`{__name__!=""}`},
		{`{__name__=~".+",}`},
		{`{job="api",code!="200"}`},
		{"up", "up"},
		{"up", `{instance="a:1"}`},
		{"{}"},
		{"{a=\"\"}"},
		{"up", "{}"},
		{"up["},
		{"rate(up[5m])"},
		{""},
		{`{"some.metric"}`},
		{"nothing_there"},
		{`{x=~".*"}`},
	}
	for _, set := range matches {
		var params []string
		for _, m := range set {
			params = append(params, "match[]", m)
		}
		for _, path := range []string{
			"/api/v1/labels", "/api/v1/series", "/api/v1/label/__name__/values", "/api/v1/label/instance/values",
			"/api/v1/label/U__a_2e_label/values", "/api/v1/label/a.label/values", "/api/v1/label/nothing/values",
		} {
			add(path, params...)
			add(path, append([]string{"start", "1700000000", "end", "1700001860"}, params...)...)
			add(path, append([]string{"start", "1800000000", "end", "1700001860"}, params...)...)
			add(path, append([]string{"limit", "2"}, params...)...)
		}
		add("/api/v1/rules", params...)
	}
	add("/api/v1/label/bad%FFname/values")
	add("/api/v1/labels", "start", "-292273086-05-16T16:47:06Z", "end", "292277025-08-18T07:12:54.999999999Z")
	add("/api/v1/query_exemplars", "query", "http_requests_total", "start", "1700000000", "end", "1700000200.5")
	add("/api/v1/query_exemplars", "query", "http_requests_total", "start", "1700000000000", "end", "1700000200000")
	add("/api/v1/query_exemplars", "query", `rate(http_requests_total{code="500"}[5m]) + http_requests_total`)
	add("/api/v1/query_exemplars", "query", "http_requests_total", "start", "5", "end", "4")
	for _, p := range []string{"/api/v1/alerts", "/api/v1/alertmanagers", "/api/v1/targets", "/api/v1/targets/metadata", "/api/v1/scrape_pools", "/api/v1/rules", "/api/v1/status/flags"} {
		add(p)
	}
	add("/api/v1/targets", "state", "active")
	add("/api/v1/targets/metadata", "limit", "x")
	add("/api/v1/targets/metadata", "match_target", "{")
	for _, p := range [][]string{
		{"type", "alert"},
		{"type", "nope"},
		{"exclude_alerts", "true"},
		{"exclude_alerts", "perhaps"},
		{"group_limit", "0"},
		{"group_limit", "x"},
		{"group_next_token", "a"},
		{"group_limit", "2", "group_next_token", "a"},
		{"group_limit", "2"},
	} {
		add("/api/v1/rules", p...)
	}
}

// A difference is an answer that is not Prometheus's, on purpose.
type difference struct {
	reason string
	is     func(request string, theirs, ours reply) bool
}

var differences = []difference{
	{"an error ends with a newline", func(_ string, theirs, ours reply) bool {
		return theirs.status >= 400 && theirs.body+"\n" == ours.body
	}},
	{"annotations are sorted; Prometheus lists them in random order", func(_ string, theirs, ours reply) bool {
		return withoutAnnotations(theirs.body) == withoutAnnotations(ours.body) &&
			slices.Equal(annotationsOf(theirs.body), annotationsOf(ours.body))
	}},
	{"exemplars of an expression without selectors are an empty list; Prometheus says 204", func(_ string, theirs, ours reply) bool {
		return theirs.status == http.StatusNoContent && ours.body == `{"status":"success","data":[]}`
	}},
	{"a fill value that JSON has no number for is a string; Prometheus fails with 500", func(request string, theirs, ours reply) bool {
		return strings.Contains(request, "parse_query") && theirs.status == 500 && strings.Contains(ours.body, `"rhs":"NaN"`)
	}},
	{"a step below 1 ms is refused; Prometheus divides by zero", func(_ string, theirs, ours reply) bool {
		return strings.Contains(theirs.body, "divide by zero") && strings.Contains(ours.body, "the smallest is 1ms")
	}},
	{"NaN and infinities are no times; Prometheus turns them into an integer", func(request string, theirs, ours reply) bool {
		return strings.HasSuffix(request, "time=NaN") && theirs.status == 200 && strings.Contains(ours.body, "cannot parse")
	}},
	{"a time that the engine can't count in nanoseconds is refused; Prometheus answers for another time", func(_ string, theirs, ours reply) bool {
		return theirs.status == 200 && strings.Contains(ours.body, "a query can be evaluated between")
	}},
	{"a timeout must be positive, as in Prometheus 3.16", func(_ string, theirs, ours reply) bool {
		return strings.Contains(ours.body, "timeout must be positive") && theirs.status != ours.status
	}},
	{"a malformed URL or form is refused; Prometheus ignores the part", func(_ string, _, ours reply) bool {
		return strings.Contains(ours.body, "error parsing form values")
	}},
	{"an object that holds nothing is {}; Prometheus says null", func(request string, theirs, ours reply) bool {
		return strings.HasSuffix(request, "/targets?state=active") && strings.ReplaceAll(theirs.body, "null", "{}") == ours.body
	}},
	{chance, func(request string, theirs, ours reply) bool {
		return mapOrdered.MatchString(request) && slices.Equal(elements(theirs.body), elements(ours.body))
	}},
}

// chance is the one difference that need not show: it also shows between two answers of Prometheus.
const chance = "the order of elements where the engine takes them out of a Go map"

// mapOrdered finds the instant queries whose order is left to chance.
var mapOrdered = regexp.MustCompile(`/query\?query=(count_values|info|histogram_quantile|limit_ratio|topk|bottomk)`)

// elements returns the elements of a vector, sorted.
func elements(body string) []string {
	var env struct {
		Data struct{ Result []json.RawMessage }
	}
	if json.Unmarshal([]byte(body), &env) != nil {
		return nil
	}
	var out []string
	for _, e := range env.Data.Result {
		out = append(out, string(e))
	}
	slices.Sort(out)
	return out
}

var (
	timings     = regexp.MustCompile(`"timings":\{[^}]*\}`)
	annotations = regexp.MustCompile(`,"(warnings|infos)":\[.*\]\}$`)
)

func withoutAnnotations(body string) string { return annotations.ReplaceAllString(body, "}") }

// annotationsOf returns warnings and infos, sorted. Which ten of many are shown is not decided by Prometheus.
func annotationsOf(body string) []string {
	var env struct{ Warnings, Infos []string }
	if json.Unmarshal([]byte(body), &env) != nil {
		return nil
	}
	out := append(env.Warnings, env.Infos...)
	slices.Sort(out)
	if i := slices.IndexFunc(out, func(s string) bool { return strings.HasSuffix(s, "omitted") }); i >= 0 {
		return []string{strconv.Itoa(len(out)), out[i]}
	}
	return out
}

// compare sends a request to both and counts the differences that are meant.
func compare(t *testing.T, theirs http.Handler, ours *testAPI, seen map[string]int, method, target string) {
	t.Helper()
	request := func() *http.Request {
		if method == http.MethodGet {
			return httptest.NewRequest(method, target, nil)
		}
		path, query, _ := strings.Cut(target, "?")
		return postRequest(path, query)
	}
	w := httptest.NewRecorder()
	theirs.ServeHTTP(w, request())
	want := reply{status: w.Code, body: timings.ReplaceAllString(w.Body.String(), "")}
	got := ours.do(request())
	got.body = timings.ReplaceAllString(got.body, "")
	if want.status == got.status && want.body == got.body {
		return
	}
	for _, d := range differences {
		if d.is(method+" "+target, want, got) {
			seen[d.reason]++
			return
		}
	}
	t.Errorf("%s %s: %d, Prometheus says %d:\n%s", method, target, got.status, want.status, cmp.Diff(want.body, got.body))
}

// postable finds the paths that Prometheus serves on POST too.
var postable = regexp.MustCompile(`^/api/v1/(query|query_range|query_exemplars|format_query|parse_query|labels|series)\?`)

func TestSameAsPrometheus(t *testing.T) {
	theirs := upstream(t, experimental)
	ours := newAPI(t, promql.Options{})
	all := requests()
	seen := map[string]int{}
	for _, target := range all {
		compare(t, theirs, ours, seen, http.MethodGet, target)
		if postable.MatchString(target) {
			compare(t, theirs, ours, seen, http.MethodPost, target)
		}
	}
	for _, d := range differences {
		if seen[d.reason] == 0 && d.reason != chance {
			t.Errorf("no request shows the difference %q", d.reason)
		}
		t.Logf("%4d of %d: %s", seen[d.reason], 2*len(all), d.reason)
	}
}

// A Prometheus without feature flags and the stable language say the same, refusals included.
func TestSameAsStablePrometheus(t *testing.T) {
	theirs := upstream(t, parser.Options{ExperimentalDurationExpr: true})
	ours := newAPI(t, promql.Options{Language: promql.Language{StableOnly: true}})
	seen := map[string]int{}
	for _, q := range expressions {
		compare(t, theirs, ours, seen, http.MethodGet, "/api/v1/query?"+form("query", q, "time", "1700000600").Encode())
	}
}

// The default language answers as a Prometheus without feature flags does, except that it refuses less.
func TestDefaultLanguageAnswersAsStable(t *testing.T) {
	theirs := upstream(t, parser.Options{ExperimentalDurationExpr: true})
	ours := newAPI(t, promql.Options{})
	seen := map[string]int{}
	more := 0
	for _, q := range expressions {
		target := "/api/v1/query?" + form("query", q, "time", "1700000600").Encode()
		w := httptest.NewRecorder()
		theirs.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code == http.StatusBadRequest {
			more++
			continue
		}
		compare(t, theirs, ours, seen, http.MethodGet, target)
	}
	if more > len(expressions)/2 {
		t.Errorf("Prometheus refused %d of %d expressions", more, len(expressions))
	}
}
