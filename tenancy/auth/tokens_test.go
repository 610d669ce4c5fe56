package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	now    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func options() auth.TokenOptions {
	return auth.TokenOptions{
		Secret: secret, Issuer: "https://issuer.test", Audience: "luminate", Leeway: 10 * time.Second,
		Now: func() time.Time { return now },
	}
}

func byToken(t *testing.T) *auth.Authenticator {
	t.Helper()
	return newAuthenticator(t, auth.Options{Mode: auth.JWT, Tokens: options()})
}

// claims returns valid claims with changes; a nil value takes the claim out.
func claims(changes jwt.MapClaims) jwt.MapClaims {
	m := jwt.MapClaims{
		"iss": "https://issuer.test", "aud": "luminate", "exp": now.Add(time.Hour).Unix(), "tenant": "a", "scopes": []string{"read", "write"},
	}
	for k, v := range changes {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	return m
}

func sign(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, m jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, m)
	maps.Copy(token.Header, header)
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func good(t *testing.T, changes jwt.MapClaims) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, secret, nil, claims(changes))
}

// TestBadTokens sends tokens that prove nothing. All get the same answer, which does not tell why.
func TestBadTokens(t *testing.T) {
	a := byToken(t)
	_, want, _ := ask(a, tenancy.Read, request())
	f := func(what string, headers ...string) {
		t.Helper()
		r := request(headers...)
		code, body, id := ask(a, tenancy.Read, r)
		if code != http.StatusUnauthorized || body != want || id.Tenant != "" {
			t.Errorf("%s: status %d, identity %+v, body %q", what, code, id, body)
		}
	}
	token := func(what, token string) {
		t.Helper()
		f(what, "Authorization", "Bearer "+token)
	}
	f("no header")
	f("a tenant header alone", "X-Scope-OrgID", "a")
	f("empty", "Authorization", "")
	f("no token", "Authorization", "Bearer ")
	f("another scheme", "Authorization", "Basic "+good(t, nil))
	f("no scheme", "Authorization", good(t, nil))
	f("two headers", "Authorization", "Bearer "+good(t, nil), "Authorization", "Bearer "+good(t, nil))
	token("two tokens", good(t, nil)+" "+good(t, nil))
	token("something after the token", good(t, nil)+",x")
	token("no JWT", "x")
	token("many periods", strings.Repeat(".", 8000))
	token("too long", good(t, jwt.MapClaims{"x": strings.Repeat("x", auth.MaxTokenLength)}))

	token("expired", good(t, jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()}))
	token("no expiry", good(t, jwt.MapClaims{"exp": nil}))
	token("expiry is a text", good(t, jwt.MapClaims{"exp": "tomorrow"}))
	token("not valid yet", good(t, jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()}))
	token("another audience", good(t, jwt.MapClaims{"aud": "prometheus"}))
	token("no audience", good(t, jwt.MapClaims{"aud": nil}))
	token("another issuer", good(t, jwt.MapClaims{"iss": "https://evil.test"}))
	token("no issuer", good(t, jwt.MapClaims{"iss": nil}))

	other := []byte("another-secret-of-32-bytes-.....")
	token("another secret", sign(t, jwt.SigningMethodHS256, other, nil, claims(nil)))
	token("another HMAC", sign(t, jwt.SigningMethodHS512, secret, nil, claims(nil)))
	token("alg none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims(nil)))
	parts := strings.Split(good(t, nil), ".")
	token("no signature", parts[0]+"."+parts[1]+".")
	token("two parts", parts[0]+"."+parts[1])
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "hs256", "HS256 "} {
		head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","typ":"JWT"}`))
		token("alg "+alg, head+"."+parts[1]+"."+parts[2])
		token("unsigned alg "+alg, head+"."+parts[1]+".")
	}
	token("claims changed", parts[0]+"."+encode(t, claims(jwt.MapClaims{"tenant": "b"}))+"."+parts[2])
	// The last character of a 32 byte signature holds 4 bits: others would decode to the same bytes if not strict.
	last := parts[2][len(parts[2])-1]
	token("loose base64", parts[0]+"."+parts[1]+"."+parts[2][:len(parts[2])-1]+string(last+1))
	token("padded base64", good(t, nil)+"=")
}

