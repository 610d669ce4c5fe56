package badger_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// damagedStore returns a closed store with two partitions, and the directory of the first.
func damagedStore(t *testing.T) (dir, part string) {
	t.Helper()
	dir = t.TempDir()
	s := openAt(t, dir)
	for i := range int64(3) {
		appendTo(t, s, "a", sample{series: "up,i=1", t: i, v: 1}, sample{series: "up,i=2", t: i, v: 1}, sample{series: "up,i=1", t: day, v: 2})
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	parts, err := filepath.Glob(filepath.Join(dir, "partitions", "0.*"))
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	return dir, parts[0]
}

func rewriteFile(t *testing.T, pattern string, change func([]byte) []byte) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatal(pattern, names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if data = change(data); data == nil {
		err = os.Remove(names[0])
	} else {
		err = os.WriteFile(names[0], data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamage(t *testing.T) {
	remove := func([]byte) []byte { return nil }
	cut := func(n int) func([]byte) []byte {
		return func(b []byte) []byte { return b[:max(len(b)-n, 0)] }
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			b = slices.Clone(b)
			b[at] ^= 0x10
			return b
		}
	}
	cases := []struct {
		name string
		file string              // Pattern in the directory of the partition; "" is the directory itself.
		do   func([]byte) []byte // nil means the file is gone.
		says string              // In the error.
	}{
		{"table cut", "*.sst", cut(10), ".sst has"},
		{"table emptied", "*.sst", cut(1e9), ".sst is missing or empty"},
		{"table deleted", "*.sst", remove, ".sst is missing"},
		{"table damaged", "*.sst", flip(20), "partition"},
		{"table damaged at its end", "*.sst", func(b []byte) []byte { b[len(b)-1] ^= 0x10; return b }, ".sst: checksum of the index"},
		{"table's index damaged", "*.sst", func(b []byte) []byte { b[len(b)-40] ^= 0x10; return b }, ".sst: index"},
		{"manifest deleted", "MANIFEST", remove, "MANIFEST is missing"},
		{"manifest cut", "MANIFEST", cut(5), "MANIFEST"},
		{"manifest cut by a record", "MANIFEST", cut(14), "MANIFEST"},
		{"manifest damaged", "MANIFEST", flip(20), "MANIFEST"},
		{"partition deleted", "", nil, "directory is missing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, part := damagedStore(t)
			if c.file == "" {
				if err := os.RemoveAll(part); err != nil {
					t.Fatal(err)
				}
			} else {
				rewriteFile(t, filepath.Join(part, c.file), c.do)
			}
			s, err := tryOpen(dir)
			if err == nil {
				_, err = tryDump(t.Context(), s, "a", everything)
				closed(t, s)
			}
			if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), filepath.Base(part)) {
				t.Fatalf("error is %v", err)
			}
			reg := prometheus.NewRegistry()
			s = openAt(t, dir, func(o *badger.Options) { o.AllowLossyRecovery, o.Registerer = true, reg })
			wantDump(t, s, "a", everything, `{__name__="up", i="1"} 86400000 2 start=0`)
			if got := testutil.ToFloat64(gauge(t, reg, "luminate_storage_quarantined_partitions_total")); got != 1 {
				t.Fatalf("%v partitions are in quarantine", got)
			}
			closed(t, s)
			closed(t, openAt(t, dir))
		})
	}
}

