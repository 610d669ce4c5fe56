package native

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// The times that a query may name, in milliseconds since the Unix epoch: the years 1 to 9999, as in RFC 3339.
const (
	minTime = -62135596800000
	maxTime = 253402300799999
)

// wholeNumber returns the value of a JSON number that has no fraction, in whatever way it is written.
func wholeNumber(raw []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53 // Up to there a float64 holds every whole number.
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0, false
	}
	return int64(f), true
}

// otherUnit returns the unit in which a timestamp would lie in the window of the rules, if that is not milliseconds.
func otherUnit(rules *metric.Rules, t int64, now time.Time) string {
	within := func(ms int64) bool {
		return (rules.MaxAge <= 0 || ms >= now.Add(-rules.MaxAge).UnixMilli()) &&
			(rules.MaxAhead <= 0 || ms <= now.Add(rules.MaxAhead).UnixMilli())
	}
	switch {
	case within(t):
		return ""
	case t < maxTime && t > minTime && within(t*1000):
		return "seconds"
	case within(t / 1000):
		return "microseconds"
	case within(t / 1_000_000):
		return "nanoseconds"
	}
	return ""
}

// parseTime reads a time of a query: milliseconds since the Unix epoch, RFC 3339, or now with a Prometheus duration
// added or taken off.
func parseTime(s string, now time.Time) (int64, error) {
	if rest, ok := strings.CutPrefix(s, "now"); ok {
		return parseRelative(rest, s, now)
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return 0, fmt.Errorf("%q is no time: use milliseconds since the Unix epoch, RFC 3339, now, or now-1h", clip(s))
		}
		ms = t.UnixMilli()
	}
	return checkTime(ms)
}

func checkTime(ms int64) (int64, error) {
	if ms < minTime || ms > maxTime {
		return 0, fmt.Errorf("%d is outside the years 1 to 9999: use milliseconds since the Unix epoch", ms)
	}
	return ms, nil
}

func parseRelative(rest, whole string, now time.Time) (int64, error) {
	if rest == "" {
		return now.UnixMilli(), nil
	}
	sign := int64(1)
	if rest[0] == '-' {
		sign = -1
	} else if rest[0] != '+' {
		return 0, fmt.Errorf("%q is no time: after now comes + or - and a duration, such as now-1h30m", clip(whole))
	}
	d, err := model.ParseDuration(rest[1:])
	if err != nil {
		return 0, fmt.Errorf("%q is no time: %q is no duration such as 5m, 1h30m or 7d", clip(whole), clip(rest[1:]))
	}
	return checkTime(now.UnixMilli() + sign*time.Duration(d).Milliseconds())
}

// parseDuration reads a Prometheus duration, such as 1h30m, of at least a millisecond.
func parseDuration(s string) (time.Duration, error) {
	d, err := model.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration such as 15s, 5m or 1h30m", clip(s))
	}
	if d <= 0 {
		return 0, fmt.Errorf("%q is not above 0", clip(s))
	}
	return time.Duration(d), nil
}

// millis turns a whole number of milliseconds into a duration.
func millis(ms int64) (time.Duration, error) {
	if ms <= 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("%d milliseconds are not above 0 and below 292 years", ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// isPlain reports whether name matches ^[a-zA-Z_][a-zA-Z0-9_]*$.
func isPlain[S string | []byte](name S) bool {
	for i := range len(name) {
		c := name[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return len(name) > 0
}
