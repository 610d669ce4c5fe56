package problem

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// defaultRetryAfter is what a client is told to wait when the error does not say.
const defaultRetryAfter = 5 * time.Second

// A Problem is an error as a client sees it.
type Problem struct {
	Kind       Kind
	Status     int
	Detail     string
	RetryAfter time.Duration // 0 if the client need not come back.
	Limit      *Limit
}

// Describe turns err into what a client sees. It is the only place where that is decided.
func Describe(err error) Problem {
	k := KindOf(err)
	p := Problem{Kind: k, Status: k.Status(), Detail: k.Title()}
	var e *Error
	switch {
	case k == Internal:
		p.Detail = "internal error: the server's log has the cause"
	case errors.As(err, &e) && e.Detail != "":
		p.Detail = e.Detail
	default:
		p.Detail = err.Error()
	}
	if k == Unavailable || k == QuotaExceeded {
		p.RetryAfter = defaultRetryAfter
	}
	if e != nil {
		p.Limit = e.Limit
		if e.RetryAfter > 0 {
			p.RetryAfter = e.RetryAfter
		}
	}
	return p
}

// SetHeaders writes the headers that belong to p: Retry-After, WWW-Authenticate.
func (p Problem) SetHeaders(h http.Header) {
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if p.Kind == Unauthenticated {
		h.Set("WWW-Authenticate", `Bearer realm="luminate"`)
	}
}

// envelope is the error form of the Prometheus HTTP API.
type envelope struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
}

// WritePrometheus answers w with err in the envelope of the Prometheus HTTP API.
func WritePrometheus(w http.ResponseWriter, err error) {
	p := Describe(err)
	writeJSON(w, p, "application/json", envelope{"error", p.Kind.PrometheusType(), p.Detail})
}

// WriteText answers w with err as plain text, the form that remote-write and remote-read clients log.
func WriteText(w http.ResponseWriter, err error) {
	p := Describe(err)
	p.SetHeaders(w.Header())
	http.Error(w, p.Detail, p.Status)
}

// document is an RFC 9457 problem document.
type document struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`
	RetryAfter int64  `json:"retry_after,omitempty"` // Seconds.
	Limit      *limit `json:"limit,omitempty"`
}

type limit struct {
	Name     string `json:"name"`
	Max      int64  `json:"max"`
	Observed int64  `json:"observed"`
	Setting  string `json:"setting,omitempty"`
}

// WriteProblem answers w with err as an RFC 9457 problem document. The members of extra, if any, stand beside the
// standard ones.
func WriteProblem(w http.ResponseWriter, err error, extra map[string]any) {
	p := Describe(err)
	d := document{
		Type:       "about:blank",
		Title:      p.Kind.Title(),
		Status:     p.Status,
		Detail:     p.Detail,
		Code:       p.Kind.String(),
		RetryAfter: int64((p.RetryAfter + time.Second - 1) / time.Second),
	}
	if p.Limit != nil {
		l := limit(*p.Limit)
		d.Limit = &l
	}
	if len(extra) == 0 {
		writeJSON(w, p, "application/problem+json", d)
		return
	}
	members := map[string]any{
		"type": d.Type, "title": d.Title, "status": d.Status, "detail": d.Detail, "code": d.Code,
	}
	if d.RetryAfter > 0 {
		members["retry_after"] = d.RetryAfter
	}
	if d.Limit != nil {
		members["limit"] = d.Limit
	}
	maps.Copy(members, extra)
	writeJSON(w, p, "application/problem+json", members)
}

func writeJSON(w http.ResponseWriter, p Problem, contentType string, body any) {
	p.SetHeaders(w.Header())
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Encoding")
	h.Del("Content-Length")
	w.WriteHeader(p.Status)
	// The status is out; a client that has gone away is no failure of ours.
	_ = json.NewEncoder(w).Encode(body)
}
