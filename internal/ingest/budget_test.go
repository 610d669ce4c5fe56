package ingest_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/problem"
)

// inFlight compares the metrics of a budget of 100 bytes.
func inFlight(t *testing.T, reg prometheus.Gatherer, bytes, refused string) {
	t.Helper()
	want := "# HELP luminate_ingest_in_flight_bytes Memory that the write requests being served take, estimated from the size of their bodies.\n" +
		"# TYPE luminate_ingest_in_flight_bytes gauge\nluminate_ingest_in_flight_bytes " + bytes + "\n" +
		"# HELP luminate_ingest_overload_refused_requests_total Write requests that were answered by 503 because those being served took all the memory that they may.\n" +
		"# TYPE luminate_ingest_overload_refused_requests_total counter\nluminate_ingest_overload_refused_requests_total " + refused + "\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "luminate_ingest_in_flight_bytes", "luminate_ingest_overload_refused_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestBudget(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := ingest.NewBudget(100, reg)
	one, two := b.Hold(), b.Hold()
	ok := func(h *ingest.Hold, to int64) {
		t.Helper()
		if err := h.Grow(to); err != nil {
			t.Error(err)
		}
	}
	refused := func(h *ingest.Hold, to int64) {
		t.Helper()
		err := h.Grow(to)
		if p := problem.Describe(err); p.Kind != problem.Unavailable || p.RetryAfter == 0 || p.Limit == nil || p.Limit.Setting != "ingest.max_in_flight_bytes" {
			t.Errorf("growing to %d: %v", to, err)
		}
	}
	ok(&one, 60)
	ok(&one, 40) // It never shrinks.
	ok(&two, 40)
	inFlight(t, reg, "100", "0")
	refused(&two, 41)
	refused(&one, 61)
	inFlight(t, reg, "100", "2")
	one.Release()
	one.Release()
	inFlight(t, reg, "40", "2")
	ok(&two, 1000) // It is alone: refused now, it would be refused for ever.
	refused(&one, 1)
	two.Release()
	ok(&one, 100)
	one.Release()
	inFlight(t, reg, "0", "3")

	none := (*ingest.Budget)(nil).Hold()
	ok(&none, 1<<60)
	none.Release()
}

// TestBudgetIsNotExceeded checks it while many grow at once.
func TestBudgetIsNotExceeded(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := ingest.NewBudget(100, reg)
	var all sync.WaitGroup
	var held atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 1000 {
				h := b.Hold()
				if h.Grow(30) == nil {
					if n := held.Add(30); n > 100 {
						t.Errorf("%d bytes are held", n)
					}
					held.Add(-30)
				}
				h.Release()
			}
		})
	}
	all.Wait()
	one := b.Hold()
	if err := one.Grow(100); err != nil {
		t.Errorf("something is left over: %v", err)
	}
}
