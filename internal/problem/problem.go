// Package problem is the closed list of error kinds and the one function that turns an error into status, body and
// Retry-After.
//
// Any error may carry a kind: by being (or wrapping) an *Error, or by a method Kind() Kind. An error without a kind is
// a bug of ours: it is answered as Internal, and its text never reaches the client.
package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A Kind says what sort of failure an error is, and so its HTTP status.
type Kind uint8

// The kinds. Those whose comment says "retry" promise that nothing of the request was half done.
const (
	Internal         Kind = iota // A bug or an unexpected failure of ours: 500.
	Invalid                      // The request is malformed or breaks a rule: 400.
	Unauthenticated              // No valid credentials: 401.
	Forbidden                    // Valid credentials without the scope or tenant: 403.
	NotFound                     // No such thing: 404.
	MethodNotAllowed             // 405.
	NotAcceptable                // No representation that the client accepts: 406.
	TooLarge                     // The body is over its limit: 413.
	UnsupportedMedia             // Content type or encoding that is not spoken here: 415.
	Execution                    // A well-formed query that can't be answered, a query limit included: 422.
	QuotaExceeded                // The tenant's own quota: 429 with Retry-After; retry.
	Canceled                     // The client went away: 499.
	Unavailable                  // The store is away, full, overloaded or closing: 503 with Retry-After; retry.
	Timeout                      // The request took longer than it may: 503.

	kinds
)

// table holds, for each kind, what the protocols call it.
var table = [kinds]struct {
	status     int
	code       string // Last part of the problem type and the "code" member.
	title      string
	prometheus string // errorType of the Prometheus API.
}{
	Internal:         {http.StatusInternalServerError, "internal", "Internal error", "internal"},
	Invalid:          {http.StatusBadRequest, "invalid", "Invalid request", "bad_data"},
	Unauthenticated:  {http.StatusUnauthorized, "unauthenticated", "Authentication required", "unauthorized"},
	Forbidden:        {http.StatusForbidden, "forbidden", "Not allowed", "forbidden"},
	NotFound:         {http.StatusNotFound, "not_found", "Not found", "not_found"},
	MethodNotAllowed: {http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", "bad_data"},
	NotAcceptable:    {http.StatusNotAcceptable, "not_acceptable", "Not acceptable", "not_acceptable"},
	TooLarge:         {http.StatusRequestEntityTooLarge, "too_large", "Request too large", "bad_data"},
	UnsupportedMedia: {http.StatusUnsupportedMediaType, "unsupported_media", "Unsupported media type", "bad_data"},
	Execution:        {http.StatusUnprocessableEntity, "execution", "Query can't be answered", "execution"},
	QuotaExceeded:    {http.StatusTooManyRequests, "quota_exceeded", "Quota exceeded", "too_many_requests"},
	Canceled:         {499, "canceled", "Request canceled", "canceled"},
	Unavailable:      {http.StatusServiceUnavailable, "unavailable", "Temporarily unavailable", "unavailable"},
	Timeout:          {http.StatusServiceUnavailable, "timeout", "Timed out", "timeout"},
}

// Status is the HTTP status code of k.
func (k Kind) Status() int { return table[k].status }

// String is the stable name of k: it appears in answers and as a metric label.
func (k Kind) String() string { return table[k].code }

// Title is a short text for people that is the same for each error of the kind.
func (k Kind) Title() string { return table[k].title }

// PrometheusType is the errorType of k in the envelope of the Prometheus HTTP API.
func (k Kind) PrometheusType() string { return table[k].prometheus }

// An Error is a failure with a kind and a text for the client. The zero RetryAfter means the kind's default.
type Error struct {
	Of         Kind
	Detail     string        // For the client: what, where, the limit, the way out.
	RetryAfter time.Duration // For Unavailable and QuotaExceeded; rounded up to seconds.
	Limit      *Limit        // Set if a limit was hit.
	Err        error         // The cause: for the log, never for the client. May be nil.
}

// A Limit describes the limit that a request hit.
type Limit struct {
	Name     string // As in the configuration reference.
	Max      int64
	Observed int64
	Setting  string // Configuration key that raises it.
}

// New returns an error of kind k with a formatted text for the client.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Of: k, Detail: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of kind k that tells the client detail and keeps err for the log.
func Wrap(k Kind, err error, detail string) *Error {
	return &Error{Of: k, Detail: detail, Err: err}
}

// Error holds the text for the client and the cause.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Detail
	case e.Detail == "":
		return e.Err.Error()
	default:
		return e.Detail + ": " + e.Err.Error()
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Kind returns the kind.
func (e *Error) Kind() Kind { return e.Of }

// KindOf returns the kind of the outermost error in err's chain that has one. Context errors are Canceled and Timeout;
// everything else is Internal.
func KindOf(err error) Kind {
	var k interface{ Kind() Kind }
	switch {
	case errors.As(err, &k):
		return k.Kind()
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	default:
		return Internal
	}
}
