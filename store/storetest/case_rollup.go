package storetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// rollupCases compare rollups with upstream's engine over the same store. A store may decline any of them.
func rollupCases() []contractCase {
	return []contractCase{
		{"a rollup is what upstream's engine computes", func(p *probe) {
			p.appendRandom()
			r := rand.New(rand.NewPCG(3, 4))
			for range 400 {
				p.rollsUp(randomRollup(r))
			}
		}},
		{"a rollup declines histograms in the range only", func(p *probe) {
			p.append(`m{x="1"} 0:`+intHistogram+` 100s:1 110s:3`, `m{x="2"} 100s:1 110s:5`)
			q := rollup{function: "sum_over_time", selector: "m", window: 30_000, start: 110_000, end: 120_000, step: 5_000, op: "sum"}
			p.rollsUp(q)
			q.window = 120_000
			if _, err := p.rollup(&q); !errors.Is(err, store.ErrDeclined) {
				p.tb.Errorf("with a histogram: %v", err)
			}
		}},
		{"a rollup declines start timestamps where they count", func(p *probe) {
			p.append(`m 100s:1 110s:3@90s 120s:4@90s`)
			q := rollup{function: "rate", selector: "m", window: 30_000, start: 110_000, end: 120_000, step: 5_000}
			p.rollsUp(q)
			q.starts = true
			if _, err := p.rollup(&q); !errors.Is(err, store.ErrDeclined) {
				p.tb.Errorf("with start timestamps: %v", err)
			}
		}},
		{"a rollup without series or steps is empty", func(p *probe) {
			q := rollup{function: "rate", selector: "nothing", window: 30_000, start: 0, end: 20_000, step: 10_000, op: "sum"}
			p.rollsUp(q)
			q.end = -1
			p.rollsUp(q)
		}},
		{"a rollup stops at its limit and at what it may hold", func(p *probe) {
			p.append(`m{x="1"} 0:1 10s:2`, `m{x="2"} 0:1 10s:2`)
			q := rollup{selector: "m", window: 30_000, start: 0, end: 10_000, step: 1_000, op: "sum", most: 21}
			_, err := p.rollup(&q)
			var limit *store.LimitError
			if !errors.As(err, &limit) && !errors.Is(err, store.ErrDeclined) || limit != nil && limit.Max != 21 {
				p.tb.Errorf("22 values of 21: %v", err)
			}
			q.most = 22
			p.rollsUp(q)
			full := errors.New("full")
			q.hold = func(int64) error { return full }
			if _, err := p.rollup(&q); !errors.Is(err, full) && !errors.Is(err, store.ErrDeclined) {
				p.tb.Errorf("nothing may be held: %v", err)
			}
		}},
	}
}

// A rollup is a store.Rollup that can be said as a query.
type rollup struct {
	function, arg    string
	selector         string
	window           int64
	start, end, step int64
	op               string
	by               []string
	without          bool
	delay, starts    bool
	most             int64
	hold             func(int64) error
}

func (q *rollup) String() string {
	inner := fmt.Sprintf("%s[%dms]", q.selector, q.window)
	switch {
	case q.function == "":
		inner = q.selector
	case q.arg != "":
		inner = fmt.Sprintf("%s(%s, %s)", q.function, q.arg, inner)
	default:
		inner = fmt.Sprintf("%s(%s)", q.function, inner)
	}
	clause := "by"
	if q.without {
		clause = "without"
	}
	if q.op == "" {
		return inner
	}
	return fmt.Sprintf("%s %s (%s) (%s)", q.op, clause, strings.Join(q.by, ","), inner)
}

func (p *probe) rollup(q *rollup) (store.RollupResult, error) {
	p.tb.Helper()
	ops := map[string]parser.ItemType{
		"sum": parser.SUM, "avg": parser.AVG, "min": parser.MIN, "max": parser.MAX, "count": parser.COUNT, "group": parser.GROUP,
	}
	arg := 0.0
	if q.arg != "" {
		_, err := fmt.Sscan(q.arg, &arg)
		p.fatal(err, "argument")
	}
	sel := p.selection(q.selector)
	sel.Sorted = false
	return p.tenant().Rollup(p.ctx(), store.Rollup{
		Selection: sel, Func: q.function, Arg: arg, Window: q.window, Steps: store.Steps{Start: q.start, End: q.end, Step: q.step},
		Aggregate: ops[q.op], Grouping: q.by, Without: q.without, DelayNameRemoval: q.delay, UseStartTimestamps: q.starts, MaxSamples: q.most, Hold: q.hold,
	})
}

