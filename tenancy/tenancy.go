// Package tenancy is the tenant id, its syntax, and the identity that a request carries in its context.
package tenancy

import (
	"context"
	"fmt"
	"strings"
)

const (
	// MaxIDLength is the longest tenant id in bytes.
	MaxIDLength = 64

	// Default is the tenant of requests that name none.
	Default ID = "default"

	// Dimension is the reserved dimension that stands for the tenant. It is never stored as a label: a write that
	// carries it is refused, and a matcher on it may only name tenants that the caller may read.
	Dimension = "_tenant_id"
)

// An ID names a tenant: 1 to 64 characters out of A-Z a-z 0-9 _ and -. The zero value is no tenant.
type ID string

// ParseID checks s against the syntax of tenant ids.
func ParseID(s string) (ID, error) {
	if s == "" {
		return "", fmt.Errorf("tenant id is empty: use 1 to %d characters out of A-Z a-z 0-9 _ -", MaxIDLength)
	}
	if len(s) > MaxIDLength {
		return "", fmt.Errorf("tenant id is %d characters long: the limit is %d", len(s), MaxIDLength)
	}
	for i := range len(s) {
		if !idByte(s[i]) {
			return "", fmt.Errorf("tenant id has the character %q at position %d: use only A-Z a-z 0-9 _ -", s[i], i)
		}
	}
	return ID(s), nil
}

func idByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// Scopes is the set of things that a caller may do with the data of its tenant.
type Scopes uint8

// The scopes. Admin is for deletion and administration; it holds neither Read nor Write.
const (
	Read Scopes = 1 << iota
	Write
	Admin

	All = Read | Write | Admin
)

// scopeNames holds the spelling of each scope in tokens, configuration and answers.
var scopeNames = [...]struct {
	scope Scopes
	name  string
}{{Read, "read"}, {Write, "write"}, {Admin, "admin"}}

// ParseScopes turns names into a set. An unknown name is an error that lists the known ones.
func ParseScopes(names []string) (Scopes, error) {
	var s Scopes
next:
	for _, n := range names {
		for _, k := range scopeNames {
			if n == k.name {
				s |= k.scope
				continue next
			}
		}
		return 0, fmt.Errorf("unknown scope %q: the scopes are read, write and admin", n)
	}
	return s, nil
}

// Has reports whether s holds every scope of want.
func (s Scopes) Has(want Scopes) bool { return s&want == want }

// String lists the scopes separated by spaces, in the order read, write, admin.
func (s Scopes) String() string {
	var names []string
	for _, k := range scopeNames {
		if s&k.scope != 0 {
			names = append(names, k.name)
		}
	}
	return strings.Join(names, " ")
}

// An Identity is who sent a request: which tenant it works on and what it may do there.
type Identity struct {
	Tenant  ID
	Scopes  Scopes
	Subject string // Who the token names, for logs; empty without a token.
}

type contextKey struct{}

// NewContext returns ctx with id in it. Only the authenticator calls it.
func NewContext(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the identity that the authenticator put into ctx; ok is false if there is none.
func FromContext(ctx context.Context) (id Identity, ok bool) {
	id, ok = ctx.Value(contextKey{}).(Identity)
	return id, ok
}
