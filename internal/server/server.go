// Package server is the HTTP listener: routes, authentication of each route, middleware, probes, own metrics and the
// graceful stop. What the routes do is given to it by the protocol packages.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

// A Registry takes metrics in and gives them out. *prometheus.Registry is one.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Options configure a Server. Auth and Registry must be set.
type Options struct {
	Auth     *auth.Authenticator
	Registry Registry
	Logger   *slog.Logger     // nil discards.
	Now      func() time.Time // For latencies; nil means time.Now.

	Timeouts   Timeouts
	MaxHeader  int    // Bytes of a request's headers; 0 means 32 KiB.
	MaxBody    int64  // Bytes of a request's body as sent; 0 means 32 MiB.
	MaxConns   int    // Connections that are open at once, others wait; 0 means 10000.
	CORSOrigin string // Regular expression of origins, matched as a whole; empty allows none.
	Version    string // Shown on the page at /.
}

// Timeouts bound what a client may make the server wait for. Zero fields get the defaults of the comment.
type Timeouts struct {
	ReadHeader time.Duration // 5 s.
	Read       time.Duration // Headers and body: 1 min.
	Write      time.Duration // From the end of the headers to the end of the answer: 5 min.
	Idle       time.Duration // 2 min.
}

// A Server serves HTTP. Before Mount it answers probes and metrics, and everything else by 503.
type Server struct {
	opts    Options
	log     *slog.Logger
	http    *http.Server
	health  *Health
	observe *observer
	squeeze *compressor
	cors    *cors

	routes  atomic.Pointer[routeTable]
	builtin []route
}

// New returns a server that has not begun to serve.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.MaxHeader, 32<<10)
	setDefault(&o.MaxBody, 32<<20)
	setDefault(&o.MaxConns, 10_000)
	setDefault(&o.Timeouts.ReadHeader, 5*time.Second)
	setDefault(&o.Timeouts.Read, time.Minute)
	setDefault(&o.Timeouts.Write, 5*time.Minute)
	setDefault(&o.Timeouts.Idle, 2*time.Minute)

	s := &Server{
		opts:    o,
		log:     o.Logger,
		health:  newHealth(),
		observe: newObserver(o.Logger, o.Now, o.Registry),
		squeeze: newCompressor(),
	}
	if o.CORSOrigin != "" {
		origin, err := regexp.Compile("^(?s:" + o.CORSOrigin + ")$")
		if err != nil {
			return nil, fmt.Errorf("server: origin: %w", err)
		}
		s.cors = &cors{origin}
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: o.Timeouts.ReadHeader,
		ReadTimeout:       o.Timeouts.Read,
		WriteTimeout:      o.Timeouts.Write,
		IdleTimeout:       o.Timeouts.Idle,
		MaxHeaderBytes:    o.MaxHeader,
		// What clients do wrong before there is a request must not fill the log.
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	page, err := newPage(o.Version)
	if err != nil {
		return nil, err
	}
	metrics := promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(o.Logger.Handler(), slog.LevelError),
		OfferedCompressions: []promhttp.Compression{promhttp.Identity, promhttp.Gzip, promhttp.Zstd},
		EnableOpenMetrics:   true,
	})
	s.builtin = s.builtinRoutes(page, metrics)
	s.health.Set("server", "the server is starting")
	table, err := s.build(nil)
	if err != nil {
		return nil, err
	}
	s.routes.Store(table)
	return s, nil
}

func setDefault[T ~int | ~int64](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Health is what the readiness probe reports. It says that the server is starting until the first Set("server", "").
func (s *Server) Health() *Health { return s.health }

// Mount adds the routes of the groups in place of those mounted before. It fails if two routes clash.
func (s *Server) Mount(groups ...Group) error {
	table, err := s.build(groups)
	if err != nil {
		return err
	}
	s.routes.Store(table)
	return nil
}

// Routes lists what is served now.
func (s *Server) Routes() []Route { return s.routes.Load().list }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.routes.Load().router.ServeHTTP(w, r)
}

// Serve accepts connections from ln, which it closes, until Shutdown is called.
func (s *Server) Serve(ln net.Listener) error {
	// Connections that nobody counts would take the file descriptors that the store needs to go on.
	if err := s.http.Serve(netutil.LimitListener(ln, s.opts.MaxConns)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// Drain makes the readiness probe fail. Requests are still served.
func (s *Server) Drain() { s.health.Set("server", "the server is stopping") }

// Shutdown stops accepting and waits for the requests in flight. When ctx ends first, it closes their connections and
// returns an error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
		return fmt.Errorf("server: requests were cut off: %w", err)
	}
	return nil
}

// notFound and notAllowed answer in the dialect of the path.
func (t *routeTable) notFound(w http.ResponseWriter, r *http.Request) {
	if !t.mounted && t.dialect(r.URL.Path) != nil {
		t.dialect(r.URL.Path)(w, problem.New(problem.Unavailable, "the server is starting: try again later"))
		return
	}
	t.dialectOrText(r.URL.Path)(w, problem.New(problem.NotFound, "there is nothing at %s: see / for what there is", shorten(r.URL.Path)))
}

func (t *routeTable) notAllowed(w http.ResponseWriter, r *http.Request) {
	t.dialectOrText(r.URL.Path)(w, problem.New(problem.MethodNotAllowed,
		"%s does not take the method %s: use %s", shorten(r.URL.Path), shorten(r.Method), w.Header().Get("Allow")))
}

// shorten keeps answers short, whatever a client sends.
func shorten(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
