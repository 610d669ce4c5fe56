// Package remotewrite is the receiver of Prometheus remote write, versions 1.0 and 2.0, over HTTP.
//
// Its decoders read protobuf by hand, straight into a metric.Batch, and only whole requests: nothing is stored of a body
// that is malformed anywhere. Of a well-formed request everything is stored that the rules and the store accept.
package remotewrite

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

// The defaults of Options.
const (
	DefaultMaxCompressed = 32 << 20
	DefaultMaxDecoded    = 32 << 20
	DefaultMaxItems      = 2_000_000
	DefaultMaxLabels     = 64 << 20
	DefaultTimeout       = 25 * time.Second
)

// A Sink takes decoded writes. *ingest.Pipeline is one.
type Sink interface {
	Batch() *metric.Batch
	Release(b *metric.Batch)
	Ingest(ctx context.Context, req ingest.Request) (ingest.Outcome, error)
}

// Options configure an API. Only Sink is required.
type Options struct {
	Sink       Sink
	Budget     *ingest.Budget        // Of the memory that requests take together; nil means no bound.
	Rules      *metric.Rules         // nil means metric.PrometheusRules.
	Logger     *slog.Logger          // nil means no log.
	Registerer prometheus.Registerer // nil means that metrics are not exposed.

	MaxCompressed int // Bytes of a request body; 0 means DefaultMaxCompressed. More is 413.
	MaxDecoded    int // Bytes of a body after decompression; 0 means DefaultMaxDecoded. More is 400.

	// MaxItems is how many series, samples, histograms, exemplars, symbols and metadata together a request may hold;
	// 0 means DefaultMaxItems. It bounds the memory that a small hostile body can take, not honest requests.
	MaxItems int

	// MaxLabels is how many bytes the labels and metadata of a request of version 2.0 may have when their symbols are put in;
	// 0 means DefaultMaxLabels. A symbol is sent once and may be used in each series, so that the size of a body says
	// nothing about the size of what it stands for.
	MaxLabels int

	// Timeout is how long a write may take; 0 means DefaultTimeout. It should be shorter than the remote_timeout of
	// senders, 30 seconds by default: a sender that gave up never sees an answer.
	Timeout time.Duration
}

// An API serves remote write.
type API struct {
	opts     Options
	metrics  *metrics
	known    func() *metric.Known // Labels that keep the rules.
	requests sync.Pool            // Of *request.
}

