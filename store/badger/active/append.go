package active

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/codec"
)

// Append adds the samples and histograms of b to the series refs, which Resolve and Register gave in this Begin; those at
// NoRef are left out. Floats of a series arrive before its histograms, each in the order of the batch.
//
// mark says how old the samples are in the caller's eyes, for instance the number of a log segment, and is not 0: see
// OldestMark.
func (w *Writer) Append(b *metric.Batch, refs []uint32, mark uint32) {
	for i := range b.Series {
		ref := refs[i]
		if ref == NoRef {
			continue
		}
		s := &b.Series[i]
		w.acquire(ref)
		r := w.head.records.At(ref)
		for k := s.Samples.Start; k < s.Samples.End; k++ {
			w.float(r, ref, &b.Samples[k], mark)
		}
		for k := s.Histograms.Start; k < s.Histograms.End; k++ {
			w.histogram(r, ref, &b.Histograms[k], mark)
		}
	}
	w.drop()
}

// acquire locks the stripe of ref, unless it is the one that is locked.
func (w *Writer) acquire(ref uint32) {
	if at := stripeOf(ref); w.lock == nil || at != w.lockedAt {
		w.drop()
		w.lock, w.lockedAt = w.head.stripe(ref), at
		w.lock.mu.Lock()
	}
}

func (w *Writer) drop() {
	if w.lock != nil {
		w.lock.mu.Unlock()
		w.lock = nil
	}
}

func (w *Writer) float(r *record, ref uint32, v *metric.Sample, mark uint32) {
	switch {
	case r.Flags != 0 || v.Start != 0 || len(w.cache) < 2:
		w.floatSlow(r, ref, v, mark)
	case r.N == 0 || v.Timestamp > r.LastTimestamp:
		w.inOrder(r, ref, v, mark)
	case v.Timestamp == r.LastTimestamp && math.Float64bits(v.Value) == r.Last():
		// Sent again.
	default:
		w.aside(r, ref, late{v.Timestamp, v.Start, v.Value, ""}, mark)
	}
}

// inOrder adds a sample to the chunk.
func (w *Writer) inOrder(r *record, ref uint32, v *metric.Sample, mark uint32) {
	if r.N == 0 {
		w.lock.group(ref).opened(v.Timestamp, mark)
	}
	if r.Append(&r.tail, &w.spill, v.Timestamp, v.Value) {
		w.spilled(r, ref)
	}
	if r.N >= uint16(r.Limit) {
		w.lock.setDue(ref)
	}
}

// opened notes that a series of the group has samples to flush.
func (g *group) opened(timestamp int64, mark uint32) {
	g.min = min(g.min, timestamp)
	if g.mark == 0 || mark < g.mark {
		g.mark = mark
	}
}

// spilled moves a full tail into a block. The cache holds one.
func (w *Writer) spilled(r *record, ref uint32) {
	r.Block = w.head.blocks.push(&w.cache, r.Block, &w.spill)
	r.Blocks = uint8(min(int(r.Blocks)+1, math.MaxUint8))
	g := w.lock.group(ref)
	if g.blocks < math.MaxUint16 {
		g.blocks++
	}
	// A first chunk that ends early does so by bytes as well: else groups of equal data would be due together.
	if o := &w.head.opts; int(g.blocks)*o.ChunkSamples >= o.GroupBlocks*int(r.Limit) {
		w.lock.setDue(ref)
	}
}

// floatSlow is float for series and moments of which there are few.
func (w *Writer) floatSlow(r *record, ref uint32, v *metric.Sample, mark uint32) {
	h := w.head
	start := int64(0)
	if r.Flags&hasStarts != 0 {
		start = *h.starts.At(ref)
	}
	newer := r.N == 0 || v.Timestamp > r.LastTimestamp
	if r.Flags&hasLate != 0 {
		newer = newer && v.Timestamp > w.lock.aside[ref].max
	} else if r.N > 0 && v.Timestamp == r.LastTimestamp && math.Float64bits(v.Value) == r.Last() && v.Start == start {
		return // Sent again.
	}
	if !newer || !w.cache.ready(&h.blocks) {
		w.aside(r, ref, late{v.Timestamp, v.Start, v.Value, ""}, mark)
		return
	}
	if v.Start != start {
		if r.AppendStart(&r.tail, &w.spill, v.Start) {
			w.spilled(r, ref)
		}
		*h.starts.At(ref) = v.Start
		r.Flags |= hasStarts
	}
	if w.cache.ready(&h.blocks) {
		w.inOrder(r, ref, v, mark)
		return
	}
	w.aside(r, ref, late{v.Timestamp, v.Start, v.Value, ""}, mark)
}

func (w *Writer) histogram(r *record, ref uint32, v *metric.Histogram, mark uint32) {
	w.bytes = encodeHistogram(w.bytes[:0], v)
	w.aside(r, ref, late{v.Timestamp, v.Start, 0, string(w.bytes)}, mark)
}

// encodeHistogram appends a histogram to dst. The hint that there was no reset is not kept: it is about a neighbour, and
// there may be another one later.
func encodeHistogram(dst []byte, v *metric.Histogram) []byte {
	if v.Float != nil {
		h := *v.Float
		h.CounterResetHint = keptHint(h.CounterResetHint)
		return codec.AppendHistogram(dst, nil, &h)
	}
	h := *v.Int
	h.CounterResetHint = keptHint(h.CounterResetHint)
	return codec.AppendHistogram(dst, &h, nil)
}

func keptHint(hint histogram.CounterResetHint) histogram.CounterResetHint {
	if hint == histogram.NotCounterReset {
		return histogram.UnknownCounterReset
	}
	return hint
}

// aside takes a sample that does not fit into the chunk.
func (w *Writer) aside(r *record, ref uint32, l late, mark uint32) {
	s := w.lock
	a := s.aside[ref]
	if a == nil {
		if s.aside == nil {
			s.aside = map[uint32]*aside{}
		}
		a = &aside{}
		s.aside[ref] = a
	}
	if len(a.open) == 0 {
		a.max = l.timestamp
	}
	a.open = append(a.open, l)
	a.max = max(a.max, l.timestamp)
	r.Flags |= hasLate
	if r.N == 0 {
		r.LastTimestamp = max(r.LastTimestamp, l.timestamp)
	}
	s.group(ref).opened(l.timestamp, mark)
	if len(a.open) >= int(r.Limit) {
		s.setDue(ref)
	}
	w.head.asideBytes.Add(lateBytes + int64(len(l.histogram)))
}

// bytesOf is what samples aside take.
func bytesOf(list []late) (n int64) {
	for i := range list {
		n += lateBytes + int64(len(list[i].histogram))
	}
	return n
}
