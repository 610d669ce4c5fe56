package native

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// queryFields lists the fields of a query.
var queryFields = []string{
	"metric", "aggregation", "aggregations", "from", "to", "step", "filters", "group_by", "limit", "max_gap",
}

// A query is a valid request to POST /luminate/v1/query.
type query struct {
	metric string
	agg    store.Aggregation
	capped bool // The answer could be too large with all groups, and agg.Limit is below what was asked for.
}

// serveQuery serves POST /luminate/v1/query.
func (a *API) serveQuery(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	if lines, err := contentType(r, false); err != nil || lines {
		if err == nil {
			err = problem.New(problem.UnsupportedMedia, "a query is one JSON object: use application/json")
		}
		return err
	}
	buf := a.buffers.Get().(*[]byte)
	defer a.releaseBuffer(buf)
	text, err := body(w, r, requestSize(), buf)
	if err != nil {
		return err
	}
	ctx, done, err := a.turn(r.Context())
	if err != nil {
		return err
	}
	defer done()
	started := a.now()
	q, err := a.parseQuery(text, started)
	if err != nil {
		return err
	}
	held := a.reads.Hold()
	defer held.Release()
	q.agg.Hold = held.Add
	result, err := a.source.Tenant(tenant).Aggregate(ctx, q.agg)
	held.Release()
	took := a.now().Sub(started)
	a.account(result, took, err)
	switch {
	case err != nil:
		return a.stopped(ctx, err)
	case result.Truncated && q.capped:
		return a.tooManyValues(q)
	}
	done() // A slow reader of the answer must not keep others waiting.
	writeResult(w, q, result, took)
	return nil
}

// turn waits until another read may run, and bounds how long it and the waiting may take. done may be called many times.
func (a *API) turn(ctx context.Context) (_ context.Context, done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, a.limits.Timeout)
	done = sync.OnceFunc(func() {
		cancel()
		<-a.turns
	})
	select {
	case a.turns <- struct{}{}:
		return ctx, done, nil
	default:
	}
	select {
	case a.turns <- struct{}{}:
		return ctx, done, nil
	case <-ctx.Done():
	}
	defer cancel()
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, nil, problem.Wrap(problem.Canceled, ctx.Err(), "the request was canceled while it waited for its turn")
	}
	return nil, nil, &problem.Error{
		Of: problem.Unavailable,
		Detail: fmt.Sprintf("too many queries: %d are running, the limit set by %s, and none ended within %v: try again later",
			a.limits.Concurrent, settingTurns, a.limits.Timeout),
		Limit: &problem.Limit{Name: "concurrent native queries", Max: int64(a.limits.Concurrent), Observed: int64(a.limits.Concurrent) + 1, Setting: settingTurns},
	}
}

func (a *API) account(result store.AggregateResult, took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = problem.KindOf(err).String()
	}
	a.queries.WithLabelValues(outcome).Observe(took.Seconds())
	a.examined.Add(float64(result.Samples))
}

// stopped explains why a read did not finish.
func (a *API) stopped(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && problem.KindOf(err) == problem.Timeout {
		return problem.Wrap(problem.Timeout, err,
			fmt.Sprintf("the request took longer than %v, the limit set by %s: ask for fewer series or a shorter range",
				a.limits.Timeout, settingTimeout))
	}
	return limited(err, settingSamples)
}

func (a *API) tooManyValues(q *query) error {
	perGroup := buckets(q.agg) * int64(len(q.agg.Funcs))
	return &problem.Error{
		Of: problem.Execution,
		Detail: fmt.Sprintf("the answer would hold more than %d values, the limit set by %s (%d for each group): use a longer step, fewer functions or a smaller limit",
			a.limits.Values, settingValues, perGroup),
		Limit: &problem.Limit{
			Name: "values", Max: a.limits.Values, Observed: perGroup * int64(q.agg.Limit+1), Setting: settingValues,
		},
	}
}

// buckets is the number of buckets of an aggregation.
func buckets(q store.Aggregation) int64 {
	if q.Step <= 0 {
		return 1
	}
	return (q.Max-q.Min)/q.Step.Milliseconds() + 1
}

// parseQuery checks a query and reports all that is wrong with it at once.
func (a *API) parseQuery(body []byte, now time.Time) (*query, error) {
	var wrong complaints
	o, err := parseObject(body, &wrong, queryFields...)
	if err != nil {
		return nil, err
	}
	q := &query{}
	var name *labels.Matcher
	q.metric, name = o.metric("metric")
	q.agg.Funcs = o.functions()
	q.agg.Range = a.timeRange(&o, now, false)
	q.agg.Step = o.duration("step")
	q.agg.MaxGap = o.duration("max_gap")
	q.agg.Matchers = append([]*labels.Matcher{name}, o.filters("filters")...)
	q.agg.GroupBy = o.groupBy("group_by")
	q.agg.Limit = a.groupLimit(&o)
	q.agg.MaxSamples = a.limits.Samples
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return q, a.bound(q)
}

// bound refuses a query with too many buckets, and lowers the number of groups to what the answer may hold.
func (a *API) bound(q *query) error {
	n := buckets(q.agg)
	if n > a.limits.Buckets {
		return &problem.Error{
			Of: problem.Invalid,
			Detail: fmt.Sprintf("step: the range holds %d steps, more than %d, the limit set by %s: use a longer step or a shorter range",
				n, a.limits.Buckets, settingBuckets),
			Limit: &problem.Limit{Name: "points", Max: a.limits.Buckets, Observed: n, Setting: settingBuckets},
		}
	}
	fit := max(1, a.limits.Values/(n*int64(len(q.agg.Funcs))))
	if fit < int64(q.agg.Limit) {
		q.agg.Limit, q.capped = int(fit), true
	}
	return nil
}

