package promql

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// The range of times that a lookup may name, in seconds since the Unix epoch, as Prometheus has it. Clients send the
// formatted bounds to say "everything".
const (
	minSecond = math.MinInt64/1000 + 62135596801
	maxSecond = math.MaxInt64/1000 - 62135596801
)

// The range of times that a query may be evaluated at: the engine counts in nanoseconds, which end in 1677 and 2262.
const (
	minEvaluation = -9_200_000_000
	maxEvaluation = 9_200_000_000
)

func minTime() time.Time { return time.Unix(minSecond, 0).UTC() }

func maxTime() time.Time { return time.Unix(maxSecond, 999999999).UTC() }

// time returns a parameter as a point in time, or absent if it is not there.
func (req *request) time(name string, absent time.Time) (time.Time, error) {
	v := req.FormValue(name)
	if v == "" {
		return absent, nil
	}
	t, err := parseTime(v)
	if err != nil {
		return time.Time{}, invalidParameter(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// lookupRange returns the range that start and end name; without them, everything.
func (req *request) lookupRange() (store.Range, error) {
	start, err := req.time("start", minTime())
	if err != nil {
		return store.Range{}, err
	}
	end, err := req.time("end", maxTime())
	if err != nil {
		return store.Range{}, err
	}
	return store.Range{Min: timestamp.FromTime(start), Max: timestamp.FromTime(end)}, nil
}

// limit returns the parameter limit; 0 means none.
func (req *request) limit() (int, error) {
	v := req.FormValue("limit")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err == nil && n < 0 {
		err = errors.New("limit must be non-negative")
	}
	if err != nil {
		return 0, invalidParameter("limit", err)
	}
	return n, nil
}

// selectors parses the parameters match[].
func (a *API) selectors(list []string) ([][]*labels.Matcher, error) {
	if err := a.checkText(list...); err != nil {
		return nil, err
	}
	return a.parser.ParseMetricSelectors(list)
}

// matchers parses the parameters match[]. Each must name something, so that "everything" is never asked by mistake.
func (a *API) matchers(list []string) ([][]*labels.Matcher, error) {
	sets, err := a.selectors(list)
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		if !namesSomething(set) {
			return nil, errors.New("match[] must contain at least one non-empty matcher")
		}
	}
	return sets, nil
}

func namesSomething(set []*labels.Matcher) bool {
	for _, m := range set {
		if !m.Matches("") {
			return true
		}
	}
	return false
}

// parseTime reads seconds since the Unix epoch, rounded to milliseconds, or RFC 3339. Numbers out of range mean the
// nearest time that can be named.
func parseTime(s string) (time.Time, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(f) {
		switch {
		case f < minSecond:
			return minTime(), nil
		case f > maxSecond:
			return maxTime(), nil
		}
		whole, fraction := math.Modf(f)
		return time.Unix(int64(whole), int64(math.Round(fraction*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	// The standard parser knows years of four digits only.
	switch s {
	case minTime().Format(time.RFC3339Nano):
		return minTime(), nil
	case maxTime().Format(time.RFC3339Nano):
		return maxTime(), nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

// parseDuration reads seconds or a Prometheus duration such as 1h30m.
func parseDuration(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(f) {
		ns := f * float64(time.Second)
		if ns >= math.MaxInt64 || ns < math.MinInt64 {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(ns), nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

// checkEvaluation refuses a time at which the engine can't evaluate.
func checkEvaluation(name string, t time.Time) error {
	if s := t.Unix(); s < minEvaluation || s > maxEvaluation {
		return invalidParameter(name, fmt.Errorf("a query can be evaluated between %s and %s only (is the time given in milliseconds? it must be in seconds)",
			time.Unix(minEvaluation, 0).UTC().Format(time.RFC3339), time.Unix(maxEvaluation, 0).UTC().Format(time.RFC3339)))
	}
	return nil
}

// bad is an error of the request without the name of a parameter.
func bad(err error) error { return visible(problem.Invalid, err) }
