package series

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Iterator returns an iterator over r; it is reuse if that came from a Run. Histograms that it hands out are copies.
func (r Run) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ok := reuse.(*iterator)
	if !ok {
		it = new(iterator)
	}
	*it = iterator{run: r, at: -1}
	return it
}

// millis is a time. Under this name vet does not take Seek for that of an io.Seeker.
type millis = int64

type iterator struct {
	run Run
	at  int // Index of the current sample: -1 before the first, len(run) after the last.
}

var _ chunkenc.Iterator = (*iterator)(nil)

func (it *iterator) Next() chunkenc.ValueType {
	if it.at < len(it.run) {
		it.at++
	}
	return it.kind()
}

func (it *iterator) Seek(t millis) chunkenc.ValueType {
	from := max(it.at, 0)
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
		return s.Timestamp, s.Int.Copy()
	}
	s.Int.CopyTo(h)
	return s.Timestamp, h
}

func (it *iterator) AtFloatHistogram(h *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	s := &it.run[it.at]
	switch {
	case s.Int != nil:
		return s.Timestamp, s.Int.ToFloat(h)
	case h == nil:
		return s.Timestamp, s.Float.Copy()
	default:
		s.Float.CopyTo(h)
		return s.Timestamp, h
	}
}

func (it *iterator) AtT() int64  { return it.run[it.at].Timestamp }
func (it *iterator) AtST() int64 { return it.run[it.at].Start }
func (it *iterator) Err() error  { return nil }
