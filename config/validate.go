package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Problem is one thing that is wrong with the settings.
type Problem struct {
	Path   string // The setting, variable or file.
	Detail string
}

// SettingErrors is everything that is wrong with the settings.
type SettingErrors []Problem

// Error lists the problems, one a line.
func (p SettingErrors) Error() string {
	var b strings.Builder
	if len(p) == 1 {
		b.WriteString("the configuration has a problem:")
	} else {
		fmt.Fprintf(&b, "the configuration has %d problems:", len(p))
	}
	for _, x := range p {
		fmt.Fprintf(&b, "\n  %s: %s", x.Path, x.Detail)
	}
	return b.String()
}

func (p SettingErrors) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
}

const (
	// MinSecretLength is the least length of a signing secret in bytes: the output size of SHA-256.
	MinSecretLength = 32

	maxLeeway = Duration(30 * time.Second)
)

// Validate returns everything that is wrong with c, as a SettingErrors, or nil.
func (c *Config) Validate() error {
	var v validator
	v.server(c.Server, c.Query)
	v.auth(c.Auth)
	v.storage(c.Storage)
	v.protocols(c)
	v.limits("remote_write.limits", c.RemoteWrite.Limits)
	v.limits("native.limits", c.Native.Limits)
	v.query(c.Query)
	v.positive("retention.interval", int64(c.Retention.Interval))
	if p := c.Retention.Period; p != 0 && p < Duration(time.Hour) {
		v.add("retention.period", "is %s: use at least 1h, or 0s to keep everything", p)
	}
	for id, d := range c.Retention.Tenants {
		v.tenant("retention.tenants", id)
		if p := c.Retention.Period; d < Duration(time.Hour) || p > 0 && d > p {
			v.add("retention.tenants", "is %s for the tenant %s: use at least 1h, and at most retention.period", d, id)
		}
	}
	if c.SelfMetrics.Interval < Duration(time.Second) {
		v.add("self_metrics.interval", "is %s: use at least 1s", c.SelfMetrics.Interval)
	}
	v.tenant("self_metrics.tenant", c.SelfMetrics.Tenant)
	if r := c.Memory.Ratio; math.IsNaN(r) || r <= 0 || r > 1 {
		v.add("memory.ratio", "is %v: use a number greater than 0, at most 1", c.Memory.Ratio)
	}
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	if len(v.problems) > 0 {
		v.problems.sort()
		return v.problems
	}
	return nil
}

type validator struct{ problems SettingErrors }

func (v *validator) add(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (v *validator) positive(path string, n int64) {
	if n <= 0 {
		v.add(path, "must be greater than 0")
	}
}

func (v *validator) notNegative(path string, n int) {
	if n < 0 {
		v.add(path, "is %d: use 0 for no limit, or a positive number", n)
	}
}

func (v *validator) oneOf(path, value string, known ...string) {
	if !slices.Contains(known, value) {
		choice := known[len(known)-1]
		if len(known) > 1 {
			choice = strings.Join(known[:len(known)-1], ", ") + " or " + choice
		}
		v.add(path, "is %q: use %s", value, choice)
	}
}

var tenantSyntax = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (v *validator) tenant(path, id string) {
	if !tenantSyntax.MatchString(id) {
		v.add(path, "%q is no tenant id: use 1 to 64 characters out of A-Z a-z 0-9 _ -", id)
	}
}

func (v *validator) server(s Server, q Query) {
	if _, port, err := net.SplitHostPort(s.Listen); err != nil {
		v.add("server.listen", "%q is no address: use host:port or :port", s.Listen)
	} else if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		v.add("server.listen", "%q is no port: use a number up to 65535", port)
	}
	for path, d := range map[string]Duration{
		"server.read_header_timeout": s.ReadHeaderTimeout, "server.read_timeout": s.ReadTimeout,
		"server.write_timeout": s.WriteTimeout, "server.idle_timeout": s.IdleTimeout,
		"server.shutdown_timeout": s.ShutdownTimeout,
	} {
		v.positive(path, int64(d))
	}
	if s.WriteTimeout > 0 && s.WriteTimeout <= q.Timeout {
		v.add("server.write_timeout", "is %s: it must be longer than query.timeout, %s, so that a slow query can be told so", s.WriteTimeout, q.Timeout)
	}
	v.positive("server.max_body_bytes", int64(s.MaxBodyBytes))
	v.positive("server.max_connections", int64(s.MaxConnections))
	if s.MaxHeaderBytes < 16<<10 {
		v.add("server.max_header_bytes", "is %s: use at least 16KiB, so that a token fits", s.MaxHeaderBytes)
	}
	if _, err := regexp.Compile(s.CORSOrigin); err != nil {
		v.add("server.cors_origin", "is no regular expression: %s", err)
	}
}

