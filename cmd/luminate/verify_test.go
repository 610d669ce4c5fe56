package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerify checks the directory of a server: while it runs, after it, and damaged.
func TestVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	flag := "--storage.badger.path=" + dir
	b := boot(t, map[string]string{"storage.backend": "badger", "storage.badger.path": dir})
	if code, stdout, stderr := cli(t, nil, "verify", flag); code != exitFailure || !strings.Contains(stderr, "another process has it open") {
		t.Errorf("exit code %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
	}
	b.Close()
	code, stdout, stderr := cli(t, nil, "verify", flag)
	if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, "read 0 partitions with ") || strings.Contains(stdout, " 0 records") {
		t.Errorf("exit code %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "CATALOG"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = cli(t, nil, "verify", flag)
	if code != exitFailure || !strings.HasPrefix(stdout, "CATALOG: ") || !strings.Contains(stderr, dir+" has 1 damages: restore a backup") {
		t.Errorf("exit code %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
	}
	if code, _, stderr := cli(t, nil, "verify", flag, "--storage.backend=memory"); code != exitUsage {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
