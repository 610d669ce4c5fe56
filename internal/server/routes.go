package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

// PrometheusPrefix is the path below which the routes of a prefixed group are served once more.
const PrometheusPrefix = "/prometheus"

// An API lists its routes once: the scope that a caller needs, 0 for routes that need no authentication, and a handler
// that finds the caller's identity in the context.
type API interface {
	Register(add func(method, path string, scope tenancy.Scopes, h http.Handler))
}

// A Group is an API and how its paths speak.
type Group struct {
	API      API
	Fail     auth.Renderer // Answers errors of the server itself, such as 401, in the dialect of the API.
	Prefixed bool          // Whether its routes are served below PrometheusPrefix, too.
}

// A Route is one method and path.
type Route struct {
	Method string
	Path   string // With the parameters of httprouter.
	Scope  tenancy.Scopes
}

type route struct {
	Route
	handler http.Handler
	fail    auth.Renderer
	raw     bool // Neither compressed nor opened to other origins.
}

// A routeTable is what is served at one time.
type routeTable struct {
	router  *httprouter.Router
	list    []Route
	fails   map[string]auth.Renderer // By path, as far as it has no parameter.
	mounted bool
}

func writeProblem(w http.ResponseWriter, err error) { problem.WriteProblem(w, err, nil) }

// dialect returns how errors below path are answered, or nil if nothing is known about it.
func (t *routeTable) dialect(path string) auth.Renderer {
	if f, ok := t.fails[path]; ok {
		return f
	}
	switch api, _ := strings.CutPrefix(path, PrometheusPrefix); {
	case strings.HasPrefix(path, "/luminate/"):
		return writeProblem
	case strings.HasPrefix(api, "/api/"), api == "/federate":
		return problem.WritePrometheus
	}
	return nil
}

func (t *routeTable) dialectOrText(path string) auth.Renderer {
	if f := t.dialect(path); f != nil {
		return f
	}
	return problem.WriteText
}

// build makes the table of the server's own routes and those of the groups.
func (s *Server) build(groups []Group) (table *routeTable, err error) {
	router := httprouter.New()
	router.RedirectTrailingSlash = false // A redirected POST loses its body or its credentials.
	router.RedirectFixedPath = false
	router.HandleOPTIONS = false // The routes bring their own.
	t := &routeTable{router: router, fails: map[string]auth.Renderer{}, mounted: len(groups) > 0}
	router.NotFound = s.observe.wrap("unmatched", problem.WriteText, http.HandlerFunc(t.notFound))
	router.MethodNotAllowed = s.observe.wrap("unmatched", problem.WriteText, http.HandlerFunc(t.notAllowed))

	routes := slices.Clone(s.builtin)
	for _, g := range groups {
		g.API.Register(func(method, path string, scope tenancy.Scopes, h http.Handler) {
			for _, prefix := range []string{"", PrometheusPrefix} {
				if prefix == "" || g.Prefixed {
					routes = append(routes, route{Route{method, prefix + path, scope}, h, g.Fail, false})
				}
			}
		})
	}
	// The router panics on routes that clash. That is a mistake of the program, but one that a test should see by name.
	defer func() {
		if p := recover(); p != nil {
			table, err = nil, fmt.Errorf("server: routes clash: %v", p)
		}
	}()
	methods := map[string][]route{}
	for _, r := range routes {
		t.list = append(t.list, r.Route)
		if !strings.ContainsAny(r.Path, ":*") {
			t.fails[r.Path] = r.fail
		}
		methods[r.Path] = append(methods[r.Path], r)
		router.Handler(r.Method, r.Path, s.handler(r))
	}
	for path, rs := range methods {
		router.Handler(http.MethodOptions, path, s.options(path, rs))
	}
	return t, nil
}

// handler wraps what a route does into all that the server does around it, the outermost last.
func (s *Server) handler(r route) http.Handler {
	h := r.handler
	if !r.raw {
		h = s.squeeze.wrap(h)
	}
	h = s.limitBody(r.fail, h)
	if r.Scope != 0 && !r.readOnly() {
		h = sameOrigin(r.fail, h)
	}
	if r.Scope != 0 {
		h = s.opts.Auth.Require(r.Scope, r.fail, noteIdentity(h))
	}
	if r.readOnly() {
		h = s.cors.wrap(h)
	}
	return s.observe.wrap(r.Path, r.fail, h)
}

// sameOrigin refuses what a page of another origin makes a browser send: a form needs no leave to be sent anywhere, and
// where no token is asked for nothing else would stop it.
func sameOrigin(fail auth.Renderer, next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := protection.Check(r); err != nil {
			fail(w, problem.Wrap(problem.Forbidden, err, "writing and administration are not open to pages of other origins in a browser"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readOnly reports whether a route does nothing but answer questions about one tenant.
func (r route) readOnly() bool { return r.Scope == tenancy.Read && !r.raw }

// options answers OPTIONS for a path.
func (s *Server) options(path string, routes []route) http.Handler {
	allowed := []string{http.MethodOptions}
	readable := true
	for _, r := range routes {
		allowed = append(allowed, r.Method)
		readable = readable && r.readOnly()
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allow)
		w.WriteHeader(http.StatusNoContent)
	}))
	if readable {
		h = s.cors.wrap(h)
	}
	return s.observe.wrap(path, problem.WriteText, h)
}

// limitBody refuses bodies that are longer than the server takes, before they are read where the client says so.
func (s *Server) limitBody(fail auth.Renderer, next http.Handler) http.Handler {
	most := s.opts.MaxBody
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > most {
			fail(w, &problem.Error{
				Of:     problem.TooLarge,
				Detail: fmt.Sprintf("the body is %d bytes long: the limit set by server.max_body_bytes is %d: send less at a time", r.ContentLength, most),
				Limit:  &problem.Limit{Name: "server.max_body_bytes", Max: most, Observed: r.ContentLength, Setting: "server.max_body_bytes"},
			})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}
