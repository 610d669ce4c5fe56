package aggregate

import (
	"time"

	"github.com/luminate-metrics/luminate/store"
)

// Buckets numbers the buckets of time of an aggregation from 0. The arithmetic holds for all of int64.
type Buckets struct {
	min  int64
	step uint64 // Milliseconds; 0 means one bucket for all.
}

// NewBuckets returns the buckets of width step, in whole milliseconds, that begin at the start of r. A step of 0 means
// one bucket.
func NewBuckets(r store.Range, step time.Duration) Buckets {
	return Buckets{r.Min, uint64(step.Milliseconds())}
}

// Index returns the number of the bucket of t, which must not lie before the range.
func (b Buckets) Index(t int64) uint64 {
	if b.step == 0 {
		return 0
	}
	return (uint64(t) - uint64(b.min)) / b.step
}

// Start returns the first millisecond of a bucket in which a time of the range lies.
func (b Buckets) Start(bucket uint64) int64 {
	return int64(uint64(b.min) + bucket*b.step)
}

// A Point is a float sample.
type Point struct {
	T int64 // Milliseconds since the Unix epoch.
	V float64
}

// Cut cuts the trapezoid between two neighbours of one series, a before z, at the borders of buckets, along the straight
// line between them. It calls f with each piece that has a length, in time order: the number of its bucket, its length
// and its area in value-seconds.
func (b Buckets) Cut(a, z Point, f func(bucket uint64, seconds, area float64) error) error {
	length := float64(uint64(z.T) - uint64(a.T))
	first, last := b.Index(a.T), b.Index(z.T)
	from := a
	for bucket := first; ; bucket++ {
		to := z
		if bucket < last {
			border := b.Start(bucket + 1)
			if border == z.T { // The last bucket would hold a piece without a length.
				last = bucket
			} else {
				w := float64(uint64(border)-uint64(a.T)) / length
				to = Point{border, float64(a.V*(1-w)) + float64(z.V*w)}
			}
		}
		seconds := float64(uint64(to.T)-uint64(from.T)) / 1000
		// Halves first: the sum of two values may overflow where their mean does not.
		if err := f(bucket, seconds, (from.V/2+to.V/2)*seconds); err != nil {
			return err
		}
		if bucket == last {
			return nil
		}
		from = to
	}
}
