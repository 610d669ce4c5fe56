package badger_test

import (
	"testing"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/storetest"
)

func TestAppendAndReopen(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	appendTo(t, s, "a", sample{series: "up,job=x", t: 1000, v: 1}, sample{series: "up,job=y", t: 2000, v: 2, start: 500})
	appendTo(t, s, "ab", sample{series: "up,job=x", t: 1000, v: 9})
	appendTo(t, s, "a", sample{series: "up,job=x", t: 500, v: 0.5}, sample{series: "up,job=x", t: 1000, v: 7})
	want := []string{
		`{__name__="up", job="x"} 500 0.5 start=0`,
		`{__name__="up", job="x"} 1000 7 start=0`,
		`{__name__="up", job="y"} 2000 2 start=500`,
	}
	check := func(s store.Store) {
		t.Helper()
		wantDump(t, s, "a", everything, want...)
		wantDump(t, s, "ab", everything, `{__name__="up", job="x"} 1000 9 start=0`)
		wantDump(t, s, "b", everything)
	}
	check(s)
	crashed := storetest.CrashCopy(t, dir)
	closed(t, s)
	check(openAt(t, crashed))
	s = openAt(t, dir)
	check(s)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(s)
	appendTo(t, s, "a", sample{series: "up,job=y", t: 1, v: 4})
	want = append(want[:2:2], `{__name__="up", job="y"} 1 4 start=0`, want[2])
	check(s)
	closed(t, s)
	s = openAt(t, dir)
	check(s)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(s)
	closed(t, s)
	check(openAt(t, dir))
}
