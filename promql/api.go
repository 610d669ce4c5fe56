// Package promql is the Prometheus HTTP query API on the upstream PromQL engine, answered from the store of one tenant.
package promql

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Source gives the view of one tenant, with matchers on the reserved tenant dimension understood.
type Source interface {
	Tenant(id tenancy.ID) store.Tenant
}

// A Maintenance reclaims the space of what was deleted.
type Maintenance interface {
	Compact(ctx context.Context) error
}

// Options configure an API. Only Source must be set.
type Options struct {
	Source      Source
	Maintenance Maintenance           // For clean_tombstones; nil means there is nothing to reclaim.
	Snapshot    Snapshot              // nil means that there are none.
	Logger      *slog.Logger          // nil discards.
	QueryLog    slog.Handler          // Gets a record for each query that ends; nil means none.
	Registerer  prometheus.Registerer // Takes the metrics of the engine; nil means none.
	Now         func() time.Time      // nil means time.Now.
	Limits      Limits
	Reading     *reading.Budget // Of the samples that queries hold together; nil means no bound.
	Language    Language
	Status      Status

	// Unplanned leaves whole queries to upstream's engine.
	Unplanned bool

	// Engine evaluates queries in place of NewEngine's with a Planner before it. nil means these.
	Engine promengine.QueryEngine
}

// Limits bound what one request may cost. A zero field means its default.
type Limits struct {
	MaxSamples    int           // Samples that a query may hold in memory at once; default 50 million.
	MaxPoints     int           // Steps of a range query; default 11000.
	MaxConcurrent int           // Queries that run at once; more wait. Default 20.
	MaxLookups    int           // Requests for names, series, exemplars and latest samples that run at once; more wait. Default 40.
	MaxExemplars  int           // Exemplars in one answer; default 100000.
	MaxFormBytes  int64         // Body of a POST; default 10 MiB.
	Timeout       time.Duration // Of a request, waiting included; default 2 minutes.
	Lookback      time.Duration // How long the last sample of a series counts; default 5 minutes.

	MaxExpressionBytes int // Of an expression, or of all selectors of a request together; default 128 KiB.
	MaxSubquerySteps   int // Steps of a subquery; default 2.5 million.
	MaxOperators       int // Operators, parentheses and brackets of the same; default 5000.
}

// Language says which dialect of PromQL is spoken. The zero value answers as a Prometheus without feature flags does,
// and besides understands the expressions that such a Prometheus refuses.
type Language struct {
	// StableOnly refuses what Prometheus has behind feature flags: experimental functions, fill modifiers, and the
	// anchored and smoothed selectors.
	StableOnly bool

	// DelayedNameRemoval drops metric names at the end of a query only. It changes the labels of some answers.
	DelayedNameRemoval bool

	// UseStartTimestamps makes rate, irate, increase and resets look at when a counter began. It changes their values
	// for series that were written with start timestamps.
	UseStartTimestamps bool
}

// parser returns the parser for the dialect.
func (l Language) parser() parser.Parser {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions:  !l.StableOnly,
		ExperimentalDurationExpr:     true,
		EnableExtendedRangeSelectors: !l.StableOnly,
		EnableBinopFillModifiers:     !l.StableOnly,
	})
}

// withDefaults fills in what is zero.
func (l Limits) withDefaults() Limits {
	setDefault(&l.MaxSamples, 50_000_000)
	setDefault(&l.MaxPoints, 11_000)
	setDefault(&l.MaxConcurrent, 20)
	setDefault(&l.MaxLookups, 40)
	setDefault(&l.MaxExemplars, 100_000)
	setDefault(&l.MaxFormBytes, 10<<20)
	setDefault(&l.MaxExpressionBytes, 128<<10)
	setDefault(&l.MaxOperators, 5_000)
	setDefault(&l.MaxSubquerySteps, 2_500_000)
	setDefault(&l.Timeout, 2*time.Minute)
	setDefault(&l.Lookback, 5*time.Minute)
	return l
}

