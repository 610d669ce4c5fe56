package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/store/archive"
	"github.com/luminate-metrics/luminate/tenancy"
)

// writeTo stores a value of a tenant.
func (b *booted) writeTo(tenant, name string, value int) {
	b.t.Helper()
	body := fmt.Sprintf(`{"name":%q,"value":%d,"dimensions":{"team":%q}}`, name, value, tenant)
	if r := b.do("POST", "/luminate/v1/metrics", body, "X-Scope-OrgID", tenant); r.status != 200 {
		b.t.Fatalf("%d %s", r.status, r.body)
	}
}

func (b *booted) shows(tenant, query, want string) {
	b.t.Helper()
	if r := b.do("GET", "/api/v1/query?query="+query, "", "X-Scope-OrgID", tenant); r.status != 200 || !strings.Contains(r.body, want) {
		b.t.Errorf("%s of %s: %d %s, want %s", query, tenant, r.status, r.body, want)
	}
}

func archiveServer(t *testing.T, dir string, more ...string) *booted {
	t.Helper()
	settings := map[string]string{
		"storage.backend": "badger", "storage.badger.path": dir, "self_metrics.enabled": "false",
		"auth.mode": "header", "auth.header.admin": "true",
	}
	for i := 0; i < len(more); i += 2 {
		settings[more[i]] = more[i+1]
	}
	return boot(t, settings)
}

// A backup of a running server, and one of the stopped server, go through restore into a server that answers the same.
func TestBackupAndRestore(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	data := filepath.Join(dir, "data")
	b := archiveServer(t, data, "native.backup_all_tenants", "true")
	b.writeTo("a", "m", 1111)
	b.writeTo("b", "m", 2222)

	online := filepath.Join(out, "online")
	r := b.do("POST", "/luminate/v1/admin/backup?tenants=all", "", "X-Scope-OrgID", "a")
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if err := os.WriteFile(online, []byte(r.body), 0o600); err != nil {
		t.Fatal(err)
	}
	own := b.do("POST", "/luminate/v1/admin/backup", "", "X-Scope-OrgID", "a")
	if sum, err := archive.Verify(strings.NewReader(own.body)); err != nil || len(sum.Header.Tenants) != 1 || sum.Header.Tenants[0] != "a" {
		t.Errorf("%+v %v", sum, err)
	}

	path := "--storage.badger.path=" + data
	offline := filepath.Join(out, "offline")
	if code, _, stderr := cli(t, nil, "backup", path, offline); code != 1 || !strings.Contains(stderr, "in use by another process") {
		t.Errorf("backup beside a running server: %d %s", code, stderr)
	}
	b.Close()
	code, stdout, stderr := cli(t, nil, "backup", path, offline)
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "wrote an archive of ") {
		t.Fatalf("backup: %d %s%s", code, stdout, stderr)
	}
	if code, _, stderr := cli(t, nil, "backup", path, offline); code != 1 || !strings.Contains(stderr, "never replaces a file") {
		t.Errorf("backup over a file: %d %s", code, stderr)
	}
	next := filepath.Join(out, "next")
	for i, more := range [][]string{{path}, {path, "--from", online}} {
		name := next + strconv.Itoa(i)
		code, stdout, stderr := cli(t, nil, append([]string{"backup", "--since", online, name}, more...)...)
		if code != 0 || !strings.HasPrefix(stdout, "wrote an increment of ") || !strings.Contains(stdout, " 0 series, ") {
			t.Errorf("increment: %d %s%s", code, stdout, stderr)
		}
		if code, _, stderr := cli(t, nil, "restore", path, "--merge", name); code != 1 || !strings.Contains(stderr, "an increment can't be restored without") {
			t.Errorf("restore an increment alone: %d %s", code, stderr)
		}
		chained := "--storage.badger.path=" + filepath.Join(t.TempDir(), "data")
		if code, stdout, stderr := cli(t, nil, "restore", chained, online, name); code != 0 || !strings.Contains(stdout, "2 tenants, 2 series, 2 samples") {
			t.Errorf("restore a chain: %d %s%s", code, stdout, stderr)
		}
	}
	code, piped, stderr := cli(t, nil, "backup", path, "--tenants=b", "-")
	if sum, err := archive.Verify(strings.NewReader(piped)); code != 0 || err != nil || len(sum.Header.Tenants) != 1 {
		t.Errorf("backup to standard output: %d %v %s", code, err, stderr)
	}

	for _, file := range []string{online, offline} {
		if code, stdout, stderr := cli(t, nil, "verify", file); code != 0 || !strings.Contains(stdout, "2 tenants, 2 series, 2 samples") {
			t.Errorf("verify: %d %s%s", code, stdout, stderr)
		}
		fresh := filepath.Join(t.TempDir(), "data")
		code, stdout, stderr := cli(t, nil, "restore", "--storage.badger.path="+fresh, file)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "restored an archive of ") {
			t.Fatalf("restore: %d %s%s", code, stdout, stderr)
		}
		if code, _, stderr := cli(t, nil, "restore", "--storage.badger.path="+fresh, file); code != 1 || !strings.Contains(stderr, "not empty") {
			t.Errorf("restore again: %d %s", code, stderr)
		}
		if code, _, stderr := cli(t, nil, "restore", "--merge", "--storage.badger.path="+fresh, file); code != 0 {
			t.Errorf("restore again and merge: %d %s", code, stderr)
		}
		restored := archiveServer(t, fresh)
		restored.shows("a", "m", `"1111"`)
		restored.shows("b", "m", `"2222"`)
		restored.Close()
	}
}

