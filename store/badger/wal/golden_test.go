package wal_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// TestGoldenV1 reads a segment that version 1 of the format wrote: the records of seeds. A new version keeps the file
// and adds its own.
func TestGoldenV1(t *testing.T) {
	data, err := os.ReadFile("testdata/v1.segment")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/v1.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, "00000000", data)
	l, found, lines := open(t, wal.Options{Dir: dir, First: 1})
	closeLog(t, l)
	for i := range lines {
		lines[i], _, _ = strings.Cut(lines[i], "0x") // The rest is pointers.
	}
	if diff := cmp.Diff(strings.Fields(string(want)), strings.Fields(strings.Join(lines, "\n"))); diff != "" || len(found.Losses) > 0 || found.Torn > 0 {
		t.Fatal(diff, found)
	}
}
