package native

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	maxFilters = 100
	maxGroupBy = 100
	maxRegexp  = 10_000 // Bytes of a regular expression.
	maxValues  = 10_000 // Of the operator in.

	// maxPatterns is how many bytes the regular expressions of a request may have together. They take hundreds of times
	// their length in memory.
	maxPatterns = 256 << 10
)

// operators lists the operators of a filter.
var operators = []string{"=", "!=", "=~", "!~", "in", "exists"}

// filters reads the field "filters" and returns it as matchers.
func (o *object) filters(field string) []*labels.Matcher {
	list, ok := o.list(field)
	if !ok {
		return nil
	}
	if len(list) > maxFilters {
		o.complain(field, "%d filters, of at most %d", len(list), maxFilters)
		return nil
	}
	var out []*labels.Matcher
	patterns := 0
	for i, raw := range list {
		path := fmt.Sprintf("%s%s[%d]", o.path, field, i)
		if raw[0] != '{' {
			o.wrong.add(path, "is %s: it must be an object with dimension, op, and value or values", kindOf(raw[0]))
			continue
		}
		f := object{path: path + ".", wrong: o.wrong}
		// The text was scanned before: it is an object.
		_ = f.read(&scanner{data: raw}, []string{"dimension", "op", "value", "values"})
		m := f.matcher()
		if m == nil {
			continue
		}
		out = append(out, m)
		if patterns += f.patternBytes(); patterns > maxPatterns {
			o.complain(field, "more than %d bytes of regular expressions", maxPatterns)
			return nil
		}
	}
	return out
}

// patternBytes is the length of a filter's regular expression as it is written.
func (o *object) patternBytes() int {
	if op, _ := o.text("op"); op != "=~" && op != "!~" {
		return 0
	}
	return len(o.fields["value"])
}

// matcher turns one filter into a matcher; nil after a complaint.
func (o *object) matcher() *labels.Matcher {
	before := len(*o.wrong)
	dimension, ok := o.text("dimension")
	switch {
	case !o.has("dimension"):
		o.complain("dimension", "is missing")
	case ok && dimension == "":
		o.complain("dimension", "is empty")
	case dimension == labels.MetricName:
		o.complain("dimension", "%s is the metric's name: use the field metric", dimension)
	}
	op, ok := o.text("op")
	switch {
	case !o.has("op"):
		o.complain("op", "is missing: the operators are %s", strings.Join(operators, " "))
	case ok && !slices.Contains(operators, op):
		o.complain("op", "unknown operator %q: the operators are %s", clip(op), strings.Join(operators, " "))
	}
	kind, value := o.operand(op)
	if len(*o.wrong) > before {
		return nil
	}
	m, err := labels.NewMatcher(kind, dimension, value)
	if err != nil {
		o.complain("value", "%q is no regular expression (RE2 syntax): %v", clip(value), err)
		return nil
	}
	return m
}

// operand returns the matcher's type and value for an operator, and complains about fields that do not fit it.
func (o *object) operand(op string) (labels.MatchType, string) {
	takes := map[string]string{"=": "value", "!=": "value", "=~": "value", "!~": "value", "in": "values"}[op]
	for _, field := range []string{"value", "values"} {
		switch {
		case !slices.Contains(operators, op):
		case field == takes && !o.has(field):
			o.complain(field, "is missing: operator %s needs it", op)
		case field != takes && o.has(field):
			o.complain(field, "operator %s does not take it", op)
		}
	}
	switch op {
	case "exists":
		return labels.MatchNotEqual, ""
	case "in":
		values, ok := o.texts("values")
		switch {
		case ok && len(values) == 0:
			o.complain("values", "is empty: no series could match")
		case len(values) > maxValues:
			o.complain("values", "%d values, of at most %d", len(values), maxValues)
			return 0, ""
		}
		if len(values) == 1 {
			return labels.MatchEqual, values[0].text
		}
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = regexp.QuoteMeta(v.text)
		}
		return labels.MatchRegexp, strings.Join(quoted, "|")
	}
	value, _ := o.text("value")
	switch op {
	case "!=":
		return labels.MatchNotEqual, value
	case "=~", "!~":
		if len(value) > maxRegexp {
			o.complain("value", "the regular expression is %d bytes long, of at most %d", len(value), maxRegexp)
		}
		if op == "!~" {
			return labels.MatchNotRegexp, value
		}
		return labels.MatchRegexp, value
	default:
		return labels.MatchEqual, value
	}
}

// groupBy reads the field "group_by".
func (o *object) groupBy(field string) []string {
	list, _ := o.texts(field)
	if len(list) > maxGroupBy {
		o.complain(field, "%d dimensions, of at most %d", len(list), maxGroupBy)
		return nil
	}
	var names []string
	for _, e := range list {
		switch {
		case e.text == "":
			o.complain(e.at, "is empty")
		case e.text == labels.MetricName || e.text == tenancy.Dimension:
			o.complain(e.at, "%s is the same in all series of a query", e.text)
		case slices.Contains(names, e.text):
			o.complain(e.at, "%q occurs twice", clip(e.text))
		default:
			names = append(names, e.text)
		}
	}
	return names
}

// metric reads the field "metric" and returns the matcher for it.
func (o *object) metric(field string) (string, *labels.Matcher) {
	name, ok := o.text(field)
	switch {
	case !o.has(field):
		o.complain(field, "is missing")
	case ok && name == "":
		o.complain(field, "is empty")
	}
	return name, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name)
}
