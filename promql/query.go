package promql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// Values of the parameter stats.
const (
	statsBasic = "true"
	statsSteps = "all" // With the samples of each step.
)

// query evaluates an expression at one time.
func (a *API) query(req *request) (*answer, error) {
	limit, err := req.limit()
	if err != nil {
		return nil, err
	}
	at, err := req.time("time", a.now())
	if err != nil {
		return nil, err
	}
	if err := checkEvaluation("time", at); err != nil {
		return nil, err
	}
	return a.evaluate(req, limit, func(ctx context.Context, from *Queryable, opts promengine.QueryOpts) (promengine.Query, error) {
		return a.engine.NewInstantQuery(ctx, from, opts, req.FormValue("query"), at)
	})
}

// queryRange evaluates an expression at many times.
func (a *API) queryRange(req *request) (*answer, error) {
	limit, err := req.limit()
	if err != nil {
		return nil, err
	}
	start, end, step, err := a.grid(req)
	if err != nil {
		return nil, err
	}
	return a.evaluate(req, limit, func(ctx context.Context, from *Queryable, opts promengine.QueryOpts) (promengine.Query, error) {
		return a.engine.NewRangeQuery(ctx, from, opts, req.FormValue("query"), start, end, step)
	})
}

// grid returns the times of a range query.
func (a *API) grid(req *request) (start, end time.Time, step time.Duration, err error) {
	fail := func(name string, err error) (time.Time, time.Time, time.Duration, error) {
		return time.Time{}, time.Time{}, 0, invalidParameter(name, err)
	}
	if start, err = parseTime(req.FormValue("start")); err != nil {
		return fail("start", err)
	}
	if end, err = parseTime(req.FormValue("end")); err != nil {
		return fail("end", err)
	}
	if end.Before(start) {
		return fail("end", errors.New("end timestamp must not be before start time"))
	}
	if step, err = parseDuration(req.FormValue("step")); err != nil {
		return fail("step", err)
	}
	if step <= 0 {
		return fail("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if step < time.Millisecond {
		return fail("step", fmt.Errorf("the step is %s: the smallest is 1ms", step))
	}
	if (end.UnixMilli()-start.UnixMilli())/step.Milliseconds() > int64(a.limits.MaxPoints) {
		return time.Time{}, time.Time{}, 0, problem.New(problem.Invalid,
			"exceeded maximum resolution of %s points per timeseries. Try decreasing the query resolution (?step=XX)", thousands(a.limits.MaxPoints))
	}
	if err = checkEvaluation("start", start); err == nil {
		err = checkEvaluation("end", end)
	}
	return start, end, step, err
}

// A preparation makes a query that reads from what it is given.
type preparation func(ctx context.Context, from *Queryable, opts promengine.QueryOpts) (promengine.Query, error)

// evaluate runs the query that prepare makes, and answers with its result.
func (a *API) evaluate(req *request, limit int, prepare preparation) (*answer, error) {
	ctx, cancel, err := req.deadline()
	if err != nil {
		return nil, err
	}
	defer cancel()
	opts, err := req.queryOptions()
	if err != nil {
		return nil, err
	}
	if err := a.checkText(req.FormValue("query")); err != nil {
		return nil, err
	}
	from := &Queryable{req.tenant, &load{held: a.reading.Hold()}}
	q, err := prepare(ctx, from, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil, a.queryError(err)
		}
		return nil, invalidParameter("query", err)
	}
	end := func() {
		q.Close()
		from.load.held.Release()
	}
	if from.load.steps, err = a.checkSubqueries(q); err != nil {
		end()
		return nil, err
	}
	res := q.Exec(req.withOrigin(ctx))
	if res.Err != nil {
		end()
		return nil, a.queryError(res.Err)
	}
	// A client that takes its time with the answer keeps that in memory.
	from.load.held.Keep(samplesOf(res))
	ans := &answer{query: req.FormValue("query"), warnings: res.Warnings, close: end}
	if truncate(res, limit) {
		ans.warnings.Add(errTruncated)
	}
	statsParam := req.FormValue("stats")
	switch statsParam {
	case "", statsBasic, statsSteps:
	default:
		ans.warnings.Add(fmt.Errorf("value %q for parameter \"stats\" is deprecated and will be rejected in the next major release, use %q or %q", statsParam, statsBasic, statsSteps))
	}
	var figures []byte
	if statsParam != "" {
		if figures, err = json.Marshal(stats.NewQueryStats(q.Stats())); err != nil {
			end()
			return nil, fmt.Errorf("promql: encode statistics: %w", err)
		}
	}
	ans.data = func(e *encoder) { e.result(res.Value, figures) }
	return ans, nil
}

