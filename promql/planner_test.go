package promql_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/value"
	promengine "github.com/prometheus/prometheus/promql"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// plannedParts is how many parts of queries met which end.
func plannedParts(t *testing.T, reg prometheus.Gatherer) map[string]int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, f := range families {
		if f.GetName() == "luminate_query_planned_parts_total" {
			for _, m := range f.GetMetric() {
				out[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
			}
		}
	}
	return out
}

// TestPlannedIsUpstream compares random queries with and without the planner.
func TestPlannedIsUpstream(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		st := memory.New(memory.Options{Hasher: storetest.Hasher()})
		fillRandom(t, st)
		comparePlanned(t, st, 3000)
	})
	t.Run("badger", func(t *testing.T) {
		st, err := badger.Open(badger.Options{Dir: t.TempDir(), Hasher: storetest.Hasher()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		fillRandom(t, st)
		comparePlanned(t, st, 3000)
	})
}

// fillRandom writes an hour: the first two thirds are flushed, and late samples lie over them.
func fillRandom(t *testing.T, st store.Store) {
	t.Helper()
	for round := range 3 {
		r := rand.New(rand.NewPCG(5, uint64(round)))
		b := metric.NewBatch(storetest.Hasher())
		for i := range 120 {
			name := []string{"a_total", "b_total", "g", "h_bucket", "odd"}[i%5]
			var ls []byte
			ls = metric.AppendLabel(ls, "__name__", name)
			if name == "odd" && i%3 == 0 {
				ls = metric.AppendLabel(ls, "__type__", "counter")
			}
			ls = metric.AppendLabel(ls, "inst", fmt.Sprint(i/5%6))
			ls = metric.AppendLabel(ls, "job", fmt.Sprint(i/30))
			if name == "h_bucket" {
				ls = metric.AppendLabel(ls, "le", []string{"0.1", "1", "+Inf"}[i%3])
			}
			b.StartSeries(ls, i)
			addRandom(b, r, i, int64(round))
		}
		if _, err := st.Tenant(tenant).Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			if err := st.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func addRandom(b *metric.Batch, r *rand.Rand, i int, round int64) {
	v, from := float64(r.IntN(1000)), round*1_200_000
	if i%7 == 0 && round == 2 {
		from -= 600_000
	}
	for t := from + r.Int64N(15_000); t < (round+1)*1_200_000; t += 14_000 + r.Int64N(2000) {
		switch r.IntN(60) {
		case 0:
			t += r.Int64N(500_000)
			continue
		case 1:
			b.AddSample(metric.Sample{Timestamp: t, Value: math.Float64frombits(value.StaleNaN)})
			continue
		case 2:
			v = 0
		case 3:
			if i%5 == 2 {
				b.AddSample(metric.Sample{Timestamp: t, Value: []float64{math.NaN(), math.Inf(1), 1e308, math.Copysign(0, -1)}[r.IntN(4)]})
				continue
			}
		}
		v += float64(r.IntN(100)) / 7
		b.AddSample(metric.Sample{Timestamp: t, Value: v})
	}
}

func comparePlanned(t *testing.T, st store.Store, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 8))
	for _, delayed := range []bool{false, true} {
		reg := prometheus.NewRegistry()
		o := promql.Options{Language: promql.Language{DelayedNameRemoval: delayed}, Registerer: reg}
		engine := promql.NewEngine(o)
		planner := promql.NewPlanner(engine, o)
		from := promql.NewQueryable(store.Scope(st, tenant))
		for range n / 2 {
			q := randomQuery{text: expression(r, r.IntN(3)), start: r.Int64N(3_600_000)}
			if r.IntN(3) > 0 {
				q.step = 1000 + r.Int64N(300_000)
				q.end = q.start + r.Int64N(40)*q.step + r.Int64N(2)*500
			}
			got := q.run(t, planner, from)
			diff := q.differ(q.run(t, engine, from), got)
			for range 20 { // The engine takes some things out of maps.
				if diff != "" {
					diff = q.differ(q.run(t, engine, from), got)
				}
			}
			if diff != "" {
				t.Errorf("%s from %d to %d by %d: %s", q.text, q.start, q.end, q.step, diff)
			}
		}
		if p := plannedParts(t, reg); p["evaluated"] < n/4 || p["declined"] > p["evaluated"]/2 {
			t.Errorf("parts %v: too few were evaluated", p)
		}
	}
}

// A randomQuery is at one time if it has no step.
type randomQuery struct {
	text             string
	start, end, step int64
}

// run returns the result as text, with all that a client sees of it and the samples queried at each step.
func (q *randomQuery) run(t *testing.T, engine promengine.QueryEngine, from *promql.Queryable) string {
	t.Helper()
	opts := promengine.NewPrometheusQueryOpts(true, 0)
	var query promengine.Query
	var err error
	if q.step == 0 {
		query, err = engine.NewInstantQuery(t.Context(), from, opts, q.text, time.UnixMilli(q.start))
	} else {
		query, err = engine.NewRangeQuery(t.Context(), from, opts, q.text, time.UnixMilli(q.start), time.UnixMilli(q.end), time.Duration(q.step)*time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%s: %v", q.text, err)
	}
	defer query.Close()
	res := query.Exec(t.Context())
	if res.Err != nil {
		const varies = "found duplicate series for the match group" // Which one, is up to the order of a map.
		if strings.HasPrefix(res.Err.Error(), varies) {
			return varies
		}
		return res.Err.Error()
	}
	warnings, infos := res.Warnings.AsStrings(q.text, 0, 0)
	lines := strings.Split(res.Value.String(), "\n")
	if _, ok := res.Value.(promengine.Vector); ok && !strings.Contains(q.text, "sort") {
		slices.Sort(lines)
	}
	slices.Sort(warnings)
	slices.Sort(infos)
	s := query.Stats().Samples
	return fmt.Sprint(strings.Join(lines, "\n"), warnings, infos, s.TotalSamplesPerStep, s.SamplesReadPerStep, s.TotalSamples, s.SamplesRead)
}

func (q *randomQuery) differ(want, got string) string {
	if want == got {
		return ""
	}
	return fmt.Sprintf("\n%s\nwant\n%s", got, want)
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

func randomSelector(r *rand.Rand) string {
	n := pick(r, "a_total", "a_total", "b_total", "g", "h_bucket", "odd", `{__name__=~"a_total|b_total"}`, `{__name__=~".+"}`, "nothing")
	if strings.HasPrefix(n, "{") {
		return n
	}
	return n + pick(r, "", "", `{job="1"}`, `{job=~"[012]"}`, `{inst!=""}`)
}

func randomModifier(r *rand.Rand) string {
	return pick(r, "", "", "", " offset 1m", " offset -2m", " @ 1800", " @ start()", " @ end() offset 30s")
}

func randomRange(r *rand.Rand) string {
	f := pick(r, "rate", "rate", "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "count_over_time",
		"last_over_time", "present_over_time", "quantile_over_time", "stddev_over_time", "stdvar_over_time", "changes")
	of := randomSelector(r) + "[" + pick(r, "30s", "1m", "2m", "5m", "10m", "45123ms", "1h") + "]" + randomModifier(r)
	if f == "quantile_over_time" {
		return f + "(" + pick(r, "0.5", "0.9", "0", "1", "-1", "2", "NaN", "(0.3)") + ", " + of + ")"
	}
	return f + "(" + of + ")"
}

func randomAggregate(r *rand.Rand) string {
	in := randomRange(r)
	if r.IntN(3) == 0 {
		in = randomSelector(r) + randomModifier(r)
	}
	if r.IntN(6) == 0 {
		in = "(" + in + ")"
	}
	op := pick(r, "sum", "sum", "avg", "min", "max", "count", "group", "stddev")
	return op + pick(r, "", " by (job)", " by (le)", " by (job, inst)", " without (inst)", " without (job, le)", " without ()", " by ()", " by (__name__)", " by (__name__, job)", " by (__type__)") + " (" + in + ")"
}

func expression(r *rand.Rand, depth int) string {
	if depth == 0 {
		return pick(r, randomAggregate(r), randomAggregate(r), randomRange(r))
	}
	switch r.IntN(10) {
	case 0:
		return expression(r, depth-1) + " " + pick(r, "+", "-", "/", ">", "> bool", "and", "or", "unless") + " " + expression(r, depth-1)
	case 1:
		return "histogram_quantile(" + pick(r, "0.9", "1.1") + ", sum by (le" + pick(r, "", ", job") + ") (rate(h_bucket[5m]" + randomModifier(r) + ")))"
	case 2:
		return pick(r, "max_over_time", "avg_over_time", "rate") + "((" + expression(r, depth-1) + ")[5m:" + pick(r, "30s", "1m", "") + "]" + pick(r, "", " offset 1m", " @ 1500") + ")"
	case 3:
		return "label_replace(" + expression(r, depth-1) + `, "n", "$1", "__name__", "(.*)")`
	case 4:
		return pick(r, "abs", "-", "sort", "absent", "timestamp") + "(" + expression(r, depth-1) + ")"
	case 5:
		return "topk(3, " + expression(r, depth-1) + ")"
	default:
		return expression(r, 0)
	}
}

// An unable tenant fails rollups and nothing else.
type unable struct {
	store.Tenant
	err error
}

func (u unable) Rollup(context.Context, store.Rollup) (store.RollupResult, error) {
	return store.RollupResult{}, u.err
}

// What the store can't evaluate is the engine's to evaluate, or to fail with its own words.
func TestEngineTakesOverWhatFails(t *testing.T) {
	st := memory.New(memory.Options{Hasher: storetest.Hasher()})
	fillRandom(t, st)
	o := promql.Options{}
	engine := promql.NewEngine(o)
	q := randomQuery{text: "sum(rate(a_total[5m]))", start: 1_000_000}
	want := q.run(t, engine, promql.NewQueryable(st.Tenant(tenant)))
	for _, err := range []error{store.ErrDeclined, store.ErrUnavailable, errors.New("x")} {
		if diff := q.differ(want, q.run(t, promql.NewPlanner(engine, o), promql.NewQueryable(unable{st.Tenant(tenant), err}))); diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
	}
}