// headerName matches the name of an HTTP header.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (v *validator) auth(a Auth) {
	v.oneOf("auth.mode", a.Mode, AuthNone, AuthHeader, AuthJWT)
	v.tenant("auth.default_tenant", a.DefaultTenant)
	if a.TenantHeader != "" && !headerName.MatchString(a.TenantHeader) {
		v.add("auth.tenant_header", "%q can't be the name of a header", a.TenantHeader)
	}
	for _, n := range a.Header.TrustedNetworks {
		if _, err := netip.ParsePrefix(n); err != nil {
			v.add("auth.header.trusted_networks", "%q is no network: write it as 10.0.0.0/8 or fd00::/8", n)
		}
	}
	switch n := len(a.JWT.Secret.Reveal()); {
	case n == 0 && a.Mode == AuthJWT:
		v.add("auth.jwt.secret", "is needed for auth.mode jwt: set it, or auth.jwt.secret_file, to at least %d random bytes (openssl rand -hex 32)", MinSecretLength)
	case n > 0 && n < MinSecretLength:
		v.add("auth.jwt.secret", "is %d bytes long: use at least %d random bytes (openssl rand -hex 32)", n, MinSecretLength)
	}
	if a.JWT.Leeway < 0 || a.JWT.Leeway > maxLeeway {
		v.add("auth.jwt.leeway", "is %s: use at most %s", a.JWT.Leeway, maxLeeway)
	}
	claims := map[string]string{}
	for _, c := range [][2]string{
		{"auth.jwt.tenant_claim", a.JWT.TenantClaim},
		{"auth.jwt.tenants_claim", a.JWT.TenantsClaim},
		{"auth.jwt.scopes_claim", a.JWT.ScopesClaim},
	} {
		if other, taken := claims[c[1]]; taken {
			v.add(c[0], "is %q, as is %s", c[1], other)
		} else if c[1] == "" {
			v.add(c[0], "must name a claim")
		}
		claims[c[1]] = c[0]
	}
}

func (v *validator) storage(s Storage) {
	v.positive("storage.max_exemplars", int64(s.MaxExemplars))
	v.badger(s.Badger)
	switch s.Backend {
	case BackendClickHouse:
		v.add("storage.backend", "is clickhouse, which this version does not have yet: use badger")
	case BackendBadger:
		if s.Badger.Path == "" {
			v.add("storage.badger.path", "must name a directory")
		}
	default:
		v.oneOf("storage.backend", s.Backend, BackendBadger, BackendMemory)
	}
}

func (v *validator) badger(b Badger) {
	v.oneOf("storage.badger.fsync", b.Fsync, "always")
	if b.PartitionWidth < Duration(time.Minute) {
		v.add("storage.badger.partition_width", "is %s: use at least 1m", b.PartitionWidth)
	}
	if b.MaxHeadSamples < 0 {
		v.add("storage.badger.max_head_samples", "is %d: use 0 for what suits the memory, or a positive number", b.MaxHeadSamples)
	}
	v.positive("storage.badger.max_head_age", int64(b.MaxHeadAge))
	if b.MinFreePercent < 0 || b.MinFreePercent > 50 {
		v.add("storage.badger.min_free_percent", "is %d: use 0 to 50", b.MinFreePercent)
	}
	v.positive("storage.badger.max_open_partitions", int64(b.MaxOpenPartitions))
	v.positive("storage.badger.max_partitions", int64(b.MaxPartitions))
	if b.WALSegmentBytes < 16<<20 || b.WALSegmentBytes%(32<<10) != 0 {
		v.add("storage.badger.wal_segment_bytes", "is %s: use a multiple of 32KiB, at least 16MiB", b.WALSegmentBytes)
	}
}

func (v *validator) limits(section string, l Limits) {
	for name, n := range map[string]int{
		"max_name_length": l.MaxNameLength, "max_value_length": l.MaxValueLength, "max_dimensions": l.MaxDimensions,
		"max_exemplar_length": l.MaxExemplarLength,
	} {
		v.notNegative(section+delimiter+name, n)
	}
}

func (v *validator) protocols(c *Config) {
	for path, n := range map[string]int64{
		"remote_write.max_body_bytes": int64(c.RemoteWrite.MaxBodyBytes), "remote_write.max_decoded_bytes": int64(c.RemoteWrite.MaxDecodedBytes),
		"remote_write.max_items": int64(c.RemoteWrite.MaxItems), "remote_write.max_label_bytes": int64(c.RemoteWrite.MaxLabelBytes),
		"remote_write.timeout":          int64(c.RemoteWrite.Timeout),
		"remote_read.max_request_bytes": int64(c.RemoteRead.MaxRequestBytes), "remote_read.max_matchers": int64(c.RemoteRead.MaxMatchers),
		"remote_read.max_regexp_bytes": int64(c.RemoteRead.MaxRegexpBytes), "remote_read.max_samples": int64(c.RemoteRead.MaxSamples),
		"remote_read.max_frame_bytes": int64(c.RemoteRead.MaxFrameBytes), "remote_read.max_concurrent": int64(c.RemoteRead.MaxConcurrent),
		"remote_read.max_wait": int64(c.RemoteRead.MaxWait), "remote_read.max_stall": int64(c.RemoteRead.MaxStall), "native.max_body_bytes": int64(c.Native.MaxBodyBytes),
		"native.max_decoded_bytes": int64(c.Native.MaxDecodedBytes), "native.max_items": int64(c.Native.MaxItems),
	} {
		v.positive(path, n)
	}
}

func (v *validator) query(q Query) {
	for path, n := range map[string]int64{
		"query.timeout": int64(q.Timeout), "query.max_concurrent": int64(q.MaxConcurrent), "query.max_concurrent_lookups": int64(q.MaxLookups),
		"query.max_samples": int64(q.MaxSamples),
		"query.max_points":  int64(q.MaxPoints), "query.max_form_bytes": int64(q.MaxFormBytes),
		"query.max_expression_bytes": int64(q.MaxExpressionBytes), "query.max_operators": int64(q.MaxOperators),
		"query.max_subquery_steps": int64(q.MaxSubquerySteps), "query.max_exemplars": int64(q.MaxExemplars),
		"query.lookback_delta": int64(q.LookbackDelta), "query.max_groups": int64(q.MaxGroups), "query.max_values": int64(q.MaxValues),
		"query.max_names": int64(q.MaxNames),
	} {
		v.positive(path, n)
	}
	if q.MaxSamplesTotal < 0 {
		v.add("query.max_samples_total", "is %d: use 0 for what suits the memory, or a positive number", q.MaxSamplesTotal)
	}
}
