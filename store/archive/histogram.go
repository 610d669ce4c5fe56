package archive

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// The first byte of a histogram: its kind and its counter-reset hint.
const (
	floatKind = 0x10
	hintMask  = 0x0f
)

// appendHistogram writes one histogram with its times, bit for bit.
func appendHistogram(dst []byte, x metric.Histogram) []byte {
	dst = binary.AppendVarint(dst, x.Timestamp)
	dst = binary.AppendVarint(dst, x.Start)
	if h := x.Int; h != nil {
		dst = append(dst, keptHint(h.CounterResetHint))
		dst = binary.AppendVarint(dst, int64(h.Schema))
		dst = appendFloat(appendFloat(dst, h.ZeroThreshold), h.Sum)
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, h.ZeroCount), h.Count)
		dst = appendSpans(appendSpans(dst, h.PositiveSpans), h.NegativeSpans)
		dst = appendDeltas(appendDeltas(dst, h.PositiveBuckets), h.NegativeBuckets)
		return appendValues(dst, h.CustomValues)
	}
	h := x.Float
	dst = append(dst, floatKind|keptHint(h.CounterResetHint))
	dst = binary.AppendVarint(dst, int64(h.Schema))
	dst = appendFloat(appendFloat(dst, h.ZeroThreshold), h.Sum)
	dst = appendFloat(appendFloat(dst, h.ZeroCount), h.Count)
	dst = appendSpans(appendSpans(dst, h.PositiveSpans), h.NegativeSpans)
	dst = appendValues(appendValues(dst, h.PositiveBuckets), h.NegativeBuckets)
	return appendValues(dst, h.CustomValues)
}

// keptHint leaves "no reset" out: a reader found it by comparing neighbours, nobody wrote it.
func keptHint(h histogram.CounterResetHint) byte {
	if h == histogram.NotCounterReset {
		h = histogram.UnknownCounterReset
	}
	return byte(h) & hintMask
}

func appendSpans(dst []byte, spans []histogram.Span) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(spans)))
	for _, s := range spans {
		dst = binary.AppendUvarint(binary.AppendVarint(dst, int64(s.Offset)), uint64(s.Length))
	}
	return dst
}

func appendDeltas(dst []byte, list []int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, v := range list {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

func appendValues(dst []byte, list []float64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, v := range list {
		dst = appendFloat(dst, v)
	}
	return dst
}

func (d *decoder) histogramSamples(dst []metric.Histogram) []metric.Histogram {
	n := d.count(28) // Each has at least so many bytes.
	if n == 0 {
		d.failed = true
	}
	dst = dst[:0]
	for range n {
		dst = append(dst, d.histogram())
		if d.failed {
			return nil
		}
	}
	return dst
}

func (d *decoder) histogram() metric.Histogram {
	x := metric.Histogram{Timestamp: d.varint(), Start: d.varint()}
	head := d.byte()
	hint := histogram.CounterResetHint(head & hintMask)
	switch {
	case hint > histogram.GaugeType, hint == histogram.NotCounterReset, head&^(floatKind|hintMask) != 0:
		d.failed = true
	case head&floatKind != 0:
		h := &histogram.FloatHistogram{
			CounterResetHint: hint, Schema: d.int32(), ZeroThreshold: d.float(), Sum: d.float(),
			ZeroCount: d.float(), Count: d.float(), PositiveSpans: d.spans(), NegativeSpans: d.spans(),
			PositiveBuckets: d.values(), NegativeBuckets: d.values(), CustomValues: d.values(),
		}
		x.Float = h
		d.fits(h.PositiveSpans, len(h.PositiveBuckets))
		d.fits(h.NegativeSpans, len(h.NegativeBuckets))
	default:
		h := &histogram.Histogram{
			CounterResetHint: hint, Schema: d.int32(), ZeroThreshold: d.float(), Sum: d.float(),
			ZeroCount: d.uvarint(), Count: d.uvarint(), PositiveSpans: d.spans(), NegativeSpans: d.spans(),
			PositiveBuckets: d.deltas(), NegativeBuckets: d.deltas(), CustomValues: d.values(),
		}
		x.Int = h
		d.fits(h.PositiveSpans, len(h.PositiveBuckets))
		d.fits(h.NegativeSpans, len(h.NegativeBuckets))
	}
	return x
}

// fits fails if the spans do not name as many buckets as there are: code that walks over them relies on it.
func (d *decoder) fits(spans []histogram.Span, buckets int) {
	var n uint64
	for _, s := range spans {
		n += uint64(s.Length)
	}
	if n != uint64(buckets) {
		d.failed = true
	}
}

func (d *decoder) int32() int32 {
	v := d.varint()
	if int64(int32(v)) != v {
		d.failed = true
	}
	return int32(v)
}

func (d *decoder) spans() []histogram.Span {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	out := make([]histogram.Span, n)
	for i := range out {
		offset, length := d.int32(), d.uvarint()
		if uint64(uint32(length)) != length {
			d.failed = true
		}
		out[i] = histogram.Span{Offset: offset, Length: uint32(length)}
	}
	return out
}

func (d *decoder) deltas() []int64 {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = d.varint()
	}
	return out
}

func (d *decoder) values() []float64 {
	n := d.count(8)
	if n == 0 {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = d.float()
	}
	return out
}
