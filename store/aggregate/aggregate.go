// Package aggregate is the reference arithmetic of the native aggregation functions, for backends that can't compute
// where the samples lie, and as the oracle for those that can.
//
// Values are taken in one order, series by their labels and samples by time, so that a result is the same to the bit
// wherever it is computed:
//
//   - COUNT is the number of samples.
//   - SUM and AVG are sums with Neumaier's compensation. As in PromQL, AVG turns to the incremental mean when the sum
//     would overflow. NaN in, NaN out.
//   - MIN and MAX ignore NaN unless there is nothing else; -0 is less than 0.
//   - P50, P95 and P99 interpolate linearly between the closest ranks of the pooled values, as PromQL's quantile does;
//     NaN is less than everything.
//   - INTEGRAL is in value-seconds: trapezoids between neighbouring samples of one series. A bucket has an integral if
//     a trapezoid covers some of its time.
//
// Stale markers and native histograms are no samples, but a stale marker ends the trapezoid before it. A NaN that comes
// out is always the same NaN, and never the stale marker.
package aggregate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// maxSamplesSetting is the configuration key that raises Aggregation.MaxSamples.
const maxSamplesSetting = "query.max_samples"

// checkEvery is after how many samples or buckets a context is looked at, and what is held is told.
const checkEvery = 4096

// cellWeight is how many samples take the memory of a bucket.
const cellWeight = 8

// Fold computes q from the samples of r, which must be a Reader of q.Range. It reads series by series and holds, per
// group and bucket, a few numbers, or all values if a percentile is asked for.
func Fold(ctx context.Context, r store.Reader, q store.Aggregation) (store.AggregateResult, error) {
	f, err := newFold(ctx, q)
	if err != nil {
		return store.AggregateResult{}, err
	}
	set := r.Select(ctx, store.Selection{Matchers: q.Matchers, Sorted: true})
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		if err := f.series(s, it); err != nil {
			return store.AggregateResult{}, err
		}
	}
	if err := set.Err(); err != nil {
		return store.AggregateResult{}, fmt.Errorf("aggregate: select: %w", err)
	}
	return f.result(), nil
}

// Check reports why q can't be computed, as a problem of kind Invalid, or nil.
func Check(q store.Aggregation) error {
	switch {
	case len(q.Funcs) == 0:
		return problem.New(problem.Invalid, "the query asks for no aggregation")
	case q.Min > q.Max:
		return problem.New(problem.Invalid, "the range ends at %d before it starts at %d", q.Max, q.Min)
	case q.Step < 0 || q.Step%time.Millisecond != 0:
		return problem.New(problem.Invalid, "step %v is not a whole number of milliseconds", q.Step)
	case q.MaxGap < 0:
		return problem.New(problem.Invalid, "the longest gap %v is negative", q.MaxGap)
	}
	for _, f := range q.Funcs {
		if !slices.Contains(store.Funcs(), f) {
			return problem.New(problem.Invalid, "aggregation number %d does not exist", f)
		}
	}
	return nil
}

// fold is the state of one Fold.
type fold struct {
	ctx     context.Context
	q       store.Aggregation
	buckets Buckets
	maxGap  uint64 // Milliseconds.

	integrals bool // Whether q asks for them.
	pool      bool // Whether values must be kept for percentiles.

	groups map[string]*group // By the bytes of their labels.

	seriesRead, samplesRead int64
	cells                   int64 // Buckets that are held, over all groups.
}

// group is one output series in the making.
type group struct {
	by    labels.Labels
	cells map[uint64]*cell // By the number of the bucket.
}

func newFold(ctx context.Context, q store.Aggregation) (*fold, error) {
	if err := Check(q); err != nil {
		return nil, err
	}
	gap := q.MaxGap
	if gap == 0 {
		gap = store.DefaultMaxGap
	}
	f := &fold{
		ctx:       ctx,
		q:         q,
		buckets:   NewBuckets(q.Range, q.Step),
		maxGap:    uint64(gap.Milliseconds()),
		integrals: slices.Contains(q.Funcs, store.Integral),
		groups:    map[string]*group{},
	}
	for _, fn := range q.Funcs {
		if _, ok := fn.Quantile(); ok {
			f.pool = true
		}
	}
	return f, nil
}

