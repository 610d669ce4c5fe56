package badger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/badger/wal"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// crashes copies a store's directory at each step of its maintenance.
type crashes struct {
	tb     testing.TB
	dir    string
	points map[string]string // Directory by name of the step.
}

func (c *crashes) option(o *badger.Options) {
	c.points = map[string]string{}
	o.SetCrash(func(at string) { c.points[at] = storetest.CrashCopy(c.tb, c.dir) })
}

func (c *crashes) want(points ...string) {
	c.tb.Helper()
	for _, p := range points {
		if c.points[p] == "" {
			c.tb.Fatalf("the step %q was not reached; reached were %v", p, c.points)
		}
	}
}

func TestCrashDuringFlush(t *testing.T) {
	c := crashes{tb: t, dir: t.TempDir()}
	s := openAt(t, c.dir, c.option)
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1}, sample{series: "up,i=2", t: day + 1, v: 2})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 10}, sample{series: "up,i=3", t: 2*day + 1, v: 3})
	want := dump(t, s, "a", everything)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.want("flush: written", "flush: checkpoint", "flush: published")
	for at, dir := range c.points {
		t.Run(at, func(t *testing.T) {
			s := openAt(t, dir)
			for range 2 {
				if got := dump(t, s, "a", everything); got != want {
					t.Fatalf("got\n%swant\n%s", got, want)
				}
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			closed(t, s)
			s = openAt(t, dir)
			if got := dump(t, s, "a", everything); got != want {
				t.Fatalf("after a flush and a restart: got\n%swant\n%s", got, want)
			}
			noQuarantine(t, dir)
		})
	}
}

func noQuarantine(tb testing.TB, dir string) {
	tb.Helper()
	if list, err := filepath.Glob(filepath.Join(dir, "quarantine", "*")); err != nil || len(list) > 0 {
		tb.Fatalf("something is in quarantine: %v %v", list, err)
	}
}

func TestCrashDuringExpire(t *testing.T) {
	c := crashes{tb: t, dir: t.TempDir()}
	s := openAt(t, c.dir, c.option)
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1}, sample{series: "up,i=1", t: day, v: 2})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "a", sample{series: "up,i=2", t: 5, v: 5})
	if err := s.Expire(t.Context(), day+5); err != nil {
		t.Fatal(err)
	}
	want := []string{`{__name__="up", i="1"} 86400000 2 start=0`}
	wantDump(t, s, "a", everything, want...)
	c.want("expire: logged", "expire: marked", "expire: renamed")
	for at, dir := range c.points {
		if strings.HasPrefix(at, "flush") {
			continue
		}
		t.Run(at, func(t *testing.T) {
			s := openAt(t, dir)
			wantDump(t, s, "a", store.Range{Min: day, Max: 2 * day}, want...)
			if err := s.Expire(t.Context(), day+5); err != nil {
				t.Fatal(err)
			}
			wantDump(t, s, "a", everything, want...)
			// What is appended later is not taken for expired at the next start.
			appendTo(t, s, "a", sample{series: "up,i=3", t: 7, v: 7})
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			closed(t, s)
			wantDump(t, openAt(t, dir), "a", everything, want[0], `{__name__="up", i="3"} 7 7 start=0`)
			noQuarantine(t, dir)
		})
	}
}

func TestCrashDuringCompact(t *testing.T) {
	c := crashes{tb: t, dir: t.TempDir()}
	s := openAt(t, c.dir, c.option)
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1}, sample{series: "up,i=2", t: 1, v: 2}, sample{series: "up,i=1", t: day, v: 3})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Tenant("a").Delete(t.Context(), everything, store.Selection{Matchers: []*labels.Matcher{equals(t, "i", "2")}}); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "a", sample{series: "up,i=2", t: 1, v: 4})
	want := dump(t, s, "a", everything)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.want("compact: replaced", "expire: renamed")
	c.points["end"] = storetest.CrashCopy(t, c.dir)
	for at, dir := range c.points {
		if strings.HasPrefix(at, "flush") {
			continue
		}
		t.Run(at, func(t *testing.T) {
			s := openAt(t, dir)
			for range 2 {
				if got := dump(t, s, "a", everything); got != want {
					t.Fatalf("got\n%swant\n%s", got, want)
				}
				if err := s.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			noQuarantine(t, dir)
		})
	}
}

