// Package active is the memory of active series: who they are, and their samples until they are flushed.
//
// Nothing in it that grows with the number of series holds pointers. One head serves all tenants, whose series, label
// values and postings it keeps apart. Any number of writers and readers work at a time; flushing, eviction and deletion
// are for one goroutine each.
//
// A sample goes into the chunk of its series if it is a float and newer than what is there, and aside if not. A flush
// takes a group of 64 neighbouring series at a time: Freeze ends their chunks, Frozen gives the samples, Release drops
// them; in between they stay readable and newer samples begin new chunks. Of samples with equal timestamps that which
// arrived last is read.
package active

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
	"github.com/luminate-metrics/luminate/store/badger/active/index"
	"github.com/luminate-metrics/luminate/store/badger/active/pairs"
	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

// NoRef stands where there is no series.
const NoRef = math.MaxUint32

// ErrFull reports that the head holds as many series as it may.
var ErrFull = slab.ErrFull

// Options configure a head. The zero value is usable but for the hasher.
type Options struct {
	// Hasher identifies series. Batches of another one are hashed anew.
	Hasher metric.Hasher
	// MaxSeries is the number of series that there may be, those among them that wait for Recycle; 0 means 64 Mi.
	// Only what is used takes memory.
	MaxSeries int
	// ChunkSamples is the number of samples in an open chunk, at most 255, at which its group is due for a flush; 0
	// means 120.
	ChunkSamples int
	// GroupBlocks is the number of blocks of 64 bytes in the open chunks of a group at which it is due; 0 means 192.
	GroupBlocks int
	// InGoHeap keeps everything in the Go heap, where the race detector sees it.
	InGoHeap bool
}

func (o *Options) setDefaults() {
	if o.MaxSeries == 0 {
		o.MaxSeries = 1 << 26
	}
	if o.ChunkSamples == 0 {
		o.ChunkSamples = 120
	}
	if o.GroupBlocks == 0 {
		o.GroupBlocks = 3 * GroupSize
	}
}

// A Head is the memory of active series.
type Head struct {
	opts   Options
	mem    *slab.Memory
	epochs *epoch.Epochs
	index  *index.Index
	pairs  *pairs.Pairs

	records *slab.Slab[record]
	starts  *slab.Slab[int64] // Current start timestamps, by reference; only touched where there are any.
	sets    *slab.Arena       // Label sets: number of pairs, their numbers.
	blocks  blocks
	stripes atomic.Pointer[[]*stripe]
	matched matchCache

	asideBytes atomic.Int64
	series     atomic.Int64

	places places

	flushMu sync.Mutex // Of Freeze, Release and Delete.
	spare   cache      // Blocks for them.

	maintenance sync.Mutex // Of Evict and Recycle.
	evicted     evicted
}

// New returns an empty head. Close it.
func New(opts Options) *Head {
	opts.setDefaults()
	mem := slab.NewMemory(opts.InGoHeap)
	epochs := epoch.New()
	segments := func(n uint64, bits uint) int { return int((min(n, 1<<32) + 1<<bits - 1) >> bits) }
	most := (uint64(opts.MaxSeries) + GroupSize - 1) / GroupSize * GroupSize
	h := &Head{
		opts: opts, mem: mem, epochs: epochs, index: index.New(),
		pairs:   pairs.New(mem, epochs, opts.Hasher.Sum([]byte("pairs")).Lo),
		records: slab.New[record](mem, recordBits, segments(most, recordBits)),
		starts:  slab.New[int64](mem, recordBits, segments(most, recordBits)),
		sets:    slab.NewArena(mem),
		blocks:  blocks{slab: slab.New[block](mem, blockBits, segments(most*16, blockBits)), next: 1},
		places:  places{most: uint32(min(most, index.Limit) / GroupSize), lanes: map[uint32][]lane{}},
	}
	h.stripes.Store(&[]*stripe{})
	return h
}

// Close gives the memory back. Nobody may use h any more.
func (h *Head) Close() error { return h.mem.Close() }

// InGoHeap reports that memory lies in the Go heap, as the options want it or because the system refused to map it.
func (h *Head) InGoHeap() bool { return h.opts.InGoHeap || h.mem.Refused() }

// Series is the number of series.
func (h *Head) Series() int64 { return h.series.Load() }

// An identity is the hash of a tenant and labels.
type identity struct{ h0, h1 uint64 }

// identify mixes a tenant into the hash of labels.
func identify(tenant uint32, hash metric.Hash) identity {
	t := (uint64(tenant) + 1) * 0x9e3779b97f4a7c15
	return identity{hash.Hi ^ t, hash.Lo ^ (t>>32|t<<32)*0xbf58476d1ce4e5b9}
}

// find returns the series with an identity.
func (h *Head) find(id identity, stamp uint32) (ref uint32, ok bool) {
	probe := h.index.Find(id.h0)
	for {
		ref, ok = probe.Next()
		if !ok {
			return NoRef, false
		}
		if r := h.records.At(ref); r.is(id) && r.touch(stamp) {
			return ref, true
		}
	}
}

func (h *Head) stripe(ref uint32) *stripe { return (*h.stripes.Load())[stripeOf(ref)] }

// A lane is references of one group that one writer may give to series of its tenant.
type lane struct {
	group uint32
	free  uint64
}

// places hands out lanes.
type places struct {
	mu     sync.Mutex
	most   uint32            // Groups.
	groups uint32            // Groups that were ever begun.
	lanes  map[uint32][]lane // By tenant: given back, or holes.
	empty  []uint32          // Groups that nobody has any more.
}

// lane returns n neighbouring new groups, or one with room for a tenant.
func (h *Head) lane(tenant uint32, n int) ([]lane, error) {
	p := &h.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if list := p.lanes[tenant]; len(list) > 0 {
		l := list[len(list)-1]
		if p.lanes[tenant] = list[:len(list)-1]; len(list) == 1 {
			delete(p.lanes, tenant)
		}
		return []lane{l}, nil
	}
	if k := len(p.empty); k > 0 {
		g := p.empty[k-1]
		p.empty = p.empty[:k-1]
		return []lane{h.begin(g, tenant)}, nil
	}
	var out []lane
	for range n {
		if p.groups == p.most {
			break
		}
		end := (uint64(p.groups) + 1) * GroupSize
		if err := errors.Join(h.records.Grow(end), h.starts.Grow(end)); err != nil {
			return nil, err
		}
		if p.groups%stripeGroups == 0 {
			list := append(*h.stripes.Load(), &stripe{}) // Readers of the shorter list do not see the new element.
			h.stripes.Store(&list)
		}
		out = append(out, h.begin(p.groups, tenant))
		p.groups++
	}
	if len(out) == 0 {
		return nil, ErrFull
	}
	return out, nil
}

// begin makes a group without series that of a tenant.
func (h *Head) begin(g, tenant uint32) lane {
	s := h.stripe(g * GroupSize)
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.group(g * GroupSize) = group{tenant: tenant, reserved: math.MaxUint64, min: math.MaxInt64, frozenMin: math.MaxInt64}
	return lane{g, math.MaxUint64}
}

// Groups is the number of groups that there are; they are numbered from 0.
func (h *Head) Groups() uint32 {
	h.places.mu.Lock()
	defer h.places.mu.Unlock()
	return h.places.groups
}
