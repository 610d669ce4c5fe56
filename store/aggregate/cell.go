package aggregate

import (
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/util/kahansum"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// sum is a compensated sum.
type sum struct{ total, rest float64 }

func (s *sum) add(v float64) { s.total, s.rest = kahansum.Inc(v, s.total, s.rest) }

func (s *sum) value() float64 { return s.total + s.rest }

// mean is an average as PromQL's avg computes it: the sum over the count, or, once the sum would overflow, the
// incremental mean.
type mean struct {
	n           float64
	sum         sum // Of the values, or of the increments of the mean.
	incremental bool
}

func (m *mean) add(v float64) {
	m.n++
	if !m.incremental {
		next := m.sum
		next.add(v)
		if m.n == 1 || !math.IsInf(next.total, 0) {
			m.sum = next
			return
		}
		m.incremental = true
		m.sum = sum{m.sum.total / (m.n - 1), m.sum.rest / (m.n - 1)}
	}
	q := (m.n - 1) / m.n
	m.sum.total, m.sum.rest = kahansum.Inc(v/m.n, q*m.sum.total, q*m.sum.rest)
}

func (m *mean) value() float64 {
	if m.incremental {
		return m.sum.value()
	}
	return m.sum.total/m.n + m.sum.rest/m.n
}

// cell is what is known about one bucket of one group.
type cell struct {
	count    int64
	sum      sum
	mean     mean
	min, max float64
	values   []float64 // For percentiles, in the order of arrival.
	sorted   bool      // Whether values are in order.
	integral sum
	covered  bool // Whether a trapezoid covers some time of the bucket.
}

func newCell() *cell { return &cell{min: math.NaN(), max: math.NaN()} }

func (c *cell) add(v float64, pool bool) {
	c.count++
	c.sum.add(v)
	c.mean.add(v)
	switch {
	case math.IsNaN(v):
	case math.IsNaN(c.min):
		c.min, c.max = v, v
	default:
		c.min, c.max = math.Min(c.min, v), math.Max(c.max, v)
	}
	if pool {
		c.values = append(c.values, v)
	}
}

// value returns the result of f, if the bucket has one.
func (c *cell) value(f store.Func) (v float64, ok bool) {
	if f == store.Integral {
		return canonical(c.integral.value()), c.covered
	}
	if c.count == 0 {
		return 0, false
	}
	switch f {
	case store.Avg:
		v = c.mean.value()
	case store.Sum:
		v = c.sum.value()
	case store.Count:
		v = float64(c.count)
	case store.Min:
		v = c.min
	case store.Max:
		v = c.max
	default:
		if !c.sorted {
			SortValues(c.values)
			c.sorted = true
		}
		q, _ := f.Quantile()
		v = Quantile(q, c.values)
	}
	return canonical(v), true
}

// SortValues puts values in the order that Quantile wants: NaN, which are equal to each other, before all numbers.
// Zeros of both signs are equal too: -0 is put first, so that the order of arrival makes no difference.
func SortValues(values []float64) {
	slices.SortFunc(values, func(a, b float64) int {
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		case math.IsNaN(a) && math.IsNaN(b):
			return 0
		case math.IsNaN(a):
			return -1
		case math.IsNaN(b):
			return 1
		default:
			return signOrder(a) - signOrder(b)
		}
	})
}

func signOrder(v float64) int {
	if math.Signbit(v) {
		return 0
	}
	return 1
}

// Quantile returns the q-quantile of values, which SortValues has put in order: linear interpolation between the closest
// ranks, with the operations of PromQL's quantile. q is between 0 and 1. Without values it is NaN.
func Quantile(q float64, values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	rank := q * float64(len(values)-1)
	floor := math.Floor(rank)
	lower := int(floor)
	upper := min(len(values)-1, lower+1)
	weight := rank - floor
	return float64(values[lower]*(1-weight)) + float64(values[upper]*weight)
}

func (g *group) hasValues(funcs []store.Func) bool {
	for _, c := range g.cells {
		for _, f := range funcs {
			if f == store.Integral && c.covered || f != store.Integral && c.count > 0 {
				return true
			}
		}
	}
	return false
}

// result reads out the buckets in time order.
func (g *group) result(funcs []store.Func, buckets Buckets) store.Group {
	out := store.Group{By: g.by, Values: make([][]metric.Sample, len(funcs))}
	for _, b := range slices.Sorted(maps.Keys(g.cells)) {
		for i, f := range funcs {
			if v, ok := g.cells[b].value(f); ok {
				out.Values[i] = append(out.Values[i], metric.Sample{Timestamp: buckets.Start(b), Value: v})
			}
		}
	}
	return out
}
