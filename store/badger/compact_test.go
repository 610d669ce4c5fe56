package badger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
)

// TestCompactionKeepsTheSourceOfABadCopy changes what a compaction has written before it is compared.
func TestCompactionKeepsTheSourceOfABadCopy(t *testing.T) {
	for name, c := range map[string]struct {
		table  func([]byte) []byte // What happens to the first table; else a sample is added.
		series string
		at     int64
	}{
		"a bit":      {table: flipAt(30)},
		"no table":   {table: func([]byte) []byte { return nil }},
		"a value":    {series: "up,i=1", at: 1},
		"a sample":   {series: "up,i=1", at: 7},
		"one series": {series: "up,i=9", at: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			harmed := false
			s := openAt(t, dir, func(o *badger.Options) {
				o.SetCrash(func(at string) {
					if at == "compact: written" && !harmed {
						harmed = true
						if part := newest(t, dir); c.table != nil {
							rewriteFile(t, filepath.Join(part, "*.sst"), c.table)
						} else {
							addTo(t, part, labelsOf(c.series), series.Run{{Timestamp: c.at, Value: 9}})
						}
					}
				})
			})
			appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1}, sample{series: "up,i=2", t: 1, v: 2})
			if err := s.Tenant("a").Delete(t.Context(), store.Range{Min: 2, Max: 2}, store.Selection{}); err != nil {
				t.Fatal(err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Tenant("a").Delete(t.Context(), store.Range{Min: 3, Max: 3}, store.Selection{}); err != nil {
				t.Fatal(err)
			}
			want := dump(t, s, "a", everything)
			if err := s.Compact(t.Context()); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("harmed: %v, error %v", harmed, err)
			}
			for range 2 {
				if got := dump(t, s, "a", everything); got != want {
					t.Fatalf("got\n%swant\n%s", got, want)
				}
				if err := s.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			closed(t, s)
			if got := dump(t, openAt(t, dir), "a", everything); got != want {
				t.Fatalf("got\n%swant\n%s", got, want)
			}
			noQuarantine(t, dir)
		})
	}
}

func flipAt(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b = slices.Clone(b)
		b[at] ^= 0x10
		return b
	}
}

// newest returns the partition directory with the highest number.
func newest(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "partitions", "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return slices.MaxFunc(names, func(a, b string) int { return strings.Compare(filepath.Ext(a), filepath.Ext(b)) })
}

func addTo(t *testing.T, dir string, ls labels.Labels, run series.Run) {
	t.Helper()
	p, err := partition.Open(partition.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w, err := p.NewWriter(99)
	if err == nil {
		err = w.Series(t.Context(), "a", ls, run)
	}
	if err == nil {
		_, err = w.Finish()
	}
	if err = errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCompactionMergesSpans checks that many short values of a group become few of up to 480 samples, once.
func TestCompactionMergesSpans(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	for flush := range int64(17) {
		for i := range int64(30) {
			at := (flush*30 + i) * 15_000
			appendTo(t, s, "a", sample{series: "up,i=1", t: at, v: float64(i)}, sample{series: "up,i=2", t: at, v: float64(flush)})
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := dump(t, s, "a", everything)
	before := newest(t, dir)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, s, "a", everything); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	after := newest(t, dir)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if before == after || newest(t, dir) != after {
		t.Fatal(before, after, newest(t, dir))
	}
	closed(t, s)
	c, err := catalog.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if list := c.State().Partitions; len(list) != 1 || list[0].Series != 2 || list[0].Chunks != 2 || list[0].Short != 0 {
		t.Fatalf("%+v", list)
	}
}

// TestPartitionOfAnotherFormat opens a store that a program before row groups has left: it is refused and nothing moves.
func TestPartitionOfAnotherFormat(t *testing.T) {
	dir, part := damagedStore(t)
	c, err := catalog.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Update(func(st *catalog.State) {
		for i := range st.Partitions {
			st.Partitions[i].Format = 0
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, lossy := range []bool{false, true} {
		_, err := tryOpen(dir, func(o *badger.Options) { o.AllowLossyRecovery = lossy })
		says := fmt.Sprintf("%s has format 1, this program reads format %d", part, partition.Version)
		if !errors.Is(err, partition.ErrVersion) || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), says) {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(part); err != nil {
		t.Fatal(err)
	}
	noQuarantine(t, dir)
}
