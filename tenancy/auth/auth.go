// Package auth is the authenticator: it decides who sent a request, which tenant it works on, and what it may do.
//
// The decision is made for each handler after routing, so that no spelling of a path can go round it. Why a request was
// refused as unauthenticated is counted and logged, never told: the answer is the same for every cause.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Mode is a way to find the tenant of a request.
type Mode string

// The modes.
const (
	None   Mode = "none"   // One tenant for all requests, which may do everything.
	Header Mode = "header" // The client names its tenant and is believed.
	JWT    Mode = "jwt"    // A signed token names the tenant and the scopes.
)

// The headers that name a tenant in every configuration.
const (
	OrgIDHeader  = "X-Scope-OrgID"
	ThanosHeader = "THANOS-TENANT"
)

// Options configure an Authenticator. The zero value of a field is usable unless its comment says otherwise.
type Options struct {
	Mode          Mode       // Header if empty.
	DefaultTenant tenancy.ID // tenancy.Default if empty.
	TenantHeader  string     // One more header that names the tenant.

	HeaderAdmin bool           // Whether mode header grants the scope admin.
	Trusted     []netip.Prefix // Where requests of mode header may come from; empty means anywhere.

	Tokens TokenOptions // Needed for mode jwt.

	Logger     *slog.Logger          // Gets a line at debug level for each refusal. May be nil.
	Registerer prometheus.Registerer // May be nil.
}

// An Authenticator decides about requests. Its methods may be called concurrently.
type Authenticator struct {
	opts    Options
	headers []string // As people write them.
	tokens  *Tokens  // Only in mode jwt.
	logger  *slog.Logger
	refused *prometheus.CounterVec
}

// A Renderer answers a request with an error in the dialect of its path.
type Renderer func(http.ResponseWriter, error)

// New returns an authenticator. It fails if the options can't keep anybody out: it never falls back to a weaker mode.
func New(o Options) (*Authenticator, error) {
	if o.Mode == "" {
		o.Mode = Header
	}
	if o.DefaultTenant == "" {
		o.DefaultTenant = tenancy.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Authenticator{
		opts:   o,
		logger: o.Logger,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_auth_refused_requests_total",
			Help: "Requests that were refused because of who sent them, by cause.",
		}, []string{"reason"}),
	}
	for _, h := range []string{OrgIDHeader, ThanosHeader, o.TenantHeader} {
		if h != "" && !slices.ContainsFunc(a.headers, func(known string) bool { return strings.EqualFold(known, h) }) {
			a.headers = append(a.headers, h)
		}
	}
	switch o.Mode {
	case None, Header:
	case JWT:
		var err error
		if a.tokens, err = NewTokens(o.Tokens); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("auth: unknown mode %q: the modes are none, header and jwt", o.Mode)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.refused)
	}
	return a, nil
}

// Require returns a handler that passes a request on to next, with its identity in the context, if it may do everything
// in scope. Else it answers by fail.
func (a *Authenticator) Require(scope tenancy.Scopes, fail Renderer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Authenticate(r)
		if err == nil && !id.Scopes.Has(scope) {
			err = a.missingScope(id, scope)
		}
		if err != nil {
			a.note(r.Context(), r, err)
			fail(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), id)))
	})
}

// Authenticate returns who sent r. The error is of kind Unauthenticated, Forbidden or Invalid.
func (a *Authenticator) Authenticate(r *http.Request) (tenancy.Identity, error) {
	switch a.opts.Mode {
	case None:
		return tenancy.Identity{Tenant: a.opts.DefaultTenant, Scopes: tenancy.All}, nil
	case Header:
		return a.byHeader(r)
	default:
		return a.byToken(r)
	}
}

// A refusal carries the cause of an error to metrics and log beside what the client is told.
type refusal struct {
	reason string
	cause  error // For the log; may be nil.
}

func (r *refusal) Error() string {
	if r.cause == nil {
		return r.reason
	}
	return r.reason + ": " + r.cause.Error()
}

func (r *refusal) Unwrap() error { return r.cause }

// unauthenticated is the same answer for every cause.
func unauthenticated(reason string, cause error) error {
	return problem.Wrap(problem.Unauthenticated, &refusal{reason, cause}, "authentication is required: send a valid token as \"Authorization: Bearer <token>\"")
}

