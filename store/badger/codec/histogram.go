package codec

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/model/histogram"
)

// The first byte of a histogram: its kind and its counter-reset hint.
const (
	floatHistogram = 0x10
	hintMask       = 0x0f
)

// AppendHistogram appends an integer or float histogram, whichever is not nil, bit for bit.
func AppendHistogram(dst []byte, h *histogram.Histogram, fh *histogram.FloatHistogram) []byte {
	if fh != nil {
		return appendFloat(dst, fh)
	}
	dst = append(dst, byte(h.CounterResetHint)&hintMask)
	dst = binary.AppendVarint(dst, int64(h.Schema))
	dst = AppendFloat(dst, h.ZeroThreshold)
	dst = AppendFloat(dst, h.Sum)
	dst = binary.AppendUvarint(dst, h.ZeroCount)
	dst = binary.AppendUvarint(dst, h.Count)
	dst = appendSpans(dst, h.PositiveSpans)
	dst = appendSpans(dst, h.NegativeSpans)
	dst = appendInts(dst, h.PositiveBuckets)
	dst = appendInts(dst, h.NegativeBuckets)
	return appendFloats(dst, h.CustomValues)
}

func appendFloat(dst []byte, h *histogram.FloatHistogram) []byte {
	dst = append(dst, floatHistogram|byte(h.CounterResetHint)&hintMask)
	dst = binary.AppendVarint(dst, int64(h.Schema))
	dst = AppendFloat(dst, h.ZeroThreshold)
	dst = AppendFloat(dst, h.Sum)
	dst = AppendFloat(dst, h.ZeroCount)
	dst = AppendFloat(dst, h.Count)
	dst = appendSpans(dst, h.PositiveSpans)
	dst = appendSpans(dst, h.NegativeSpans)
	dst = appendFloats(dst, h.PositiveBuckets)
	dst = appendFloats(dst, h.NegativeBuckets)
	return appendFloats(dst, h.CustomValues)
}

func appendSpans(dst []byte, spans []histogram.Span) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(spans)))
	for _, s := range spans {
		dst = binary.AppendVarint(dst, int64(s.Offset))
		dst = binary.AppendUvarint(dst, uint64(s.Length))
	}
	return dst
}

func appendInts(dst []byte, list []int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, v := range list {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

func appendFloats(dst []byte, list []float64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, v := range list {
		dst = AppendFloat(dst, v)
	}
	return dst
}

// Histogram takes what AppendHistogram wrote: one of the results is nil, both are after a failure.
func (d *Decoder) Histogram() (*histogram.Histogram, *histogram.FloatHistogram) {
	head := d.Byte()
	hint := histogram.CounterResetHint(head & hintMask)
	switch {
	case hint > histogram.GaugeType || head&^(floatHistogram|hintMask) != 0:
		d.Fail()
		return nil, nil
	case head&floatHistogram != 0:
		h := &histogram.FloatHistogram{
			CounterResetHint: hint, Schema: d.schema(), ZeroThreshold: d.Float(), Sum: d.Float(),
			ZeroCount: d.Float(), Count: d.Float(), PositiveSpans: d.spans(), NegativeSpans: d.spans(),
			PositiveBuckets: d.floats(), NegativeBuckets: d.floats(), CustomValues: d.floats(),
		}
		if d.failed {
			return nil, nil
		}
		return nil, h
	default:
		h := &histogram.Histogram{
			CounterResetHint: hint, Schema: d.schema(), ZeroThreshold: d.Float(), Sum: d.Float(),
			ZeroCount: d.Uvarint(), Count: d.Uvarint(), PositiveSpans: d.spans(), NegativeSpans: d.spans(),
			PositiveBuckets: d.ints(), NegativeBuckets: d.ints(), CustomValues: d.floats(),
		}
		if d.failed {
			return nil, nil
		}
		return h, nil
	}
}

func (d *Decoder) schema() int32 {
	v := d.Varint()
	if int64(int32(v)) != v {
		d.Fail()
	}
	return int32(v)
}

func (d *Decoder) spans() []histogram.Span {
	n := d.Count(2)
	if n == 0 {
		return nil
	}
	out := make([]histogram.Span, n)
	for i := range out {
		offset, length := d.Varint(), d.Uvarint()
		if int64(int32(offset)) != offset || uint64(uint32(length)) != length {
			d.Fail()
			return nil
		}
		out[i] = histogram.Span{Offset: int32(offset), Length: uint32(length)}
	}
	return out
}

func (d *Decoder) ints() []int64 {
	n := d.Count(1)
	if n == 0 {
		return nil
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = d.Varint()
	}
	return out
}

func (d *Decoder) floats() []float64 {
	n := d.Count(8)
	if n == 0 {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = d.Float()
	}
	return out
}
