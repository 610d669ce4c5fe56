package native_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/native"
)

// TestOverload has another request hold the memory that writes may take.
func TestOverload(t *testing.T) {
	budget := ingest.NewBudget(1_000, prometheus.NewRegistry())
	f := newFixture(t, func(o *native.Options) { o.Budget = budget })
	other := budget.Hold()
	if err := other.Grow(950); err != nil {
		t.Fatal(err)
	}
	for _, encoded := range [][2]string{{oneMetric, "identity"}, {gzipped(t, oneMetric), "gzip"}} {
		w := f.do(http.MethodPost, "/luminate/v1/metrics", encoded[0], "Content-Encoding: "+encoded[1])
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"setting":"ingest.max_in_flight_bytes"`) {
			t.Errorf("status %d, headers %v: %s", w.Code, w.Header(), w.Body)
		}
	}
	other.Release()
	f.wrote(oneMetric)
	a, b := budget.Hold(), budget.Hold()
	if a.Grow(500) != nil || b.Grow(500) != nil {
		t.Error("requests that are done hold something")
	}
}
