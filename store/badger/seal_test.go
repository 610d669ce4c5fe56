package badger_test

import (
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
)

// TestSealing checks when partitions are written anew: once when their time is over, and on demand if they changed.
func TestSealing(t *testing.T) {
	dir := t.TempDir()
	now := time.UnixMilli(day + 1000)
	s := openAt(t, dir, func(o *badger.Options) { o.Now = func() time.Time { return now } })
	write := func(at int64) {
		appendTo(t, s, "a", sample{series: "up,i=1", t: at, v: 1}, sample{series: "up,i=2", t: at, v: 2})
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sealed := func(want ...bool) {
		t.Helper()
		c, err := catalog.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		list := c.State().Partitions
		if len(list) != len(want) {
			t.Fatalf("%+v", list)
		}
		for i, p := range list {
			if got := p.Sealed >= p.Sequence; got != want[i] {
				t.Fatalf("partition %d: sealed %v, want %v: %+v", i, got, want[i], p)
			}
		}
	}
	write(5)
	write(day + 5)
	all := dump(t, s, "a", everything)
	compact := func(do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if got := dump(t, s, "a", everything); got != all {
			t.Fatalf("got\n%swant\n%s", got, all)
		}
	}
	normal := func() error { return s.Compact(t.Context()) }
	forced := func() error { return s.Seal(t.Context()) }
	compact(normal)
	sealed(false, false)
	now = now.Add(12 * time.Hour)
	compact(normal)
	sealed(true, false)
	first := newest(t, dir)
	compact(forced)
	sealed(true, true)
	if newest(t, dir) == first {
		t.Fatal("the present partition was not written anew")
	}
	first = newest(t, dir)
	compact(forced)
	if newest(t, dir) != first {
		t.Fatal("a sealed partition was written anew")
	}
	write(6) // Late.
	write(day + 6)
	all = dump(t, s, "a", everything)
	compact(normal)
	sealed(false, false)
	compact(forced)
	sealed(true, true)
}
