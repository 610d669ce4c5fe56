package promql

import (
	"strconv"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// familyMetadata describes a metric family.
type familyMetadata struct {
	Type string `json:"type"`
	Unit string `json:"unit"`
	Help string `json:"help"`
}

// metadata describes metric families. There is one description for each, the last one written, so that
// limit_per_metric never cuts anything.
func (a *API) metadata(req *request) (*answer, error) {
	limit, err := req.number("limit")
	if err != nil {
		return nil, err
	}
	if _, err := req.number("limit_per_metric"); err != nil {
		return nil, err
	}
	list, err := req.tenant.Metadata(req.Context(), store.MetadataQuery{Family: req.FormValue("metric"), Limit: max(limit, 0)})
	if err != nil {
		return nil, err
	}
	families := make(map[string][]familyMetadata, len(list))
	for _, m := range list {
		families[m.Family] = []familyMetadata{{Type: m.Type, Unit: m.Unit, Help: m.Help}}
	}
	return document(families)
}

// number returns a parameter as a whole number; 0 if it is not there.
func (req *request) number(name string) (int, error) {
	v := req.FormValue(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, problem.New(problem.Invalid, "%s must be a number", name)
	}
	return n, nil
}
