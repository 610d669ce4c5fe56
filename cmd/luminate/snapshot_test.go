package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSnapshot restores what the Prometheus API has written to the server's disk.
func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept", "here")
	b := archiveServer(t, filepath.Join(dir, "data"), "storage.snapshot_dir", kept)
	b.writeTo("a", "m", 1111)
	b.writeTo("b", "m", 2222)
	var names []string
	for range 2 {
		r := b.do("POST", "/api/v1/admin/tsdb/snapshot", "", "X-Scope-OrgID", "a")
		var got struct {
			Status string
			Data   struct{ Name string }
		}
		if err := json.Unmarshal([]byte(r.body), &got); r.status != 200 || err != nil || got.Status != "success" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if !regexp.MustCompile(`^\d{8}T\d{6}Z-[0-9a-f]{16}\.archive$`).MatchString(got.Data.Name) {
			t.Errorf("name %q", got.Data.Name)
		}
		names = append(names, got.Data.Name)
	}
	b.Close()
	entries, err := os.ReadDir(kept)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, error %v: want the two files %v", entries, err, names)
	}

	restored := filepath.Join(dir, "restored")
	if code, stdout, stderr := cli(t, nil, "restore", "--storage.badger.path="+restored, filepath.Join(kept, names[0])); code != 0 || !strings.Contains(stdout+stderr, "1 tenants") {
		t.Fatalf("restore: %d %s%s", code, stdout, stderr)
	}
	b = archiveServer(t, restored)
	b.shows("a", "m", "1111")
	b.shows("b", "m", `"result":[]`)
}

// TestSnapshotIntoAFile fails.
func TestSnapshotIntoAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := archiveServer(t, filepath.Join(dir, "data"), "storage.snapshot_dir", file)
	if r := b.do("POST", "/api/v1/admin/tsdb/snapshot", "", "X-Scope-OrgID", "a"); r.status != 500 {
		t.Errorf("%d %s", r.status, r.body)
	}
}
