package native

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Maintenance moves data of all tenants to where it stays. store.Maintainer is one.
type Maintenance interface {
	// Flush moves what is held in memory to its long-term form.
	Flush(ctx context.Context) error
	// Seal packs the long-term form, and reclaims the space of what was deleted.
	Seal(ctx context.Context) error
}

// serveFlush serves POST /luminate/v1/admin/flush. One runs at a time, others wait for it.
func (a *API) serveFlush(w http.ResponseWriter, r *http.Request, _ tenancy.ID) error {
	seal, err := sealing(r.URL.RawQuery)
	if err != nil {
		return err
	}
	ctx := r.Context()
	select {
	case a.flushing <- struct{}{}:
		defer func() { <-a.flushing }()
	case <-ctx.Done():
		return fmt.Errorf("native: flush: %w", ctx.Err())
	}
	// It takes as long as it takes: the answer must not come too late for its own success.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("native: flush: %w", err)
	}
	if a.maintenance != nil {
		if err := a.maintenance.Flush(ctx); err != nil {
			return fmt.Errorf("native: flush: %w", err)
		}
		if seal {
			if err := a.maintenance.Seal(ctx); err != nil {
				return fmt.Errorf("native: seal: %w", err)
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// sealing parses the parameters of a flush.
func sealing(query string) (bool, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return false, problem.New(problem.Invalid, "the query string is malformed: %s", err)
	}
	for name := range values {
		if name != "seal" {
			return false, problem.New(problem.Invalid, "unknown parameter %q: the only one is seal", clip(name))
		}
	}
	switch v := values["seal"]; {
	case len(v) == 0, len(v) == 1 && v[0] == "false":
		return false, nil
	case len(v) == 1 && v[0] == "true":
		return true, nil
	default:
		return false, problem.New(problem.Invalid, `parameter seal must be given once, as "true" or "false"`)
	}
}
