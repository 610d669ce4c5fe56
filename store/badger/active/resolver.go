package active

import (
	"sync/atomic"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
)

// patience is how many series in a row may be elsewhere than predicted before the rest of a batch is looked up in stages.
const patience = 16

// A Resolver finds series by their labels. It serves one goroutine at a time; those of a head work side by side. It holds
// nothing of the head but between Begin and End, while its references may be used, also by a Writer.
type Resolver struct {
	head  *Head
	pin   epoch.Pin
	stamp uint32 // Of touched records; not 0.

	hashes []metric.Hash // If those of the batch are of another hasher.
	found  []uint32      // Candidates of a staged look-up.
}

// NewResolver returns a resolver.
func (h *Head) NewResolver() *Resolver { return &Resolver{head: h} }

// Begin makes references valid until End.
func (r *Resolver) Begin() {
	r.pin = r.head.epochs.Enter()
	r.stamp = uint32(r.pin) | 1
}

// End ends what Begin began.
func (r *Resolver) End() { r.head.epochs.Leave(r.pin) }

// Resolve sets refs, which are as many as the series of b, to those of a tenant's known series and to NoRef for others,
// whose number it returns. It keeps nothing of b.
func (r *Resolver) Resolve(b *metric.Batch, tenant uint32, refs []uint32) (unknown int) {
	h := r.head
	r.rehash(b)
	prev := uint32(NoRef)
	missed := 0
	for i := range b.Series {
		if missed >= patience {
			return unknown + r.resolveStaged(b, tenant, refs, i, prev)
		}
		id := r.identity(b, tenant, i)
		if prev != NoRef {
			if next := atomic.LoadUint32(&h.records.At(prev).next); next != 0 {
				if known := h.records.At(next - 1); known.is(id) && known.touch(r.stamp) {
					prev = next - 1
					refs[i] = prev
					missed = 0
					continue
				}
			}
		}
		missed++
		ref, ok := h.find(id, r.stamp)
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
func (r *Resolver) resolveStaged(b *metric.Batch, tenant uint32, refs []uint32, from int, prev uint32) (unknown int) {
	h := r.head
	r.found = r.found[:0]
	for i := from; i < len(b.Series); i++ {
		probe := h.index.Find(r.identity(b, tenant, i).h0)
		ref, ok := probe.Next()
		if !ok {
			ref = NoRef
		}
		r.found = append(r.found, ref)
	}
	for k, ref := range r.found {
		i := from + k
		refs[i] = ref
		if ref == NoRef {
			unknown++
			continue
		}
		id := r.identity(b, tenant, i)
		if known := h.records.At(ref); !known.is(id) || !known.touch(r.stamp) {
			var ok bool
			if ref, ok = h.find(id, r.stamp); !ok {
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

// follow notes which series came after another one.
func (h *Head) follow(prev, ref uint32) {
	if prev == NoRef {
		return
	}
	if p := &h.records.At(prev).next; atomic.LoadUint32(p) != ref+1 {
		atomic.StoreUint32(p, ref+1)
	}
}

func (r *Resolver) rehash(b *metric.Batch) {
	r.hashes = r.hashes[:0]
	if b.Hasher() == r.head.opts.Hasher {
		return
	}
	for i := range b.Series {
		r.hashes = append(r.hashes, r.head.opts.Hasher.Sum(b.Series[i].Labels))
	}
}

func (r *Resolver) identity(b *metric.Batch, tenant uint32, i int) identity {
	if len(r.hashes) > 0 {
		return identify(tenant, r.hashes[i])
	}
	return identify(tenant, b.Series[i].Hash)
}