func encode(t *testing.T, m jwt.MapClaims) string {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// TestKeyConfusion signs with asymmetric keys, and with keys that the token itself points to.
func TestKeyConfusion(t *testing.T) {
	a := byToken(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)})
	known := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(known, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(what, token string) {
		t.Helper()
		if code, _, _ := ask(a, tenancy.Read, request("Authorization", "Bearer "+token)); code != http.StatusUnauthorized {
			t.Errorf("%s: status %d", what, code)
		}
	}
	f("RS256", sign(t, jwt.SigningMethodRS256, key, nil, claims(nil)))
	f("HMAC by a public key", sign(t, jwt.SigningMethodHS256, public, nil, claims(nil)))
	for _, kid := range []string{known, "../../../../dev/null", "/dev/null", "' UNION SELECT 'x", "https://evil.test/key"} {
		for _, k := range [][]byte{[]byte(strings.Repeat("k", 32)), {}, []byte("x")} {
			f("kid "+kid, sign(t, jwt.SigningMethodHS256, k, map[string]any{"kid": kid}, claims(nil)))
		}
	}
	f("jwk", sign(t, jwt.SigningMethodHS256, []byte("x"), map[string]any{
		"jwk": map[string]any{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte("x"))},
	}, claims(nil)))
	f("jku", sign(t, jwt.SigningMethodHS256, []byte("x"), map[string]any{"jku": "https://evil.test/jwks"}, claims(nil)))
}

// TestTenantClaims sends valid tokens with all sorts of tenants.
func TestTenantClaims(t *testing.T) {
	a := byToken(t)
	f := func(want tenancy.ID, changes jwt.MapClaims, headers ...string) {
		t.Helper()
		code, body, id := ask(a, tenancy.Read, request(append(headers, "Authorization", "Bearer "+good(t, changes))...))
		if code != http.StatusNoContent || id.Tenant != want {
			t.Errorf("%v %q: status %d, tenant %q, want %q: %s", changes, headers, code, id.Tenant, want, body)
		}
	}
	refuse := func(status int, want string, changes jwt.MapClaims, headers ...string) {
		t.Helper()
		code, body, id := ask(a, tenancy.Read, request(append(headers, "Authorization", "Bearer "+good(t, changes))...))
		if code != status || !strings.Contains(body, want) || id.Tenant != "" {
			t.Errorf("%v %q: status %d, identity %+v, want %d with %q: %s", changes, headers, code, id, status, want, body)
		}
	}
	f("a", nil)
	f("a", nil, "X-Scope-OrgID", "a")
	f("a", nil, "Thanos-Tenant", "a")
	refuse(http.StatusForbidden, `tenant "b"`, nil, "X-Scope-OrgID", "b")
	refuse(http.StatusForbidden, `tenant "default"`, nil, "X-Scope-OrgID", "default")
	refuse(http.StatusBadRequest, "several tenants", nil, "X-Scope-OrgID", "a|b")
	refuse(http.StatusBadRequest, "is wrong", nil, "X-Scope-OrgID", "../a")
	refuse(http.StatusBadRequest, "2 times", nil, "X-Scope-OrgID", "a", "X-Scope-OrgID", "a")

	list := jwt.MapClaims{"tenant": nil, "tenants": []string{"b", "c"}}
	f("c", list, "X-Scope-OrgID", "c")
	refuse(http.StatusForbidden, "name one of them", list)
	refuse(http.StatusForbidden, `tenant "a"`, list, "X-Scope-OrgID", "a")
	f("b", jwt.MapClaims{"tenant": nil, "tenants": []string{"b"}})
	both := jwt.MapClaims{"tenants": []string{"b", "c"}}
	f("a", both)
	f("b", both, "X-Scope-OrgID", "b")

	refuse(http.StatusForbidden, "names no tenant", jwt.MapClaims{"tenant": nil})
	for _, bad := range []any{"", "a/b", "a|b", "*", strings.Repeat("x", 65), 1, true, []string{"a"}, map[string]any{"id": "a"}} {
		refuse(http.StatusForbidden, `claim "tenant"`, jwt.MapClaims{"tenant": bad})
	}
	for _, bad := range []any{"a", []string{}, []any{"a", 1}, []string{"a", ""}, map[string]any{"a": true}} {
		refuse(http.StatusForbidden, `claim "tenants"`, jwt.MapClaims{"tenants": bad})
	}
}

