package active

import (
	"sync/atomic"

	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
)

// A Writer finds, registers and appends. It serves one goroutine at a time; those of a head work side by side.
//
// A batch, or several, go between Begin and End: Resolve, Register for the series that are not known, then, when they
// are in the log, Append. References may be used until End.
type Writer struct {
	Resolver

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
	return &Writer{Resolver: Resolver{head: h}, lanes: map[uint32]*reserve{}}
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
	w.Resolver.Begin()
	w.forget(w.lastTenant) // The numbers may be of other pairs by now.
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
