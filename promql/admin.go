package promql

import (
	"errors"
	"fmt"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// deleteSeries removes the samples of the selected series. All selectors are checked before the first is deleted.
func (a *API) deleteSeries(req *request) (*answer, error) {
	match := req.Form["match[]"]
	if len(match) == 0 {
		return nil, problem.New(problem.Invalid, "no match[] parameter provided")
	}
	span, err := req.lookupRange()
	if err != nil {
		return nil, err
	}
	if span.Max < span.Min {
		return nil, invalidParameter("end", errors.New("end timestamp must not be before start time"))
	}
	sets, err := a.matchers(match)
	if err != nil {
		return nil, invalidParameter("match[]", err)
	}
	for _, ms := range sets {
		if err := req.tenant.Delete(req.Context(), span, store.Selection{Matchers: ms}); err != nil {
			return nil, fmt.Errorf("promql: delete series: %w", err)
		}
	}
	return &answer{}, nil
}

// cleanTombstones reclaims the space of what was deleted.
func (a *API) cleanTombstones(req *request) (*answer, error) {
	if a.maintenance != nil {
		if err := a.maintenance.Compact(req.Context()); err != nil {
			return nil, fmt.Errorf("promql: clean tombstones: %w", err)
		}
	}
	return &answer{}, nil
}

// snapshot says that there is none.
func (a *API) snapshot(*request) (*answer, error) {
	return nil, problem.New(problem.NotFound,
		"there are no snapshots over HTTP on the disk of the server: POST /luminate/v1/admin/backup streams an archive of the tenant")
}
