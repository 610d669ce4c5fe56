package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/internal/server"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/remoteread"
	"github.com/luminate-metrics/luminate/remotewrite"
	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

func newAuthenticator(c config.Auth, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) (*auth.Authenticator, error) {
	o := auth.Options{
		Mode: auth.Mode(c.Mode), DefaultTenant: tenancy.ID(c.DefaultTenant), TenantHeader: c.TenantHeader,
		HeaderAdmin: c.Header.Admin, Tokens: tokenOptions(c.JWT, now), Logger: log, Registerer: reg,
	}
	for _, n := range c.Header.TrustedNetworks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, fmt.Errorf("auth.header.trusted_networks: %w", err)
		}
		o.Trusted = append(o.Trusted, p)
	}
	return auth.New(o)
}

func tokenOptions(c config.JWT, now func() time.Time) auth.TokenOptions {
	return auth.TokenOptions{
		Secret: []byte(c.Secret.Reveal()), Issuer: c.Issuer, Audience: c.Audience, Leeway: c.Leeway.Std(),
		TenantClaim: c.TenantClaim, TenantsClaim: c.TenantsClaim, ScopesClaim: c.ScopesClaim, Now: now,
	}
}

// rules overlays a profile with the configured limits. What is older than the retention is refused: it would be
// acknowledged only to be dropped.
func (m *Main) rules(profile metric.Rules, l config.Limits, section string) metric.Rules {
	profile.Settings = section
	profile.MaxNameLength, profile.MaxValueLength = l.MaxNameLength, l.MaxValueLength
	profile.MaxDimensions, profile.MaxExemplarLength = l.MaxDimensions, l.MaxExemplarLength
	profile.MaxAge, profile.MaxAhead = l.MaxAge.Std(), l.MaxAhead.Std()
	if kept := m.cfg.Retention.Period.Std(); kept > 0 && (profile.MaxAge == 0 || profile.MaxAge > kept) {
		profile.MaxAge = kept
	}
	return profile
}

func (m *Main) prometheusRules() metric.Rules {
	return m.rules(metric.PrometheusRules(tenancy.Dimension), m.cfg.RemoteWrite.Limits, "remote_write.limits")
}

