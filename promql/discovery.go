package promql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// object is a JSON object whose members need no type of their own.
type object = map[string]any

// empty is a list that holds nothing yet; JSON must say [] and not null.
func empty() []any { return []any{} }

// rules lists no rule groups: no rules are evaluated here. Parameters are checked as Prometheus checks them.
func (a *API) rules(req *request) (*answer, error) {
	if _, err := a.matchers(req.Form["match[]"]); err != nil {
		return nil, bad(err)
	}
	q := req.URL.Query()
	switch typ := strings.ToLower(q.Get("type")); typ {
	case "", "alert", "record":
	default:
		return nil, invalidParameter("type", fmt.Errorf("not supported value %q", typ))
	}
	if v := strings.ToLower(q.Get("exclude_alerts")); v != "" {
		if _, err := strconv.ParseBool(v); err != nil {
			return nil, invalidParameter("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	if err := checkPage(q.Get("group_limit"), q.Get("group_next_token")); err != nil {
		return nil, err
	}
	return document(object{"groups": empty()})
}

// checkPage checks the parameters that page through rule groups. No token can be right where there are no groups.
func checkPage(limit, token string) error {
	if limit == "" {
		if token != "" {
			return invalidParameter("group_next_token", errors.New("group_limit needs to be present in order to paginate over the groups"))
		}
		return nil
	}
	n, err := strconv.ParseInt(limit, 10, 32)
	if err != nil {
		return invalidParameter("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err))
	}
	if n <= 0 {
		return invalidParameter("group_limit", errors.New("group_limit needs to be greater than 0"))
	}
	if token != "" {
		return invalidParameter("group_next_token", fmt.Errorf("invalid group_next_token '%v'. were rule groups changed?", token))
	}
	return nil
}

// alerts lists no alerts.
func (a *API) alerts(*request) (*answer, error) { return document(object{"alerts": empty()}) }

// alertmanagers lists no Alertmanagers.
func (a *API) alertmanagers(*request) (*answer, error) {
	return document(struct {
		Active  []any `json:"activeAlertmanagers"`
		Dropped []any `json:"droppedAlertmanagers"`
	}{empty(), empty()})
}

// targets lists no targets: nothing is scraped here.
func (a *API) targets(*request) (*answer, error) {
	return document(struct {
		Active  []any          `json:"activeTargets"`
		Dropped []any          `json:"droppedTargets"`
		Counts  map[string]int `json:"droppedTargetCounts"`
	}{empty(), empty(), map[string]int{}})
}

// targetMetadata lists nothing: metadata is kept for each metric family, not for each target.
func (a *API) targetMetadata(req *request) (*answer, error) {
	if _, err := req.number("limit"); err != nil {
		return nil, err
	}
	if v := req.FormValue("match_target"); v != "" {
		if _, err := a.parser.ParseMetricSelector(v); err != nil {
			return nil, invalidParameter("match_target", err)
		}
	}
	return document(empty())
}

// scrapePools lists no scrape pools.
func (a *API) scrapePools(*request) (*answer, error) {
	return document(object{"scrapePools": empty()})
}
