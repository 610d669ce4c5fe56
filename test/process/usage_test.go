package process_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/luminate-metrics/luminate/test/process"
)

func TestUsage(t *testing.T) {
	u, err := process.UsageOf(os.Getpid())
	if err != nil || u.RSS <= 0 || u.Peak < u.RSS || u.CPU < 0 {
		t.Fatalf("%+v, %v", u, err)
	}
	held := make([]byte, 64<<20)
	for i := range held {
		held[i] = 1
	}
	more, err := process.UsageOf(os.Getpid())
	if err != nil || more.Peak < u.RSS+int64(len(held)) || more.CPU < u.CPU {
		t.Errorf("with %d bytes more: %+v after %+v, %v", len(held), more, u, err)
	}
	if err := process.ResetPeak(os.Getpid()); err != nil {
		t.Error(err)
	}
	const nobody = 1 << 30
	if _, err := process.UsageOf(nobody); err == nil {
		t.Error("nobody's usage")
	}
	if err := process.ResetPeak(nobody); err == nil {
		t.Error("nobody's peak")
	}
}

func TestDiskUsage(t *testing.T) {
	dir := t.TempDir()
	one, below := filepath.Join(dir, "one"), filepath.Join(dir, "below")
	if err := os.WriteFile(one, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	alone, err := process.DiskUsage(dir)
	if err != nil || alone < 100_000 || alone > 200_000 {
		t.Fatalf("%d bytes, %v", alone, err)
	}
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(one, filepath.Join(below, "two")); err != nil {
		t.Fatal(err)
	}
	if both, err := process.DiskUsage(dir); err != nil || both != alone {
		t.Errorf("with a second name: %d bytes instead of %d, %v", both, alone, err)
	}
	if gone, err := process.DiskUsage(filepath.Join(dir, "gone")); err != nil || gone != 0 {
		t.Errorf("nothing: %d bytes, %v", gone, err)
	}
}
