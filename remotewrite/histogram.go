package remotewrite

import (
	"slices"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// histogramParts collects the fields of one Histogram message, which may come in any order and in pieces.
type histogramParts struct {
	isFloat              bool
	count, zeroCount     uint64  // Of an integer histogram.
	countFloat, zeroFlt  float64 // Of a float histogram.
	sum, threshold       float64
	schema               int32
	hint                 uint32
	timestamp, start     int64
	negSpans, posSpans   []histogram.Span
	negDeltas, posDeltas []int64
	negCounts, posCounts []float64
	custom               []float64
}

// reset empties p and keeps its memory.
func (p *histogramParts) reset() {
	*p = histogramParts{
		negSpans: p.negSpans[:0], posSpans: p.posSpans[:0],
		negDeltas: p.negDeltas[:0], posDeltas: p.posDeltas[:0],
		negCounts: p.negCounts[:0], posCounts: p.posCounts[:0],
		custom: p.custom[:0],
	}
}

// histogram decodes the Histogram message of either version: version 1.0 has no start timestamp.
func (d *decoder) histogram(msg []byte, version int) bool {
	p := &d.hist
	p.reset()
	r := reader{b: msg}
	for r.next() {
		if r.num <= 7 {
			p.scalar(&r)
			continue
		}
		p.other(&r, version)
	}
	if r.bad {
		return false
	}
	h := metric.Histogram{Timestamp: p.timestamp, Start: p.start}
	if p.isFloat {
		h.Float = p.float()
	} else {
		h.Int = p.integer()
	}
	d.batch.Histograms = append(d.batch.Histograms, h)
	return true
}

// scalar takes in a field with a number up to 7.
func (p *histogramParts) scalar(r *reader) {
	switch r.num {
	case 1: // The last one of fields 1 and 2 says what the histogram is.
		p.isFloat, p.count, p.countFloat = false, uint64(r.int64()), 0
	case 2:
		p.isFloat, p.count, p.countFloat = true, 0, r.double()
	case 3:
		p.sum = r.double()
	case 4:
		p.schema = r.sint32()
	case 5:
		p.threshold = r.double()
	case 6:
		p.zeroCount, p.zeroFlt = uint64(r.int64()), 0
	case 7:
		p.zeroCount, p.zeroFlt = 0, r.double()
	}
}

// other takes in a field with a number from 8 on.
func (p *histogramParts) other(r *reader, version int) {
	switch r.num {
	case 8:
		p.negSpans = span(r, p.negSpans)
	case 9:
		p.negDeltas = packedVarints(r, p.negDeltas, toSint64)
	case 10:
		p.negCounts = packedDoubles(r, p.negCounts)
	case 11:
		p.posSpans = span(r, p.posSpans)
	case 12:
		p.posDeltas = packedVarints(r, p.posDeltas, toSint64)
	case 13:
		p.posCounts = packedDoubles(r, p.posCounts)
	case 14:
		p.hint = r.uint32()
	case 15:
		p.timestamp = r.int64()
	case 16:
		p.custom = packedDoubles(r, p.custom)
	case 17:
		if version == 2 {
			p.start = r.int64()
		}
	}
}

// span appends the BucketSpan in the current field to dst.
func span(r *reader, dst []histogram.Span) []histogram.Span {
	if !r.is(wireBytes) {
		return dst
	}
	var s histogram.Span
	m := reader{b: r.body}
	for m.next() {
		switch m.num {
		case 1:
			s.Offset = m.sint32()
		case 2:
			s.Length = m.uint32()
		}
	}
	r.bad = m.bad
	return append(dst, s)
}

// resetHint turns a hint that nobody has defined into the unknown one.
func (p *histogramParts) resetHint() histogram.CounterResetHint {
	if p.hint > uint32(histogram.GaugeType) {
		return histogram.UnknownCounterReset
	}
	return histogram.CounterResetHint(p.hint)
}

func (p *histogramParts) integer() *histogram.Histogram {
	return &histogram.Histogram{
		CounterResetHint: p.resetHint(),
		Schema:           p.schema,
		ZeroThreshold:    p.threshold,
		ZeroCount:        p.zeroCount,
		Count:            p.count,
		Sum:              p.sum,
		PositiveSpans:    own(p.posSpans),
		NegativeSpans:    own(p.negSpans),
		PositiveBuckets:  own(p.posDeltas),
		NegativeBuckets:  own(p.negDeltas),
		CustomValues:     own(p.custom),
	}
}

func (p *histogramParts) float() *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		CounterResetHint: p.resetHint(),
		Schema:           p.schema,
		ZeroThreshold:    p.threshold,
		ZeroCount:        p.zeroFlt,
		Count:            p.countFloat,
		Sum:              p.sum,
		PositiveSpans:    own(p.posSpans),
		NegativeSpans:    own(p.negSpans),
		PositiveBuckets:  own(p.posCounts),
		NegativeBuckets:  own(p.negCounts),
		CustomValues:     own(p.custom),
	}
}

// own copies s. An empty slice becomes nil, which the validation of histograms asks for.
func own[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}
