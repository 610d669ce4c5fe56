package store

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// A Rollup asks for a PromQL function over a selection at many times at once, with or without an aggregation over it.
// The answer is what upstream's engine would compute, with the meaning of the pinned version.
type Rollup struct {
	Selection

	// Func is the PromQL function over a range vector, such as "rate"; "" is the instant vector.
	Func string
	Arg  float64 // The scalar argument of Func, such as the quantile of quantile_over_time.

	// Window is the length of the range in milliseconds; for an instant vector, the lookback. A window is left-open:
	// (t-Window, t].
	Window int64

	Steps Steps // The times at which the windows end. Offsets are already taken off.

	// Aggregate is the operator over the function, such as parser.SUM; 0 means none.
	Aggregate parser.ItemType
	Param     float64 // The parameter of Aggregate: k, or a quantile.
	Grouping  []string
	Without   bool

	DelayNameRemoval   bool // Whether names are dropped at the end of the query only.
	UseStartTimestamps bool // Whether functions of counters look at when a counter began.

	// MaxSamples is how many values the function may have, over all series and steps; beyond it the call fails with a
	// LimitError. 0 means no limit.
	MaxSamples int64

	// Hold is told how many more values the call will have in memory until its result is dropped, about as many as they
	// are. Its error fails the call. nil means that nobody counts.
	Hold func(values int64) error
}

// Steps are evaluation times in milliseconds: Start, Start+Step, ... up to End, inclusive. Step is positive.
type Steps struct{ Start, End, Step int64 }

// Count is the number of times in s.
func (s Steps) Count() int {
	if s.End < s.Start {
		return 0
	}
	return int((s.End-s.Start)/s.Step) + 1
}

// A RollupResult holds one value for each series and step.
type RollupResult struct {
	Series []RollupSeries // In the order that upstream's engine would give.

	// Names are the metric names of the series for which the function has a value, each once and none empty: the engine
	// warns of some of them.
	Names []string

	Queried []int64 // By step: samples in the windows of all series.
	Fresh   []int64 // By step: those of them that are in no window of the step before.
	Values  int64   // Of the function, over all series and steps; before the aggregation.
	Peak    int64   // Most values and samples that upstream's engine would have held at once, up to very few.
}

// A RollupSeries is one row of a rollup. A value with the bits of the stale marker means none at that step.
type RollupSeries struct {
	Labels   labels.Labels
	DropName bool
	Values   []float64
}