// deadline returns the request's context with the parameter timeout. The server's own timeout is in it already.
func (req *request) deadline() (context.Context, context.CancelFunc, error) {
	v := req.FormValue("timeout")
	if v == "" {
		return req.Context(), func() {}, nil
	}
	d, err := parseDuration(v)
	if err == nil && d <= 0 {
		err = fmt.Errorf("timeout must be positive, got %s", d)
	}
	if err != nil {
		return nil, nil, invalidParameter("timeout", err)
	}
	ctx, cancel := context.WithTimeout(req.Context(), d)
	return ctx, cancel, nil
}

func (req *request) queryOptions() (promengine.QueryOpts, error) {
	var lookback time.Duration
	if v := req.FormValue("lookback_delta"); v != "" {
		var err error
		if lookback, err = parseDuration(v); err != nil {
			return nil, bad(fmt.Errorf("error parsing lookback delta duration: %w", err))
		}
	}
	return promengine.NewPrometheusQueryOpts(req.FormValue("stats") == statsSteps, lookback), nil
}

// withOrigin adds what the query log says about where a query came from.
func (req *request) withOrigin(ctx context.Context) context.Context {
	ip, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		ip = req.RemoteAddr
	}
	return promengine.NewOriginContext(ctx, map[string]any{
		"tenant":      string(req.id),
		"httpRequest": map[string]string{"clientIP": ip, "method": req.Method, "path": req.URL.Path},
	})
}

// samplesOf is how many samples a result holds.
func samplesOf(res *promengine.Result) int64 {
	switch v := res.Value.(type) {
	case promengine.Matrix:
		return int64(v.TotalSamples())
	case promengine.Vector:
		return int64(len(v))
	default:
		return 1
	}
}

// truncate cuts a vector or matrix to limit series; 0 means no limit.
func truncate(res *promengine.Result, limit int) bool {
	if limit == 0 {
		return false
	}
	switch v := res.Value.(type) {
	case promengine.Matrix:
		if len(v) > limit {
			res.Value = v[:limit]
			return true
		}
	case promengine.Vector:
		if len(v) > limit {
			res.Value = v[:limit]
			return true
		}
	}
	return false
}

// result writes the result of a query and its statistics, if there are any. Grafana reads an answer while it comes in
// if the type is written first.
func (e *encoder) result(v parser.Value, figures []byte) {
	e.raw(`{"resultType":"` + string(v.Type()) + `","result":`)
	e.value(v)
	if len(figures) > 0 {
		e.raw(`,"stats":`)
		e.buf = append(e.buf, figures...)
	}
	e.raw(`}`)
}

func (e *encoder) value(v parser.Value) {
	switch v := v.(type) {
	case promengine.Vector:
		e.vector(v)
	case promengine.Matrix:
		e.matrix(v)
	case promengine.Scalar:
		// Unlike samples, Prometheus never writes scalars with an exponent.
		e.buf = append(appendShortTimestamp(append(e.buf, '['), v.T), ',', '"')
		e.buf = append(strconv.AppendFloat(e.buf, v.V, 'f', -1, 64), '"', ']')
	case promengine.String:
		e.buf = append(appendShortTimestamp(append(e.buf, '['), v.T), ',')
		e.buf = append(appendString(e.buf, v.V, true), ']')
	default:
		e.err = fmt.Errorf("promql: result of unknown type %T", v)
	}
}

// thousands writes n with a comma before each group of three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