// New returns the API that o describes.
func New(o Options) *API {
	if o.Rules == nil {
		rules := metric.PrometheusRules(tenancy.Dimension)
		o.Rules = &rules
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxCompressed == 0 {
		o.MaxCompressed = DefaultMaxCompressed
	}
	if o.MaxDecoded == 0 {
		o.MaxDecoded = DefaultMaxDecoded
	}
	if o.MaxItems == 0 {
		o.MaxItems = DefaultMaxItems
	}
	if o.MaxLabels == 0 {
		o.MaxLabels = DefaultMaxLabels
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	a := &API{opts: o, known: sync.OnceValue(func() *metric.Known {
		b := o.Sink.Batch()
		defer o.Sink.Release(b)
		return metric.NewKnown(b.Hasher(), o.Rules)
	})}
	a.metrics = newMetrics(o.Registerer, a.known)
	a.requests.New = func() any { return new(request) }
	return a
}

// Register lists the routes.
func (a *API) Register(add func(method, path string, scope tenancy.Scopes, h http.Handler)) {
	for _, path := range [...]string{"/api/v1/write", "/api/v1/push", "/api/v1/receive", "/api/v1/prom/remote/write"} {
		add(http.MethodPost, path, tenancy.Write, http.HandlerFunc(a.write))
	}
}

// A version is that of the protocol.
type version uint8

// The versions. A request of an unknown one was refused before its version was known.
const (
	unknown version = iota
	v1
	v2
)

// String is the version as it stands in metrics.
func (v version) String() string { return [...]string{"unknown", "1.0", "2.0"}[v] }

// protocol is the version as ingest.Request names it.
func (v version) protocol() string {
	if v == v2 {
		return "remote_write_v2"
	}
	return "remote_write_v1"
}

func (a *API) write(w http.ResponseWriter, r *http.Request) {
	v, err := negotiate(r)
	if attempt := r.Header.Get("Retry-Attempt"); attempt != "" {
		if n, convErr := strconv.Atoi(attempt); convErr == nil && n > 0 {
			a.metrics.retries.WithLabelValues(v.String()).Inc()
		}
	}
	req := a.requests.Get().(*request)
	defer a.release(req)
	req.hold = a.opts.Budget.Hold()
	var out ingest.Outcome
	if err == nil {
		out, err = a.serve(r, req, v)
	}
	if err == nil && len(out.Rejected) > 0 {
		err = &problem.Error{Of: problem.Invalid, Detail: partial(out)}
	}
	if v == v2 {
		writtenHeaders(w.Header(), out.Stored)
	}
	status := http.StatusNoContent
	if err == nil {
		w.WriteHeader(status)
	} else {
		status = problem.KindOf(err).Status()
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		a.log(r, status, err)
		problem.WriteText(w, err)
	}
	a.metrics.requests.WithLabelValues(v.String(), strconv.Itoa(status)).Inc()
}

// serve takes in a request whose headers are good.
func (a *API) serve(r *http.Request, req *request, v version) (ingest.Outcome, error) {
	id, ok := tenancy.FromContext(r.Context())
	if !ok {
		return ingest.Outcome{}, problem.New(problem.Unauthenticated, "the request has no tenant")
	}
	body, err := a.body(r, req)
	if err != nil {
		return ingest.Outcome{}, err
	}
	req.batch = a.opts.Sink.Batch()
	req.decoder.known = a.known()
	req.decoder.reset(req.batch, a.opts.Rules, a.opts.MaxItems, a.opts.MaxLabels)
	req.decoder.hold, req.decoder.bodySize = &req.hold, int64(len(req.compressed)+len(body))
	if v == v2 {
		err = req.decoder.decodeV2(body)
	} else {
		err = req.decoder.decodeV1(body)
	}
	if err != nil {
		return ingest.Outcome{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.opts.Timeout)
	defer cancel()
	out, err := a.opts.Sink.Ingest(ctx, ingest.Request{
		Tenant: id.Tenant, Protocol: v.protocol(), Rules: a.opts.Rules, Batch: req.batch, Rejected: req.decoder.rejected,
	})
	switch {
	case err == nil:
		return out, nil
	case problem.KindOf(err) == problem.Timeout:
		// The sender must come back: writing the same once more does no harm.
		err = problem.Wrap(problem.Unavailable, err, "the write was not done within "+a.opts.Timeout.String()+": send it again later")
	}
	return ingest.Outcome{}, err
}

// log notes a refused request: what is our fault loudly, what is the sender's for those who look for it.
func (a *API) log(r *http.Request, status int, err error) {
	level := slog.LevelDebug
	switch {
	case status == http.StatusInternalServerError:
		level = slog.LevelError
	case status > http.StatusInternalServerError:
		level = slog.LevelWarn
	}
	if !a.opts.Logger.Enabled(r.Context(), level) {
		return
	}
	id, _ := tenancy.FromContext(r.Context())
	a.opts.Logger.LogAttrs(r.Context(), level, "remote write refused",
		slog.String("tenant", string(id.Tenant)), slog.Int("status", status), slog.Any("err", err))
}

// release gives back what a request has used.
func (a *API) release(req *request) {
	if req.batch != nil {
		a.opts.Sink.Release(req.batch)
		req.batch = nil
	}
	req.hold.Release()
	req.shrink()
	a.requests.Put(req)
}
