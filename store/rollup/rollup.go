// Package rollup is the arithmetic of PromQL's functions over ranges, and of aggregations over them, for all steps of a
// query at once: what a backend computes where the samples lie.
//
// A result is upstream's, to the bit on amd64: each function does the same operations on floats in the same order, and an
// aggregation takes series in the order in which they come. Goroutines share out series for the functions and steps for the
// aggregation, so their number changes nothing. What this package lacks it declines with store.ErrDeclined: native
// histograms, start timestamps where they matter, and other functions and operators.
package rollup

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

// maxSamplesSetting is the configuration key that raises Rollup.MaxSamples.
const maxSamplesSetting = "query.max_samples"

const (
	blockSeries = 2048    // Most series whose values are held before they are aggregated.
	blockValues = 1 << 20 // About the most values of a block.
	shareSeries = 64      // How many series are worth a goroutine.
	shareSteps  = 16      // How many steps are.
)

// A Source is the series of a rollup, in the order of Reader.Select.
type Source struct {
	Labels []labels.Labels

	// Open returns a reader of the samples. Several may be used side by side, each by one goroutine.
	Open func() (Reader, error)
}

// A Reader reads series by their places. Read replaces into with the floats in the range of Needs, and may keep its memory.
// It fails with store.ErrDeclined if there are histograms among them. A series may be read once.
type Reader interface {
	Read(place int, into *series.Columns) error
	Close()
}

// Check reports why this package declines q, or that q makes no sense.
func Check(q *store.Rollup) error {
	switch {
	case q.Steps.Step <= 0 || q.Window <= 0:
		return problem.New(problem.Invalid, "a rollup with a step of %d ms and a window of %d ms", q.Steps.Step, q.Window)
	case q.Func != "" && kernels[q.Func] == nil:
		return fmt.Errorf("rollup: function %s: %w", q.Func, store.ErrDeclined)
	case q.Aggregate != 0 && !aggregates(q.Aggregate):
		return fmt.Errorf("rollup: operator %s: %w", q.Aggregate, store.ErrDeclined)
	case q.Limit > 0:
		return fmt.Errorf("rollup: limit: %w", store.ErrDeclined)
	case q.Steps.Start < math.MinInt64/2+q.Window || q.Steps.End > math.MaxInt64/2-q.Steps.Step:
		return fmt.Errorf("rollup: times that overflow: %w", store.ErrDeclined)
	}
	return nil
}

// Needs is the range of the samples that q looks at.
func Needs(q *store.Rollup) store.Range {
	return store.Range{Min: q.Steps.Start - q.Window + 1, Max: q.Steps.End}
}

// Evaluate computes q, which Check lets pass, from the samples of a source.
func Evaluate(ctx context.Context, q *store.Rollup, from Source) (store.RollupResult, error) {
	if q.Steps.Count() == 0 || len(from.Labels) == 0 {
		return store.RollupResult{Queried: make([]int64, q.Steps.Count()), Fresh: make([]int64, q.Steps.Count())}, ctx.Err()
	}
	e := &evaluation{ctx: ctx, query: q, from: from, steps: q.Steps.Count(), counts: make([]counted, len(from.Labels))}
	defer e.close()
	for range min(runtime.GOMAXPROCS(0), (len(from.Labels)+shareSeries-1)/shareSeries) {
		r, err := from.Open()
		if err != nil {
			return store.RollupResult{}, err
		}
		e.workers = append(e.workers, &worker{reader: r, slider: newSlider(q)})
	}
	var err error
	if q.Aggregate == 0 {
		err = e.rows()
	} else {
		err = e.groups()
	}
	if err != nil {
		return store.RollupResult{}, err
	}
	if stripsNames(q).duplicates(q, from.Labels, e.counts) {
		return store.RollupResult{}, fmt.Errorf("rollup: series that differ in their names only: %w", store.ErrDeclined)
	}
	e.count()
	return e.result, nil
}

// An evaluation is one call of Evaluate.
type evaluation struct {
	ctx     context.Context //nolint:containedctx // It lives as long as the call.
	query   *store.Rollup
	from    Source
	steps   int
	workers []*worker
	counts  []counted    // By series.
	values  atomic.Int64 // So far.
	result  store.RollupResult
}

// counted is how many values a series has, and how many samples its last window.
type counted struct{ values, last int32 }

// worker is what one goroutine has of its own.
type worker struct {
	reader  Reader
	slider  *slider
	columns series.Columns
}

func (e *evaluation) close() {
	for _, w := range e.workers {
		w.reader.Close()
	}
}

