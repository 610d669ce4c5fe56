// Package remoteread is the Prometheus remote-read endpoint, with both response types: samples in one message, and
// chunks in a stream of frames.
package remoteread

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// The defaults of Options.
const (
	DefaultMaxRequest    = 32 << 20
	DefaultMaxMatchers   = 1000
	DefaultMaxRegexp     = 256 << 10
	DefaultMaxSamples    = 50_000_000
	DefaultMaxFrame      = 1 << 20
	DefaultMaxConcurrent = 10
	DefaultMaxWait       = 20 * time.Second
	DefaultMaxStall      = 10 * time.Second
)

// A Source gives the data of tenants.
type Source interface {
	Tenant(id tenancy.ID) store.Tenant
}

// Options configure an API. Only Source is required.
type Options struct {
	Source     Source
	Logger     *slog.Logger          // nil means no log.
	Registerer prometheus.Registerer // nil means that metrics are not exposed.
	Now        func() time.Time      // The clock of the system; nil means time.Now.

	MaxRequest  int // Bytes of a request, before and after decompression; 0 means DefaultMaxRequest.
	MaxMatchers int // Queries and matchers of a request together; 0 means DefaultMaxMatchers.

	// MaxRegexp is how many bytes the regular expressions of a request may have together; 0 means DefaultMaxRegexp. They
	// take hundreds of times their length in memory.
	MaxRegexp int

	// MaxSamples is how many samples and native histograms together the answers to all queries of a request may hold if
	// they come in one message; 0 means DefaultMaxSamples. Streams have no limit, since they are never held in memory.
	MaxSamples int64

	// Reading bounds the samples that answers in one message have in memory together with other reads; nil means no bound.
	Reading *reading.Budget

	MaxFrame int // Bytes of a frame of a stream, exceeded by one chunk at most; 0 means DefaultMaxFrame.

	MaxConcurrent int           // Requests that are served at once, others wait; 0 means DefaultMaxConcurrent.
	MaxWait       time.Duration // How long a request waits for its turn; 0 means DefaultMaxWait.

	// MaxStall is how long a client may take for the next MiB of its answer, or the next frame if that is smaller; 0 means
	// DefaultMaxStall. MaxAnswer is how long it may take for all of it; 0 means no limit. Then its connection is cut: it has
	// a turn that others wait for.
	MaxStall, MaxAnswer time.Duration
}

// An API serves remote read.
type API struct {
	opts     Options
	turns    chan struct{}
	requests *prometheus.CounterVec
	inFlight prometheus.Gauge
}

// New returns the API that o describes.
func New(o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxRequest == 0 {
		o.MaxRequest = DefaultMaxRequest
	}
	if o.MaxMatchers == 0 {
		o.MaxMatchers = DefaultMaxMatchers
	}
	if o.MaxRegexp == 0 {
		o.MaxRegexp = DefaultMaxRegexp
	}
	if o.MaxSamples == 0 {
		o.MaxSamples = DefaultMaxSamples
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = DefaultMaxFrame
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	if o.MaxWait == 0 {
		o.MaxWait = DefaultMaxWait
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxStall == 0 {
		o.MaxStall = DefaultMaxStall
	}
	a := &API{
		opts:  o,
		turns: make(chan struct{}, o.MaxConcurrent),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_remote_read_requests_total",
			Help: "Remote-read requests by response type (samples, chunks, unknown) and status code.",
		}, []string{"response_type", "code"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "luminate_remote_read_in_flight_requests",
			Help: "Remote-read requests that are being served or wait for their turn.",
		}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.requests, a.inFlight)
	}
	return a
}

// Register lists the routes.
func (a *API) Register(add func(method, path string, scope tenancy.Scopes, h http.Handler)) {
	add(http.MethodPost, "/api/v1/read", tenancy.Read, http.HandlerFunc(a.read))
}

func (a *API) read(w http.ResponseWriter, r *http.Request) {
	a.inFlight.Inc()
	defer a.inFlight.Dec()
	out := &answer{w: w, client: a.patience(w)}
	err := a.serve(out, r)
	status := http.StatusOK
	if err != nil {
		status = problem.KindOf(err).Status()
		a.log(r, status, err)
	}
	a.requests.WithLabelValues(out.form.String(), strconv.Itoa(status)).Inc()
	switch {
	case err == nil:
	case out.began:
		// The status is out. A connection that breaks off is the only way left to say that the answer is not whole.
		panic(http.ErrAbortHandler)
	default:
		problem.WriteText(w, err)
	}
}

func (a *API) serve(out *answer, r *http.Request) error {
	ctx := r.Context()
	id, ok := tenancy.FromContext(ctx)
	if !ok {
		return problem.New(problem.Unauthenticated, "the request has no tenant")
	}
	body, err := a.body(r)
	if err != nil {
		return err
	}
	// A slow sender must not hold a turn, and no more requests than have one are taken apart at once.
	if err := a.take(ctx); err != nil {
		return err
	}
	defer func() { <-a.turns }()
	req, err := a.decode(body)
	if err != nil {
		return err
	}
	out.form = req.form
	tenant := a.opts.Source.Tenant(id.Tenant)
	if req.form == chunks {
		return out.stream(ctx, tenant, req.queries, a.opts.MaxFrame)
	}
	held := a.opts.Reading.Hold()
	defer held.Release()
	return out.samples(ctx, tenant, req.queries, &encoder{left: a.opts.MaxSamples, limit: a.opts.MaxSamples, held: held})
}

// take waits for a turn. Whoever gets one gives it back by a receive from a.turns.
func (a *API) take(ctx context.Context) error {
	select {
	case a.turns <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(a.opts.MaxWait)
	defer timer.Stop()
	select {
	case a.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &problem.Error{
			Of:     problem.Unavailable,
			Detail: "too many remote reads: " + strconv.Itoa(a.opts.MaxConcurrent) + " are being served (remote_read.max_concurrent) and none ended within " + a.opts.MaxWait.String() + ": try again later",
			Limit:  &problem.Limit{Name: "concurrent remote reads", Max: int64(a.opts.MaxConcurrent), Observed: int64(a.opts.MaxConcurrent) + 1, Setting: "remote_read.max_concurrent"},
		}
	}
}

func (a *API) log(r *http.Request, status int, err error) {
	level := slog.LevelDebug
	switch {
	case status == http.StatusInternalServerError:
		level = slog.LevelError
	case status > http.StatusInternalServerError:
		level = slog.LevelWarn
	}
	id, _ := tenancy.FromContext(r.Context())
	a.opts.Logger.LogAttrs(r.Context(), level, "remote read failed",
		slog.String("tenant", string(id.Tenant)), slog.Int("status", status), slog.Any("err", err))
}