// series adds the samples of one series.
func (f *fold) series(s storage.Series, it chunkenc.Iterator) error {
	var (
		to       *group
		current  *cell
		bucket   uint64
		previous Point
		chained  bool // Whether previous is the neighbour of the next sample.
	)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		if kind != chunkenc.ValFloat {
			continue
		}
		t, v := it.At()
		if value.IsStaleNaN(v) {
			chained = false
			continue
		}
		if err := f.count(); err != nil {
			return err
		}
		if to == nil {
			to = f.group(s.Labels())
			f.seriesRead++
		}
		if b := f.buckets.Index(t); current == nil || b != bucket {
			bucket = b
			var err error
			if current, err = f.cell(to, b); err != nil {
				return err
			}
		}
		current.add(v, f.pool)
		p := Point{t, v}
		if f.integrals && chained {
			if err := f.area(to, previous, p); err != nil {
				return err
			}
		}
		previous, chained = p, true
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("aggregate: read series: %w", err)
	}
	return nil
}

// count accounts for one sample.
func (f *fold) count() error {
	f.samplesRead++
	if f.q.MaxSamples > 0 && f.samplesRead > f.q.MaxSamples {
		return f.tooMany()
	}
	if f.samplesRead%checkEvery == 0 {
		if f.pool {
			return f.hold(1)
		}
		return f.ctx.Err()
	}
	return nil
}

// hold tells of checkEvery things more that are kept, each as large as so many samples.
func (f *fold) hold(weight int64) error {
	if err := f.ctx.Err(); err != nil || f.q.Hold == nil {
		return err
	}
	return f.q.Hold(weight * checkEvery)
}

func (f *fold) tooMany() error {
	return &store.LimitError{Limit: "samples", Max: f.q.MaxSamples, Setting: maxSamplesSetting}
}

// area adds the trapezoid between two neighbours to the buckets that it lies in.
func (f *fold) area(to *group, a, b Point) error {
	if uint64(b.T)-uint64(a.T) > f.maxGap {
		return nil
	}
	return f.buckets.Cut(a, b, func(bucket uint64, seconds, area float64) error {
		c, err := f.cell(to, bucket)
		if err != nil {
			return err
		}
		c.integral.add(area)
		c.covered = true
		return nil
	})
}

// group returns the group of a series.
func (f *fold) group(ls labels.Labels) *group {
	by := groupLabels(ls, f.q.GroupBy)
	key := string(by.Bytes(nil))
	g := f.groups[key]
	if g == nil {
		g = &group{by: by, cells: map[uint64]*cell{}}
		f.groups[key] = g
	}
	return g
}

func groupLabels(ls labels.Labels, by []string) labels.Labels {
	sb := labels.NewScratchBuilder(len(by))
	seen := map[string]bool{}
	for _, name := range by {
		if v := ls.Get(name); v != "" && !seen[name] {
			seen[name] = true
			sb.Add(name, v)
		}
	}
	sb.Sort()
	return sb.Labels()
}

// cell returns the bucket of a group. The number of buckets is bounded as that of samples is: a long gap can be cut
// into many.
func (f *fold) cell(of *group, bucket uint64) (*cell, error) {
	if c := of.cells[bucket]; c != nil {
		return c, nil
	}
	f.cells++
	if f.q.MaxSamples > 0 && f.cells > f.q.MaxSamples {
		return nil, f.tooMany()
	}
	if f.cells%checkEvery == 0 {
		if err := f.hold(cellWeight); err != nil {
			return nil, err
		}
	}
	c := newCell()
	of.cells[bucket] = c
	return c, nil
}

// result puts the groups in order and reads them out.
func (f *fold) result() store.AggregateResult {
	out := store.AggregateResult{Series: f.seriesRead, Samples: f.samplesRead}
	groups := make([]*group, 0, len(f.groups))
	for _, g := range f.groups {
		if g.hasValues(f.q.Funcs) {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b *group) int { return labels.Compare(a.by, b.by) })
	if f.q.Limit > 0 && len(groups) > f.q.Limit {
		groups, out.Truncated = groups[:f.q.Limit], true
	}
	for _, g := range groups {
		out.Groups = append(out.Groups, g.result(f.q.Funcs, f.buckets))
	}
	return out
}

// canonical makes one NaN of all, so that no payload, least of all the stale marker's, comes out.
func canonical(v float64) float64 {
	if math.IsNaN(v) {
		return math.NaN()
	}
	return v
}
