package storetest

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// aggregates compares an aggregation of what the selector matches.
func (p *probe) aggregates(q store.Aggregation, in, selector string, want ...string) {
	p.tb.Helper()
	q.Range = p.rangeOf(in)
	limit := q.Limit
	q.Selection = p.selection(selector)
	q.Limit = limit
	got, err := p.tenant().Aggregate(p.ctx(), q)
	p.fatal(err, "aggregate")
	p.same(dumpAggregate(q, got), want, "aggregate %v by %v of %s in %q", q.Funcs, q.GroupBy, selector, in)
}

// aggregateCases are the figures that can be checked by hand; store/aggregate has the corners of the arithmetic.
func aggregateCases() []contractCase {
	all := store.Aggregation{Funcs: store.Funcs()}
	return []contractCase{
		{"all functions over one bucket", func(p *probe) {
			p.append(`m{x="1"} 0:1 60s:3 120s:5`, `m{x="2"} 0:2 60s:4`)
			p.aggregates(all, "0..120s", "m",
				"{} AVG 0:3", "{} SUM 0:15", "{} COUNT 0:5", "{} MIN 0:1", "{} MAX 0:5", "{} P50 0:3", "{} P95 0:4.8", "{} P99 0:4.96",
				"{} INTEGRAL 0:540", // 120 + 240 + 180
				"read 5 samples of 2 series")
		}},
		{"groups are in label order, without a dimension in the group where it is empty", func(p *probe) {
			p.append(`m{a="2",b="x"} 0:1`, `m{a="1",b="y"} 0:2`, `m{a="1"} 0:3`, `m{b="x"} 0:4`)
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Sum}, GroupBy: []string{"a"}}, "", "m",
				`{} SUM min:4`, `{a="1"} SUM min:5`, `{a="2"} SUM min:1`, "read 4 samples of 4 series")
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Sum}, GroupBy: []string{"b", "a"}}, "0..0", "m",
				`{a="1"} SUM 0:3`, `{a="1",b="y"} SUM 0:2`, `{a="2",b="x"} SUM 0:1`, `{b="x"} SUM 0:4`, "read 4 samples of 4 series")
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Count}, GroupBy: []string{"__name__", "nothing"}}, "0..0", "{}",
				`m COUNT 0:4`, "read 4 samples of 4 series")
		}},
		{"steps begin at the start of the range, buckets without samples are left out", func(p *probe) {
			p.append(`m 5:1 14:2 15:4 16:8 44:16 45:32`)
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Sum, store.Count}, Step: 10 * time.Millisecond}, "5..45", "m",
				`{} SUM 5:3 15:12 35:16 45:32`, `{} COUNT 5:2 15:2 35:1 45:1`, "read 6 samples of 1 series")
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Sum}, Step: 10 * time.Millisecond}, "6..44", "m",
				`{} SUM 6:6 16:8 36:16`, "read 4 samples of 1 series")
		}},
		{"integral is cut at the borders of buckets", func(p *probe) {
			p.append(`m 0:0 30s:30 90s:90`)
			// Under the line v = t: 1800 value-seconds in the first minute, 2250 in the half minute after it.
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Integral}, Step: time.Minute}, "0..90s", "m",
				`{} INTEGRAL 0:1800 60s:2250`, "read 3 samples of 1 series")
		}},
		{"integral bridges no long gap and no stale marker", func(p *probe) {
			p.append(`m 0:2 300s:2 601s:2 602s:2 603s:stale 604s:2 605s:2`)
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Integral, store.Count}}, "0..700s", "m",
				`{} INTEGRAL 0:604`, `{} COUNT 0:6`, "read 6 samples of 1 series")
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Integral}, MaxGap: time.Second}, "0..700s", "m",
				`{} INTEGRAL 0:4`, "read 6 samples of 1 series")
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Integral}, MaxGap: time.Hour}, "0..602s", "m",
				`{} INTEGRAL 0:1204`, "read 4 samples of 1 series")
		}},
		{"integral does not see samples outside the range", func(p *probe) {
			p.append(`m 0:1 10s:1 20s:1 30s:1`)
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Integral}}, "5s..25s", "m", `{} INTEGRAL 5s:10`, "read 2 samples of 1 series")
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Integral}}, "5s..15s", "m", "read 1 samples of 1 series")
		}},
	}
}

