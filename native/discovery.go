package native

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// The parameters of discovery requests.
const (
	paramFrom   = "from"
	paramTo     = "to"
	paramPrefix = "prefix"
	paramMatch  = "match"
	paramLimit  = "limit"
	paramMetric = "metric"
	paramTop    = "top"
)

// params are the query parameters of a request. What is wrong with them goes to the complaints.
type params struct {
	values url.Values
	wrong  complaints
}

// readParams refuses parameters that are not known, and those that are given twice.
func readParams(r *http.Request, known ...string) (*params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem.New(problem.Invalid, "the query string can't be understood: %v", err)
	}
	p := &params{values: values}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			p.wrong.add(clip(name), "unknown parameter: the parameters are %s", strings.Join(known, ", "))
		case len(given) > 1:
			p.wrong.add(name, "is given %d times", len(given))
		}
	}
	slices.SortFunc(p.wrong, func(x, y complaint) int { return strings.Compare(x.Field, y.Field) })
	return p, nil
}

// timeRange reads from and to; without them it is all time.
func (p *params) timeRange(now time.Time) store.Range {
	r := store.AllTime()
	read := func(name string, into *int64) {
		if s := p.values.Get(name); s != "" {
			t, err := parseTime(s, now)
			if err != nil {
				p.wrong.add(name, "%v", err)
			}
			*into = t
		}
	}
	read(paramFrom, &r.Min)
	read(paramTo, &r.Max)
	if r.Min > r.Max {
		p.wrong.add(paramFrom, "is after %s", paramTo)
	}
	return r
}

// count reads a number from 1 to most.
func (p *params) count(name string, without, most int, setting string) int {
	s := p.values.Get(name)
	if s == "" {
		return without
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil || n < 1:
		p.wrong.add(name, "%q is not a whole number from 1", clip(s))
	case n > int64(most) && setting != "":
		p.wrong.add(name, "%d is more than %d, the limit set by %s", n, most, setting)
	case n > int64(most):
		p.wrong.add(name, "%d is more than %d, the limit", n, most)
	}
	return int(min(n, math.MaxInt32))
}

// names reads prefix and match as matchers on the values of a label.
func (p *params) names(label string) []*labels.Matcher {
	var out []*labels.Matcher
	add := func(param, expression string) {
		if len(expression) > maxRegexp {
			p.wrong.add(param, "is %d bytes long, of at most %d", len(expression), maxRegexp)
			return
		}
		m, err := labels.NewMatcher(labels.MatchRegexp, label, expression)
		if err != nil {
			p.wrong.add(param, "%q is no regular expression (RE2 syntax): %v", clip(expression), err)
			return
		}
		out = append(out, m)
	}
	if s := p.values.Get(paramPrefix); s != "" {
		add(paramPrefix, regexp.QuoteMeta(s)+".*")
	}
	if s := p.values.Get(paramMatch); s != "" {
		add(paramMatch, s)
	}
	return out
}

// pathName returns a path parameter. A name that a path can't hold, such as one with a slash, may be escaped as
// Prometheus does, with U__ before it.
func pathName(r *http.Request, param string) string {
	name := httprouter.ParamsFromContext(r.Context()).ByName(param)
	if strings.HasPrefix(name, "U__") {
		return model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	return name
}

func nameMatcher(name string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name)
}

// read opens a reader, calls f with it and closes it.
func (a *API) read(r *http.Request, tenant tenancy.ID, span store.Range, f func(context.Context, store.Reader) error) error {
	ctx, done, err := a.turn(r.Context())
	if err != nil {
		return err
	}
	defer done()
	rd, err := a.source.Tenant(tenant).Reader(span)
	if err != nil {
		return err
	}
	err = f(ctx, rd)
	if closed := rd.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return a.stopped(ctx, err)
	}
	return nil
}

// listMetrics serves GET /luminate/v1/metrics.
func (a *API) listMetrics(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	list, err := a.values(r, tenant, labels.MetricName)
	if err != nil {
		return err
	}
	return answer(w, struct {
		Metrics   []string `json:"metrics"`
		Truncated bool     `json:"truncated"`
	}{list.Items, list.Truncated})
}

// listValues serves GET /luminate/v1/metrics/:name/dimensions/:dimension/values.
func (a *API) listValues(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	name, dimension := pathName(r, "name"), pathName(r, "dimension")
	list, err := a.values(r, tenant, dimension, nameMatcher(name))
	if err != nil {
		return err
	}
	return answer(w, struct {
		Metric    string   `json:"metric"`
		Dimension string   `json:"dimension"`
		Values    []string `json:"values"`
		Truncated bool     `json:"truncated"`
	}{name, dimension, list.Items, list.Truncated})
}

// values lists the values of a label in the series that match.
func (a *API) values(r *http.Request, tenant tenancy.ID, label string, matchers ...*labels.Matcher) (list store.List[string], err error) {
	p, err := readParams(r, paramFrom, paramTo, paramPrefix, paramMatch, paramLimit)
	if err != nil {
		return list, err
	}
	span := p.timeRange(a.now())
	sel := store.Selection{
		Matchers: append(matchers, p.names(label)...),
		Limit:    p.count(paramLimit, a.limits.Names, a.limits.Names, settingNames),
	}
	if err := p.wrong.err(); err != nil {
		return list, err
	}
	err = a.read(r, tenant, span, func(ctx context.Context, rd store.Reader) error {
		list, err = rd.LabelValues(ctx, label, sel)
		return err
	})
	list.Items = orEmpty(list.Items)
	return list, err
}

// listDimensions serves GET /luminate/v1/metrics/:name/dimensions.
func (a *API) listDimensions(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	p, err := readParams(r, paramFrom, paramTo, paramLimit)
	if err != nil {
		return err
	}
	name := pathName(r, "name")
	span := p.timeRange(a.now())
	limit := p.count(paramLimit, a.limits.Names, a.limits.Names, settingNames)
	if err := p.wrong.err(); err != nil {
		return err
	}
	var list store.List[string]
	err = a.read(r, tenant, span, func(ctx context.Context, rd store.Reader) error {
		// One more than asked for, because the name of the metric is among them.
		list, err = rd.LabelNames(ctx, store.Selection{Matchers: []*labels.Matcher{nameMatcher(name)}, Limit: limit + 1})
		return err
	})
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(orEmpty(list.Items), func(s string) bool { return s == labels.MetricName })
	if len(names) > limit {
		names, list.Truncated = names[:limit], true
	}
	return answer(w, struct {
		Metric     string   `json:"metric"`
		Dimensions []string `json:"dimensions"`
		Truncated  bool     `json:"truncated"`
	}{name, names, list.Truncated})
}

// orEmpty makes a list that is missing an empty one, so that JSON shows [] and not null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
