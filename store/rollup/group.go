package rollup

import (
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/kahansum"
)

// An accumulator reduces series to groups, step by step. Series must be added in their order: compensated sums depend on
// it. Calls for different steps may run side by side.
type accumulator struct {
	op     parser.ItemType
	steps  int
	counts []float64 // By group and step; 0 means that the group has no value.
	values []float64 // For sums and extremes.
	rests  []float64 // For sums: what the compensation holds.
	means  []mean
}

// aggregates reports whether an accumulator has the operator.
func aggregates(op parser.ItemType) bool {
	switch op {
	case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.COUNT, parser.GROUP:
		return true
	default:
		return false
	}
}

// weight is how many values a group takes at each step.
func (a *accumulator) weight() int64 {
	switch a.op {
	case parser.AVG:
		return 6
	case parser.SUM:
		return 3
	case parser.MIN, parser.MAX:
		return 2
	default:
		return 1
	}
}

// grow makes room for groups.
func (a *accumulator) grow(groups int) {
	n := groups * a.steps
	switch a.op {
	case parser.AVG:
		a.means = append(a.means, make([]mean, n-len(a.means))...)
		return
	case parser.SUM:
		a.rests = append(a.rests, make([]float64, n-len(a.rests))...)
		a.values = append(a.values, make([]float64, n-len(a.values))...)
	case parser.MIN, parser.MAX:
		a.values = append(a.values, make([]float64, n-len(a.values))...)
	}
	a.counts = append(a.counts, make([]float64, n-len(a.counts))...)
}

// add adds the values of a series at the steps from one to another.
func (a *accumulator) add(group int, row []float64, from, to int) {
	base := group * a.steps
	switch a.op {
	case parser.AVG:
		for k := from; k < to; k++ {
			if !value.IsStaleNaN(row[k]) {
				a.means[base+k].add(row[k])
			}
		}
	case parser.SUM:
		a.addSum(base, row, from, to)
	case parser.MIN, parser.MAX:
		a.addExtreme(base, row, from, to)
	default:
		for k := from; k < to; k++ {
			if !value.IsStaleNaN(row[k]) {
				a.counts[base+k]++
			}
		}
	}
}

func (a *accumulator) addSum(base int, row []float64, from, to int) {
	counts, values, rests := a.counts[base:base+a.steps], a.values[base:base+a.steps], a.rests[base:base+a.steps]
	for k := from; k < to; k++ {
		v := row[k]
		switch {
		case value.IsStaleNaN(v):
			continue
		case counts[k] == 0:
			values[k] = v // Not added to 0, which would lose the sign of -0.
		default:
			values[k], rests[k] = kahansum.Inc(v, values[k], rests[k])
		}
		counts[k]++
	}
}

func (a *accumulator) addExtreme(base int, row []float64, from, to int) {
	counts, values := a.counts[base:base+a.steps], a.values[base:base+a.steps]
	for k := from; k < to; k++ {
		v := row[k]
		if value.IsStaleNaN(v) {
			continue
		}
		if old := values[k]; counts[k] == 0 || math.IsNaN(old) || a.op == parser.MAX && old < v || a.op == parser.MIN && old > v {
			values[k] = v
		}
		counts[k]++
	}
}

// result returns the values of a group.
func (a *accumulator) result(group int) []float64 {
	out := make([]float64, a.steps)
	for k := range out {
		i := group*a.steps + k
		switch {
		case a.op == parser.AVG && a.means[i].n > 0:
			out[k] = a.means[i].result()
		case a.op == parser.AVG || a.counts[i] == 0:
			out[k] = absent
		case a.op == parser.SUM:
			out[k] = a.values[i] + a.rests[i]
		case a.op == parser.COUNT:
			out[k] = a.counts[i]
		case a.op == parser.GROUP:
			out[k] = 1
		default:
			out[k] = a.values[i]
		}
	}
	return out
}

// grouping says to which group a series belongs.
type grouping struct {
	by      []string // Sorted.
	without bool
	strip   stripping
	groups  map[uint64]int
	labels  []labels.Labels // Of groups.
	hashed  []byte
	builder *labels.Builder
}

// group returns the group of a series, which may be a new one.
func (g *grouping) group(ls labels.Labels) int {
	ls = g.strip.apply(ls)
	var hash uint64
	switch {
	case g.without:
		hash, g.hashed = ls.HashWithoutLabels(g.hashed, g.by...)
	case len(g.by) > 0:
		hash, g.hashed = ls.HashForLabels(g.hashed, g.by...)
	}
	i, ok := g.groups[hash]
	if !ok {
		i = len(g.labels)
		g.groups[hash] = i
		g.labels = append(g.labels, g.labelsOf(ls))
	}
	return i
}

func (g *grouping) labelsOf(ls labels.Labels) labels.Labels {
	g.builder.Reset(ls)
	switch {
	case g.without:
		g.builder.Del(g.by...)
		g.builder.Del(labels.MetricName)
	case len(g.by) > 0:
		g.builder.Keep(g.by...)
	default:
		return labels.EmptyLabels()
	}
	return g.builder.Labels()
}
