package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	// MaxTokenLength is the longest token in bytes that is looked at.
	MaxTokenLength = 8 << 10

	// MinSecretLength is the least length of a signing secret in bytes.
	MinSecretLength = 32

	// maxLeeway is how far clocks may differ at most.
	maxLeeway = 30 * time.Second
)

// TokenOptions say which tokens are valid.
type TokenOptions struct {
	Secret       []byte        // For HS256; at least MinSecretLength bytes.
	Issuer       string        // Empty accepts any.
	Audience     string        // Empty accepts any.
	Leeway       time.Duration // Between the clocks of issuer and server; at most 30 s.
	TenantClaim  string        // "tenant" if empty.
	TenantsClaim string        // "tenants" if empty.
	ScopesClaim  string        // "scopes" if empty.

	Now func() time.Time // time.Now if nil.
}

// Tokens signs tokens and verifies them. Its methods may be called concurrently.
type Tokens struct {
	opts   TokenOptions
	parser *jwt.Parser
}

// Claims are what a token says.
type Claims struct {
	Tenant  tenancy.ID   // The tenant when the request names none; may be empty if Tenants is not.
	Tenants []tenancy.ID // Further tenants that requests may name.
	Scopes  tenancy.Scopes
	Subject string
	Expires time.Time
}

// NewTokens checks the options.
func NewTokens(o TokenOptions) (*Tokens, error) {
	if len(o.Secret) < MinSecretLength {
		return nil, fmt.Errorf("auth: the signing secret is %d bytes long: use at least %d random bytes", len(o.Secret), MinSecretLength)
	}
	if o.Leeway < 0 || o.Leeway > maxLeeway {
		return nil, fmt.Errorf("auth: the leeway is %s: use at most %s", o.Leeway, maxLeeway)
	}
	o.Now = clock(o.Now)
	for name, claim := range map[string]*string{"tenant": &o.TenantClaim, "tenants": &o.TenantsClaim, "scopes": &o.ScopesClaim} {
		if *claim == "" {
			*claim = name
		}
	}
	options := []jwt.ParserOption{
		// One family only, so that a token can't choose how it is verified.
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithLeeway(o.Leeway),
		jwt.WithTimeFunc(o.Now),
	}
	if o.Issuer != "" {
		options = append(options, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		options = append(options, jwt.WithAudience(o.Audience))
	}
	return &Tokens{opts: o, parser: jwt.NewParser(options...)}, nil
}

// Verify returns what token says if it is valid. The error is of kind Unauthenticated if it is not, and Forbidden if it
// is but names no tenant.
func (t *Tokens) Verify(token string) (Claims, error) {
	if len(token) > MaxTokenLength {
		return Claims{}, unauthenticated("token_too_long", nil)
	}
	claims := jwt.MapClaims{}
	// The key is the configured one, whatever the header of the token says about keys.
	_, err := t.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return t.opts.Secret, nil })
	if err != nil {
		return Claims{}, unauthenticated(reasonOf(err), err)
	}
	return t.read(claims)
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "token_expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "token_not_valid_yet"
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return "bad_signature"
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "token_malformed"
	default:
		return "bad_claims"
	}
}

func (t *Tokens) read(m jwt.MapClaims) (Claims, error) {
	var c Claims
	c.Subject, _ = m["sub"].(string)
	if exp, err := m.GetExpirationTime(); err == nil && exp != nil {
		c.Expires = exp.Time
	}
	if v, ok := m[t.opts.TenantClaim]; ok {
		var err error
		if c.Tenant, err = tenantOf(t.opts.TenantClaim, v); err != nil {
			return Claims{}, err
		}
	}
	if v, ok := m[t.opts.TenantsClaim]; ok {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return Claims{}, forbidden("bad_tenant_claim", "the token's claim %q is no list of tenants", t.opts.TenantsClaim)
		}
		for _, e := range list {
			id, err := tenantOf(t.opts.TenantsClaim, e)
			if err != nil {
				return Claims{}, err
			}
			c.Tenants = append(c.Tenants, id)
		}
	}
	if c.Tenant == "" && len(c.Tenants) == 0 {
		return Claims{}, forbidden("no_tenant", "the token names no tenant: it needs the claim %q or %q", t.opts.TenantClaim, t.opts.TenantsClaim)
	}
	var err error
	c.Scopes, err = t.scopes(m[t.opts.ScopesClaim])
	return c, err
}

func tenantOf(claim string, v any) (tenancy.ID, error) {
	s, ok := v.(string)
	if !ok {
		return "", forbidden("bad_tenant_claim", "the token's claim %q holds something that is no text", claim)
	}
	id, err := tenancy.ParseID(s)
	if err != nil {
		return "", forbidden("bad_tenant_claim", "the token's claim %q is wrong: %s", claim, err)
	}
	return id, nil
}

// scopes reads a claim of scopes. Names that are not ours are passed over: issuers put scopes of others beside them.
func (t *Tokens) scopes(v any) (tenancy.Scopes, error) {
	var names []string
	switch x := v.(type) {
	case nil:
	case string:
		names = strings.Fields(x)
	case []any:
		for _, e := range x {
			s, ok := e.(string)
			if !ok {
				return 0, forbidden("bad_scopes_claim", "the token's claim %q holds something that is no text", t.opts.ScopesClaim)
			}
			names = append(names, s)
		}
	default:
		return 0, forbidden("bad_scopes_claim", "the token's claim %q is neither a list nor a text", t.opts.ScopesClaim)
	}
	var out tenancy.Scopes
	for _, n := range names {
		if s, err := tenancy.ParseScopes([]string{n}); err == nil {
			out |= s
		}
	}
	return out, nil
}

// Mint returns a signed token that says c. Issuer and audience are the configured ones.
func (t *Tokens) Mint(c Claims) (string, error) {
	now := t.opts.Now()
	if !c.Expires.After(now) {
		return "", errors.New("auth: the token would be expired at once: give it a longer life")
	}
	if c.Tenant == "" && len(c.Tenants) == 0 {
		return "", errors.New("auth: the token would name no tenant")
	}
	if c.Scopes == 0 {
		return "", errors.New("auth: the token would hold no scope")
	}
	m := jwt.MapClaims{
		"iat":              now.Unix(),
		"exp":              c.Expires.Unix(),
		t.opts.ScopesClaim: strings.Fields(c.Scopes.String()),
	}
	if c.Tenant != "" {
		m[t.opts.TenantClaim] = string(c.Tenant)
	}
	if len(c.Tenants) > 0 {
		m[t.opts.TenantsClaim] = c.Tenants
	}
	for name, v := range map[string]string{"sub": c.Subject, "iss": t.opts.Issuer, "aud": t.opts.Audience} {
		if v != "" {
			m[name] = v
		}
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, m).SignedString(t.opts.Secret)
	if err != nil {
		return "", fmt.Errorf("auth: sign: %w", err)
	}
	if len(token) > MaxTokenLength {
		return "", fmt.Errorf("auth: the token would be %d bytes long: the limit is %d", len(token), MaxTokenLength)
	}
	return token, nil
}
