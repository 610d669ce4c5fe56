package auth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

func newAuthenticator(t *testing.T, o auth.Options) *auth.Authenticator {
	t.Helper()
	a, err := auth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// ask sends r through Require and returns the status, the body, and the identity that the handler saw.
func ask(a *auth.Authenticator, scope tenancy.Scopes, r *http.Request) (int, string, tenancy.Identity) {
	var seen tenancy.Identity
	h := a.Require(scope, problem.WriteText, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, _ = tenancy.FromContext(r.Context())
		w.WriteHeader(http.StatusNoContent)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body), seen
}

func TestModeNone(t *testing.T) {
	a := newAuthenticator(t, auth.Options{Mode: auth.None, DefaultTenant: "home"})
	code, _, id := ask(a, tenancy.All, request("X-Scope-OrgID", "other"))
	if code != http.StatusNoContent || id.Tenant != "home" || id.Scopes != tenancy.All {
		t.Errorf("status %d, identity %+v", code, id)
	}
}

func TestModeHeader(t *testing.T) {
	a := newAuthenticator(t, auth.Options{TenantHeader: "X-Team"})
	f := func(want tenancy.ID, headers ...string) {
		t.Helper()
		code, body, id := ask(a, tenancy.Read|tenancy.Write, request(headers...))
		if code != http.StatusNoContent || id.Tenant != want {
			t.Errorf("%q: status %d, tenant %q, want %q: %s", headers, code, id.Tenant, want, body)
		}
	}
	f("default")
	f("a", "X-Scope-OrgID", "a")
	f("a", "x-scope-orgid", "a")
	f("a", "THANOS-TENANT", "a")
	f("a", "X-Team", "a")
	f("a", "X-Team", "a", "X-Scope-OrgID", "a")
	f("default", "X-Other", "a")

	refuse := func(want string, headers ...string) {
		t.Helper()
		code, body, id := ask(a, tenancy.Read, request(headers...))
		if code != http.StatusBadRequest || !strings.Contains(body, want) || id.Tenant != "" {
			t.Errorf("%q: status %d, identity %+v, want 400 with %q: %s", headers, code, id, want, body)
		}
	}
	refuse("several tenants", "X-Scope-OrgID", "a|b")
	refuse("2 times", "X-Scope-OrgID", "a", "X-Scope-OrgID", "a")
	refuse("2 times", "X-Scope-OrgID", "a", "X-Scope-OrgID", "b")
	refuse("different tenants", "X-Scope-OrgID", "a", "THANOS-TENANT", "b")
	refuse("is empty", "X-Scope-OrgID", "")
	for _, id := range []string{"../b", "a/b", "a b", "a,b", "a;b", "ä", "a\x00", "a'--", "..", "%2e%2e", strings.Repeat("x", 65)} {
		refuse("X-Scope-OrgID is wrong", "X-Scope-OrgID", id)
	}
}

func TestHeaderModeGrantsNoAdmin(t *testing.T) {
	code, body, _ := ask(newAuthenticator(t, auth.Options{}), tenancy.Admin, request())
	if code != http.StatusForbidden || !strings.Contains(body, "auth.header.admin") {
		t.Errorf("status %d: %s", code, body)
	}
	code, _, id := ask(newAuthenticator(t, auth.Options{HeaderAdmin: true}), tenancy.All, request())
	if code != http.StatusNoContent || id.Scopes != tenancy.All {
		t.Errorf("status %d, identity %+v", code, id)
	}
}

func TestTrustedNetworks(t *testing.T) {
	a := newAuthenticator(t, auth.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	f := func(remote string, want int) {
		t.Helper()
		r := request("X-Scope-OrgID", "a", "X-Forwarded-For", "10.0.0.1", "X-Real-IP", "10.0.0.1")
		r.RemoteAddr = remote
		if code, _, _ := ask(a, tenancy.Read, r); code != want {
			t.Errorf("%s: status %d, want %d", remote, code, want)
		}
	}
	f("10.1.2.3:4", http.StatusNoContent)
	f("[::ffff:10.1.2.3]:4", http.StatusNoContent)
	f("[fd00::1%eth0]:4", http.StatusNoContent)
	f("11.1.2.3:4", http.StatusUnauthorized)
	f("[fe80::1]:4", http.StatusUnauthorized)
	f("", http.StatusUnauthorized)
	f("@", http.StatusUnauthorized)
}

func TestRefusalsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := newAuthenticator(t, auth.Options{Mode: auth.JWT, Tokens: auth.TokenOptions{Secret: secret}, Registerer: reg})
	ask(a, tenancy.Read, request())
	ask(a, tenancy.Read, request("Authorization", "Bearer x"))
	want := `
# HELP luminate_auth_refused_requests_total Requests that were refused because of who sent them, by cause.
# TYPE luminate_auth_refused_requests_total counter
luminate_auth_refused_requests_total{reason="no_token"} 1
luminate_auth_refused_requests_total{reason="token_malformed"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	f := func(want string, o auth.Options) {
		t.Helper()
		if _, err := auth.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("unknown mode", auth.Options{Mode: "open"})
	f("secret is 0 bytes", auth.Options{Mode: auth.JWT})
	f("secret is 31 bytes", auth.Options{Mode: auth.JWT, Tokens: auth.TokenOptions{Secret: secret[:31]}})
	f("leeway is 31s", auth.Options{Mode: auth.JWT, Tokens: auth.TokenOptions{Secret: secret, Leeway: 31e9}})
}