// aggregateLimitCases are about odd samples, limits and questions.
func aggregateLimitCases() []contractCase {
	return []contractCase{
		{"stale markers and histograms are no samples", func(p *probe) {
			p.append(`m{x="1"} 0:1 1s:stale 2s:`+intHistogram+` 3s:3`, `m{x="2"} 0:stale`, `m{x="3"} 0:`+floatHistogram)
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Avg, store.Count}, GroupBy: []string{"x"}}, "0..10s", "m",
				`{x="1"} AVG 0:2`, `{x="1"} COUNT 0:2`, "read 2 samples of 1 series")
		}},
		{"NaN is ignored by MIN and MAX and spreads through sums", func(p *probe) {
			p.append(`m{x="1"} 0:NaN 1s:1 2s:NaN(0x7ff8000000000abc) 3s:3`, `m{x="2"} 0:NaN(0x7ff8000000000abc)`)
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.Sum, store.Avg, store.Min, store.Max, store.P99}, GroupBy: []string{"x"}}, "0..3s", "m",
				`{x="1"} SUM 0:NaN`, `{x="1"} AVG 0:NaN`, `{x="1"} MIN 0:1`, `{x="1"} MAX 0:3`, `{x="1"} P99 0:2.9399999999999995`,
				`{x="2"} SUM 0:NaN`, `{x="2"} AVG 0:NaN`, `{x="2"} MIN 0:NaN`, `{x="2"} MAX 0:NaN`, `{x="2"} P99 0:NaN`,
				"read 5 samples of 2 series")
		}},
		{"a limit cuts groups off and says so", func(p *probe) {
			p.append(`m{x="1"} 0:1`, `m{x="2"} 0:2`, `m{x="3"} 0:3`)
			for limit := range 5 {
				q := store.Aggregation{Funcs: []store.Func{store.Sum}, GroupBy: []string{"x"}}
				q.Limit = limit
				want := []string{`{x="1"} SUM 0:1`, `{x="2"} SUM 0:2`, `{x="3"} SUM 0:3`}
				if limit == 1 || limit == 2 {
					want = append(want[:limit:limit], "truncated")
				}
				p.aggregates(q, "0..0", "m", append(want, "read 3 samples of 3 series")...)
			}
		}},
		{"too many samples are an error that names the limit", func(p *probe) {
			p.append(`m{x="1"} 0:1 1:2`, `m{x="2"} 0:1`)
			q := store.Aggregation{Funcs: []store.Func{store.Sum}, MaxSamples: 3}
			p.aggregates(q, "0..1", "m", `{} SUM 0:4`, "read 3 samples of 2 series")
			q.MaxSamples, q.Range = 2, store.Range{Min: 0, Max: 1}
			_, err := p.tenant().Aggregate(p.ctx(), q)
			var limit *store.LimitError
			if !errors.As(err, &limit) || limit.Limit != "samples" || limit.Max != 2 || limit.Setting == "" {
				p.tb.Errorf("error %#v, want a LimitError over 2 samples that names the setting", err)
			}
		}},
		{"extreme ranges and steps do not overflow", func(p *probe) {
			p.append(`m -10d:1 0:2 10d:4`)
			sum := store.Aggregation{Funcs: []store.Func{store.Sum}}
			p.aggregates(sum, "min..max", "m", `{} SUM min:7`, "read 3 samples of 1 series")
			sum.Step = math.MaxInt64 / 1_000_000 * time.Millisecond
			p.aggregates(sum, "-10d..max", "m", `{} SUM -10d:7`, "read 3 samples of 1 series")
			sum.Step = time.Millisecond
			p.aggregates(sum, "-10d..max", "m", `{} SUM -10d:1 0:2 10d:4`, "read 3 samples of 1 series")
			sum.Step = 24 * time.Hour
			// Days from the earliest time do not begin at midnight.
			p.aggregates(sum, "min..max", "m", `{} SUM -889975808:1 -25975808:2 838024192:4`, "read 3 samples of 1 series")
		}},
		{"questions that make no sense are refused", func(p *probe) {
			p.append(`m 0:1`)
			for i, q := range []store.Aggregation{
				{Range: store.AllTime()},
				{Range: store.Range{Min: 1, Max: 0}, Funcs: store.Funcs()},
				{Range: store.AllTime(), Funcs: store.Funcs(), Step: -1},
				{Range: store.AllTime(), Funcs: store.Funcs(), Step: time.Millisecond + 1},
				{Range: store.AllTime(), Funcs: store.Funcs(), MaxGap: -1},
				{Range: store.AllTime(), Funcs: []store.Func{0}},
				{Range: store.AllTime(), Funcs: []store.Func{store.Integral + 1}},
			} {
				if _, err := p.tenant().Aggregate(p.ctx(), q); problem.KindOf(err) != problem.Invalid || err == nil {
					p.tb.Errorf("question %d: error %v, want the kind %s", i, err, problem.Invalid)
				}
			}
		}},
		{"percentiles pool the samples of many series", func(p *probe) {
			var lines []string
			for i := range 101 {
				lines = append(lines, fmt.Sprintf(`m{i="%d"} %ds:%d`, i, i, 100-i))
			}
			p.append(lines...)
			p.aggregates(store.Aggregation{Funcs: []store.Func{store.P50, store.P95, store.P99}}, "0..200s", "m",
				`{} P50 0:50`, `{} P95 0:95`, `{} P99 0:99`, "read 101 samples of 101 series")
		}},
	}
}
