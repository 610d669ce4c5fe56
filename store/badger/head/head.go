// Package head is the samples that are not in a partition yet: all series of a generation in memory, by hash, by
// reference and by label.
//
// One goroutine writes, any number read. A generation ends when it is moved into partitions; references to series are
// valid within it.
package head

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Head is one generation.
type Head struct {
	hasher     metric.Hasher
	generation uint64

	samples atomic.Int64
	series  atomic.Int64

	refs uint64 // How many references were given. For the writer only.

	mu      sync.RWMutex // Guards tenants; a Tenant has its own.
	tenants map[tenancy.ID]*Tenant
}

// New returns an empty head whose series are identified by hasher.
func New(hasher metric.Hasher, generation uint64) *Head {
	return &Head{hasher: hasher, generation: generation, tenants: map[tenancy.ID]*Tenant{}}
}

// Generation is the number of the generation.
func (h *Head) Generation() uint64 { return h.generation }

// Continue makes h another generation in which no series has a reference yet. For the writer only, after a replay.
func (h *Head) Continue(generation uint64) { h.generation, h.refs = generation, 0 }

// Samples is the number of samples in h, counting those that replaced others.
func (h *Head) Samples() int64 { return h.samples.Load() }

// Series is the number of series that were registered.
func (h *Head) Series() int64 { return h.series.Load() }

// Tenant returns a tenant's part of h, or nil if there is none.
func (h *Head) Tenant(id tenancy.ID) *Tenant {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.tenants[id]
}

// Tenants lists the tenants that ever had a series in h, in ascending order.
func (h *Head) Tenants() []tenancy.ID {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]tenancy.ID, 0, len(h.tenants))
	for id := range h.tenants {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Writable returns a tenant's part of h, which is new if there is none yet. For the writer only.
func (h *Head) Writable(id tenancy.ID) *Tenant {
	if t := h.Tenant(id); t != nil {
		return t
	}
	t := &Tenant{head: h, id: id, byHash: map[metric.Hash]*Series{}, postings: map[string]map[string][]uint32{}}
	h.mu.Lock()
	h.tenants[id] = t
	h.mu.Unlock()
	return t
}

// Expire removes all samples before the given time. For the writer only.
func (h *Head) Expire(before int64) {
	if before == math.MinInt64 {
		return
	}
	for _, id := range h.Tenants() {
		h.Tenant(id).Delete(store.Range{Min: math.MinInt64, Max: before - 1}, store.Selection{})
	}
}

// A Series is one series of a head.
type Series struct {
	ref    uint64 // 0 if none was given yet. For the writer only.
	labels labels.Labels
	entry  entry
}

// Labels returns the labels of s.
func (s *Series) Labels() labels.Labels { return s.labels }

// Reference returns the reference of s within the generation; isNew says that it was given just now. For the writer only.
func (h *Head) Reference(s *Series) (ref uint64, isNew bool) {
	if s.ref == 0 {
		h.refs++
		s.ref = h.refs
		return s.ref, true
	}
	return s.ref, false
}

// entry is the samples of a series.
type entry struct {
	mu   sync.Mutex
	run  series.Run      // Only grown at its end; else replaced, for readers hold parts of it.
	late []series.Sample // Out of order, as they arrived.
}

func (e *entry) append(arrived []series.Sample) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range arrived {
		if n := len(e.run); n == 0 || e.run[n-1].Timestamp < arrived[i].Timestamp {
			e.run = append(e.run, arrived[i])
		} else {
			e.late = append(e.late, arrived[i])
		}
	}
}

// snapshot returns the samples, which do not change any more.
func (e *entry) snapshot() series.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.late) > 0 {
		e.run = series.Merge(e.run, series.Sort(e.late))
		e.late = nil
	}
	return e.run
}

func (e *entry) delete(r store.Range) {
	run := e.snapshot()
	if len(run.Between(r)) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.run = run.Without(r)
}