func setDefault[T ~int | ~int64](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// An API serves the Prometheus HTTP query API. Its handlers expect the caller's identity in the request's context.
type API struct {
	source      Source
	maintenance Maintenance
	snapshots   Snapshot
	engine      promengine.QueryEngine
	parser      parser.Parser
	limits      Limits
	reading     *reading.Budget
	lookups     gate
	refused     prometheus.Counter // Lookups that got no turn.
	status      Status
	logger      *slog.Logger
	now         func() time.Time
}

// New returns the API that o describes.
func New(o Options) *API {
	a := &API{
		source:      o.Source,
		maintenance: o.Maintenance,
		snapshots:   o.Snapshot,
		engine:      o.Engine,
		parser:      o.Language.parser(),
		limits:      o.Limits.withDefaults(),
		reading:     o.Reading,
		status:      o.Status,
		logger:      o.Logger,
		now:         o.Now,
	}
	a.lookups = newGate(a.limits.MaxLookups)
	a.registerLookups(o.Registerer)
	if a.logger == nil {
		a.logger = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.engine == nil {
		a.engine = NewEngine(o)
		if !o.Unplanned {
			a.engine = NewPlanner(a.engine, o)
		}
	}
	return a
}

// Register calls add once for each route. Paths with a parameter use the syntax of httprouter.
func (a *API) Register(add func(method, path string, scope tenancy.Scopes, h http.Handler)) {
	read := func(path string, h handler, methods ...string) {
		for _, m := range methods {
			add(m, path, tenancy.Read, a.handle(h))
		}
	}
	lookup := func(path string, h handler, methods ...string) { read(path, a.inTurn(h), methods...) }
	get, post, put := http.MethodGet, http.MethodPost, http.MethodPut

	read("/api/v1/query", a.query, get, post)
	read("/api/v1/query_range", a.queryRange, get, post)
	lookup("/api/v1/query_exemplars", a.queryExemplars, get, post)
	read("/api/v1/format_query", a.formatQuery, get, post)
	read("/api/v1/parse_query", a.parseQuery, get, post)
	lookup("/api/v1/labels", a.labelNames, get, post)
	// Prometheus has no POST here, but Grafana's ad-hoc filters send it.
	lookup("/api/v1/label/:name/values", a.labelValues, get, post)
	lookup("/api/v1/series", a.series, get, post)
	lookup("/api/v1/metadata", a.metadata, get)

	read("/api/v1/rules", a.rules, get)
	read("/api/v1/alerts", a.alerts, get)
	read("/api/v1/alertmanagers", a.alertmanagers, get)
	read("/api/v1/targets", a.targets, get)
	read("/api/v1/targets/metadata", a.targetMetadata, get)
	read("/api/v1/scrape_pools", a.scrapePools, get)

	read("/api/v1/status/buildinfo", a.buildInfo, get)
	read("/api/v1/status/runtimeinfo", a.runtimeInfo, get)
	read("/api/v1/status/flags", a.flags, get)
	read("/api/v1/status/config", a.config, get)
	lookup("/api/v1/status/tsdb", a.tsdb, get)
	read("/api/v1/status/tsdb/blocks", a.blocks, get)
	read("/api/v1/status/walreplay", a.walReplay, get)

	add(get, "/federate", tenancy.Read, a.federate())

	// Never on GET: a link or an image in a foreign page must not delete anything.
	for _, m := range []string{post, put} {
		add(m, "/api/v1/admin/tsdb/delete_series", tenancy.Admin, a.handleAdmin(a.deleteSeries))
		add(m, "/api/v1/admin/tsdb/clean_tombstones", tenancy.Admin, a.handleAdmin(a.cleanTombstones))
		add(m, "/api/v1/admin/tsdb/snapshot", tenancy.Admin, a.handleAdmin(a.snapshot))
	}
}