func TestArchiveCommandsRefuse(t *testing.T) {
	dir := t.TempDir()
	damaged := filepath.Join(dir, "damaged")
	if err := os.WriteFile(damaged, []byte("LUMINATE\r\n\x1a\n\x01\x01"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	path := "--storage.badger.path=" + data
	f := func(want int, text string, args ...string) {
		t.Helper()
		if code, stdout, stderr := cli(t, nil, args...); code != want || !strings.Contains(stderr, text) || stdout != "" {
			t.Errorf("%q: exit code %d, want %d with %q\nstdout: %s\nstderr: %s", args, code, want, text, stdout, stderr)
		}
	}
	f(2, "takes one file", "backup", path)
	f(2, "takes one file", "restore", path, "a", "-")
	f(1, "no such file", "restore", path, "a", "b")
	f(2, "--from needs --since", "backup", path, "--from", damaged, "x")
	f(2, "takes one file", "verify", "a", "b")
	f(2, "--tenants: tenant id", "backup", path, "--tenants=a/b", "x")
	f(2, "storage.backend is memory", "restore", "--storage.backend=memory", damaged)
	f(1, "there is no store in", "backup", path, filepath.Join(dir, "x"))
	if _, err := os.Stat(data); err == nil {
		t.Error("a backup made a store")
	}
	f(1, "damaged at byte 14", "verify", damaged)
	f(1, "nothing was restored: archive: damaged at byte 14", "restore", path, damaged)
	f(1, "no such file", "restore", path, filepath.Join(dir, "missing"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "partial") {
			t.Errorf("%s was left", e.Name())
		}
	}
}

// The scope admin of one tenant is not one for all.
func TestBackupOfAllTenantsNeedsASetting(t *testing.T) {
	b := bootJWT(t)
	token := bearer(t, "a", tenancy.Admin)
	if r := b.do("POST", "/luminate/v1/admin/backup?tenants=all", "", "Authorization", token); r.status != 403 || !strings.Contains(r.body, "native.backup_all_tenants") {
		t.Errorf("%d %s", r.status, r.body)
	}
	r := b.do("POST", "/luminate/v1/admin/backup", "", "Authorization", token)
	if sum, err := archive.Verify(bytes.NewReader([]byte(r.body))); err != nil || sum.Counts.Tenants != 0 {
		t.Errorf("%+v %v", sum, err)
	}
}
