package promql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// maxAnnotations is how many warnings and how many infos an answer holds.
const maxAnnotations = 10

// errTruncated is the warning of an answer that a limit has cut.
var errTruncated = errors.New("results truncated due to limit")

// A request is a request whose form is parsed and whose tenant is known.
type request struct {
	*http.Request
	id     tenancy.ID
	admin  bool // Whether the caller may see how the server is set up.
	tenant store.Tenant
}

// A handler does the work of one endpoint.
type handler func(req *request) (*answer, error)

// An answer is a success.
type answer struct {
	data     func(e *encoder) // Writes the member "data"; nil means no content.
	warnings annotations.Annotations
	query    string // Where the positions of annotations point to.
	close    func() // Frees what data needs; may be nil.
}

// document is the answer with v as its data.
func document(v any) (*answer, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("promql: encode answer: %w", err)
	}
	return &answer{data: func(e *encoder) { e.buf = append(e.buf, b...) }}, nil
}

// handle serves h within the time that a request may take.
func (a *API) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), a.limits.Timeout)
		defer cancel()
		a.serve(w, r.WithContext(ctx), h)
	})
}

// handleAdmin serves h without a limit of time.
func (a *API) handleAdmin(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Else what took longer than the server gives to answers would be done, and nobody told. Where there is no
		// connection, as in a test, there is no limit.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		a.serve(w, r, h)
	})
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, h handler) {
	req, err := a.open(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	ans, err := h(req)
	if err != nil {
		a.fail(w, r, a.lookupError(err))
		return
	}
	if ans.close != nil {
		defer ans.close()
	}
	if err := ans.write(w); err != nil {
		// The status is out, and so a failure can only be the connection's.
		a.logger.DebugContext(r.Context(), "query API answer was cut off", slog.String("path", r.URL.Path), slog.Any("err", err))
	}
}

// open parses the form, URL and body together, and finds the tenant.
func (a *API) open(w http.ResponseWriter, r *http.Request) (*request, error) {
	id, ok := tenancy.FromContext(r.Context())
	if !ok {
		return nil, problem.New(problem.Unauthenticated, "the request names no tenant")
	}
	r.Body = http.MaxBytesReader(w, r.Body, a.limits.MaxFormBytes)
	var tooLarge *http.MaxBytesError
	err := r.ParseForm()
	if err == nil {
		err = r.ParseMultipartForm(a.limits.MaxFormBytes) //nolint:gosec // The body is bounded two lines above.
	}
	switch {
	case err == nil, errors.Is(err, http.ErrNotMultipart):
	case errors.As(err, &tooLarge):
		return nil, problem.New(problem.TooLarge, "the form is larger than %d bytes, the limit set by query.max_form_bytes", tooLarge.Limit)
	default:
		return nil, problem.New(problem.Invalid, "error parsing form values: %v", err)
	}
	return &request{Request: r, id: id.Tenant, admin: id.Scopes.Has(tenancy.Admin), tenant: a.source.Tenant(id.Tenant)}, nil
}

// write sends the answer in Prometheus's envelope.
func (ans *answer) write(w http.ResponseWriter) error {
	if ans.data == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	warnings, infos := annotationTexts(ans.warnings, ans.query)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	e := newEncoder(w)
	e.raw(`{"status":"success","data":`)
	ans.data(e)
	if len(warnings) > 0 {
		e.raw(`,"warnings":`)
		e.strings(warnings)
	}
	if len(infos) > 0 {
		e.raw(`,"infos":`)
		e.strings(infos)
	}
	e.raw(`}`)
	return e.finish()
}

// annotationTexts turns annotations into sorted texts, so that equal requests get equal answers.
func annotationTexts(as annotations.Annotations, query string) (warnings, infos []string) {
	if len(as) == 0 {
		return nil, nil
	}
	warnings, infos = as.AsStrings(query, 0, 0)
	return shorten(warnings, "warning"), shorten(infos, "info")
}

func shorten(texts []string, kind string) []string {
	slices.Sort(texts)
	if omitted := len(texts) - maxAnnotations; omitted > 0 {
		texts = append(texts[:maxAnnotations], fmt.Sprintf("%d more %s annotations omitted", omitted, kind))
	}
	return texts
}
