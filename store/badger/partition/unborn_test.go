package partition_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
)

// TestOpenAfterACrashThatCreatedAFile leaves what a kill leaves between the creation of a log and its first write.
func TestOpenAfterACrashThatCreatedAFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	p, err := partition.Open(partition.Options{Dir: dir, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	write(t, p, 1, true, written{"a", labels.FromStrings("__name__", "up"), series.Run{{Timestamp: 1, Value: 1}}})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00099.mem", "000099.vlog", "000099.sst"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if p, err = partition.Open(partition.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := read(t.Context(), p, "a", nil)
	if d := cmp.Diff([]string{`{__name__="up"} 1 0 3ff0000000000000`}, got); err != nil || d != "" {
		t.Error(err, d)
	}
}