func TestScopes(t *testing.T) {
	a := byToken(t)
	f := func(claim any, want tenancy.Scopes) {
		t.Helper()
		for _, scope := range []tenancy.Scopes{tenancy.Read, tenancy.Write, tenancy.Admin} {
			code, body, _ := ask(a, scope, request("Authorization", "Bearer "+good(t, jwt.MapClaims{"scopes": claim})))
			status := http.StatusNoContent
			if !want.Has(scope) {
				status = http.StatusForbidden
			}
			if code != status {
				t.Errorf("%v, scope %s: status %d, want %d: %s", claim, scope, code, status, body)
			}
		}
	}
	f([]string{"read", "write", "admin"}, tenancy.All)
	f("read  write", tenancy.Read|tenancy.Write)
	f([]string{"admin"}, tenancy.Admin)
	f("openid read profile", tenancy.Read)
	f("read,write", 0)
	f("Read", 0)
	f("", 0)
	f(nil, 0)
	f(7, 0)
	f([]any{"read", 7}, 0)
	f(map[string]any{"read": true}, 0)
}

func TestLeeway(t *testing.T) {
	a := byToken(t)
	f := func(past time.Duration, want int) {
		t.Helper()
		token := good(t, jwt.MapClaims{"exp": now.Add(-past).Unix()})
		if code, _, _ := ask(a, tenancy.Read, request("Authorization", "bearer "+token)); code != want {
			t.Errorf("%s past: status %d, want %d", past, code, want)
		}
	}
	f(9*time.Second, http.StatusNoContent)
	f(11*time.Second, http.StatusUnauthorized)
}

func TestMint(t *testing.T) {
	o := options()
	o.TenantClaim, o.ScopesClaim = "https://luminate.test/tenant", "scp"
	tokens, err := auth.NewTokens(o)
	if err != nil {
		t.Fatal(err)
	}
	want := auth.Claims{
		Tenant: "a", Tenants: []tenancy.ID{"b", "c"}, Scopes: tenancy.Read | tenancy.Admin, Subject: "grafana", Expires: now.Add(time.Hour),
	}
	token, err := tokens.Mint(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tokens.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Expires.Equal(want.Expires) || got.Tenant != "a" || len(got.Tenants) != 2 || got.Scopes != want.Scopes || got.Subject != "grafana" {
		t.Errorf("got %+v, want %+v", got, want)
	}

	f := func(why string, change func(*auth.Claims)) {
		t.Helper()
		c := want
		change(&c)
		if _, err := tokens.Mint(c); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("error %v, want %q", err, why)
		}
	}
	f("expired", func(c *auth.Claims) { c.Expires = now })
	f("no tenant", func(c *auth.Claims) { c.Tenant, c.Tenants = "", nil })
	f("no scope", func(c *auth.Claims) { c.Scopes = 0 })
	f("the limit is 8192", func(c *auth.Claims) { c.Subject = strings.Repeat("x", 8192) })
}

// FuzzVerify feeds the verifier what strangers may send: nothing that was not signed here may get through.
func FuzzVerify(f *testing.F) {
	tokens, err := auth.NewTokens(options())
	if err != nil {
		f.Fatal(err)
	}
	valid, err := tokens.Mint(auth.Claims{Tenant: "a", Scopes: tenancy.Read, Expires: now.Add(time.Hour)})
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(valid, ".")
	for _, seed := range []string{"", ".", "..", "...", valid, valid + ".", parts[0] + "." + parts[1] + ".", "." + parts[1] + "." + parts[2], "e30.e30.", "\x00.\xff.é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := tokens.Verify(token)
		if (err == nil) != (token == valid) {
			t.Errorf("%q: %+v, %v", token, c, err)
		}
		if err != nil && (c.Tenant != "" || c.Scopes != 0 || len(c.Tenants) > 0) {
			t.Errorf("%q: refused, and yet %+v", token, c)
		}
	})
}
