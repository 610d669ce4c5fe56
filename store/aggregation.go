package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// A Func is one of the nine native aggregation functions.
type Func uint8

// The native aggregation functions. All of them see the float samples of a group and bucket, pooled over series; stale
// markers and native histograms are no samples for them.
const (
	Avg Func = iota + 1
	Sum
	Count
	Min
	Max
	P50 // Exact: linear interpolation between closest ranks, as PromQL's quantile.
	P95
	P99

	// Integral is the time-weighted sum in value-seconds: trapezoids between neighbouring samples of one series, summed
	// over the group. See Aggregation.MaxGap.
	Integral
)

var funcNames = [...]string{
	Avg: "AVG", Sum: "SUM", Count: "COUNT", Min: "MIN", Max: "MAX", P50: "P50", P95: "P95", P99: "P99", Integral: "INTEGRAL",
}

// Funcs lists the native aggregation functions.
func Funcs() []Func { return []Func{Avg, Sum, Count, Min, Max, P50, P95, P99, Integral} }

// ParseFunc returns the function with the given name, in any case.
func ParseFunc(name string) (Func, error) {
	for _, f := range Funcs() {
		if strings.EqualFold(name, f.String()) {
			return f, nil
		}
	}
	return 0, fmt.Errorf("unknown aggregation %q: the aggregations are %s", name, strings.Join(funcNames[1:], ", "))
}

// String is the name of f in the native API.
func (f Func) String() string { return funcNames[f] }

// Quantile returns the quantile that f computes, if it computes one.
func (f Func) Quantile() (q float64, ok bool) {
	switch f {
	case P50:
		return 0.5, true
	case P95:
		return 0.95, true
	case P99:
		return 0.99, true
	default:
		return 0, false
	}
}

// An Aggregation reduces a selection to one value for each function, group and bucket of time.
type Aggregation struct {
	Range     // Samples outside are not seen, not even by Integral.
	Selection // Limit is the number of groups, Sorted and Hints are ignored.

	Funcs   []Func
	GroupBy []string // A series without a dimension is in the group where it is empty. None means one group of all.

	// Step is the width of a bucket; 0 means one bucket for the whole range. Buckets are [Min+k*Step, Min+(k+1)*Step),
	// the last one ends with the range.
	Step time.Duration

	// MaxGap is the longest gap between two samples of a series that Integral bridges; 0 means 5 minutes. A longer gap,
	// or a stale marker between them, contributes nothing. A trapezoid that spans buckets is cut at their borders along
	// the straight line between the samples.
	MaxGap time.Duration

	MaxSamples int64 // More samples than that fail the call with a LimitError; 0 means no limit.

	// Hold is told how many more samples the call will have in memory until it returns, about as many as they are. Its
	// error fails the call. nil means that nobody counts.
	Hold func(samples int64) error
}

// DefaultMaxGap is the gap that Integral bridges if Aggregation.MaxGap is 0.
const DefaultMaxGap = 5 * time.Minute

// An AggregateResult holds groups in the order of their labels.
type AggregateResult struct {
	Groups    []Group
	Series    int64 // How many series were read.
	Samples   int64 // How many float samples were read.
	Truncated bool  // More groups exist than Selection.Limit allowed.
}

// A Group is one output series of an aggregation.
type Group struct {
	By labels.Labels // The dimensions of GroupBy that are not empty.

	// Values holds, for each of Aggregation.Funcs, the buckets that have a value, in time order. The timestamp is the
	// start of the bucket.
	Values [][]metric.Sample
}
