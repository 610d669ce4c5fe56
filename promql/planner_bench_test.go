package promql_test

import (
	"fmt"
	"testing"
	"time"

	promengine "github.com/prometheus/prometheus/promql"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// BenchmarkPlanner has 20,000 series of 60 samples, in memory and then in a partition.
func BenchmarkPlanner(b *testing.B) {
	st, err := badger.Open(badger.Options{Dir: b.TempDir(), Hasher: storetest.Hasher()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	}()
	batch := metric.NewBatch(storetest.Hasher())
	for i := range 20_000 {
		var ls []byte
		ls = metric.AppendLabel(ls, "__name__", "m_total")
		ls = metric.AppendLabel(ls, "instance", fmt.Sprintf("host-%03d:9100", i/100))
		ls = metric.AppendLabel(ls, "job", fmt.Sprint(i/1000))
		ls = metric.AppendLabel(ls, "path", fmt.Sprint(i%100))
		batch.StartSeries(ls, i)
		for k := range int64(60) {
			batch.AddSample(metric.Sample{Timestamp: k * 15_000, Value: float64(k * int64(i%7))})
		}
	}
	if _, err := st.Tenant(tenant).Append(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	engine := promql.NewEngine(promql.Options{})
	from := promql.NewQueryable(st.Tenant(tenant))
	for _, place := range []string{"head", "partition"} {
		if place == "partition" {
			if err := st.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		for _, text := range []string{"sum by (job) (rate(m_total[5m]))", "rate(m_total[5m])"} {
			for _, steps := range []int{1, 57} {
				for _, planned := range []bool{false, true} {
					b.Run(fmt.Sprintf("%s/%s/steps=%d/planned=%v", place, text[:4], steps, planned), func(b *testing.B) {
						b.ReportAllocs()
						var of promengine.QueryEngine = engine
						if planned {
							of = promql.NewPlanner(engine, promql.Options{})
						}
						for b.Loop() {
							start := time.UnixMilli(310_000)
							end := start.Add(time.Duration(steps-1) * 10 * time.Second)
							q, err := of.NewRangeQuery(b.Context(), from, nil, text, start, end, 10*time.Second)
							if err != nil {
								b.Fatal(err)
							}
							if res := q.Exec(b.Context()); res.Err != nil {
								b.Fatal(res.Err)
							}
							q.Close()
						}
					})
				}
			}
		}
	}
}
