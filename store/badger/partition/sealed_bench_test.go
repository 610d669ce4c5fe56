package partition_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// BenchmarkSealed reports what it costs to find 400,000 of a million series in a sealed partition and to compute the rate
// of each from all of its 180 samples, on all processors.
func BenchmarkSealed(b *testing.B) {
	const series, samples = 1_000_000, 180
	dir := b.TempDir()
	sealed := seal(b, dir, series, samples)
	p, err := partition.Open(partition.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", "app_.*_0[0-3]_total")}
	var total float64
	start := cpu(b)
	found := 0
	for b.Loop() {
		r := p.NewReader("a")
		list, err := r.Find(b.Context(), store.Selection{Matchers: ms}, store.AllTime())
		if err != nil {
			b.Fatal(err)
		}
		found = len(list)
		total += sumOfRates(b, r, list)
		r.Close()
	}
	took := cpu(b) - start
	if total == 0 || found != 400_000 {
		b.Fatal(found, total)
	}
	b.ReportMetric(float64(bytesOf(b, dir))/series/samples, "B/sample")
	b.ReportMetric(float64(sealed)/series/samples, "seal-cpu-ns/sample")
	b.ReportMetric(took.Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(took)/float64(b.N)/float64(found)/samples, "cpu-ns/sample")
}

// sumOfRates reads all series.
func sumOfRates(b *testing.B, r *partition.Reader, list []partition.Series) (total float64) {
	b.Helper()
	workers := runtime.GOMAXPROCS(0)
	sums, errs := make([]float64, workers), make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			part := list[len(list)*w/workers : len(list)*(w+1)/workers]
			c := r.NewCursor(store.AllTime())
			defer c.Close()
			c.Expect(part)
			var floats rowgroup.Column
			for i := range part {
				if _, errs[w] = c.Columns(&part[i], nil, &floats); errs[w] != nil {
					return
				}
				sums[w] += rate(floats)
			}
		})
	}
	wg.Wait()
	for w := range workers {
		if errs[w] != nil {
			b.Fatal(errs[w])
		}
		total += sums[w]
	}
	return total
}

// rate is the increase of a counter a second.
func rate(c rowgroup.Column) float64 {
	increase := 0.0
	for i := 1; i < len(c.Values); i++ {
		if d := c.Values[i] - c.Values[i-1]; d >= 0 {
			increase += d
		} else {
			increase += c.Values[i]
		}
	}
	return increase * 1000 / float64(c.Timestamps[len(c.Timestamps)-1]-c.Timestamps[0])
}

// seal makes a sealed partition in dir and returns the CPU time that took, but for making the samples.
func seal(b *testing.B, dir string, series, samples int) (took int64) {
	b.Helper()
	p, err := partition.Open(partition.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	w, err := p.NewSealer(1)
	if err != nil {
		b.Fatal(err)
	}
	rng, values := rand.New(rand.NewPCG(1, 2)), make([]float64, series)
	var canonical []byte
	const block = 10_000
	columns := make([]rowgroup.Column, block)
	for first := 0; first < series; first += block {
		for i := range columns {
			benchSamples(rng, &columns[i], values, first+i, 0, samples)
		}
		start := cpu(b)
		for i := range columns {
			canonical = benchLabels(canonical[:0], first+i)
			id, err := w.Resolve(b.Context(), "a", canonical)
			if err == nil {
				err = w.Add(b.Context(), "a", id, columns[i], nil)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		took += int64(cpu(b) - start)
	}
	start := cpu(b)
	if _, err := w.Finish(); err != nil {
		b.Fatal(err)
	}
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	return took + int64(cpu(b)-start)
}
