package active

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
)

// A Reader reads a head. It serves one goroutine at a time and must be closed, for it keeps memory from being used again.
// References that it gives may be used until then.
type Reader struct {
	head    *Head
	pin     epoch.Pin
	ages    ages
	samples Samples // As decoded.
	view    Samples // The part that was asked for.
	names   labels.ScratchBuilder
}

// NewReader returns a reader. It sees at least all that was appended before.
func (h *Head) NewReader() *Reader {
	r := &Reader{head: h, pin: h.epochs.Enter(), names: labels.NewScratchBuilder(16)}
	r.names.SetUnsafeAdd(true) // Labels copies what lies in the arena.
	return r
}

// Close ends the reader.
func (r *Reader) Close() { r.head.epochs.Leave(r.pin) }

// Samples returns the samples of a series in a range, and the histogram before it. They are valid until the next call.
func (r *Reader) Samples(ref uint32, in store.Range) (*Samples, error) {
	s := r.head.stripe(ref)
	s.mu.Lock()
	if !r.head.records.At(ref).alive() {
		s.mu.Unlock()
		r.view = Samples{}
		return &r.view, nil
	}
	r.head.copyAges(s, ref, &r.ages)
	s.mu.Unlock()
	if err := r.samples.decode(r.ages.list()); err != nil {
		return nil, err
	}
	r.view = r.samples
	r.view.limit(in)
	return &r.view, nil
}

// Overlaps reports whether a series has samples in a range, and whether it has any. Mostly it need not decode them to know.
func (r *Reader) Overlaps(ref uint32, in store.Range) (inside, some bool, err error) {
	s := r.head.stripe(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	of := r.head.records.At(ref)
	if !of.alive() || of.N == 0 && of.frozen == 0 && s.aside[ref] == nil && len(s.shelved(nil, ref)) == 0 {
		return false, false, nil
	}
	inside, err = r.head.overlaps(s, ref, in, &r.ages, &r.samples)
	return inside, true, err
}

// Alive reports whether a reference is one of a series that is not evicted.
func (r *Reader) Alive(ref uint32) bool { return r.head.records.At(ref).alive() }

// numbers calls f with the numbers of the pairs of a series, in the order of names, until it returns false.
func (h *Head) numbers(ref uint32, f func(number uint32) bool) {
	set := atomic.LoadUint32(&h.records.At(ref).labels)
	if set == 0 {
		return
	}
	b := h.sets.After(set)
	n, w := binary.Uvarint(b)
	for range n {
		b = b[w:]
		var number uint64
		if number, w = uint64(b[0]), 1; number >= 0x80 {
			number, w = binary.Uvarint(b)
		}
		if !f(uint32(number)) {
			return
		}
	}
}

// Labels returns the labels of a series, which may be kept.
func (r *Reader) Labels(ref uint32) labels.Labels {
	r.names.Reset()
	r.head.numbers(ref, func(number uint32) bool {
		c, value := r.head.pairs.Pair(number)
		r.names.Add(c.Name, text(value))
		return true
	})
	return r.names.Labels()
}

// AppendLabels appends the canonical labels of a series to dst.
func (r *Reader) AppendLabels(dst []byte, ref uint32) []byte {
	r.head.numbers(ref, func(number uint32) bool {
		c, value := r.head.pairs.Pair(number)
		dst = metric.AppendLabel(dst, c.Name, text(value))
		return true
	})
	return dst
}

// value returns the value of one label of a series and the number of the pair; ok is false if the series lacks the label.
func (h *Head) value(ref uint32, name string) (number uint32, value []byte, ok bool) {
	h.numbers(ref, func(n uint32) bool {
		c, v := h.pairs.Pair(n)
		if c.Name == name {
			number, value, ok = n, v, true
		}
		return c.Name < name
	})
	return number, value, ok
}

// Tenant returns the tenant of a reference.
func (h *Head) Tenant(ref uint32) uint32 {
	s := h.stripe(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.group(ref).tenant
}
