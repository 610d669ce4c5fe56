package promql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"

	promengine "github.com/prometheus/prometheus/promql"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// A storeError marks an error as the store's. Without the mark, an error that comes out of the engine is a fault of the
// expression, and its text is for the client.
type storeError struct{ err error }

func fromStore(err error) error {
	if err == nil {
		return nil
	}
	return &storeError{err}
}

func (e *storeError) Error() string { return e.err.Error() }

func (e *storeError) Unwrap() error { return e.err }

// invalidParameter reports a parameter that can't be understood.
func invalidParameter(name string, err error) error {
	return problem.New(problem.Invalid, "invalid parameter %q: %v", name, err)
}

// queryError gives the kind to an error of the engine.
func (a *API) queryError(err error) error {
	var (
		canceled promengine.ErrQueryCanceled
		timeout  promengine.ErrQueryTimeout
		samples  promengine.ErrTooManySamples
		crash    runtime.Error
		ofStore  *storeError
	)
	const access = "store access"
	switch {
	case errors.As(err, &canceled):
		return visible(problem.Canceled, err)
	case errors.As(err, &timeout):
		if timeout == queuePhase {
			return crowded("query", "concurrent queries", "query.max_concurrent", a.limits.MaxConcurrent, err)
		}
		return visible(problem.Timeout, err)
	case errors.As(err, &samples):
		return problem.Wrap(problem.Execution, err, fmt.Sprintf(
			"%v: the limit is %d samples, set by query.max_samples: select fewer series, a shorter range or a longer step", samples, a.limits.MaxSamples))
	case hasKind(err):
		return err
	case errors.Is(err, context.Canceled):
		return problem.Wrap(problem.Canceled, err, promengine.ErrQueryCanceled(access).Error())
	case errors.Is(err, context.DeadlineExceeded):
		return problem.Wrap(problem.Timeout, err, promengine.ErrQueryTimeout(access).Error())
	case errors.As(err, &ofStore), errors.Is(err, store.ErrCorrupt), errors.As(err, &crash):
		return fmt.Errorf("promql: query: %w", err)
	default:
		return visible(problem.Execution, err)
	}
}

// hasKind reports whether err says itself what sort of failure it is.
func hasKind(err error) bool {
	var k interface{ Kind() problem.Kind }
	return errors.As(err, &k)
}

// visible is err with a kind, its whole text for the client.
func visible(k problem.Kind, err error) error {
	return &problem.Error{Of: k, Detail: err.Error()}
}

// lookupError gives the kind to an error of the store outside the engine.
func (a *API) lookupError(err error) error {
	if limit, ok := errors.AsType[*store.LimitError](err); ok {
		return problem.Wrap(problem.Execution, err, limit.Error())
	}
	if !hasKind(err) && errors.Is(err, context.DeadlineExceeded) {
		return problem.Wrap(problem.Timeout, err, fmt.Sprintf(
			"the request took longer than it may (at most %s, set by query.timeout): select fewer series or a shorter range", a.limits.Timeout))
	}
	return err
}

// report logs err if it is not the client's doing.
func (a *API) report(r *http.Request, err error) {
	switch problem.KindOf(err) {
	case problem.Internal, problem.Unavailable:
		a.logger.ErrorContext(r.Context(), "query API request failed",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("err", err))
	default:
	}
}

// fail answers with err in Prometheus's envelope.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.report(r, err)
	problem.WritePrometheus(w, err)
}