func TestCrashAfterDelete(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "a", sample{series: "up,i=1", t: 2, v: 2})
	if err := s.Tenant("a").Delete(t.Context(), everything, store.Selection{}); err != nil {
		t.Fatal(err)
	}
	wantDump(t, s, "a", everything)
	ids, err := s.Tenants(t.Context())
	if err != nil || len(ids) > 0 {
		t.Fatal(ids, err)
	}
	appendTo(t, s, "a", sample{series: "up,i=1", t: 2, v: 3})
	check := func(dir string) {
		t.Helper()
		s := openAt(t, dir)
		wantDump(t, s, "a", everything, `{__name__="up", i="1"} 2 3 start=0`)
		closed(t, s)
	}
	check(storetest.CrashCopy(t, dir))
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(storetest.CrashCopy(t, dir))
	closed(t, s)
	check(dir)
}

// failingLog fails syncs from a moment on.
type failingLog struct {
	wal.Segments
	broken atomic.Bool
}

func (f *failingLog) Sync() error {
	if f.broken.Load() {
		return errors.New("input/output error")
	}
	return f.Segments.Sync()
}

func TestNoAcknowledgementAfterAFailedSync(t *testing.T) {
	dir := t.TempDir()
	log := &failingLog{}
	reg := prometheus.NewRegistry()
	s := openAt(t, dir, func(o *badger.Options) {
		o.Registerer = reg
		o.SetLog(func(w wal.Segments) wal.Segments { log.Segments = w; return log })
	})
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1})
	log.broken.Store(true)
	unavailable := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err := s.Tenant("a").Append(t.Context(), batchOf(sample{series: "up,i=1", t: 2, v: 2}))
	unavailable("append", err)
	select {
	case <-s.Failed():
	default:
		t.Fatal("the store does not say that it failed")
	}
	log.broken.Store(false)
	_, err = s.Tenant("a").Append(t.Context(), batchOf(sample{series: "up,i=1", t: 3, v: 3}))
	unavailable("second append", err)
	unavailable("delete", s.Tenant("a").Delete(t.Context(), everything, store.Selection{}))
	unavailable("flush", s.Flush(t.Context()))
	unavailable("expire", s.Expire(t.Context(), 10*day))
	unavailable("ping", s.Ping(t.Context()))
	want := `{__name__="up", i="1"} 1 1 start=0`
	wantDump(t, s, "a", everything, want)
	if got := testutil.ToFloat64(gauge(t, reg, "luminate_storage_failed")); got != 1 {
		t.Fatalf("luminate_storage_failed is %v", got)
	}
	closed(t, s)
	// The sample whose sync failed may be there or not: nothing is known about it.
	got := dump(t, openAt(t, dir), "a", everything)
	if !strings.HasPrefix(got, want) || strings.Contains(got, " 3 3 ") {
		t.Fatalf("after a restart: %s", got)
	}
}

// gauge returns a collector with the one value of a metric.
func gauge(tb testing.TB, reg *prometheus.Registry, name string) prometheus.Collector {
	tb.Helper()
	families, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "-"})
			g.Set(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			return g
		}
	}
	tb.Fatalf("no metric %s", name)
	return nil
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir)
	_, err := tryOpen(dir)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
}

func TestNoSpace(t *testing.T) {
	_, err := tryOpen(t.TempDir(), func(o *badger.Options) { o.MinFreeBytes = 1 << 62 })
	if !errors.Is(err, store.ErrReadOnly) {
		t.Fatal(err)
	}
}

