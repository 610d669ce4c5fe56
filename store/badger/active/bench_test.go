package active_test

import (
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sys/unix"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
)

// benchSeries is the number of series of a benchmark: 100,000, or what LUMINATE_BENCH_SERIES says.
func benchSeries(b *testing.B) int {
	b.Helper()
	n, err := strconv.Atoi(os.Getenv("LUMINATE_BENCH_SERIES"))
	if err != nil {
		n = 100_000
	}
	return n / podSeries * podSeries
}

const requestSeries = 2000

// cpu is the processor time of this thread, which other load on the machine does not count into.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// pin keeps a benchmark on one thread.
func pin(b *testing.B) {
	b.Helper()
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
}

// load is a writer and a fleet, and what they took.
type load struct {
	*fleet
	head              *active.Head
	w                 *active.Writer
	batch             *metric.Batch
	refs              []uint32
	frozen            active.Frozen
	resolve, register time.Duration
	appending, flush  time.Duration
	samples, created  int
	flushed           int
}

func newLoad(b *testing.B, n int) *load {
	b.Helper()
	h := newHead(b, active.Options{})
	l := &load{fleet: newFleet(n), head: h, w: h.NewWriter(), batch: metric.NewBatch(hasher()), refs: make([]uint32, requestSeries)}
	b.Cleanup(l.w.Close)
	return l
}

func (l *load) reset() {
	l.resolve, l.register, l.appending, l.flush = 0, 0, 0, 0
	l.samples, l.created, l.flushed = 0, 0, 0
}

// send writes the next sample of each of the series.
func (l *load) send(b *testing.B, ids []int) {
	b.Helper()
	for len(ids) > 0 {
		n := min(requestSeries, len(ids))
		l.fill(l.batch, ids[:n])
		ids = ids[n:]
		refs := l.refs[:n]
		start := cpu(b)
		l.w.Begin()
		unknown := l.w.Resolve(l.batch, 1, refs)
		resolved := cpu(b)
		if unknown > 0 {
			l.w.RegisterAll(l.batch, 1, refs, nil, func(_ int, err error) { b.Error(err) })
		}
		registered := cpu(b)
		for _, ref := range refs {
			l.w.Tell(ref, uint32(l.round))
		}
		l.w.Append(l.batch, refs, 1)
		l.w.End()
		end := cpu(b)
		l.resolve += resolved - start
		l.register += registered - resolved
		l.appending += end - registered
		l.samples += n
		l.created += unknown
	}
	l.round++
}

// flushDue flushes without writing anywhere.
func (l *load) flushDue(b *testing.B) {
	b.Helper()
	start := cpu(b)
	for _, g := range l.head.Due(nil) {
		l.head.Freeze(g)
		if err := l.head.Frozen(g, &l.frozen); err != nil {
			b.Fatal(err)
		}
		for i := range l.frozen.Members {
			l.flushed += l.frozen.Members[i].Len()
		}
		l.head.Release(g)
	}
	l.flush += cpu(b) - start
}

func per(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / float64(max(n, 1)) }

// BenchmarkKnown is samples of known series in a steady state: 130 rounds before the clock.
func BenchmarkKnown(b *testing.B) {
	l := newLoad(b, benchSeries(b))
	all := l.order("sequential", 0)
	for range 130 {
		l.send(b, all)
		l.flushDue(b)
	}
	for _, how := range []string{"sequential", "target", "random"} {
		b.Run(how, func(b *testing.B) {
			pin(b)
			l.reset()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				ids := l.order(how, uint64(i))
				b.StartTimer()
				l.send(b, ids)
				l.flushDue(b)
			}
			b.ReportMetric(per(l.resolve, l.samples), "cpu-ns/resolve")
			b.ReportMetric(per(l.appending, l.samples), "cpu-ns/append")
			b.ReportMetric(per(l.flush, l.flushed), "cpu-ns/flushed")
			b.ReportMetric(0, "ns/op")
		})
	}
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			continue
		}
		b.ReportMetric(0, "ns/op")
		l.report(b, len(all))
	})
}