func forbidden(reason, format string, args ...any) error {
	return problem.Wrap(problem.Forbidden, &refusal{reason: reason}, fmt.Sprintf(format, args...))
}

func badTenant(format string, args ...any) error {
	return problem.Wrap(problem.Invalid, &refusal{reason: "bad_tenant_header"}, fmt.Sprintf(format, args...))
}

func (a *Authenticator) note(ctx context.Context, r *http.Request, err error) {
	why := &refusal{reason: "other"}
	errors.As(err, &why)
	a.refused.WithLabelValues(why.reason).Inc()
	a.logger.LogAttrs(ctx, slog.LevelDebug, "request refused",
		slog.String("reason", why.Error()), slog.String("remote", r.RemoteAddr), slog.String("path", r.URL.Path))
}

func (a *Authenticator) missingScope(id tenancy.Identity, want tenancy.Scopes) error {
	missing := want &^ id.Scopes
	if a.opts.Mode == Header {
		return forbidden("scope", "this needs the scope %q, which requests without a token don't have: set auth.header.admin, or use auth.mode jwt", missing)
	}
	has := id.Scopes.String()
	if has == "" {
		has = "none"
	}
	return forbidden("scope", "this needs the scope %q: the token's scopes are: %s", missing, has)
}

// namedTenant returns the tenant that the headers of r name; ok is false if they name none.
func (a *Authenticator) namedTenant(r *http.Request) (id tenancy.ID, ok bool, err error) {
	from := ""
	for _, h := range a.headers {
		values := r.Header.Values(h)
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return "", false, badTenant("the header %s occurs %d times: send it once", h, len(values))
		}
		if strings.Contains(values[0], "|") {
			return "", false, badTenant("the header %s names several tenants, which this version does not support: name one", h)
		}
		named, err := tenancy.ParseID(values[0])
		if err != nil {
			return "", false, badTenant("the header %s is wrong: %s", h, err)
		}
		if ok && named != id {
			return "", false, badTenant("the headers %s and %s name different tenants: send one of them", from, h)
		}
		id, ok, from = named, true, h
	}
	return id, ok, nil
}

func (a *Authenticator) byHeader(r *http.Request) (tenancy.Identity, error) {
	if !a.trusts(r.RemoteAddr) {
		return tenancy.Identity{}, unauthenticated("untrusted_address", nil)
	}
	id, ok, err := a.namedTenant(r)
	if err != nil {
		return tenancy.Identity{}, err
	}
	if !ok {
		id = a.opts.DefaultTenant
	}
	scopes := tenancy.Read | tenancy.Write
	if a.opts.HeaderAdmin {
		scopes = tenancy.All
	}
	return tenancy.Identity{Tenant: id, Scopes: scopes}, nil
}

// trusts reports whether the peer of a connection may name tenants. What proxies say about the client is not looked at.
func (a *Authenticator) trusts(remote string) bool {
	if len(a.opts.Trusted) == 0 {
		return true
	}
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(a.opts.Trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (a *Authenticator) byToken(r *http.Request) (tenancy.Identity, error) {
	token, err := bearer(r.Header)
	if err != nil {
		return tenancy.Identity{}, err
	}
	claims, err := a.tokens.Verify(token)
	if err != nil {
		return tenancy.Identity{}, err
	}
	id := tenancy.Identity{Tenant: claims.Tenant, Scopes: claims.Scopes, Subject: claims.Subject}
	named, ok, err := a.namedTenant(r)
	switch {
	case err != nil:
		return tenancy.Identity{}, err
	case ok && named != claims.Tenant && !slices.Contains(claims.Tenants, named):
		return tenancy.Identity{}, forbidden("other_tenant", "the token does not hold the tenant %q that the request names", named)
	case ok:
		id.Tenant = named
	case id.Tenant == "" && len(claims.Tenants) > 1:
		return tenancy.Identity{}, forbidden("no_tenant", "the token lists several tenants: name one of them by the header %s", OrgIDHeader)
	case id.Tenant == "":
		id.Tenant = claims.Tenants[0]
	}
	return id, nil
}

// bearer returns the token of a request.
func bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	switch len(values) {
	case 0:
		return "", unauthenticated("no_token", nil)
	case 1:
	default:
		return "", unauthenticated("several_tokens", nil)
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", unauthenticated("no_token", nil)
	}
	return strings.TrimLeft(token, " "), nil
}

// clock returns now, or the system's clock.
func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}