// groups makes the protocols.
func (m *Main) groups(pipeline *ingest.Pipeline) []server.Group {
	src := source{m.store}
	written := m.prometheusRules()
	strict := m.rules(metric.StrictRules(tenancy.Dimension), m.cfg.Native.Limits, "native.limits")
	q := m.cfg.Query
	budget := ingest.NewBudget(inFlight(m.cfg.Ingest, debug.SetMemoryLimit(-1)), m.registry)
	held := reading.NewBudget(heldSamples(q, debug.SetMemoryLimit(-1)), m.registry)
	write := remotewrite.New(remotewrite.Options{
		Sink: pipeline, Budget: budget, Rules: &written, Logger: m.log, Registerer: m.registry,
		MaxCompressed: int(m.cfg.RemoteWrite.MaxBodyBytes), MaxDecoded: int(m.cfg.RemoteWrite.MaxDecodedBytes),
		MaxItems: m.cfg.RemoteWrite.MaxItems, MaxLabels: int(m.cfg.RemoteWrite.MaxLabelBytes),
		Timeout: m.cfg.RemoteWrite.Timeout.Std(),
	})
	read := remoteread.New(remoteread.Options{
		Source: src, Logger: m.log, Registerer: m.registry,
		MaxRequest: int(m.cfg.RemoteRead.MaxRequestBytes), MaxMatchers: m.cfg.RemoteRead.MaxMatchers, MaxRegexp: int(m.cfg.RemoteRead.MaxRegexpBytes),
		MaxSamples: int64(m.cfg.RemoteRead.MaxSamples), Reading: held,
		MaxFrame: int(m.cfg.RemoteRead.MaxFrameBytes), MaxConcurrent: m.cfg.RemoteRead.MaxConcurrent,
		MaxWait: m.cfg.RemoteRead.MaxWait.Std(), MaxStall: m.cfg.RemoteRead.MaxStall.Std(), MaxAnswer: m.cfg.Server.WriteTimeout.Std(),
	})
	own := native.New(native.Options{
		Sink: pipeline, Budget: budget, Reading: held, Source: src, Rules: &strict, Logger: m.log, Registerer: m.registry, Now: m.now,
		Backup: m.backup, BackupAll: m.cfg.Native.BackupAllTenants, Maintenance: m.store,
		Limits: native.Limits{
			BodyBytes: int64(m.cfg.Native.MaxBodyBytes), DecodedBytes: int64(m.cfg.Native.MaxDecodedBytes), Items: m.cfg.Native.MaxItems,
			Buckets: int64(q.MaxPoints), Groups: q.MaxGroups, Values: int64(q.MaxValues), Samples: int64(q.MaxSamples),
			Range: q.MaxRange.Std(), Names: q.MaxNames, Concurrent: q.MaxConcurrent, Timeout: q.Timeout.Std(),
		},
	})
	prom := promql.New(promql.Options{
		Source: src, Reading: held, Maintenance: m.store, Snapshot: m.snapshots(), Logger: m.log, Registerer: m.registry, Now: m.now,
		Limits: promql.Limits{
			MaxSamples: q.MaxSamples, MaxPoints: q.MaxPoints, MaxConcurrent: q.MaxConcurrent, MaxLookups: q.MaxLookups, MaxExemplars: q.MaxExemplars,
			MaxFormBytes: int64(q.MaxFormBytes), MaxExpressionBytes: int(q.MaxExpressionBytes), MaxOperators: q.MaxOperators,
			MaxSubquerySteps: q.MaxSubquerySteps, Timeout: q.Timeout.Std(), Lookback: q.LookbackDelta.Std(),
		},
		Language: promql.Language{
			StableOnly: q.StableOnly, DelayedNameRemoval: q.DelayedNameRemoval, UseStartTimestamps: q.UseStartTimestamps,
		},
		Unplanned: !q.Planner,
		Status:    m.status(),
	})
	return []server.Group{
		{API: write, Fail: problem.WriteText, Prefixed: true},
		{API: read, Fail: problem.WriteText, Prefixed: true},
		{API: prom, Fail: problem.WritePrometheus, Prefixed: true},
		{API: own, Fail: func(w http.ResponseWriter, err error) { problem.WriteProblem(w, err, nil) }},
	}
}

// status is what the Prometheus API says about the server.
func (m *Main) status() promql.Status {
	s := promql.Status{
		Build: promql.Build{
			Version: version.Version, Revision: version.GetRevision(), Branch: version.Branch,
			User: version.BuildUser, Date: version.BuildDate, GoVersion: version.GoVersion,
		},
		Started: m.started,
		Flags:   map[string]string{},
		Config:  func() string { return configYAML(m.cfg) },
	}
	if p := m.cfg.Retention.Period; p > 0 {
		s.Retention = p.String()
	}
	for _, x := range m.cfg.Settings() {
		s.Flags[x.Path] = x.String() // A secret is redacted.
	}
	return s
}

// configYAML shows settings with secrets taken out.
func configYAML(c *config.Config) string {
	text, err := yaml.Marshal(c)
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	return string(text)
}

// maxConnections leaves half of the files that the process may open to the store.
func maxConnections(configured int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur/2 > uint64(configured) {
		return configured
	}
	return int(limit.Cur / 2)
}

// instance is the label that tells this server's own metrics from those of others.
func (m *Main) instance() string {
	if m.cfg.SelfMetrics.Instance != "" {
		return m.cfg.SelfMetrics.Instance
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	host, port, err := net.SplitHostPort(m.addr.String())
	if err != nil {
		return m.addr.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			host = "localhost"
		}
	}
	return net.JoinHostPort(host, port)
}

// newLogger returns a logger in the configured form: without one, text for people and JSON for machines.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // Validate has refused it.
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "text" || c.Format == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
