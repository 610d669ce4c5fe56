package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// TenantDurations is a span of time for each of some tenants. In YAML it is a map; as a text, a=30d,b=7d.
type TenantDurations map[string]Duration

// String is the form that UnmarshalText takes, ordered by tenant.
func (t TenantDurations) String() string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(t)) {
		parts = append(parts, id+"="+t[id].String())
	}
	return strings.Join(parts, ",")
}

// MarshalText is String.
func (t TenantDurations) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes pairs of tenant and duration, separated by commas.
func (t *TenantDurations) UnmarshalText(text []byte) error {
	out := TenantDurations{}
	for _, part := range splitList(string(text)) {
		id, span, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("%q is no tenant with a duration: write it as team-a=30d", part)
		}
		id = strings.TrimSpace(id)
		if _, twice := out[id]; twice {
			return fmt.Errorf("the tenant %q has two durations", id)
		}
		var d Duration
		if err := d.UnmarshalText([]byte(strings.TrimSpace(span))); err != nil {
			return fmt.Errorf("tenant %q: %w", id, err)
		}
		out[id] = d
	}
	*t = out
	return nil
}
