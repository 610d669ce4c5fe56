package badger_test

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// contents returns a hash of each file below dir.
func contents(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path] = [32]byte{}
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// verified returns what Verify says, and checks that it changes nothing.
func verified(t *testing.T, dir string) (badger.Report, []string) {
	t.Helper()
	before := contents(t, dir)
	var lines []string
	report, err := badger.Verify(t.Context(), dir, func(d badger.Damage) { lines = append(lines, d.String()) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("Verify changes the directory (-before +after):\n%s", diff)
	}
	if report.Damages != len(lines) {
		t.Errorf("%d damages are counted, %d are told", report.Damages, len(lines))
	}
	return report, lines
}

func TestVerify(t *testing.T) {
	dir, _ := damagedStore(t)
	s := openAt(t, dir)
	appendTo(t, s, "b", sample{series: "up,i=4", t: 7, v: 7})
	crashed := storetest.CrashCopy(t, dir)
	closed(t, s)
	for name, dir := range map[string]string{"closed": dir, "crashed": crashed} {
		report, lines := verified(t, dir)
		if report.Partitions != 2 || report.Series != 3 || report.Chunks != 6 || report.Samples != 9 || report.Records != 1 || len(lines) > 0 {
			t.Errorf("%s: %+v, %q", name, report, lines)
		}
	}
	// What a flush has written stands in Badger's own log only, because a reader keeps the partition open.
	s = openAt(t, dir)
	rd, err := s.Tenant("a").Reader(everything)
	if err != nil {
		t.Fatal(err)
	}
	if set := rd.Select(t.Context(), store.Selection{}); !set.Next() {
		t.Fatal(set.Err())
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if report, lines := verified(t, storetest.CrashCopy(t, dir)); report.Series != 4 || len(lines) > 0 {
		t.Errorf("unflushed: %+v, %q", report, lines)
	}
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(dir, want string) {
		t.Helper()
		if _, err := badger.Verify(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	f(dir, "another process has it open")
	f(t.TempDir(), "there is no store")
	f(filepath.Join(dir, "nowhere"), "there is no store")
}

// TestVerifyFindsDamage has each kind of file damaged, cut and deleted.
func TestVerifyFindsDamage(t *testing.T) {
	source, part := damagedStore(t)
	s := openAt(t, source)
	for i := range int64(3) {
		appendTo(t, s, "a", sample{series: "up,i=9", t: i, v: 1})
	}
	closed(t, s)
	part = filepath.Join("partitions", filepath.Base(part))
	cut := func(b []byte) []byte { return b[:len(b)*2/3] }
	flip := func(b []byte) []byte { b[len(b)/3] ^= 0x10; return b }
	remove := func([]byte) []byte { return nil }
	for file, want := range map[string]string{
		filepath.Join(part, "*.sst"):    part + ": ",
		filepath.Join(part, "MANIFEST"): part + ": ",
		"CATALOG":                       "CATALOG: ",
		"checkpoint-*":                  "checkpoint-",
	} {
		for name, change := range map[string]func([]byte) []byte{"cut": cut, "flipped": flip, "deleted": remove} {
			t.Run(filepath.Base(file)+" "+name, func(t *testing.T) {
				dir := storetest.CrashCopy(t, source)
				rewriteFile(t, filepath.Join(dir, file), change)
				_, lines := verified(t, dir)
				if len(lines) == 0 || !strings.HasPrefix(lines[0], want) {
					t.Errorf("%q", lines)
				}
			})
		}
	}
	f := func(want string, change func(dir string) error) {
		t.Helper()
		dir := storetest.CrashCopy(t, source)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if _, lines := verified(t, dir); len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("%q, want %q", lines, want)
		}
	}
	f(": the directory is missing; lost, of the time from 0 to 86399999 ms: up to 2 series with 3 chunks", func(dir string) error { return os.RemoveAll(filepath.Join(dir, part)) })
	f("partitions/7.000099: the catalog does not know it", func(dir string) error { return os.Mkdir(filepath.Join(dir, "partitions", "7.000099"), 0o750) })
	f("wal: it is missing", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "wal")) })
	f("lost, of any time: the records 4 to 6", func(dir string) error {
		names, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
		rewriteFile(t, slices.Max(names), func(b []byte) []byte { b[10] ^= 1; return b })
		return err
	})
}

// TestScrub damages a table of an open store.
func TestScrub(t *testing.T) {
	dir, part := damagedStore(t)
	reg := prometheus.NewRegistry()
	var waits []time.Duration
	s := openAt(t, dir, func(o *badger.Options) {
		o.Registerer, o.ScrubBytesPerSecond = reg, 1
		o.Now = func() time.Time { return time.UnixMilli(5000) }
		o.SetWait(func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			return nil
		})
	})
	metric := func(name string) float64 { return testutil.ToFloat64(gauge(t, reg, "luminate_storage_scrub_"+name)) }
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, name := range []string{"damages", "damages_total", "last_completed_timestamp_seconds"} {
		got[name] = metric(name)
	}
	if want := map[string]float64{"damages": 0, "damages_total": 0, "last_completed_timestamp_seconds": 5}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	read := metric("read_bytes_total")
	if read < 500 || len(waits) > 0 {
		t.Errorf("%v bytes were read, waits %v", read, waits)
	}

	names, err := filepath.Glob(filepath.Join(part, "*.sst"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte("damage"), 20); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if metric("damages") == 0 || metric("damages_total") == 0 {
		t.Error("the damage is not found")
	}
	// The other partition is read all the same.
	if again := metric("read_bytes_total"); again <= read {
		t.Errorf("%v bytes were read, then %v", read, again)
	}
}

// TestScrubIsSlowAndRegular follows its waits.
func TestScrubIsSlowAndRegular(t *testing.T) {
	waits, goOn := make(chan time.Duration), make(chan struct{})
	s := openAt(t, t.TempDir(), func(o *badger.Options) {
		o.ScrubInterval, o.ScrubBytesPerSecond = 24*time.Hour, 1<<20
		o.SetWait(func(ctx context.Context, d time.Duration) error {
			select {
			case waits <- d:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case <-goOn:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	if d := <-waits; d != time.Hour {
		t.Errorf("the first pass begins after %v", d)
	}
	var all []sample
	for i := range int64(300_000) {
		all = append(all, sample{series: "up,i=1", t: i * 7 % 6_000_011, v: float64(i*i%1009) / 7})
	}
	slices.SortFunc(all, func(a, b sample) int { return int(a.t - b.t) })
	appendTo(t, s, "a", all...)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	goOn <- struct{}{}
	d := <-waits
	paused := 0
	for ; d < 24*time.Hour; d = <-waits {
		if d < time.Second || d > 2*time.Second {
			t.Errorf("a pause of %v for a MiB", d)
		}
		paused++
		goOn <- struct{}{}
	}
	if paused == 0 {
		t.Error("the pass does not pause")
	}
}
