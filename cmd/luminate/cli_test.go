package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cli runs a command line and returns the exit code and both outputs.
func cli(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs buffer
	code = run(t.Context(), world{args: args, environ: environ, stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("log: {level: debug}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want int, text string, environ []string, args ...string) {
		t.Helper()
		code, stdout, stderr := cli(t, environ, args...)
		if code != want || !strings.Contains(stdout+stderr, text) {
			t.Errorf("%q: exit code %d, want %d with %q\nstdout: %s\nstderr: %s", args, code, want, text, stdout, stderr)
		}
		if want == 0 && stderr != "" || want != 0 && stdout != "" {
			t.Errorf("%q: exit code %d\nstdout: %s\nstderr: %s", args, code, stdout, stderr)
		}
	}
	f(0, "luminate dev", nil, "version")
	f(0, "--storage.badger.path", nil, "--help")
	f(0, "Usage", nil, "token", "mint", "--help")
	f(0, "bash completion", nil, "completion", "bash")
	f(2, `unknown command or argument "fly"`, nil, "fly")
	f(2, "unknown flag: --fly", nil, "--fly")
	f(2, "unknown flag: --fly", nil, "server", "--fly")
	f(2, "unknown command or argument", nil, "server", "now")
	f(2, "LUMINATE_FLY: unknown setting", []string{"LUMINATE_FLY=1"}, "server")

	f(0, "level: debug", nil, "check-config", "--config", file)
	f(0, "level: warn", nil, "check-config", "--config="+file, "--log.level=warn")
	f(0, "level: error", []string{"LUMINATE_CONFIG=" + file, "LUMINATE_LOG_LEVEL=error"}, "check-config")
	f(0, "secret: <redacted>", []string{"LUMINATE_AUTH_JWT_SECRET=" + testSecret}, "check-config")
	f(0, "enabled: false", nil, "check-config", "--self_metrics.enabled=false")
	f(0, "use_start_timestamps: true", nil, "check-config", "--query.use_start_timestamps")
	f(2, "2 problems", nil, "check-config", "--storage.backend=clickhouse", "--log.level=loud")
	f(2, "clickhouse, which this version does not have yet", nil, "--storage.backend=clickhouse")

	store := t.TempDir()
	f(0, "there is no ballast in "+store, nil, "release-ballast", "--storage.badger.path="+store)
	if err := os.WriteFile(filepath.Join(store, "BALLAST"), make([]byte, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	f(0, "released 7 bytes", []string{"LUMINATE_STORAGE_BADGER_PATH=" + store}, "release-ballast")
	f(2, "storage.badger.min_free_percent: is 51", nil, "check-config", "--storage.badger.min_free_percent=51")

	f(2, "--tenant is missing", nil, "token", "mint")
	f(2, "there is no signing secret", nil, "token", "mint", "--tenant", "a")
	f(2, "at least 32", []string{"LUMINATE_AUTH_JWT_SECRET=short"}, "token", "mint", "--tenant", "a")
	signing := []string{"LUMINATE_AUTH_JWT_SECRET=" + testSecret}
	f(2, "--tenant: tenant id has the character", signing, "token", "mint", "--tenant", "a/b")
	f(2, `unknown scope "fly"`, signing, "token", "mint", "--tenant", "a", "--scopes", "fly")
	f(2, "is not a duration", signing, "token", "mint", "--tenant", "a", "--ttl", "long")
	f(2, "expired at once", signing, "token", "mint", "--tenant", "a", "--ttl", "0")
	f(1, "the token is not valid", signing, "token", "inspect", "x.y.z")
	f(1, "connect", nil, "healthcheck", "--url", "http://127.0.0.1:1")
}

func TestTokens(t *testing.T) {
	signing := []string{"LUMINATE_AUTH_JWT_SECRET=" + testSecret}
	code, token, stderr := cli(t, signing, "token", "mint", "--tenant", "a", "--tenants", "b,c", "--scopes", "read,admin", "--ttl", "2d", "--subject", "me")
	if code != 0 || strings.Count(token, "\n") != 1 || strings.Count(token, ".") != 2 {
		t.Fatalf("exit code %d\nstdout: %s\nstderr: %s", code, token, stderr)
	}
	code, text, stderr := cli(t, signing, "token", "inspect", strings.TrimSpace(token))
	var got struct {
		Tenant  string
		Tenants []string
		Scopes  []string
		Subject string
		Expires time.Time
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, text, stderr)
	}
	left := time.Until(got.Expires)
	if got.Tenant != "a" || strings.Join(got.Tenants, " ") != "b c" || strings.Join(got.Scopes, " ") != "read admin" ||
		got.Subject != "me" || left > 48*time.Hour || left < 47*time.Hour {
		t.Errorf("%s", text)
	}

	// A secret in a file with a line end is the same secret.
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := cli(t, []string{"LUMINATE_AUTH_JWT_SECRET_FILE=" + file}, "token", "inspect", strings.TrimSpace(token)); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	other := []string{"LUMINATE_AUTH_JWT_SECRET=another-secret-of-32-bytes-....."}
	if code, _, stderr := cli(t, other, "token", "inspect", strings.TrimSpace(token)); code != 1 || !strings.Contains(stderr, "signature") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestVersionJSON(t *testing.T) {
	_, text, _ := cli(t, nil, "version", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(text), &got); err != nil || got["version"] == "" || got["go"] == "" {
		t.Errorf("%v: %s", err, text)
	}
}

func TestHealthcheck(t *testing.T) {
	b := boot(t, nil)
	listen := "--server.listen=" + strings.TrimPrefix(b.URL(), "http://")
	if code, text, stderr := cli(t, nil, "healthcheck", listen); code != 0 || !strings.Contains(text, "healthy") {
		t.Errorf("exit code %d: %s%s", code, text, stderr)
	}
	if code, text, stderr := cli(t, nil, "healthcheck", "--ready", "--url", b.URL()+"/"); code != 0 || !strings.Contains(text, `"ready"`) {
		t.Errorf("exit code %d: %s%s", code, text, stderr)
	}
	b.server.Drain()
	if code, _, stderr := cli(t, nil, "healthcheck", "--ready", "--url", b.URL()); code != 1 || !strings.Contains(stderr, "the server is stopping") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for listen, want := range map[string]string{
		":8080": "localhost:8080", "0.0.0.0:1": "localhost:1", "[::]:1": "localhost:1", "10.0.0.1:2": "10.0.0.1:2", "host:3": "host:3",
	} {
		if got := local(listen); got != want {
			t.Errorf("local(%q) = %q, want %q", listen, got, want)
		}
	}
}
