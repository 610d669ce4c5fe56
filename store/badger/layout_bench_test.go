package badger_test

import (
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
)

func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// scrape fills in what round n of a made-up fleet scrapes: counters with resets, histogram buckets, gauges, constants.
func scrape(rng *rand.Rand, batch *metric.Batch, values []float64, n int) {
	share := 0.0
	for i := range values {
		switch k := i % 20; {
		case k < 9:
			values[i] += float64(rng.IntN(100))
			if rng.IntN(5000) == 0 {
				values[i] = 0
			}
		case k < 15:
			if k == 9 {
				share = 0
			}
			share += float64(rng.IntN(20))
			values[i] += share
		case k < 18:
			values[i] = math.Round(100*(values[i]+rng.NormFloat64())) / 100
		default:
			values[i] = float64(k)
		}
		target := i / 250
		batch.Samples[i] = metric.Sample{Timestamp: int64(n)*15_000 + int64(target*131%15_000) + int64((target*7+n*13)%5), Value: values[i]}
	}
}

// BenchmarkLayout reports for 10,000 series with 11 labels what samples cost on disk after one flush and after a rewrite,
// what the flush costs, and what a rate over all series costs.
func BenchmarkLayout(b *testing.B) {
	for _, samples := range []int{20, 180} {
		b.Run(fmt.Sprintf("samples=%d", samples), func(b *testing.B) {
			const series = 10_000
			total := float64(samples * series)
			for range b.N {
				dir := b.TempDir()
				s := openAt(b, dir)
				batch, values, rng := fleet(0, series), make([]float64, series), rand.New(rand.NewPCG(1, 2))
				for n := range samples {
					scrape(rng, batch, values, n)
					if _, err := s.Tenant("a").Append(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				start := cpu(b)
				if err := s.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric((cpu(b)-start).Seconds()/total*1e6, "flush-cpu-s/M")
				start = cpu(b)
				rateOfAll(b, s, series, samples)
				b.ReportMetric((cpu(b)-start).Seconds()/total*1e9, "first-read-ns/sample")
				start = cpu(b)
				rateOfAll(b, s, series, samples)
				b.ReportMetric((cpu(b)-start).Seconds()/total*1e9, "read-ns/sample")
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(tableBytes(b, dir))/total, "B/sample")
			}
		})
	}
}

func rateOfAll(b *testing.B, s *badger.Store, series, samples int) {
	b.Helper()
	rd, err := s.Tenant("a").Reader(everything)
	if err != nil {
		b.Fatal(err)
	}
	set := rd.Select(b.Context(), store.Selection{})
	var it chunkenc.Iterator
	count, sum := 0, 0.0
	for set.Next() {
		it = set.At().Iterator(it)
		series--
		last := 0.0
		for it.Next() != chunkenc.ValNone {
			_, v := it.At()
			if v >= last {
				sum += v - last
			}
			last = v
			count--
		}
		count += samples
	}
	if err := rd.Close(); err != nil || set.Err() != nil || series != 0 || count != 0 || sum <= 0 {
		b.Fatal(series, count, set.Err(), err)
	}
}

func tableBytes(tb testing.TB, dir string) int64 {
	tb.Helper()
	size := int64(0)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		var st syscall.Stat_t
		err = syscall.Stat(path, &st)
		size += st.Blocks * 512
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return size
}
