package memory_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"pgregory.net/rapid"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
	"github.com/luminate-metrics/luminate/tenancy"
)

// TestAggregateIsPromQL compares the native functions, over one sample of each series, with the operators of PromQL.
func TestAggregateIsPromQL(t *testing.T) {
	engine := promqltest.NewTestEngine(t, false, time.Minute, 10_000)
	st := memory.New(memory.Options{})
	queries := map[store.Func]string{
		store.Avg: "avg(m)", store.Sum: "sum(m)", store.Count: "count(m)", store.Min: "min(m)", store.Max: "max(m)",
		store.P50: "quantile(0.5, m)", store.P95: "quantile(0.95, m)", store.P99: "quantile(0.99, m)",
	}
	draw := rapid.OneOf(
		rapid.Float64(),
		rapid.Float64Range(-100, 100),
		rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, 1, 0.1}),
	)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		values := rapid.SliceOfN(draw, 1, 40).Draw(rt, "values")
		tenant := st.Tenant(tenancy.ID(fmt.Sprintf("t%d", n)))
		b := metric.NewBatch(storetest.Hasher())
		for i, v := range values {
			b.StartSeries(metric.AppendLabel(metric.AppendLabel(nil, "__name__", "m"), "i", fmt.Sprintf("%02d", i)), i)
			b.AddSample(metric.Sample{Timestamp: 1000, Value: v})
		}
		if _, err := tenant.Append(t.Context(), b); err != nil {
			rt.Fatal(err)
		}
		for f, text := range queries {
			q, err := engine.NewInstantQuery(t.Context(), storetest.Bridge(st, tenancy.ID(fmt.Sprintf("t%d", n))), nil, text, time.UnixMilli(1000))
			if err != nil {
				rt.Fatal(err)
			}
			vector, err := q.Exec(t.Context()).Vector()
			if err != nil || len(vector) != 1 {
				rt.Fatalf("%s: %v, error %v", text, vector, err)
			}
			want := vector[0]
			res, err := tenant.Aggregate(t.Context(), store.Aggregation{Range: store.Range{Min: 1000, Max: 1000}, Funcs: []store.Func{f}})
			if err != nil || len(res.Groups) != 1 {
				rt.Fatalf("%s: %+v, error %v", f, res, err)
			}
			if got := res.Groups[0].Values[0][0].Value; !equal(got, want) {
				rt.Fatalf("%s of %v is %v, want %v", f, values, got, want.F)
			}
			q.Close()
		}
	})
}

// equal compares to the bit, but takes all NaN and both zeros as one.
func equal(got float64, want promql.Sample) bool {
	return got == want.F || math.IsNaN(got) && math.IsNaN(want.F)
}
