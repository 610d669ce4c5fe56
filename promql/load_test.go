package promql_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/promql"
)

// heldNow is how many samples running queries hold.
func heldNow(t *testing.T, reg prometheus.Gatherer) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "luminate_query_held_samples" {
			return int(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	t.Fatal("there is no such metric")
	return 0
}

func target(path string, params ...string) string { return path + "?" + form(params...).Encode() }

// TestQueriesShareABudget has another query hold a part of it, and finds out how much each one needs.
func TestQueriesShareABudget(t *testing.T) {
	const most = 1_000_000
	reg := prometheus.NewRegistry()
	budget := reading.NewBudget(most, reg)
	api := newAPI(t, promql.Options{Reading: budget})
	start, stop := seconds(base), seconds(end)
	for _, c := range []struct {
		target string
		needs  int64
	}{
		{target("/api/v1/query", "query", "1"), 0},
		{target("/api/v1/query", "query", "up"), 2 * 20},                  // What the lookback covers was read.
		{target("/api/v1/query", "query", "sum(deriv(up[10m]))"), 2 * 40}, // What the range covers.
		{target("/api/v1/query", "query", "sum(rate(up[10m]))"), 3},       // The store does it: a compensated sum.
		{target("/api/v1/query", "query", "rate(up[10m])"), 2},
		{target("/api/v1/query_range", "query", "up", "start", stop, "end", stop, "step", "1"), 2 * 20},
		{target("/api/v1/query_range", "query", "up", "start", start, "end", stop, "step", "1"), 2 * 1861}, // One for each step.
		{target("/api/v1/query", "query", "sum_over_time(up[30m:1s])"), 2 * 1800},                          // The same.
		{target("/api/v1/query_range", "query", "max_over_time(up[30m:1s])", "start", start, "end", stop, "step", "60"), 2 * 3660},
	} {
		other := budget.Hold()
		if err := other.Add(most - c.needs + 1); err != nil {
			t.Fatal(err)
		}
		r := api.do(httptest.NewRequest(http.MethodGet, c.target, nil))
		if c.needs > 0 {
			r.fails(503, "unavailable", "this one needs")
			r.fails(503, "unavailable", "the limit set by query.max_samples_total is 1000000: try again later")
			if r.header.Get("Retry-After") == "" {
				t.Errorf("%s: the answer does not say when to come again", c.target)
			}
		} else if r.status != 200 {
			t.Errorf("%s: %d %s", c.target, r.status, r.body)
		}
		other.Release()
		if err := other.Add(most - c.needs); err != nil {
			t.Fatal(err)
		}
		if r := api.do(httptest.NewRequest(http.MethodGet, c.target, nil)); r.status != 200 {
			t.Errorf("%s needs more than %d: %d %s", c.target, c.needs, r.status, r.body)
		}
		other.Release()
		if n := heldNow(t, reg); n != 0 {
			t.Errorf("%s: %d samples are held for ever", c.target, n)
		}
	}
}

// A watchingWriter calls a function before it takes a part of an answer.
type watchingWriter struct {
	http.ResponseWriter
	watch func()
}

func (w watchingWriter) Write(b []byte) (int, error) {
	w.watch()
	return w.ResponseWriter.Write(b)
}

// TestAnAnswerIsHeldUntilItIsSent looks at the budget while a client takes its answer.
func TestAnAnswerIsHeldUntilItIsSent(t *testing.T) {
	reg := prometheus.NewRegistry()
	api := newAPI(t, promql.Options{Reading: reading.NewBudget(1_000_000, reg)})
	var seen []int
	w := watchingWriter{httptest.NewRecorder(), func() { seen = append(seen, heldNow(t, reg)) }}
	r := httptest.NewRequest(http.MethodGet, target("/api/v1/query_range", "query", "sum(up)", "start", seconds(base), "end", seconds(end), "step", "15"), nil)
	api.handler.ServeHTTP(w, r)
	if len(seen) == 0 || seen[0] != steps {
		t.Errorf("%v samples are held while the answer of %d is sent", seen, steps)
	}
	if n := heldNow(t, reg); n != 0 {
		t.Errorf("%d samples are held for ever", n)
	}
}
