package badger

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/tenancy"
)

// memory is the samples that are not in partitions yet, and what tells which of them the log must keep.
type memory struct {
	head    *active.Head
	tenants tenants
	windows windows

	samples  atomic.Int64 // That came in and are not published, those that were sent again among them.
	appended sync.Pool    // Of *appending.

	// writer and generation are the committer's.
	writer     *active.Writer
	generation uint64 // Of references in the log, and the mark of samples in the head: at least 2.

	spans []span // Of the log, the oldest first. Under maintenance.
}

// A span is a part of the log: records that refer to one generation.
type span struct {
	generation uint64
	segment    int
	first      uint64 // Its first record.
}

func newMemory(opts *Options) *memory {
	m := &memory{head: active.New(active.Options{Hasher: opts.Hasher, InGoHeap: opts.hooks.inGoHeap})}
	m.writer = m.head.NewWriter()
	m.tenants.numbers = map[tenancy.ID]uint32{}
	w := &window{}
	m.windows.head, m.windows.oldest, m.windows.newest = m.head, w, w
	return m
}

func (m *memory) close() error {
	m.writer.Close()
	return m.head.Close()
}

// replayed is the mark of samples that were in the log when it was opened.
const replayed = 1

// mark is what the samples of now are marked with in the head.
func (m *memory) mark() uint32 { return uint32(m.generation) }

// needed is the part of the log from which on it holds samples that are in memory only, if everything that is frozen is
// in partitions.
func (m *memory) needed() span {
	oldest, ok := m.head.OldestMark()
	at := len(m.spans) - 1
	for ok && at > 0 && uint32(m.spans[at].generation) > oldest {
		at--
	}
	return m.spans[at]
}

// forget drops the spans before the given one.
func (m *memory) forget(before span) {
	m.spans = slices.DeleteFunc(m.spans, func(s span) bool { return s.generation < before.generation })
}

// tenants numbers tenants, as the head knows them. Numbers are given once.
type tenants struct {
	mu      sync.RWMutex
	numbers map[tenancy.ID]uint32
	ids     []tenancy.ID
}

// number returns the number of a tenant; ok is false if it never had any.
func (t *tenants) number(id tenancy.ID) (n uint32, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, ok = t.numbers[id]
	return n, ok
}

// add returns the number of a tenant, which may be new.
func (t *tenants) add(id tenancy.ID) uint32 {
	if n, ok := t.number(id); ok {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := uint32(len(t.ids))
	t.numbers[id] = n
	t.ids = append(t.ids, id)
	return n
}

// list returns all tenants by number.
func (t *tenants) list() []tenancy.ID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clip(t.ids)
}

// byTenant sorts groups by the names of tenants, for partitions take one after the other.
func (m *memory) byTenant(groups []uint32) []group {
	ids := m.tenants.list()
	out := make([]group, len(groups))
	for i, g := range groups {
		out[i] = group{g, ids[m.head.Tenant(g*active.GroupSize)]}
	}
	slices.SortFunc(out, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.number, b.number))
	})
	return out
}

// A group is a group of series in the head.
type group struct {
	number uint32
	tenant tenancy.ID
}

// windows keeps what was moved into partitions in memory as long as there are readers who do not know these partitions.
type windows struct {
	head *active.Head

	mu             sync.Mutex
	oldest, newest *window
}

// A window is the readers that began between two flushes.
type window struct {
	readers int
	groups  []uint32 // That the flush at its end published.
	next    *window
}

// enter begins a reader; leave ends it.
func (w *windows) enter() *window {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest.readers++
	return w.newest
}

func (w *windows) leave(of *window) {
	w.mu.Lock()
	of.readers--
	w.mu.Unlock()
	w.release()
}

// publish ends the window: readers who come from now on see the groups in partitions.
func (w *windows) publish(groups []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest.groups, w.newest.next = groups, &window{}
	w.newest = w.newest.next
}

// release drops from memory what nobody looks for there any more.
func (w *windows) release() {
	var gone []uint32
	w.mu.Lock()
	for w.oldest != w.newest && w.oldest.readers == 0 {
		gone = append(gone, w.oldest.groups...)
		w.oldest = w.oldest.next
	}
	w.mu.Unlock()
	for _, g := range gone {
		w.head.Release(g)
	}
}
