package badger_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// fleet returns a batch with a sample of each of n series with 11 labels.
func fleet(first, n int) *metric.Batch {
	b := metric.NewBatch(metric.NewHasher(7))
	for i := first; i < first+n; i++ {
		b.StartSeries(metric.EncodeLabels(nil, labelsOf(fmt.Sprintf(
			"http_requests_total,code=200,container=app,endpoint=/api/v1/items/%d,env=prod,instance=10.0.%d.%d:9090,job=shop,method=GET,namespace=shop,node=node-%d,pod=shop-%d",
			i%250, i/250%250, i/250, i/2500, i/250))), i)
		b.AddSample(metric.Sample{})
	}
	return b
}

// BenchmarkAppend appends to known series in batches of 2,000, each of which is synced.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openAt(b, b.TempDir())
			batches := make([]*metric.Batch, 5*writers)
			for i := range batches {
				batches[i] = fleet(2000*i, 2000)
			}
			n := 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += writers {
				n++
				var wg sync.WaitGroup
				for w := range writers {
					wg.Go(func() {
						batch := batches[w*5+n%5]
						for k := range batch.Samples {
							batch.Samples[k] = metric.Sample{Timestamp: int64(n) * 15_000, Value: float64(n * k)}
						}
						if _, err := s.Tenant("a").Append(b.Context(), batch); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(2000*float64(n*writers)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

// BenchmarkSize reports what samples take on disk after a flush and a compaction.
func BenchmarkSize(b *testing.B) {
	for range b.N {
		dir := b.TempDir()
		s := openAt(b, dir)
		const rounds, series = 240, 4000
		batch := fleet(0, series)
		for n := range rounds {
			for k := range batch.Samples {
				batch.Samples[k] = metric.Sample{Timestamp: int64(n)*15_000 + int64(k%7), Value: float64(n*(k%100) + k)}
			}
			if _, err := s.Tenant("a").Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.Compact(b.Context()); err != nil {
			b.Fatal(err)
		}
		wantSeries(b, s, series)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		size := int64(0)
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".sst") {
				info, err := e.Info()
				size += info.Size()
				return err
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/(rounds*series), "B/sample")
		b.ReportMetric(float64(size)/series, "B/series")
	}
}

func wantSeries(b *testing.B, s store.Store, n int) {
	b.Helper()
	rd, err := s.Tenant("a").Reader(everything)
	if err != nil {
		b.Fatal(err)
	}
	set := rd.Select(b.Context(), store.Selection{})
	for set.Next() {
		n--
	}
	if err := rd.Close(); err != nil || set.Err() != nil || n != 0 {
		b.Fatal(n, set.Err(), err)
	}
}
