package active

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
	"github.com/luminate-metrics/luminate/store/badger/active/index"
	"github.com/luminate-metrics/luminate/store/badger/active/pairs"
)

// tenantPair is the encoded pair that all series of a tenant have. No label has an empty value.
const tenantPair = "\x0a\x00\x12\x00"

// Register returns the series with canonical labels, which is new if there is none yet. announce, unless nil, is called
// with the reference of a new series before any other writer can find it: that is the time to put the labels into the
// log's buffer. Errors wrap ErrFull, pairs.ErrMalformed or slab.ErrTooLong.
func (w *Writer) Register(tenant uint32, canonical []byte, announce func(ref uint32)) (ref uint32, isNew bool, err error) {
	return w.register(identify(tenant, w.head.opts.Hasher.Sum(canonical)), tenant, canonical, announce)
}

func (w *Writer) register(id identity, tenant uint32, canonical []byte, announce func(ref uint32)) (ref uint32, isNew bool, err error) {
	h := w.head
	shard := h.index.Lock(id.h0)
	defer shard.Unlock()
	if ref, ok := h.find(id, w.stamp); ok {
		return ref, false, nil
	}
	if ref, err = w.take(tenant); err != nil {
		return NoRef, false, fmt.Errorf("active: register: %w", err)
	}
	if err := w.build(id, tenant, ref, canonical); err != nil {
		h.abandon(ref)
		return NoRef, false, fmt.Errorf("active: register: %w", err)
	}
	if announce != nil {
		announce(ref)
	}
	s := h.stripe(ref)
	s.mu.Lock()
	g := s.group(ref)
	g.reserved &^= bitOf(ref)
	g.used |= bitOf(ref)
	atomic.StoreUint32(&h.records.At(ref).life, w.stamp)
	s.mu.Unlock()
	h.series.Add(1)
	shard.Insert(id.h0, ref)
	return ref, true, nil
}

// RegisterAll registers the series of b that Resolve, of w or another resolver, did not find. failed is called for each one
// that can't be registered, with its place in the batch; its reference stays NoRef.
func (w *Writer) RegisterAll(b *metric.Batch, tenant uint32, refs []uint32, announce func(ref uint32, i int), failed func(i int, err error)) {
	w.rehash(b)
	prev := uint32(NoRef)
	at := 0
	var tell func(ref uint32)
	if announce != nil {
		tell = func(ref uint32) { announce(ref, at) }
	}
	for i, ref := range refs {
		if ref == NoRef {
			var err error
			at = i
			if ref, _, err = w.register(w.identity(b, tenant, i), tenant, b.Series[i].Labels, tell); err != nil {
				failed(i, err)
				continue
			}
			refs[i] = ref
		}
		w.head.follow(prev, ref)
		prev = ref
	}
}

// take returns a reference for a tenant.
func (w *Writer) take(tenant uint32) (ref uint32, err error) {
	r := w.lanes[tenant]
	if r == nil {
		r = &reserve{}
		w.lanes[tenant] = r
	}
	if len(r.lanes) == 0 {
		n := 1 // A tenant may be small.
		if r.filled {
			n = stripeGroups
		}
		if r.lanes, err = w.head.lane(tenant, n); err != nil {
			return NoRef, err
		}
	}
	l := &r.lanes[0]
	bit := bits.TrailingZeros64(l.free)
	ref = l.group*GroupSize + uint32(bit)
	if l.free &= l.free - 1; l.free == 0 {
		r.lanes = r.lanes[1:]
		r.filled = true
	}
	return ref, nil
}

// build makes everything of a series but what makes it one.
func (w *Writer) build(id identity, tenant, ref uint32, canonical []byte) error {
	h := w.head
	numbers, err := w.pairsOf(tenant, ref, canonical)
	if err != nil {
		return err
	}
	w.set = binary.AppendUvarint(w.set[:0], uint64(len(numbers)))
	for _, n := range numbers {
		w.set = binary.AppendUvarint(w.set, uint64(n))
	}
	set, err := h.sets.Put(w.set)
	if err != nil {
		return err
	}
	r := h.records.At(ref)
	r.State = chunk.State{Limit: h.firstLimit(ref)}
	r.frozen = 0
	atomic.StoreUint32(&r.labels, set)
	atomic.StoreUint32(&r.next, 0)
	atomic.StoreUint32(&r.told, 0)
	atomic.StoreUint64(&r.h0, id.h0)
	atomic.StoreUint64(&r.h1, id.h1)
	// At last: see selection.run.
	w.tenantNumber, err = w.add(w.tenantNumber, []byte(tenantPair), ref)
	return err
}

// firstLimit spreads the first flushes of groups over time; all members of a group are alike.
func (h *Head) firstLimit(ref uint32) uint8 {
	mixed := uint64(ref/GroupSize+1) * 0x9e3779b97f4a7c15 >> 33
	return uint8(1 + mixed%uint64(h.opts.ChunkSamples))
}

// pairsOf adds ref to the postings of its pairs, but for that of the tenant, and returns their numbers. Labels that are
// equal to those of the series before, at the same place, need no look-up.
func (w *Writer) pairsOf(tenant, ref uint32, canonical []byte) (numbers []uint32, err error) {
	if tenant != w.lastTenant {
		w.forget(tenant)
	}
	old := w.lastLabels
	numbers = w.lastNumbers
	count := 0
	for rest := canonical; len(rest) > 0; count++ {
		encoded, after, err := pairs.Split(rest)
		if err != nil {
			w.forget(tenant)
			return nil, err
		}
		whole := rest[:len(rest)-len(after)]
		rest = after
		known := uint32(index.Limit)
		if len(old) >= len(whole) && string(old[:len(whole)]) == string(whole) {
			known = numbers[count]
			old = old[len(whole):]
		} else if len(old) > 0 {
			_, old, _ = pairs.Split(old) // It was split before.
		}
		if known, err = w.add(known, encoded, ref); err != nil {
			w.forget(tenant)
			return nil, err
		}
		if count == len(numbers) {
			numbers = append(numbers, 0)
		}
		numbers[count] = known
	}
	w.lastLabels, w.lastNumbers = append(w.lastLabels[:0], canonical...), numbers[:count]
	return numbers[:count], nil
}

// forget drops what is known of the series that was registered last.
func (w *Writer) forget(tenant uint32) {
	w.lastLabels, w.lastNumbers = w.lastLabels[:0], w.lastNumbers[:0]
	w.lastTenant, w.tenantNumber = tenant, index.Limit
}

// add adds ref to a pair whose number may be known.
func (w *Writer) add(known uint32, encoded []byte, ref uint32) (number uint32, err error) {
	p := w.head.pairs
	if known != index.Limit {
		if ok, err := p.Postings().Add(known, ref); ok || err != nil {
			return known, err
		}
	}
	return p.Add(w.lastTenant, encoded, ref)
}

// abandon lets the next eviction take a reference out of the postings.
func (h *Head) abandon(ref uint32) {
	s := h.stripe(ref)
	s.mu.Lock()
	g := s.group(ref)
	g.reserved &^= bitOf(ref)
	g.dead |= bitOf(ref)
	s.mu.Unlock()
	h.evicted.mu.Lock()
	defer h.evicted.mu.Unlock()
	h.evicted.abandoned = append(h.evicted.abandoned, ref)
}
