package tenancy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/tenancy"
)

func TestParseID(t *testing.T) {
	good := func(in string) {
		t.Helper()
		if id, err := tenancy.ParseID(in); err != nil || string(id) != in {
			t.Errorf("ParseID(%q) = %q, %v", in, id, err)
		}
	}
	bad := func(in, want string) {
		t.Helper()
		id, err := tenancy.ParseID(in)
		if err == nil || id != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseID(%q) = %q, %v; want an error with %q", in, id, err, want)
		}
	}
	good("default")
	good("Team-7_x")
	good("0")
	good(strings.Repeat("a", tenancy.MaxIDLength))

	bad("", "empty")
	bad(strings.Repeat("a", tenancy.MaxIDLength+1), "65 characters long: the limit is 64")
	bad("a/b", `'/' at position 1`)
	bad("..", `'.'`)
	bad("a|b", `'|'`)
	bad("a b", `' '`)
	bad("a\x00", `'\x00'`)
	bad("ä", "at position 0")
}

func TestScopes(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		s, err := tenancy.ParseScopes(strings.Fields(in))
		if err != nil || s.String() != want {
			t.Errorf("ParseScopes(%q) = %q, %v; want %q", in, s, err, want)
		}
	}
	f("", "")
	f("read", "read")
	f("admin write read", "read write admin")
	f("write read write", "read write")

	if _, err := tenancy.ParseScopes([]string{"read", "root"}); err == nil || !strings.Contains(err.Error(), `"root"`) {
		t.Errorf("ParseScopes with an unknown scope: %v", err)
	}
	if !tenancy.All.Has(tenancy.Read | tenancy.Admin) {
		t.Error("All lacks a scope")
	}
	if tenancy.Admin.Has(tenancy.Read) || tenancy.Read.Has(tenancy.Read|tenancy.Write) {
		t.Error("a scope holds another one")
	}
}

func TestContext(t *testing.T) {
	if _, ok := tenancy.FromContext(context.Background()); ok {
		t.Error("an empty context has an identity")
	}
	want := tenancy.Identity{Tenant: "acme", Scopes: tenancy.Read, Subject: "grafana"}
	got, ok := tenancy.FromContext(tenancy.NewContext(context.Background(), want))
	if !ok || got != want {
		t.Errorf("FromContext = %v, %v; want %v", got, ok, want)
	}
}
