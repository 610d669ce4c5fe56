package active

import (
	"sync/atomic"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
)

// patience is how many series in a row may be elsewhere than predicted before the rest of a batch is looked up in stages.
const patience = 16

// A Writer finds, registers and appends. It serves one goroutine at a time; those of a head work side by side.
//
// A batch, or several, go between Begin and End: Resolve, Register for the series that are not known, then, when they
// are in the log, Append. References may be used until End.
type Writer struct {
	head  *Head
	pin   epoch.Pin
	stamp uint32 // Of touched records; not 0.

	hashes []metric.Hash // If those of the batch are of another hasher.
	found  []uint32      // Candidates of a staged look-up.

	lanes map[uint32]*reserve
	cache cache
	spill [chunk.Tail]byte
	bytes []byte

	lock     *stripe // Held by Append.
	lockedAt uint32

	// The newest series that was registered since Begin.
	lastTenant  uint32
	lastLabels  []byte
	lastNumbers []uint32
	// tenantNumber is the number of the tenant's own pair, or index.Limit.
	tenantNumber uint32
	set          []byte
}

// reserve is the references that a writer holds for a tenant.
type reserve struct {
	lanes  []lane
	filled bool // The first lane was used up: reserve more at a time.
}

// NewWriter returns a writer. Close it.
func (h *Head) NewWriter() *Writer {
	return &Writer{head: h, lanes: map[uint32]*reserve{}}
}

// Close gives back what w holds.
func (w *Writer) Close() {
	h := w.head
	h.blocks.giveBack(&w.cache)
	h.places.mu.Lock()
	defer h.places.mu.Unlock()
	for tenant, r := range w.lanes {
		h.places.lanes[tenant] = append(h.places.lanes[tenant], r.lanes...)
	}
	clear(w.lanes)
}

// Begin makes references valid until End.
func (w *Writer) Begin() {
	w.pin = w.head.epochs.Enter()
	w.stamp = uint32(w.pin) | 1
	w.forget(w.lastTenant) // The numbers may be of other pairs by now.
}

// End ends what Begin began.
func (w *Writer) End() { w.head.epochs.Leave(w.pin) }

// Resolve sets refs, which are as many as the series of b, to those of a tenant's known series and to NoRef for others,
// whose number it returns. It keeps nothing of b.
func (w *Writer) Resolve(b *metric.Batch, tenant uint32, refs []uint32) (unknown int) {
	h := w.head
	w.rehash(b)
	prev := uint32(NoRef)
	missed := 0
	for i := range b.Series {
		if missed >= patience {
			return unknown + w.resolveStaged(b, tenant, refs, i, prev)
		}
		id := w.identity(b, tenant, i)
		if prev != NoRef {
			if next := atomic.LoadUint32(&h.records.At(prev).next); next != 0 {
				if r := h.records.At(next - 1); r.is(id) && r.touch(w.stamp) {
					prev = next - 1
					refs[i] = prev
					missed = 0
					continue
				}
			}
		}
		missed++
		ref, ok := h.find(id, w.stamp)
		refs[i] = ref
		if !ok {
			unknown++
			continue
		}
		h.follow(prev, ref)
		prev = ref
	}
	return unknown
}

// resolveStaged is Resolve for the series from the given one. First all slots of the index are read, then all records: the
// loads of a stage do not depend on each other, so that their cache misses overlap.
func (w *Writer) resolveStaged(b *metric.Batch, tenant uint32, refs []uint32, from int, prev uint32) (unknown int) {
	h := w.head
	w.found = w.found[:0]
	for i := from; i < len(b.Series); i++ {
		probe := h.index.Find(w.identity(b, tenant, i).h0)
		ref, ok := probe.Next()
		if !ok {
			ref = NoRef
		}
		w.found = append(w.found, ref)
	}
	for k, ref := range w.found {
		i := from + k
		refs[i] = ref
		if ref == NoRef {
			unknown++
			continue
		}
		id := w.identity(b, tenant, i)
		if r := h.records.At(ref); !r.is(id) || !r.touch(w.stamp) {
			var ok bool
			if ref, ok = h.find(id, w.stamp); !ok {
				refs[i] = NoRef
				unknown++
				continue
			}
			refs[i] = ref
		}
		h.follow(prev, ref)
		prev = ref
	}
	return unknown
}

// Tell notes that the caller told somebody, a log for instance, who the series is, and reports whether nobody did since
// the given mark. Marks ascend. One writer of a head may tell at a time.
func (w *Writer) Tell(ref, mark uint32) (isNew bool) {
	told := &w.head.records.At(ref).told
	if atomic.LoadUint32(told) >= mark {
		return false
	}
	atomic.StoreUint32(told, mark)
	return true
}

// follow notes which series came after another one.
func (h *Head) follow(prev, ref uint32) {
	if prev == NoRef {
		return
	}
	if p := &h.records.At(prev).next; atomic.LoadUint32(p) != ref+1 {
		atomic.StoreUint32(p, ref+1)
	}
}

func (w *Writer) rehash(b *metric.Batch) {
	w.hashes = w.hashes[:0]
	if b.Hasher() == w.head.opts.Hasher {
		return
	}
	for i := range b.Series {
		w.hashes = append(w.hashes, w.head.opts.Hasher.Sum(b.Series[i].Labels))
	}
}

func (w *Writer) identity(b *metric.Batch, tenant uint32, i int) identity {
	if len(w.hashes) > 0 {
		return identify(tenant, w.hashes[i])
	}
	return identify(tenant, b.Series[i].Hash)
}
