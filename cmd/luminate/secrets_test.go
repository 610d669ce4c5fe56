package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/tenancy"
)

// TestSecretsStayInside looks for the signing secret, and for tokens, in everything that the server says.
func TestSecretsStayInside(t *testing.T) {
	b := boot(t, map[string]string{
		"auth.mode": "jwt", "auth.jwt.secret": testSecret, "log.level": "debug", "log.format": "text",
	})
	token := bearer(t, "default", tenancy.All)
	_, signature, _ := strings.Cut(token[strings.Index(token, ".")+1:], ".")
	leaks := func(where, text string) {
		t.Helper()
		if strings.Contains(text, testSecret) || strings.Contains(text, signature) {
			t.Errorf("%s shows a secret: %s", where, text)
		}
	}
	for _, r := range b.server.Routes() {
		if r.Method != http.MethodGet {
			continue
		}
		got := b.do(r.Method, concrete(r.Path), "", "Authorization", token)
		leaks(r.Path, got.body)
		leaks(r.Path, b.do(r.Method, concrete(r.Path), "", "Authorization", token+"x").body)
	}
	config := b.do("GET", "/api/v1/status/config", "", "Authorization", token).body
	if !strings.Contains(config, "<redacted>") && !strings.Contains(config, `\u003credacted\u003e`) {
		t.Errorf("the configuration shows no sign of the secret: %s", config)
	}
	b.Close()
	log := b.stderr.String()
	leaks("the log", log)
	leaks("the announcement", b.stdout.String())
	for _, want := range []string{
		"msg=request method=GET route=/api/v1/label/:name/values status=200", "tenant=default", "reason=\"bad_signature",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log at level debug lacks %s", want)
		}
	}
	if !strings.Contains(b.stdout.String(), os.Args[0]+" token mint --tenant default") {
		t.Errorf("no hint how to get a token in:\n%s", b.stdout)
	}
}

// TestAnnouncement checks the suggestions that depend on the configuration.
func TestAnnouncement(t *testing.T) {
	f := func(want string, settings map[string]string) {
		t.Helper()
		b := boot(t, settings)
		if got := b.stdout.String(); !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	f("-H 'X-Scope-OrgID: own'", map[string]string{"self_metrics.tenant": "own"})
	f(`/luminate/v1/metrics -d '{"name":"up"`, map[string]string{"self_metrics.enabled": "false"})
	f("http://localhost:", map[string]string{"server.listen": ":0"})
	if b := boot(t, map[string]string{"log.format": "json"}); b.stdout.String() != "" {
		t.Errorf("something else than the log is printed:\n%s", b.stdout)
	}
}
