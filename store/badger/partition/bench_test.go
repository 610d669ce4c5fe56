package partition_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// benchLabels is the canonical form of the 10 labels of series i of a made-up fleet: 250 series a target, a customer for
// every second series.
func benchLabels(dst []byte, i int) []byte {
	target, k := i/250, i%250
	add := func(name, value string) { dst = metric.AppendLabel(dst, name, value) }
	add("__name__", fmt.Sprintf("app_%s_%02d_total", [...]string{"http_requests", "db_queries", "queue_messages", "cache_hits"}[k%4], k/25))
	add("cluster", fmt.Sprintf("eu-west-%d", target%4))
	add("customer_id", fmt.Sprintf("c%07x", uint32(i/2)*2654435761>>4))
	add("instance", fmt.Sprintf("10.%d.%d.%d:9100", target>>16, target>>8&255, target&255))
	add("job", fmt.Sprintf("service-%02d", target%40))
	add("le", fmt.Sprintf("%g", float64(k%11)*0.25))
	add("method", [...]string{"GET", "POST", "PUT", "DELETE"}[k%4])
	add("namespace", fmt.Sprintf("team-%d", target%17))
	add("path", fmt.Sprintf("/api/v1/resource/%d", k%30))
	add("pod", fmt.Sprintf("service-%02d-%08x-%05x", target%40, uint32(target)*2654435761, uint32(target)*40503))
	return dst
}

// samples fills c with the next n samples of a series.
func benchSamples(rng *rand.Rand, c *rowgroup.Column, values []float64, i, from, n int) {
	c.Timestamps, c.Values = c.Timestamps[:0], c.Values[:0]
	v := values[i]
	for k := from; k < from+n; k++ {
		switch i % 20 {
		case 18, 19:
			v = float64(i % 20)
		case 15, 16, 17:
			v = math.Round(100*(v+rng.NormFloat64())) / 100
		default:
			if v += float64(rng.IntN(100)); rng.IntN(5000) == 0 {
				v = 0
			}
		}
		c.Timestamps = append(c.Timestamps, int64(k)*15_000+int64(i/250*131%15_000)+int64((i/250*7+k*13)%5))
		c.Values = append(c.Values, v)
	}
	values[i] = v
}

