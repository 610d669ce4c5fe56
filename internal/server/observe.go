package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

// An observer counts, times and logs requests, and turns panics into answers.
type observer struct {
	log      *slog.Logger
	now      func() time.Time
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	panics   prometheus.Counter
}

func newObserver(log *slog.Logger, now func() time.Time, reg prometheus.Registerer) *observer {
	o := &observer{
		log: log,
		now: now,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_http_requests_total",
			Help: "HTTP requests that were answered, by the pattern of their route.",
		}, []string{"handler", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "luminate_http_request_duration_seconds",
			Help:    "Time from the headers of an HTTP request to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"handler"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "luminate_http_requests_in_flight",
			Help: "HTTP requests that are being answered now.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "luminate_http_panics_total",
			Help: "HTTP requests that met a bug and were answered by 500.",
		}),
	}
	reg.MustRegister(o.requests, o.duration, o.inFlight, o.panics)
	return o
}

// An exchange is a response writer that remembers what became of a request.
type exchange struct {
	http.ResponseWriter
	id     string
	status int // 0 until the header is written.
	bytes  int64
	tenant tenancy.ID
}

// WriteHeader notes the final status.
func (e *exchange) WriteHeader(status int) {
	if e.status == 0 && status >= http.StatusOK {
		e.status = status
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write counts what is written.
func (e *exchange) Write(p []byte) (int, error) {
	if e.status == 0 {
		e.status = http.StatusOK
	}
	n, err := e.ResponseWriter.Write(p)
	e.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// Flush sends what is buffered, for handlers that ask for an http.Flusher.
func (e *exchange) Flush() {
	if e.status == 0 {
		e.status = http.StatusOK
	}
	// A connection that can't be flushed sends when the answer is complete.
	_ = http.NewResponseController(e.ResponseWriter).Flush()
}

type exchangeKey struct{}

// noteIdentity remembers for the log whose request it was.
func noteIdentity(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
			id, _ := tenancy.FromContext(r.Context())
			e.tenant = id.Tenant
		}
		next.ServeHTTP(w, r)
	})
}

// wrap returns next with everything counted under the pattern of its route, never under the path that a client chose.
func (o *observer) wrap(pattern string, fail auth.Renderer, next http.Handler) http.Handler {
	// Made by the first request: most of the many routes are never asked for, and a histogram has many series.
	duration := sync.OnceValue(func() prometheus.Observer { return o.duration.WithLabelValues(pattern) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := o.now()
		e := &exchange{ResponseWriter: w, id: requestID(r)}
		w.Header().Set("X-Request-Id", e.id)
		o.inFlight.Inc()
		cut := o.guard(e, r, fail, next)
		o.inFlight.Dec()
		if e.status == 0 {
			e.status = http.StatusOK
		}
		took := o.now().Sub(start)
		o.requests.WithLabelValues(pattern, knownMethod(r.Method), strconv.Itoa(e.status)).Inc()
		duration().Observe(took.Seconds())
		o.log.LogAttrs(r.Context(), slog.LevelDebug, "request",
			slog.String("method", r.Method), slog.String("route", pattern), slog.Int("status", e.status),
			slog.Int64("bytes", e.bytes), slog.Duration("took", took), slog.String("tenant", string(e.tenant)),
			slog.String("remote", r.RemoteAddr), slog.String("request_id", e.id))
		if cut {
			panic(http.ErrAbortHandler)
		}
	})
}

// guard runs next. It returns true if the connection must be cut.
func (o *observer) guard(e *exchange, r *http.Request, fail auth.Renderer, next http.Handler) (cut bool) {
	defer func() { cut = o.recovered(recover(), e, r, fail) }()
	next.ServeHTTP(e, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e)))
	return false
}

// recovered deals with what a handler panicked with. It returns true if the connection must be cut, because the answer
// has begun and would pass for a complete one.
func (o *observer) recovered(p any, e *exchange, r *http.Request, fail auth.Renderer) (cut bool) {
	switch {
	case p == nil:
		return false
	case p == any(http.ErrAbortHandler):
		return true
	}
	o.panics.Inc()
	o.log.LogAttrs(r.Context(), slog.LevelError, "request met a bug",
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("request_id", e.id),
		slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	if e.status != 0 {
		return true
	}
	fail(e, errors.New("panic"))
	return false
}

// requestID takes over the id that a proxy gave, if it is harmless, or makes one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	harmless := len(id) > 0 && len(id) <= 64
	for i := range len(id) {
		c := id[i]
		harmless = harmless && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	if harmless {
		return id
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return hex.EncodeToString(b[:])
}

// knownMethod keeps clients from making up label values.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
