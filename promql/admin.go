package promql

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Snapshot writes a backup of one tenant to the disk of the server, and returns its name there. Its context may end
// before it is done; then there is none.
type Snapshot func(ctx context.Context, id tenancy.ID) (name string, err error)

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

// snapshot writes a backup of the tenant to the disk of the server. Samples in memory are always in it.
func (a *API) snapshot(req *request) (*answer, error) {
	if v := req.FormValue("skip_head"); v != "" {
		if _, err := strconv.ParseBool(v); err != nil {
			return nil, invalidParameter("skip_head", fmt.Errorf("unable to parse boolean %q argument", v))
		}
	}
	if a.snapshots == nil {
		return nil, problem.New(problem.NotFound,
			"the server keeps no snapshots on its disk: set storage.snapshot_dir on the server, or let POST /luminate/v1/admin/backup stream an archive of the tenant")
	}
	name, err := a.snapshots(req.Context(), req.id)
	if err != nil {
		return nil, fmt.Errorf("promql: snapshot: %w", err)
	}
	return document(struct {
		Name string `json:"name"`
	}{name})
}
