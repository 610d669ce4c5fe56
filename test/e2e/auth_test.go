package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
)

const (
	secret        = "0123456789abcdef0123456789abcdef"
	secretSetting = "LUMINATE_AUTH_JWT_SECRET=" + secret
)

// mint asks the program for a token, as an operator does.
func mint(t *testing.T, tenant, scopes string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Getenv(binaryVariable), "token", "mint", "--tenant", tenant, "--scopes", scopes, "--ttl", "1h")
	cmd.Env = append(os.Environ(), secretSetting)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("token mint: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// sign makes a token by hand, also one that is wrong.
func sign(t *testing.T, algorithm, key string, claims map[string]any) string {
	t.Helper()
	header, errH := json.Marshal(map[string]string{"alg": algorithm, "typ": "JWT"})
	body, errB := json.Marshal(claims)
	if errH != nil || errB != nil {
		t.Fatal(errH, errB)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(header) + "." + encode(body)
	if algorithm == "none" {
		return text + "."
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

func claims(pairs ...any) map[string]any {
	c := map[string]any{"tenant": "a", "scopes": "read write", "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(c, pairs[i].(string))
		} else {
			c[pairs[i].(string)] = pairs[i+1]
		}
	}
	return c
}

// In mode jwt only a valid token with the right scope gets in, and the decision comes before the body is looked at.
func TestTokens(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir(), "LUMINATE_AUTH_MODE=jwt", secretSetting)
	read := func(token string) *client.Reply {
		return asked(t, server.URL(), token, http.MethodGet, "/api/v1/labels")
	}
	write := func(token string) *client.Reply { return asked(t, server.URL(), token, http.MethodPost, writePath) }
	for _, b := range []struct {
		name, token string
		read, write int // The body of the write is no protobuf: 400 shows that the caller got in.
	}{
		{"minted", mint(t, "a", "read,write"), 200, 400},
		{"signed by hand", sign(t, "HS256", secret, claims()), 200, 400},
		{"scopes as a list", sign(t, "HS256", secret, claims("scopes", []string{"read"})), 200, 403},
		{"one of several tenants", sign(t, "HS256", secret, claims("tenant", nil, "tenants", []string{"a"})), 200, 400},
		{"may read", mint(t, "a", "read"), 200, 403},
		{"may write", mint(t, "a", "write"), 403, 400},
		{"may administer", mint(t, "a", "admin"), 403, 403},
		{"none", "", 401, 401},
		{"no token", "abc", 401, 401},
		{"not signed", sign(t, "none", "", claims()), 401, 401},
		{"signed by another", sign(t, "HS256", "another secret that is long enough", claims()), 401, 401},
		{"other algorithm", sign(t, "HS512", secret, claims()), 401, 401},
		{"expired", sign(t, "HS256", secret, claims("exp", time.Now().Add(-time.Hour).Unix())), 401, 401},
		{"never expires", sign(t, "HS256", secret, claims("exp", nil)), 401, 401},
		{"not yet valid", sign(t, "HS256", secret, claims("nbf", time.Now().Add(time.Hour).Unix())), 401, 401},
		{"cut off", strings.TrimSuffix(mint(t, "a", "read"), "x")[:40], 401, 401},
	} {
		t.Run(b.name, func(t *testing.T) {
			if r := read(b.token); r.Status != b.read {
				t.Errorf("read: want %d, got %v", b.read, r)
			}
			if r := write(b.token); r.Status != b.write {
				t.Errorf("write: want %d, got %v", b.write, r)
			}
		})
	}
	for _, claim := range []map[string]any{claims("tenant", nil), claims("tenant", "../etc"), claims("scopes", "fly")} {
		if r := read(sign(t, "HS256", secret, claim)); r.Status != 401 && r.Status != 403 {
			t.Errorf("claims %v: want 401 or 403, got %v", claim, r)
		}
	}
	if out := server.Output(); strings.Contains(out, secret) {
		t.Error("the secret stands in the log")
	}
}

func asked(t *testing.T, base, token, method, path string) *client.Reply {
	t.Helper()
	c := newClient(t, base, "")
	c.Token = token
	return must(t)(c.Do(t.Context(), method, path, nil, []byte("no protobuf")))
}

// Probes are open to everybody in every mode.
func TestProbesNeedNoToken(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir(), "LUMINATE_AUTH_MODE=jwt", secretSetting).URL(), "")
	for _, path := range []string{"/-/healthy", "/-/ready", "/healthz", "/readyz"} {
		if r := must(t)(c.Get(t.Context(), path, nil)); r.Status != http.StatusOK {
			t.Errorf("%s: %v", path, r)
		}
	}
}

// In mode none there is one tenant, whatever a client says.
func TestModeNone(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir(), "LUMINATE_AUTH_MODE=none")
	now := time.Now()
	r := must(t)(newClient(t, server.URL(), "a").Write(t.Context(), client.RemoteWrite2, client.One(now.UnixMilli(), 7, "__name__", "shared")))
	if !r.OK() {
		t.Fatal(r)
	}
	streams, err := must(t)(newClient(t, server.URL(), "b").Query(t.Context(), "shared", now)).Streams()
	if err != nil || !slices.ContainsFunc(streams, func(s client.Stream) bool { return s.Value.V == 7 }) {
		t.Errorf("want one series, got %v, %v", streams, err)
	}
}