// functions reads aggregation or aggregations.
func (o *object) functions() []store.Func {
	const one, many = "aggregation", "aggregations"
	var names []element
	switch {
	case o.has(one) && o.has(many):
		o.complain(many, "stands beside %s: give one of them", one)
	case o.has(many):
		var ok bool
		if names, ok = o.texts(many); ok && len(names) == 0 {
			o.complain(many, "is empty: the aggregations are %s", functionNames())
		}
	case o.has(one):
		if name, ok := o.text(one); ok {
			names = []element{{one, name}}
		}
	default:
		o.complain(one, "is missing: the aggregations are %s", functionNames())
	}
	var out []store.Func
	for _, name := range names {
		f, err := store.ParseFunc(name.text)
		switch {
		case err != nil:
			o.complain(name.at, "unknown aggregation %q: the aggregations are %s", clip(name.text), functionNames())
		case slices.Contains(out, f):
			o.complain(name.at, "%v occurs twice", f)
		default:
			out = append(out, f)
		}
	}
	return out
}

func functionNames() string {
	var names []string
	for _, f := range store.Funcs() {
		names = append(names, f.String())
	}
	return strings.Join(names, ", ")
}

// timeRange reads from and to. Without to it ends now, unless both must be there.
func (a *API) timeRange(o *object, now time.Time, both bool) store.Range {
	from, ok := o.time("from", now)
	if !o.has("from") {
		o.complain("from", "is missing: use milliseconds since the Unix epoch, RFC 3339, or now-1h")
	}
	to, okTo := o.time("to", now)
	switch {
	case o.has("to"):
		ok = ok && okTo
	case both:
		o.complain("to", "is missing: use milliseconds since the Unix epoch, RFC 3339, or now")
		ok = false
	default:
		to = now.UnixMilli()
	}
	most := a.limits.Range
	switch {
	case ok && from > to:
		o.complain("from", "%d is after %d, the end of the range", from, to)
	case ok && !both && most > 0 && to-from > most.Milliseconds():
		o.complain("from", "the range is %v long, more than %v, the limit set by %s",
			time.Duration(min(to-from, math.MaxInt64/int64(time.Millisecond)))*time.Millisecond, most, settingRange)
	}
	return store.Range{Min: from, Max: to}
}

// groupLimit reads limit.
func (a *API) groupLimit(o *object) int {
	n := o.count("limit")
	if n > int64(a.limits.Groups) {
		o.complain("limit", "%d groups, more than %d, the limit set by %s", n, a.limits.Groups, settingGroups)
	}
	if n == 0 {
		return min(a.limits.DefaultGroup, a.limits.Groups)
	}
	return int(min(n, int64(a.limits.Groups)))
}

// writeResult writes the answer to a query as it is encoded, so that a large one is not held twice.
func writeResult(w http.ResponseWriter, q *query, result store.AggregateResult, took time.Duration) {
	setJSON(w)
	out := bufio.NewWriterSize(w, 32<<10)
	b := append([]byte(nil), `{"metric":`...)
	b = appendString(b, q.metric)
	b = fmt.Appendf(b, `,"from":%d,"to":%d,"step_ms":%d,"groups":[`, q.agg.Min, q.agg.Max, q.agg.Step.Milliseconds())
	for i, g := range result.Groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendGroup(b, out, q, g)
	}
	b = fmt.Appendf(b, `],"truncated":%t,"stats":{"series":%d,"samples":%d,"duration_ms":`,
		result.Truncated, result.Series, result.Samples)
	b = appendFloat(b, math.Round(took.Seconds()*1e6)/1e3)
	b = append(b, "}}\n"...)
	// The status is out; a client that has gone away is no failure of ours.
	_, _ = out.Write(b)
	_ = out.Flush()
}

// appendGroup writes what b holds and the group to out, and returns b emptied.
func appendGroup(b []byte, out *bufio.Writer, q *query, g store.Group) []byte {
	b = append(b, `{"dimensions":{`...)
	for i, name := range q.agg.GroupBy {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = appendString(b, g.By.Get(name))
	}
	b = append(b, `},"values":{`...)
	for i, f := range q.agg.Funcs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, f.String()), ":["...)
		var values []metric.Sample
		if i < len(g.Values) {
			values = g.Values[i]
		}
		for j, v := range values {
			if j > 0 {
				b = append(b, ',')
			}
			b = append(strconv.AppendInt(append(b, '['), v.Timestamp, 10), ',')
			b = append(appendFloat(b, v.Value), ']')
			if len(b) > 16<<10 {
				_, _ = out.Write(b)
				b = b[:0]
			}
		}
		b = append(b, ']')
	}
	b = append(b, "}}"...)
	_, _ = out.Write(b)
	return b[:0]
}

func appendString(b []byte, s string) []byte {
	// Marshalling a string can't fail. It escapes <, > and &, so that an answer shown as HTML by mistake runs nothing.
	text, _ := json.Marshal(s)
	return append(b, text...)
}

// appendFloat writes numbers as encoding/json does, and what JSON has no number for as a string.
func appendFloat(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"+Inf"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Inf"`...)
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, 64)
}