func TestDamagedCatalog(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"deleted": func([]byte) []byte { return nil },
		"emptied": func([]byte) []byte { return []byte{} },
		"damaged": func(b []byte) []byte { b[60] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := damagedStore(t)
			s := openAt(t, dir)
			appendTo(t, s, "a", sample{series: "up,i=3", t: 5, v: 5})
			want := dump(t, s, "a", everything)
			closed(t, s)
			rewriteFile(t, filepath.Join(dir, "CATALOG"), change)
			if _, err := tryOpen(dir); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "CATALOG") {
				t.Fatal(err)
			}
			s = openAt(t, dir, func(o *badger.Options) { o.AllowLossyRecovery = true })
			if got := dump(t, s, "a", everything); got != want {
				t.Fatalf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestDamagedLogIsAnnounced(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	for i := range int64(3) {
		appendTo(t, s, "a", sample{series: "up,i=1", t: i, v: 1})
	}
	closed(t, s)
	rewriteFile(t, filepath.Join(dir, "wal", "00000000"), func(b []byte) []byte { b[10] ^= 1; return b })
	reg := prometheus.NewRegistry()
	s = openAt(t, dir, func(o *badger.Options) { o.Registerer = reg })
	if got := testutil.ToFloat64(gauge(t, reg, "luminate_storage_wal_corruptions_total")); got != 1 {
		t.Fatalf("%v corruptions are counted", got)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "quarantine", "wal-*"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	appendTo(t, s, "a", sample{series: "up,i=1", t: 9, v: 9})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	reg = prometheus.NewRegistry()
	s = openAt(t, dir, func(o *badger.Options) { o.Registerer = reg })
	if got := testutil.ToFloat64(gauge(t, reg, "luminate_storage_wal_corruptions_total")); got != 0 {
		t.Fatalf("%v corruptions are counted again", got)
	}
	wantDump(t, s, "a", store.Range{Min: 9, Max: 9}, `{__name__="up", i="1"} 9 9 start=0`)
}

// TestDamagedBadgerLog has a partition whose last flush is in Badger's own log only, because a reader kept it open.
func TestDamagedBadgerLog(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	appendTo(t, s, "a", sample{series: "up,i=1", t: 1, v: 1})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rd, err := s.Tenant("a").Reader(everything)
	if err != nil {
		t.Fatal(err)
	}
	if set := rd.Select(t.Context(), store.Selection{}); !set.Next() {
		t.Fatal(set.Err())
	}
	appendTo(t, s, "a", sample{series: "up,i=1", t: 2, v: 2})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := dump(t, s, "a", everything)
	whole, damaged := storetest.CrashCopy(t, dir), storetest.CrashCopy(t, dir)
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, openAt(t, whole), "a", everything); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	noQuarantine(t, whole)
	rewriteFile(t, filepath.Join(damaged, "partitions", "0.*", "*.mem"), func(b []byte) []byte { b[40] ^= 1; return b })
	if _, err := tryOpen(damaged); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "up to flush 1") {
		t.Fatal(err)
	}
	// Badger has cut its log by now: a further start must not take what it left for what was there.
	kept := quarantined(t, damaged)
	if _, err := tryOpen(damaged); !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
	if d := cmp.Diff(kept, quarantined(t, damaged)); d != "" {
		t.Error(d)
	}
	for _, kind := range []string{".mem", "MANIFEST", ".sst"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(kept)), func(name string) bool { return strings.HasSuffix(name, kind) }) {
			t.Errorf("no %s is kept: %v", kind, slices.Collect(maps.Keys(kept)))
		}
	}
}

// quarantined returns the files in quarantine with their contents.
func quarantined(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "quarantine", "*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(data)
	}
	return out
}

func TestDamagedCheckpoint(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"deleted": func([]byte) []byte { return nil },
		"emptied": func([]byte) []byte { return []byte{} },
		"damaged": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := damagedStore(t)
			s := openAt(t, dir)
			want := dump(t, s, "a", everything)
			closed(t, s)
			rewriteFile(t, filepath.Join(dir, "checkpoint-*"), change)
			if _, err := tryOpen(dir); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "checkpoint-") {
				t.Fatal(err)
			}
			reg := prometheus.NewRegistry()
			s = openAt(t, dir, func(o *badger.Options) { o.AllowLossyRecovery, o.Registerer = true, reg })
			if err := testutil.GatherAndCompare(reg, strings.NewReader(oneDamagedCheckpoint), "luminate_storage_corruptions_total"); err != nil {
				t.Error(err)
			}
			closed(t, s)
			s = openAt(t, dir) // It is not missed again.
			if got := dump(t, s, "a", everything); got != want {
				t.Fatalf("got\n%swant\n%s", got, want)
			}
		})
	}
}

const oneDamagedCheckpoint = `# HELP luminate_storage_corruptions_total Damage that was met, by what is damaged: catalog, checkpoint, log or partition.
# TYPE luminate_storage_corruptions_total counter
luminate_storage_corruptions_total{part="catalog"} 0
luminate_storage_corruptions_total{part="checkpoint"} 1
luminate_storage_corruptions_total{part="log"} 0
luminate_storage_corruptions_total{part="partition"} 0
`
