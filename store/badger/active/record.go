package active

import (
	"sync"
	"sync/atomic"

	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
)

const (
	// GroupSize is the number of series of a group: those that one row group on disk is for. The group of a reference
	// is reference/GroupSize.
	GroupSize = 64

	stripeBits   = 8
	stripeGroups = 1 << stripeBits / GroupSize

	recordBits = 15 // Records of a segment: 4 MiB.
	blockBits  = 16 // Blocks of a segment: 4 MiB.
)

// Flags of a record.
const (
	hasLate   = 1 << 0 // The stripe holds samples of the series aside that are not frozen.
	hasStarts = 1 << 1 // The open chunk has a current start timestamp, in Head.starts.
)

// A record is one series: two cache lines without pointers. Identity, labels, next and life are read and written
// atomically without a lock, the rest is guarded by the stripe.
type record struct {
	h0, h1 uint64
	chunk.State
	labels uint32           // Where the numbers of its pairs are, in Head.sets.
	next   uint32           // The series that followed this one last time in a request, and one more.
	life   uint32           // Epoch in which a writer found the series last; 0 if there is no series.
	frozen uint32           // Newest block of the chunk that is being flushed; 0 if there is none.
	tail   [chunk.Tail]byte // Newest bytes of the open chunk.
	told   uint32           // Largest mark with which the series was told; see Writer.Tell. Atomic as well.
}

func (r *record) is(id identity) bool {
	return atomic.LoadUint64(&r.h0) == id.h0 && atomic.LoadUint64(&r.h1) == id.h1
}

// touch notes that a writer found the series, which then cannot be evicted before the writer's pin ends. It fails if the
// series was evicted.
func (r *record) touch(stamp uint32) bool {
	for {
		life := atomic.LoadUint32(&r.life)
		switch {
		case life == stamp:
			return true
		case life == 0:
			return false
		case int32(life-stamp) > 0 || atomic.CompareAndSwapUint32(&r.life, life, stamp):
			return true
		}
	}
}

func (r *record) alive() bool { return atomic.LoadUint32(&r.life) != 0 }

// A late is a sample that is not in the chunk: out of order, or a histogram.
type late struct {
	timestamp, start int64
	value            float64
	histogram        string // Encoded; empty if the sample is a float.
}

// lateBytes is what a late takes besides its histogram.
const lateBytes = 48

// aside is the samples of one series that are not in its chunks, in the order of their arrival. They are later than those
// of the chunk of equal age.
type aside struct {
	open   []late // Only grown at its end, for readers hold it.
	max    int64  // The newest timestamp in open.
	frozen []late
}

// A group is what neighbouring references have in common. A reference has at most one of the bits.
type group struct {
	tenant   uint32
	used     uint64 // Series.
	reserved uint64 // In a lane of a writer.
	dead     uint64 // Evicted, and not to be used again yet.

	mark, frozenMark uint32 // Of the oldest sample that is not flushed; 0 if there is none.
	published        bool   // What is frozen can be read elsewhere as well.
	min, frozenMin   int64  // Not after any sample of the same age.
	frozenMax        int64  // Not before any sample that is frozen.
	blocks           uint16 // Blocks of open chunks.
}

// A stripe is the lock of neighbouring groups and what does not fit into records.
type stripe struct {
	mu     sync.Mutex
	due    atomic.Uint32 // Bits of groups that should be flushed.
	groups [stripeGroups]group
	aside  map[uint32]*aside
	// shelves is what was frozen before the frozen chunks, by group, the oldest first.
	shelves map[uint32][]*shelf
}

func stripeOf(ref uint32) uint32 { return ref >> stripeBits }

func (s *stripe) group(ref uint32) *group { return &s.groups[ref/GroupSize%stripeGroups] }

func (s *stripe) setDue(ref uint32) {
	if bit := uint32(1) << (ref / GroupSize % stripeGroups); s.due.Load()&bit == 0 {
		s.due.Or(bit)
	}
}

func bitOf(ref uint32) uint64 { return 1 << (ref % GroupSize) }
