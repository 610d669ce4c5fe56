package series

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Iterator returns an iterator over r; it is reuse if that came from this package. Histograms that it hands out are
// copies. As from Prometheus's storage, their counter-reset hint is "no reset" if a comparison with the sample before
// says so; a hint "gauge" or "reset" that the writer gave stays; else it is unknown.
func (r Run) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator { return r.iterate(0, len(r), reuse) }

// iterate returns an iterator over r[start:end], which knows the sample before it.
func (r Run) iterate(start, end int, reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ok := reuse.(*iterator)
	if !ok {
		it = new(iterator)
	}
	it.run, it.start, it.at = r[:end], start, start-1
	return it
}

// millis is a time. Under this name vet does not take Seek for that of an io.Seeker.
type millis = int64

type iterator struct {
	run   Run
	start int // Index of the first sample to give out.
	at    int // Index of the current sample: start-1 before the first, len(run) after the last.

	now, last histogram.FloatHistogram // For comparisons.
}

var _ chunkenc.Iterator = (*iterator)(nil)

func (it *iterator) Next() chunkenc.ValueType {
	if it.at < len(it.run) {
		it.at++
	}
	return it.kind()
}

func (it *iterator) Seek(t millis) chunkenc.ValueType {
	from := max(it.at, it.start)
	it.at = from + before(it.run[from:], t)
	return it.kind()
}

func (it *iterator) kind() chunkenc.ValueType {
	if it.at >= len(it.run) {
		return chunkenc.ValNone
	}
	return it.run[it.at].Type()
}

func (it *iterator) At() (int64, float64) {
	s := &it.run[it.at]
	return s.Timestamp, s.Value
}

func (it *iterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	s := &it.run[it.at]
	if h == nil {
		h = new(histogram.Histogram)
	}
	s.Int.CopyTo(h)
	h.CounterResetHint = it.hint()
	return s.Timestamp, h
}

func (it *iterator) AtFloatHistogram(h *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	s := &it.run[it.at]
	if h == nil {
		h = new(histogram.FloatHistogram)
	}
	s.floatTo(h)
	h.CounterResetHint = it.hint()
	return s.Timestamp, h
}

// hint returns the counter-reset hint of the current histogram.
func (it *iterator) hint() histogram.CounterResetHint {
	s := &it.run[it.at]
	if h := s.hint(); h != histogram.UnknownCounterReset || it.at == 0 {
		return h
	}
	before := &it.run[it.at-1]
	if before.Type() != s.Type() || before.hint() == histogram.GaugeType || before.stale() || s.stale() {
		return histogram.UnknownCounterReset
	}
	s.floatTo(&it.now)
	before.floatTo(&it.last)
	if it.now.DetectReset(&it.last) {
		return histogram.UnknownCounterReset // As Prometheus: the reader may have left out the sample before.
	}
	return histogram.NotCounterReset
}

// floatTo copies a histogram of either kind into h.
func (s *Sample) floatTo(h *histogram.FloatHistogram) {
	if s.Int != nil {
		s.Int.ToFloat(h)
		return
	}
	s.Float.CopyTo(h)
}

// hint returns what the writer said about a histogram.
func (s *Sample) hint() histogram.CounterResetHint {
	if s.Int != nil {
		return s.Int.CounterResetHint
	}
	return s.Float.CounterResetHint
}

// stale reports whether a histogram is a stale marker.
func (s *Sample) stale() bool {
	if s.Int != nil {
		return value.IsStaleNaN(s.Int.Sum)
	}
	return value.IsStaleNaN(s.Float.Sum)
}

func (it *iterator) AtT() int64  { return it.run[it.at].Timestamp }
func (it *iterator) AtST() int64 { return it.run[it.at].Start }
func (it *iterator) Err() error  { return nil }
