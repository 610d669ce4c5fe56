package series

import (
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Columns is floats of one series, place by place. Timestamps ascend, in milliseconds since the Unix epoch, and each
// occurs once.
type Columns struct {
	Timestamps []int64
	Values     []float64
	Starts     []int64 // When the counter began, as Sample.Start; empty if it is known of no sample.
}

// Add appends other, unless a timestamp of it is not after all of c; starts may be empty. It copies.
func (c *Columns) Add(timestamps []int64, values []float64, starts []int64) (ok bool) {
	n := len(c.Timestamps)
	if len(timestamps) == 0 {
		return true
	}
	if n > 0 && c.Timestamps[n-1] >= timestamps[0] {
		return false
	}
	c.Timestamps = append(c.Timestamps, timestamps...)
	c.Values = append(c.Values, values...)
	if len(c.Starts) == 0 && len(starts) == 0 {
		return true
	}
	for len(c.Starts) < n {
		c.Starts = append(c.Starts, 0)
	}
	c.Starts = append(c.Starts, starts...)
	for len(c.Starts) < len(c.Timestamps) {
		c.Starts = append(c.Starts, 0)
	}
	return true
}

// AddRun is Add for a run; ok is also false if it holds a histogram.
func (c *Columns) AddRun(run Run) (ok bool) {
	n := len(c.Timestamps)
	if len(run) == 0 {
		return true
	}
	if n > 0 && c.Timestamps[n-1] >= run[0].Timestamp {
		return false
	}
	for i := range run {
		s := &run[i]
		if s.Int != nil || s.Float != nil {
			c.cut(n)
			return false
		}
		if s.Start != 0 || len(c.Starts) > 0 {
			for len(c.Starts) < len(c.Timestamps) {
				c.Starts = append(c.Starts, 0)
			}
			c.Starts = append(c.Starts, s.Start)
		}
		c.Timestamps = append(c.Timestamps, s.Timestamp)
		c.Values = append(c.Values, s.Value)
	}
	return true
}

// cut keeps the first n.
func (c *Columns) cut(n int) {
	c.Timestamps, c.Values, c.Starts = c.Timestamps[:n], c.Values[:n], c.Starts[:min(n, len(c.Starts))]
}

// Run returns the samples as a run, which is new.
func (c *Columns) Run() Run {
	out := make(Run, len(c.Timestamps))
	for i, t := range c.Timestamps {
		out[i] = Sample{Timestamp: t, Value: c.Values[i]}
		if len(c.Starts) > 0 {
			out[i].Start = c.Starts[i]
		}
	}
	return out
}

// A ColumnIterator iterates over columns of its own. Fill them before the first call of Next or Seek.
type ColumnIterator struct {
	Columns
	at int // One more than the place of the current sample; 0 before the first.
}

var _ chunkenc.Iterator = (*ColumnIterator)(nil)

// NewColumnIterator returns an iterator with empty columns. It is reuse with its memory if that is one.
func NewColumnIterator(reuse chunkenc.Iterator) *ColumnIterator {
	it, ok := reuse.(*ColumnIterator)
	if !ok {
		return new(ColumnIterator)
	}
	it.cut(0)
	it.at = 0
	return it
}

// Next goes to the next sample.
func (it *ColumnIterator) Next() chunkenc.ValueType {
	if it.at > len(it.Timestamps) {
		return chunkenc.ValNone
	}
	it.at++
	if it.at > len(it.Timestamps) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// Seek goes to the first sample at or after t, unless that is before the current one, where it stays.
func (it *ColumnIterator) Seek(t millis) chunkenc.ValueType {
	from := max(it.at-1, 0)
	if from >= len(it.Timestamps) {
		it.at = len(it.Timestamps) + 1
		return chunkenc.ValNone
	}
	rest := it.Timestamps[from:]
	// What is looked for is mostly near.
	near := 0
	for near < len(rest) && near < 8 && rest[near] < t {
		near++
	}
	if near == 8 {
		near += sort.Search(len(rest)-near, func(i int) bool { return rest[near+i] >= t })
	}
	it.at = from + near + 1
	if it.at > len(it.Timestamps) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// At returns the current sample.
func (it *ColumnIterator) At() (int64, float64) {
	return it.Timestamps[it.at-1], it.Values[it.at-1]
}

// AtHistogram is not called: there are no histograms.
func (it *ColumnIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return 0, nil
}

// AtFloatHistogram is not called: there are no histograms.
func (it *ColumnIterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}

// AtT returns the timestamp of the current sample.
func (it *ColumnIterator) AtT() int64 { return it.Timestamps[it.at-1] }

// AtST returns when the counter of the current sample began; 0 if it is not known.
func (it *ColumnIterator) AtST() int64 {
	if len(it.Starts) == 0 {
		return 0
	}
	return it.Starts[it.at-1]
}

// Err is nil.
func (it *ColumnIterator) Err() error { return nil }
