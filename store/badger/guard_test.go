package badger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
)

const mib = 1 << 20

// A disk of 1000 MiB on which a store takes no writes below 100 MiB.
type smallDisk struct {
	dir  string
	free atomic.Int64 // Without the ballast.
	fail atomic.Bool
}

func (d *smallDisk) ballast() int64 {
	info, err := os.Stat(filepath.Join(d.dir, "BALLAST"))
	if err != nil {
		return 0
	}
	return info.Size()
}

func (d *smallDisk) options(o *badger.Options) {
	d.dir = o.Dir
	o.MinFreeBytes, o.MinFreePercent, o.BallastBytes = 1, 10, 4*mib
	o.SetFree(func(string) (free, total int64, err error) {
		if d.fail.Load() {
			return 0, 0, errors.New("no such device")
		}
		return d.free.Load() - d.ballast(), 1000 * mib, nil
	})
}

// TestFullDisk fills the disk while the store is open, and makes room again.
func TestFullDisk(t *testing.T) {
	d := new(smallDisk)
	d.free.Store(500 * mib)
	reg := prometheus.NewRegistry()
	dir := t.TempDir()
	s := openAt(t, dir, d.options, func(o *badger.Options) { o.Registerer = reg })
	appendTo(t, s, "a", sample{series: "up", t: 1, v: 1})
	if d.ballast() != 4*mib {
		t.Errorf("ballast of %d bytes", d.ballast())
	}

	d.free.Store(104*mib - 1)
	refused := map[string]error{"Ping": s.Ping(t.Context())}
	_, refused["Append"] = s.Tenant("a").Append(t.Context(), batchOf(sample{series: "up", t: 2, v: 2}))
	refused["Delete"] = s.Tenant("a").Delete(t.Context(), store.AllTime(), store.Selection{})
	for call, err := range refused {
		// The limit, what was seen, and the setting are for the client, the directory is not.
		if p := problem.Describe(err); p.Limit == nil || p.Limit.Observed >= p.Limit.Max || !strings.Contains(p.Detail, p.Limit.Setting) || strings.Contains(p.Detail, dir) {
			t.Errorf("the client is told %+v", p)
		}
		if !errors.Is(err, store.ErrReadOnly) || problem.KindOf(err) != problem.Unavailable {
			t.Errorf("%s on a full disk: %v", call, err)
		}
	}
	want := `{__name__="up"} 1 1 start=0`
	wantDump(t, s, "a", everything, want)
	metrics := func(readOnly, free float64) {
		t.Helper()
		if got := testutil.ToFloat64(gauge(t, reg, "luminate_storage_read_only")); got != readOnly {
			t.Errorf("read only is %v", got)
		}
		if got := testutil.ToFloat64(gauge(t, reg, "luminate_storage_free_bytes")); got != free {
			t.Errorf("%v bytes are free", got)
		}
	}
	metrics(1, 100*mib-1)

	// It comes back when there is clearly more, not at the limit.
	d.free.Store(114*mib - 1)
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a little more space: %v", err)
	}
	d.free.Store(114 * mib)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	metrics(0, 110*mib)
	d.free.Store(104 * mib)
	appendTo(t, s, "a", sample{series: "up", t: 3, v: 3})

	d.fail.Store(true)
	if err := s.Ping(t.Context()); problem.KindOf(err) != problem.Unavailable || errors.Is(err, store.ErrReadOnly) {
		t.Errorf("an unknown amount of space: %v", err)
	}
}

// TestFullDiskHelpsItself lets the store move to disk what is in memory, when it becomes read-only, so that the log goes.
func TestFullDiskHelpsItself(t *testing.T) {
	d := new(smallDisk)
	d.free.Store(500 * mib)
	s := openAt(t, t.TempDir(), d.options)
	appendTo(t, s, "a", sample{series: "up", t: 1, v: 1})
	partitions := func() int {
		list, err := os.ReadDir(filepath.Join(d.dir, "partitions"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	// Not even with the ballast is there half of the limit, so nothing is written at all.
	d.free.Store(50*mib - 1)
	s.Tend()
	if err := s.Flush(t.Context()); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "make space") || partitions() != 0 || d.ballast() != 0 {
		t.Fatalf("%v, %d partitions, ballast of %d", err, partitions(), d.ballast())
	}
	d.free.Store(500 * mib)
	s.Tend()
	if d.ballast() != 4*mib {
		t.Fatalf("ballast of %d bytes", d.ballast())
	}
	// Without the ballast there is enough.
	d.free.Store(52 * mib)
	s.Tend()
	if partitions() != 1 || d.ballast() != 0 {
		t.Errorf("%d partitions, ballast of %d bytes", partitions(), d.ballast())
	}
	wantDump(t, s, "a", everything, `{__name__="up"} 1 1 start=0`)
	// The ballast is no reason to become read-only again.
	d.free.Store(114*mib - 1)
	s.Tend()
	if d.ballast() != 0 {
		t.Error("the ballast is made while the disk is full")
	}
	d.free.Store(113 * mib)
	s.Tend()
	d.free.Store(114 * mib)
	s.Tend()
	if d.ballast() != 4*mib {
		t.Error("the ballast is not made again")
	}
}

// TestStartOnFullDisk is a clear error, or a start for readers.
func TestStartOnFullDisk(t *testing.T) {
	d, dir := new(smallDisk), t.TempDir()
	d.free.Store(500 * mib)
	s := openAt(t, dir, d.options)
	appendTo(t, s, "a", sample{series: "up", t: 1, v: 1})
	closed(t, s)

	d.free.Store(49 * mib)
	if _, err := tryOpen(dir, d.options); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("start on a full disk: %v", err)
	}
	d.free.Store(60 * mib)
	s = openAt(t, dir, d.options)
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrReadOnly) {
		t.Error(err)
	}
	wantDump(t, s, "a", everything, `{__name__="up"} 1 1 start=0`)
}

func TestReleaseBallast(t *testing.T) {
	d := new(smallDisk)
	d.free.Store(500 * mib)
	s := openAt(t, t.TempDir(), d.options)
	f := func(want int64) {
		t.Helper()
		if got, err := badger.ReleaseBallast(d.dir); got != want || err != nil {
			t.Errorf("released %d bytes, %v", got, err)
		}
	}
	f(4 * mib)
	f(0)
	s.Tend()
	f(4 * mib)
	closed(t, s)

	// A smaller one is asked for, and then none.
	closed(t, openAt(t, d.dir, d.options))
	closed(t, openAt(t, d.dir, d.options, func(o *badger.Options) { o.BallastBytes = mib }))
	if d.ballast() != mib {
		t.Errorf("ballast of %d bytes", d.ballast())
	}
	closed(t, openAt(t, d.dir, d.options, func(o *badger.Options) { o.BallastBytes = 0 }))
	f(0)
}
