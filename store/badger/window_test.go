package badger_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// TestReaderOfAnOlderTime opens a reader, after which flushes come. It goes on to see what it saw, the log does not wait for
// it, and a crash at any moment loses nothing.
func TestReaderOfAnOlderTime(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	line := func(at int64, v float64) string { return fmt.Sprintf(`{__name__="m"} %d %v start=0`, at, v) }
	appendTo(t, s, "a", sample{series: "m", t: 1, v: 1}, sample{series: "m", t: 2, v: 2})
	old, err := s.Tenant("a").Reader(everything)
	if err != nil {
		t.Fatal(err)
	}
	flush := func() {
		t.Helper()
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	appendTo(t, s, "a", sample{series: "m", t: 2, v: 20}, sample{series: "m", t: 3, v: 3})
	flush() // The head still holds for old what the first one moved.
	appendTo(t, s, "a", sample{series: "m", t: 3, v: 30})
	flush()
	if err := s.Tenant("a").Delete(t.Context(), store.Range{Min: 1, Max: 1}, store.Selection{}); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "a", sample{series: "m", t: 4, v: 4})
	want := []string{line(2, 20), line(3, 30), line(4, 4)}
	wantDump(t, s, "a", everything, want...)
	after := func(name string) {
		t.Helper()
		wantDump(t, openAt(t, storetest.CrashCopy(t, dir)), "a", everything, want...)
	}
	after("held")
	segments := func(want int) {
		t.Helper()
		if got, err := filepath.Glob(filepath.Join(dir, "wal", "0*")); err != nil || len(got) != want {
			t.Errorf("segments of the log: %v, error %v, want %d", got, err, want)
		}
	}
	segments(1)

	set := old.Select(t.Context(), store.Selection{})
	if !set.Next() {
		t.Fatalf("the old reader sees nothing, error %v", set.Err())
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	wantDump(t, s, "a", everything, want...)
	flush()
	wantDump(t, s, "a", everything, want...)
	after("flushed")
	segments(1)
}
