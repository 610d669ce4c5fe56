// Package native is the native JSON API over HTTP: writing metrics, aggregating them, discovering and deleting them.
package native

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Sink takes decoded writes. *ingest.Pipeline is one.
type Sink interface {
	// Batch hands out an empty batch, which Release takes back.
	Batch() *metric.Batch
	Release(b *metric.Batch)

	// Ingest stores what the rules accept; see ingest.Pipeline.
	Ingest(ctx context.Context, req ingest.Request) (ingest.Outcome, error)
}

// A Source gives the view of one tenant. It must understand matchers on the reserved tenant dimension, as store.Scope
// does.
type Source interface {
	Tenant(id tenancy.ID) store.Tenant
}

// Options are what New needs. Sink and Source are required, the rest has usable zero values.
type Options struct {
	Sink       Sink
	Source     Source
	Budget     *ingest.Budget        // Of the memory that writes take together; nil means no bound.
	Reading    *reading.Budget       // Of the samples that queries hold together; nil means no bound.
	Rules      *metric.Rules         // What writes may hold; nil means metric.StrictRules.
	Limits     Limits                // Fields that are 0 get the defaults of DefaultLimits.
	Logger     *slog.Logger          // For failures that the client is not told the cause of; nil discards them.
	Registerer prometheus.Registerer // For the API's own metrics; nil leaves them unregistered.
	Now        func() time.Time      // nil means time.Now.
	Backup     Backup                // nil means that there are no backups.
	BackupAll  bool                  // Whether an administrator of one tenant may back up all of them.

	Maintenance Maintenance // For flushes; nil means that there is nothing to flush.
}

// An API serves the native JSON API. Its handlers may run concurrently.
type API struct {
	sink   Sink
	budget *ingest.Budget
	reads  *reading.Budget
	source Source
	rules  *metric.Rules
	limits Limits
	log    *slog.Logger
	now    func() time.Time

	backup    Backup
	backupAll bool

	buffers sync.Pool     // Of *[]byte: request bodies.
	turns   chan struct{} // Holds an element for each read that runs.

	maintenance Maintenance
	flushing    chan struct{} // Holds an element while a flush runs.

	queries  *prometheus.HistogramVec
	examined prometheus.Counter
}

// New returns the API.
func New(o Options) *API {
	a := &API{
		sink: o.Sink, budget: o.Budget, reads: o.Reading, source: o.Source, rules: o.Rules, limits: o.Limits.withDefaults(), log: o.Logger, now: o.Now,
		backup: o.Backup, backupAll: o.BackupAll,
		maintenance: o.Maintenance, flushing: make(chan struct{}, 1),
		queries: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "luminate_native_query_duration_seconds",
			Help:    "Time from a valid native query to its result, without the encoding of the answer.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"outcome"}),
		examined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "luminate_native_query_samples_total",
			Help: "Samples that native queries read.",
		}),
	}
	if a.rules == nil {
		strict := metric.StrictRules(tenancy.Dimension)
		a.rules = &strict
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.queries, a.examined)
	}
	a.turns = make(chan struct{}, a.limits.Concurrent)
	a.buffers.New = func() any { return new([]byte) }
	return a
}

// Register passes every route of the API to add, with the scope that a caller needs. Path parameters are those of
// httprouter. The handlers expect the caller's tenancy.Identity in the context, except where the scope is 0.
func (a *API) Register(add func(method, path string, scope tenancy.Scopes, h http.Handler)) {
	const root = "/luminate/v1"
	metrics := root + "/metrics"
	for _, r := range []struct {
		method, path string
		scope        tenancy.Scopes
		serve        handler
	}{
		{http.MethodPost, metrics, tenancy.Write, a.serveWrite},
		{http.MethodPost, root + "/query", tenancy.Read, a.serveQuery},
		{http.MethodGet, metrics, tenancy.Read, a.listMetrics},
		{http.MethodGet, metrics + "/:name", tenancy.Read, a.describeMetric},
		{http.MethodGet, metrics + "/:name/dimensions", tenancy.Read, a.listDimensions},
		{http.MethodGet, metrics + "/:name/dimensions/:dimension/values", tenancy.Read, a.listValues},
		{http.MethodGet, root + "/cardinality", tenancy.Read, a.serveCardinality},
		{http.MethodPost, root + "/delete", tenancy.Admin, a.serveDelete},
		{http.MethodPost, root + "/admin/backup", tenancy.Admin, a.serveBackup},
		{http.MethodPost, root + "/admin/flush", tenancy.Admin, a.serveFlush},
	} {
		add(r.method, r.path, r.scope, a.serve(r.serve))
	}
	add(http.MethodGet, root+"/openapi.yaml", 0, http.HandlerFunc(serveDescription))
}

// A handler serves one route for one tenant. It either answers and returns nil, or writes nothing and returns why.
type handler func(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error

// serve turns h into an http.Handler that answers errors as problem documents.
func (a *API) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := tenancy.FromContext(r.Context())
		if !ok || id.Tenant == "" {
			problem.WriteProblem(w, problem.New(problem.Unauthenticated, "the request names no tenant"), nil)
			return
		}
		err := h(w, r, id.Tenant)
		if err == nil {
			return
		}
		if problem.KindOf(err) == problem.Internal {
			a.log.LogAttrs(r.Context(), slog.LevelError, "native request failed",
				slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.String("tenant", string(id.Tenant)), slog.Any("error", err))
		}
		var extra map[string]any
		if e, ok := asDetailed(err); ok {
			extra = e.extra
		}
		problem.WriteProblem(w, err, extra)
	})
}

// answer writes v as the JSON body of a 200.
func answer(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	setJSON(w)
	// The status is out with the first byte; a client that has gone away is no failure of ours.
	_, _ = w.Write(append(body, '\n'))
	return nil
}

func setJSON(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
