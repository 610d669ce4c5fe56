package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// checkTimeout bounds the checks of a readiness probe.
const checkTimeout = 5 * time.Second

// A Health is why the server is not ready, if it is not. Its methods may be called concurrently.
type Health struct {
	mu      sync.Mutex
	reasons map[string]string
	checks  map[string]func(context.Context) error
}

// A Reason is why one component is not ready, or not wholly so.
type Reason struct {
	Component string `json:"component"`
	Detail    string `json:"detail"`

	degraded bool // The server is ready all the same.
}

func newHealth() *Health {
	return &Health{reasons: map[string]string{}, checks: map[string]func(context.Context) error{}}
}

// Set says why a component is not ready; an empty detail says that it is.
func (h *Health) Set(component, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if detail == "" {
		delete(h.reasons, component)
		return
	}
	h.reasons[component] = detail
}

// Watch asks check at each probe whether a component is ready. A check that fails with store.ErrReadOnly leaves the
// server ready, for its readers, and is told all the same.
func (h *Health) Watch(component string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[component] = check
}

// Reasons lists why the server is not ready or only in part, ordered by component. None means that it is wholly so.
func (h *Health) Reasons(ctx context.Context) []Reason {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out, checks := h.snapshot()
	for component, check := range checks {
		if err := check(ctx); err != nil {
			out = append(out, Reason{component, problem.Describe(err).Detail, errors.Is(err, store.ErrReadOnly)})
		}
	}
	slices.SortFunc(out, func(a, b Reason) int { return strings.Compare(a.Component, b.Component) })
	return out
}

func (h *Health) snapshot() ([]Reason, map[string]func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Reason
	for component, detail := range h.reasons {
		out = append(out, Reason{Component: component, Detail: detail})
	}
	return out, maps.Clone(h.checks)
}

// alive answers the liveness probe: it depends on nothing but the process.
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "Luminate is healthy.")
}

// ready answers the readiness probe.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	body := struct {
		Status  string   `json:"status"`
		Reasons []Reason `json:"reasons"`
	}{"ready", s.health.Reasons(r.Context())}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case len(body.Reasons) == 0:
		body.Reasons = []Reason{}
	case !slices.ContainsFunc(body.Reasons, func(r Reason) bool { return !r.degraded }):
		body.Status = "read only"
	default:
		body.Status = "not ready"
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The status is out; a client that has gone away is no failure of ours.
	_ = json.NewEncoder(w).Encode(body)
}

// builtinRoutes lists what the server serves by itself, without authentication.
func (s *Server) builtinRoutes(page *page, metrics http.Handler) []route {
	var out []route
	add := func(path string, h http.Handler) {
		for _, m := range []string{http.MethodGet, http.MethodHead} {
			out = append(out, route{Route{m, path, 0}, h, problem.WriteText, true})
		}
	}
	for _, path := range []string{"/-/healthy", "/healthz", "/livez", "/health", PrometheusPrefix + "/-/healthy"} {
		add(path, http.HandlerFunc(alive))
	}
	for _, path := range []string{"/-/ready", "/readyz", "/ready", PrometheusPrefix + "/-/ready"} {
		add(path, http.HandlerFunc(s.ready))
	}
	add("/metrics", metrics)
	add("/", http.HandlerFunc(page.serve))
	add(stylePath, http.HandlerFunc(page.style))
	return out
}