// report adds the bytes a series and the cost of a collection.
func (l *load) report(b *testing.B, n int) {
	b.Helper()
	m := l.head.Memory()
	for unit, v := range map[string]int64{
		"index": m.Index, "records": m.Records + m.Stripes, "blocks": m.Blocks - m.BlocksFree, "free-blocks": m.BlocksFree,
		"sets": m.LabelSets, "pair-strings": m.PairStrings, "pair-index": m.PairIndex, "pair-arrays": m.PairArrays,
		"runs": m.Runs, "bitmaps": m.Bitmaps, "all": m.Total(),
	} {
		b.ReportMetric(float64(v)/float64(n), "B/"+unit)
	}
	debug.FreeOSMemory()
	start := time.Now()
	const cycles = 5
	for range cycles {
		runtime.GC()
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/cycles/1000, "ms/collection")
}

func BenchmarkNew(b *testing.B) {
	for _, how := range []string{"sequential", "random"} {
		b.Run(how, func(b *testing.B) {
			pin(b)
			n := benchSeries(b)
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				l := newLoad(b, n)
				ids := l.order(how, 3)
				b.StartTimer()
				l.send(b, ids)
				spent += l.register
				if l.created != n {
					b.Fatal(l.created)
				}
				b.StopTimer()
				l.report(b, n)
				b.StartTimer()
			}
			b.ReportMetric(per(spent, n*b.N), "cpu-ns/series")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkChurn replaces a tenth of the targets in each round and evicts what ended.
func BenchmarkChurn(b *testing.B) {
	pin(b)
	n := benchSeries(b)
	l := newLoad(b, 3*n)
	ids := l.order("sequential", 0)
	at := 0
	l.send(b, ids[:n])
	var evict time.Duration
	evicted := 0
	l.reset()
	for b.Loop() {
		at += n / 10 / podSeries * podSeries
		l.send(b, ids[at%(2*n):at%(2*n)+n])
		for _, g := range l.head.Pending(nil) {
			l.head.Freeze(g)
			l.head.Release(g)
		}
		start := cpu(b)
		out, err := l.head.Evict(uint32(l.round - 1))
		if err != nil {
			b.Fatal(err)
		}
		l.head.Recycle(out.Generation)
		evict += cpu(b) - start
		evicted += out.Series
	}
	b.ReportMetric(per(l.register, l.created), "cpu-ns/new-series")
	b.ReportMetric(per(evict, evicted), "cpu-ns/evicted")
	b.ReportMetric(per(evict, b.N)/1e6, "cpu-ms/eviction")
	l.report(b, n)
}

func BenchmarkSelect(b *testing.B) {
	n := benchSeries(b)
	l := newLoad(b, n)
	l.send(b, l.order("sequential", 0))
	f := func(name string, ms ...*labels.Matcher) {
		b.Run(name, func(b *testing.B) {
			var refs []uint32
			b.ReportAllocs()
			for b.Loop() {
				r := l.head.NewReader()
				var err error
				if refs, err = r.Select(b.Context(), 1, ms, refs[:0]); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
			b.ReportMetric(float64(len(refs)), "series")
		})
	}
	equal := func(name, value string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchEqual, name, value) }
	f("metric", equal("__name__", "http_requests_total"))
	f("metric-and-instance", equal("__name__", "http_requests_total"), equal("instance", "10.0.0.5:8080"))
	f("regex-over-customers", labels.MustNewMatcher(labels.MatchRegexp, "customer_id", "cust-00.*[13579]"))
	f("not", equal("__name__", "http_requests_total"), labels.MustNewMatcher(labels.MatchNotEqual, "status", "200"))
	b.Run("regex-uncached", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i++
			m := labels.MustNewMatcher(labels.MatchRegexp, "customer_id", "cust-00.*[13579]|"+regexp.QuoteMeta(strconv.Itoa(i))+".*")
			r := l.head.NewReader()
			if _, err := r.Select(b.Context(), 1, []*labels.Matcher{m}, nil); err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	})
	b.Run("values", func(b *testing.B) {
		for b.Loop() {
			r := l.head.NewReader()
			b.ReportMetric(float64(len(r.Values(1, "customer_id"))), "values")
			r.Close()
		}
	})
	b.Run("labels-and-samples", func(b *testing.B) {
		r := l.head.NewReader()
		defer r.Close()
		refs, err := r.Select(b.Context(), 1, []*labels.Matcher{equal("env", "production")}, nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for _, ref := range refs {
				if _, err := r.Samples(ref, store.AllTime()); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(refs)), "ns/series")
	})
}