// rollsUp compares a rollup with what the engine makes of the same samples.
func (p *probe) rollsUp(q rollup) {
	p.tb.Helper()
	got, err := p.rollup(&q)
	if errors.Is(err, store.ErrDeclined) {
		return
	}
	p.fatal(err, q.String())
	lookback := 5 * time.Minute
	if q.function == "" {
		lookback = time.Duration(q.window) * time.Millisecond
	}
	if q.start > q.end {
		if len(got.Series) > 0 || len(got.Queried) > 0 {
			p.tb.Errorf("%s without steps: %+v", q.String(), got)
		}
		return
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: lookback, EnableDelayedNameRemoval: q.delay, EnablePerStepStats: true, Parser: parser.NewParser(promqltest.TestParserOpts),
	})
	query, err := engine.NewRangeQuery(p.ctx(), Bridge(p.st, p.id), promql.NewPrometheusQueryOpts(true, 0), q.String(),
		time.UnixMilli(q.start), time.UnixMilli(q.end), time.Duration(q.step)*time.Millisecond)
	p.fatal(err, q.String())
	defer query.Close()
	res := query.Exec(p.ctx())
	if q.delay && res.Err != nil && strings.Contains(res.Err.Error(), "same labelset") {
		return // Names go at the end of the query, where the engine finds that.
	}
	p.fatal(res.Err, q.String())
	if diff := differ(&q, res.Value.(promql.Matrix), got); diff != "" {
		p.tb.Errorf("%s from %d to %d by %d: %s", q.String(), q.start, q.end, q.step, diff)
	}
	samples := query.Stats().Samples
	if !slices.Equal(samples.TotalSamplesPerStep, got.Queried) || !slices.Equal(samples.SamplesReadPerStep, got.Fresh) {
		p.tb.Errorf("%s: queried %v and fresh %v, want %v and %v", q.String(), got.Queried, got.Fresh, samples.TotalSamplesPerStep, samples.SamplesReadPerStep)
	}
	// The engine's own account drifts where samples leave a window.
	if peak := int64(samples.PeakSamples); q.op == "" && got.Values > 0 && (got.Peak > peak+2 || got.Peak < peak-2-peak/100) {
		p.tb.Errorf("%s: peak %d, want %d", q.String(), got.Peak, samples.PeakSamples)
	}
}

// differ says where an answer is not the engine's, to the bit.
func differ(q *rollup, want promql.Matrix, got store.RollupResult) string {
	rows := map[string][]float64{}
	for _, s := range got.Series {
		ls := s.Labels
		if s.DropName && q.delay {
			ls = ls.DropReserved(func(n string) bool { return n == "__name__" || n == "__type__" || n == "__unit__" })
		}
		if rows[ls.String()] != nil {
			return fmt.Sprintf("%s comes twice", ls)
		}
		rows[ls.String()] = s.Values
	}
	for _, s := range want {
		row := slices.Clone(rows[s.Metric.String()])
		if row == nil {
			return fmt.Sprintf("%s is missing", s.Metric)
		}
		delete(rows, s.Metric.String())
		for _, point := range s.Floats {
			k := (point.T - q.start) / q.step
			if a, b := row[k], point.F; math.Float64bits(a) != math.Float64bits(b) && (!math.IsNaN(a) || !math.IsNaN(b) || value.IsStaleNaN(a)) {
				return fmt.Sprintf("%s at step %d: %v, want %v", s.Metric, k, a, b)
			}
			row[k] = math.Float64frombits(value.StaleNaN)
		}
		if k := slices.IndexFunc(row, func(v float64) bool { return !value.IsStaleNaN(v) }); k >= 0 {
			return fmt.Sprintf("%s has the value %v at step %d, want none", s.Metric, row[k], k)
		}
	}
	for name := range rows {
		return name + " is there, want none"
	}
	return ""
}

func randomRollup(r *rand.Rand) rollup {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	q := rollup{
		function: pick("", "rate", "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time", "min_over_time", "max_over_time",
			"count_over_time", "last_over_time", "present_over_time", "quantile_over_time", "stddev_over_time", "stdvar_over_time"),
		selector: pick("a_total", "b", "b", `a_total{i=~"1.*"}`, `{__name__=~"a_total|b"}`, "nothing"),
		window:   1 + r.Int64N(600_000), start: r.Int64N(3_000_000), step: 1 + r.Int64N(120_000),
		op:    pick("", "sum", "sum", "avg", "min", "max", "count", "group"),
		delay: r.IntN(2) == 0,
	}
	q.end = q.start + r.Int64N(40)*q.step
	if q.function == "quantile_over_time" {
		q.arg = pick("0.5", "0.9", "0", "1", "-1", "2", "NaN")
	}
	if q.op != "" {
		q.without = r.IntN(2) == 0
		for range r.IntN(3) {
			q.by = append(q.by, pick("i", "job", "__name__", "nothing", "__type__"))
		}
	}
	return q
}

// appendRandom appends counters and gauges with gaps, resets, stale markers and odd values, some of them out of order.
func (p *probe) appendRandom() {
	p.tb.Helper()
	for part := range 3 {
		r := rand.New(rand.NewPCG(1, uint64(part)))
		b := metric.NewBatch(Hasher())
		for i := range 180 {
			ls := labels.FromStrings("__name__", []string{"a_total", "b"}[i%2], "i", fmt.Sprint(i/2), "job", fmt.Sprint(i%5))
			if i%11 == 0 {
				ls = labels.FromStrings("__name__", "b", "__type__", "gauge", "i", fmt.Sprint(i/2), "job", "x")
			}
			b.StartSeries(encode(b, ls), i)
			v := 0.0
			from, to := int64(part)*1_200_000, int64(part+1)*1_200_000
			if i%13 == 0 && part > 0 {
				from -= 300_000 // Over what is there.
			}
			for t := from + r.Int64N(15_000); t < to; t += 14_000 + r.Int64N(2000) {
				switch r.IntN(60) {
				case 0:
					t += r.Int64N(400_000)
				case 1:
					b.AddSample(metric.Sample{Timestamp: t, Value: math.Float64frombits(value.StaleNaN)})
					continue
				case 2:
					v = 0
				case 3:
					b.AddSample(metric.Sample{Timestamp: t, Value: []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, math.Copysign(0, -1)}[r.IntN(6)]})
					continue
				}
				v += float64(r.IntN(100)) / 3
				b.AddSample(metric.Sample{Timestamp: t, Value: v})
			}
		}
		p.appendBatch(b)
	}
}
