package reading_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/internal/reading"
)

// held compares the metrics of a budget of 100 samples.
func held(t *testing.T, reg prometheus.Gatherer, samples, refused string) {
	t.Helper()
	want := "# HELP luminate_query_held_samples Samples that running queries and remote reads hold in memory.\n" +
		"# TYPE luminate_query_held_samples gauge\nluminate_query_held_samples " + samples + "\n" +
		"# HELP luminate_query_overload_refused_requests_total Queries and remote reads that were answered by 503 because those running held all the samples that they may.\n" +
		"# TYPE luminate_query_overload_refused_requests_total counter\nluminate_query_overload_refused_requests_total " + refused + "\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "luminate_query_held_samples", "luminate_query_overload_refused_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestBudget(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := reading.NewBudget(100, reg)
	one, two := b.Hold(), b.Hold()
	ok := func(h *reading.Hold, n int64) {
		t.Helper()
		if err := h.Add(n); err != nil {
			t.Error(err)
		}
	}
	refused := func(h *reading.Hold, n int64, text string) {
		t.Helper()
		err := h.Add(n)
		if p := problem.Describe(err); p.Kind != problem.Unavailable || p.RetryAfter == 0 || p.Limit == nil || p.Limit.Max != 100 || p.Detail != text {
			t.Errorf("adding %d: %v", n, err)
		}
	}
	ok(one, 60)
	ok(two, 40)
	ok(two, -1)
	held(t, reg, "100", "0")
	refused(two, 1, "the queries that are running hold 100 samples in memory, this one needs 1 more, and the limit set by query.max_samples_total is 100: "+
		"try again later, or ask for fewer series, a shorter range or a longer step")
	held(t, reg, "100", "1")
	one.Keep(70)
	one.Keep(60)
	held(t, reg, "100", "1")
	one.Keep(10)
	held(t, reg, "50", "1")
	one.Release()
	one.Release()
	held(t, reg, "40", "1")
	ok(two, 1000) // It is alone: refused now, it would be refused for ever.
	refused(one, 1, "the queries that are running hold 1040 samples in memory, this one needs 1 more, and the limit set by query.max_samples_total is 100: "+
		"try again later, or ask for fewer series, a shorter range or a longer step")
	two.Release()
	ok(one, 100)
	one.Release()
	held(t, reg, "0", "2")

	none := (*reading.Budget)(nil).Hold()
	ok(none, 1<<60)
	none.Release()
	ok(nil, 1<<60)
	(*reading.Hold)(nil).Release()
	one.Release()
}

// TestNothingIsLeftOver has many take and give back at once.
func TestNothingIsLeftOver(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := reading.NewBudget(100, reg)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				h := b.Hold()
				for range 4 {
					_ = h.Add(20) // Refused or not.
				}
				h.Release()
			}
		})
	}
	all.Wait()
	one, two := b.Hold(), b.Hold()
	if one.Add(50) != nil || two.Add(50) != nil || two.Add(1) == nil {
		t.Error("the budget is not what it was")
	}
}