func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFlush reports what a flush of 100,000 series costs, Badger's own work until it is closed included: the first
// one, in which all of them are new, and one in which all are known.
func BenchmarkFlush(b *testing.B) {
	const series = 100_000
	for range b.N {
		dir := filepath.Join(b.TempDir(), "p")
		rng, values, ids := rand.New(rand.NewPCG(1, 2)), make([]float64, series), make([]partition.ID, series)
		at := 0
		size := int64(0)
		for sequence, n := range []int{20, 60, 60} {
			columns := make([]rowgroup.Column, series)
			for i := range columns {
				benchSamples(rng, &columns[i], values, i, at, n)
			}
			at += n
			start := cpu(b)
			p, err := partition.Open(partition.Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			w, err := p.NewWriter(uint64(sequence + 1))
			if err != nil {
				b.Fatal(err)
			}
			var canonical []byte
			var made time.Duration
			for i := range columns {
				if sequence == 0 {
					before := time.Now()
					canonical = benchLabels(canonical[:0], i)
					made += time.Since(before)
					if ids[i], err = w.Resolve(b.Context(), "a", canonical); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Add(b.Context(), "a", ids[i], columns[i], nil); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := w.Finish(); err != nil {
				b.Fatal(err)
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			took := cpu(b) - start - made
			if sequence == 0 {
				index, _ := indexBytes(b, dir)
				b.ReportMetric(float64(index)/series, "index-B/series")
			}
			before := size
			size = bytesOf(b, dir)
			name := "known"
			if sequence == 0 {
				name = "new"
				b.ReportMetric(float64(took.Microseconds())/series, "new-us/series")
			}
			b.ReportMetric(float64(took)/float64(n*series), name+"-ns/sample")
			b.ReportMetric(float64(size-before)/float64(n*series), name+"-B/sample")
		}
	}
}

// bytesOf is the size of the tables in a directory.
func bytesOf(tb testing.TB, dir string) (size int64) {
	tb.Helper()
	tables, err := partition.Tables(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, t := range tables {
		size += t.Size
	}
	return size
}

// indexBytes is what all entries but row groups take, and what these take; without what Badger adds to each.
func indexBytes(tb testing.TB, dir string) (size, rows int64) {
	tb.Helper()
	p, err := partition.Open(partition.Options{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	byKind := map[string]int64{}
	err = p.Entries(tb.Context(), func(key, value []byte) error {
		n := int64(len(key) + len(value))
		kind := string(key[:1])
		switch kind {
		case "x":
			kind += fmt.Sprint(key[len(key)-5])
		case "d":
			kind += fmt.Sprint(key[7])
		}
		byKind[kind] += n
		if kind == "d1" {
			rows += n
		} else {
			size += n
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.Close(); err != nil {
		tb.Fatal(err)
	}
	tb.Log(byKind)
	return size, rows
}

// BenchmarkRead reports what it costs to find and load series of a partition with three flushes.
func BenchmarkRead(b *testing.B) {
	const series = 50_000
	p, total := fleetOf(b, series, 20, 60, 60)
	regex := labels.MustNewMatcher(labels.MatchRegexp, "customer_id", "c0.*[05]")
	metric := labels.MustNewMatcher(labels.MatchEqual, "__name__", "app_http_requests_04_total")
	for name, ms := range map[string][]*labels.Matcher{"all": nil, "metric": {metric}, "regex": {regex}} {
		b.Run("select="+name, func(b *testing.B) {
			found, start := 0, cpu(b)
			for b.Loop() {
				r := p.NewReader("a")
				list, err := r.Select(b.Context(), store.Selection{Matchers: ms})
				if found = len(list); err != nil || found == 0 {
					b.Fatal(found, err)
				}
				r.Close()
			}
			b.ReportMetric(float64((cpu(b)-start).Microseconds())/float64(b.N)/float64(found), "cpu-us/series")
		})
	}
	b.Run("columns", func(b *testing.B) {
		var floats rowgroup.Column
		start := cpu(b)
		for b.Loop() {
			r := p.NewReader("a")
			c, n := r.NewCursor(store.AllTime()), 0
			err := r.Walk(b.Context(), func(s *partition.Series, _ []byte) error {
				_, err := c.Columns(s, nil, &floats)
				n += len(floats.Timestamps)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			c.Close()
			r.Close()
			if n != total {
				b.Fatal(n, total)
			}
		}
		b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/float64(total), "cpu-ns/sample")
	})
	b.Run("load", func(b *testing.B) {
		start := cpu(b)
		for b.Loop() {
			r := p.NewReader("a")
			list, err := r.Select(b.Context(), store.Selection{})
			if err != nil {
				b.Fatal(err)
			}
			c, pass, n := r.NewCursor(store.AllTime()), partition.NewPass(), 0
			for i := range list {
				pass.Expect(&list[i])
			}
			for i := range list {
				run, err := c.Load(&list[i], pass, nil)
				if err != nil {
					b.Fatal(err)
				}
				n += len(run)
			}
			c.Close()
			r.Close()
			if n != total {
				b.Fatal(n, total)
			}
		}
		b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/float64(total), "cpu-ns/sample")
	})
}

// fleetOf is a partition with some flushes of all series, of n samples each.
func fleetOf(b *testing.B, series int, flushes ...int) (p *partition.Partition, samples int) {
	b.Helper()
	p = open(b)
	rng, values := rand.New(rand.NewPCG(1, 2)), make([]float64, series)
	var canonical []byte
	var column rowgroup.Column
	at := 0
	for sequence, n := range flushes {
		w, err := p.NewWriter(uint64(sequence + 1))
		if err != nil {
			b.Fatal(err)
		}
		for i := range series {
			canonical = benchLabels(canonical[:0], i)
			id, err := w.Resolve(b.Context(), "a", canonical)
			if err != nil {
				b.Fatal(err)
			}
			benchSamples(rng, &column, values, i, at, n)
			if err := w.Add(b.Context(), "a", id, column, nil); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Finish(); err != nil {
			b.Fatal(err)
		}
		at += n
	}
	return p, at * series
}

// BenchmarkSeal reports what it costs to write a partition with three flushes anew, and what is there then.
func BenchmarkSeal(b *testing.B) {
	const series = 100_000
	for range b.N {
		from, total := fleetOf(b, series, 60, 60, 60)
		dir := filepath.Join(b.TempDir(), "sealed")
		start := cpu(b)
		to, err := partition.Open(partition.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		w, err := to.NewSealer(9)
		if err != nil {
			b.Fatal(err)
		}
		r := from.NewReader("a")
		c := r.NewCursor(store.AllTime())
		var floats rowgroup.Column
		err = r.Walk(b.Context(), func(s *partition.Series, canonical []byte) error {
			if _, err := c.Columns(s, nil, &floats); err != nil {
				return err
			}
			id, err := w.Resolve(b.Context(), "a", canonical)
			if err != nil {
				return err
			}
			return w.Add(b.Context(), "a", id, floats, nil)
		})
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		r.Close()
		if _, err := w.Finish(); err != nil {
			b.Fatal(err)
		}
		if err := to.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(cpu(b)-start)/float64(total), "cpu-ns/sample")
		size := bytesOf(b, dir)
		index, rows := indexBytes(b, dir)
		b.ReportMetric(float64(size)/float64(total), "B/sample")
		b.ReportMetric(float64(rows)/float64(total), "rows-B/sample")
		b.ReportMetric(float64(index)/series, "index-B/series")
		b.ReportMetric(float64(size-rows)/series, "all-but-rows-B/series")
	}
}
