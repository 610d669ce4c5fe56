package partition_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store/badger/partition"
)

// entries returns a partition as text: a line for each entry, key and value in hexadecimal.
func entries(t *testing.T, p *partition.Partition) string {
	t.Helper()
	var b strings.Builder
	err := p.Entries(t.Context(), func(key, value []byte) error {
		_, err := b.WriteString(strings.TrimSpace(fmt.Sprintf("%x %x", key, value)) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGoldenPartitionV3 writes what version 3 wrote, key by key, and reads what version 3 wrote. A new version keeps the
// file and adds its own.
func TestGoldenPartitionV3(t *testing.T) {
	long := strings.Repeat("long", 150)
	up := labels.FromStrings("__name__", "up", "job", "a")
	p := open(t)
	write(t, p, 7, true,
		written{"a", up, at(1000, 1)},
		written{"a", labels.FromStrings("__name__", "up", "path", long), at(2000, 2)},
		written{"ab", up, golden()})
	write(t, p, 9, true, written{"a", up, at(1000, 3)})
	file, err := os.ReadFile("testdata/partition-v3.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(file), entries(t, p)); diff != "" {
		t.Errorf("what is written has changed (-golden +written):\n%s", diff)
	}

	old := open(t)
	for line := range strings.Lines(string(file)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		key, errK := hex.DecodeString(k)
		value, errV := hex.DecodeString(v)
		if errK != nil || errV != nil {
			t.Fatal(errK, errV)
		}
		if err := old.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	info, err := old.Info()
	if want := (partition.Info{Sequence: 9, Series: 3, Chunks: 3, Short: 4}); err != nil || info != want {
		t.Errorf("info %+v, %v, want %+v", info, err, want)
	}
	got, err := read(t.Context(), old, "a", nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "up"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`{__name__="up", job="a"} 1000 0 4008000000000000`, `{__name__="up", path="` + long + `"} 2000 0 4000000000000000`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if got, err := read(t.Context(), old, "ab", nil); err != nil || len(got) != 1 {
		t.Errorf("tenant ab: %d series, %v", len(got), err)
	}
}

// sampleEntries counts the entries of samples and their censuses.
func sampleEntries(t *testing.T, p *partition.Partition) int {
	t.Helper()
	return strings.Count("\n"+entries(t, p), "\n64") // Their keys begin with a 'd'.
}