// TestReadOnAFullDisk reads partitions that are not open. Nothing may be written for that: Badger maps its files, and a
// page that the disk has no room for ends the process.
func TestReadOnAFullDisk(t *testing.T) {
	var room atomic.Int64
	room.Store(1 << 30)
	dir := t.TempDir()
	s := openAt(t, dir, func(o *badger.Options) {
		o.MinFreeBytes = 1 << 20
		o.MaxOpenPartitions = 1
		o.SetFree(func(string) (free, total int64, err error) { return room.Load(), 1 << 30, nil })
	})
	for i := range int64(3) {
		appendTo(t, s, "a", sample{series: "up", t: i * day, v: 1})
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "a", sample{series: "up", t: 1, v: 2})
	want := dump(t, s, "a", everything)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := func() string {
		names, err := filepath.Glob(filepath.Join(dir, "partitions", "*", "*"))
		data, readErr := os.ReadFile(filepath.Join(dir, "CATALOG"))
		if err != nil || readErr != nil {
			t.Fatal(err, readErr)
		}
		return strings.Join(names, "\n") + string(data)
	}
	closed(t, s)
	s = openAt(t, dir, func(o *badger.Options) {
		o.MinFreeBytes = 1 << 20
		o.MaxOpenPartitions = 1
		o.SetFree(func(string) (free, total int64, err error) { return room.Load(), 1 << 30, nil })
	})
	room.Store(0)
	before := files()
	rd, err := s.Tenant("a").Reader(everything)
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(t, s, "a", everything); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	if set := rd.Select(t.Context(), store.Selection{}); !set.Next() {
		t.Fatal(set.Err())
	}
	if d := cmp.Diff(before, files()); d != "" {
		t.Errorf("reading changed files: %s", d)
	}
	room.Store(1 << 30)
	appendTo(t, s, "a", sample{series: "up", t: 2, v: 3})
	if err := s.Flush(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("flush into a partition that is still being read: %v", err)
	}
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = dump(t, s, "a", everything)
	closed(t, s)
	if got := dump(t, openAt(t, dir), "a", everything); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	noQuarantine(t, dir)
}

func TestRetention(t *testing.T) {
	now := time.UnixMilli(100 * day)
	s := openAt(t, t.TempDir(), func(o *badger.Options) {
		o.Retention = 48 * time.Hour
		o.Now = func() time.Time { return now }
	})
	b := batchOf(sample{series: "up,i=1", t: 98*day - 1, v: 1}, sample{series: "up,i=2", t: 98 * day, v: 2})
	b.AddSample(metric.Sample{Timestamp: 1, Value: 9})
	b.AddSample(metric.Sample{Timestamp: 99 * day, Value: 3})
	rejected, err := s.Tenant("a").Append(t.Context(), b)
	if err != nil || len(rejected) != 2 {
		t.Fatal(rejected, err)
	}
	for i, r := range rejected {
		if r.Reason != metric.PastRetention || r.Series != i || r.Lost != (metric.Counts{Samples: 1}) {
			t.Fatal(rejected)
		}
	}
	if got := b.Series[1].Samples.Len(); got != 3 {
		t.Fatalf("Append changed the batch: %d samples are left", got)
	}
	wantDump(t, s, "a", everything, fmt.Sprintf(`{__name__="up", i="2"} %d 2 start=0`, 98*day), fmt.Sprintf(`{__name__="up", i="2"} %d 3 start=0`, 99*day))
}

func TestReaderOutlivesItsPartitions(t *testing.T) {
	s := openAt(t, t.TempDir())
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1}, sample{series: "up,i=1", t: day, v: 2})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rd, err := s.Tenant("a").Reader(everything)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tenant("a").Delete(t.Context(), store.Range{Min: day, Max: day}, store.Selection{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Expire(t.Context(), 5*day); err != nil {
		t.Fatal(err)
	}
	set := rd.Select(t.Context(), store.Selection{})
	n := 0
	for set.Next() {
		for it := set.At().Iterator(nil); it.Next() != 0; n++ {
			continue
		}
	}
	if set.Err() != nil || n != 2 {
		t.Fatalf("%d samples, error %v", n, set.Err())
	}
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	wantDump(t, s, "a", everything)
}