// rows evaluates without an aggregation.
func (e *evaluation) rows() error {
	size := max(1, min(blockSeries, blockValues/e.steps))
	block := make([]float64, min(size, len(e.from.Labels))*e.steps)
	strip, drop := stripsNames(e.query), !keepsName(e.query.Func)
	held := int64(0)
	for start := 0; start < len(e.from.Labels); start += size {
		end := min(start+size, len(e.from.Labels))
		if err := e.evaluate(start, end, block); err != nil {
			return err
		}
		some := int64(0)
		for _, c := range e.counts[start:end] {
			if c.values > 0 {
				some += int64(e.steps)
			}
		}
		if held += some; e.query.MaxSamples > 0 && held > e.query.MaxSamples {
			// Rows take room for all steps, also where a series has a value at few of them.
			return fmt.Errorf("rollup: %d values: %w", held, store.ErrDeclined)
		}
		if err := e.hold(some); err != nil {
			return err
		}
		kept := make([]float64, 0, some)
		for i := start; i < end; i++ {
			if e.counts[i].values == 0 {
				continue
			}
			at := len(kept)
			kept = append(kept, block[(i-start)*e.steps:(i-start+1)*e.steps]...)
			e.result.Series = append(e.result.Series, store.RollupSeries{
				Labels: strip.apply(e.from.Labels[i]), DropName: drop, Values: kept[at:len(kept):len(kept)],
			})
		}
	}
	return nil
}

// groups evaluates with an aggregation.
func (e *evaluation) groups() error {
	size := max(1, min(blockSeries, blockValues/e.steps))
	block := make([]float64, min(size, len(e.from.Labels))*e.steps)
	into := &accumulator{op: e.query.Aggregate, steps: e.steps}
	by := &grouping{
		by: slices.Sorted(slices.Values(e.query.Grouping)), without: e.query.Without, strip: stripsNames(e.query),
		groups: map[uint64]int{}, builder: labels.NewBuilder(labels.EmptyLabels()),
	}
	if by.strip.needless(e.query, e.from.Labels) {
		by.strip = false
	}
	places := make([]int, size)
	for start := 0; start < len(e.from.Labels); start += size {
		end := min(start+size, len(e.from.Labels))
		if err := e.evaluate(start, end, block); err != nil {
			return err
		}
		before := len(by.labels)
		for i := start; i < end; i++ {
			if e.counts[i].values > 0 {
				places[i-start] = by.group(e.from.Labels[i])
			}
		}
		if err := e.hold(int64(len(by.labels)-before) * int64(e.steps) * into.weight()); err != nil {
			return err
		}
		if most := e.query.MaxSamples; most > 0 && int64(len(by.labels))*int64(e.steps) > most {
			return fmt.Errorf("rollup: %d groups: %w", len(by.labels), store.ErrDeclined)
		}
		into.grow(len(by.labels))
		err := e.share(e.steps, shareSteps, func(_ *worker, from, to int) error {
			for i := start; i < end; i++ {
				if e.counts[i].values > 0 {
					into.add(places[i-start], block[(i-start)*e.steps:(i-start+1)*e.steps], from, to)
				}
			}
			return e.ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	for g, ls := range by.labels {
		e.result.Series = append(e.result.Series, store.RollupSeries{Labels: ls, DropName: !keepsName(e.query.Func), Values: into.result(g)})
	}
	return nil
}

// evaluate sets the rows of block to the values of some series.
func (e *evaluation) evaluate(start, end int, block []float64) error {
	return e.share(end-start, shareSeries, func(w *worker, from, to int) error {
		for i := start + from; i < start+to; i++ {
			if i%shareSeries == 0 && e.ctx.Err() != nil {
				return e.ctx.Err()
			}
			if err := w.reader.Read(i, &w.columns); err != nil {
				return err
			}
			if e.query.UseStartTimestamps && counts(e.query.Func) && slices.ContainsFunc(w.columns.Starts, func(t int64) bool { return t != 0 }) {
				return fmt.Errorf("rollup: start timestamps: %w", store.ErrDeclined)
			}
			values, last := w.slider.evaluate(&w.columns, block[(i-start)*e.steps:(i-start+1)*e.steps])
			e.counts[i] = counted{int32(values), int32(last)}
			if n := e.values.Add(int64(values)); e.query.MaxSamples > 0 && n > e.query.MaxSamples {
				return &store.LimitError{Limit: "samples", Max: e.query.MaxSamples, Setting: maxSamplesSetting}
			}
		}
		return nil
	})
}

// share calls f for parts of n things at a time, if they are worth it, and for all of them.
func (e *evaluation) share(n, worth int, f func(w *worker, from, to int) error) error {
	shares := min(len(e.workers), (n+worth-1)/worth)
	if shares <= 1 {
		return f(e.workers[0], 0, n)
	}
	errs := make([]error, shares)
	var wg sync.WaitGroup
	for i, w := range e.workers[:shares] {
		wg.Go(func() {
			errs[i] = series.Guard(func() error { return f(w, n*i/shares, n*(i+1)/shares) })
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluation) hold(values int64) error {
	if e.query.Hold == nil {
		return nil
	}
	return e.query.Hold(values)
}

// count sets what the result says about the samples that were read.
func (e *evaluation) count() {
	r := &e.result
	r.Queried, r.Fresh = make([]int64, e.steps), make([]int64, e.steps)
	for _, w := range e.workers {
		for k := range e.steps {
			r.Queried[k] += w.slider.queried[k]
			r.Fresh[k] += w.slider.fresh[k]
		}
	}
	base := int64(0)
	if e.query.Func == "quantile_over_time" {
		base = int64(e.steps) // The engine has the argument at each step.
	}
	for _, c := range e.counts {
		r.Values += int64(c.values)
		r.Peak = max(r.Peak, base+r.Values+int64(c.last))
	}
	r.Names = names(e.from.Labels, e.counts)
}
