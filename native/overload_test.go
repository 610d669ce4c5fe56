package native_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/reading"
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

// TestQueriesOverload has other queries hold the samples that all may hold.
func TestQueriesOverload(t *testing.T) {
	budget := reading.NewBudget(10_000, prometheus.NewRegistry())
	f := newFixture(t, func(o *native.Options) { o.Reading = budget })
	metrics := make([]string, 5000)
	for i := range metrics {
		metrics[i] = fmt.Sprintf(`{"name":"a","value":%d,"timestamp":%d}`, i, noon-int64(i)*1000)
	}
	f.wrote("[" + strings.Join(metrics, ",") + "]")
	const query = `{"metric":"a","aggregation":"P50","from":"now-2h","to":"now"}`
	other := budget.Hold()
	if err := other.Add(9_000); err != nil {
		t.Fatal(err)
	}
	w := f.do(http.MethodPost, "/luminate/v1/query", query)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"setting":"query.max_samples_total"`) {
		t.Errorf("status %d, headers %v: %s", w.Code, w.Header(), w.Body)
	}
	other.Release()
	if w := f.do(http.MethodPost, "/luminate/v1/query", query); w.Code != http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	a, b := budget.Hold(), budget.Hold()
	if a.Add(5_000) != nil || b.Add(5_000) != nil {
		t.Error("queries that are done hold something")
	}
}
