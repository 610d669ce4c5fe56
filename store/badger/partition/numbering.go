package partition

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition/index"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A segment ends after so many series or different labels, which a writer holds in memory until then.
const (
	mostSeries = 1 << 18
	mostPairs  = 1 << 20

	sealedTimes = 4 // In a sealed partition a segment is so many times larger.
)

// errFull reports a tenant that has as many series as ids.
var errFull = errors.New("a partition has no room for more series of a tenant")

// identity stands for the labels of a series: the first half of the SHA-256 of their canonical form.
type identity [16]byte

// hash is what index.HashOf returns for the same labels.
func (i identity) hash() uint32 { return binary.LittleEndian.Uint32(i[:]) }

// numbering gives ids to the series of a tenant.
type numbering struct {
	p       *Partition
	txn     *badgerdb.Txn
	tenant  tenancy.ID
	entry   tenantEntry
	changed bool // Whether entry is not written yet.
	sealing bool // Whether each series comes once, and is new.

	from    uint64          // The first id of this flush.
	fresh   map[identity]ID // Series of this flush.
	waiting []uint64        // Bit i: no samples came for the i-th of them yet.
	builder *index.Builder  // Those of them that are in no segment yet.
	ended   []segmentOf     // Segments of this flush.

	old *known // Series of earlier flushes; nil if nobody asked for them.
}

// known finds the series of earlier flushes.
type known struct {
	segments []*index.Segment // As in the entry of the tenant.
	ids      map[uint32]ID    // By hash.
	more     map[uint32][]ID  // Others of a hash.
	buffer   []byte
}

// start makes n the numbering of a tenant.
func (n *numbering) start(p *Partition, txn *badgerdb.Txn, tenant tenancy.ID) error {
	entry, err := readTenant(txn, tenant)
	if err != nil {
		return err
	}
	if n.fresh == nil {
		n.fresh = map[identity]ID{}
	}
	clear(n.fresh)
	if n.builder != nil {
		n.builder.Reset()
	}
	n.p, n.txn, n.tenant, n.entry, n.changed = p, txn, tenant, entry, false
	n.old, n.waiting, n.ended = nil, n.waiting[:0], n.ended[:0]
	if entry.next > entry.end() {
		// An interrupted flush left samples under these ids. What comes now is to have other groups.
		n.entry.next = (entry.next + rowgroup.MaxMembers - 1) / rowgroup.MaxMembers * rowgroup.MaxMembers
	}
	n.from = n.entry.next
	return nil
}

// resolve returns the id of a series, which may be new.
func (n *numbering) resolve(ctx context.Context, canonical []byte) (ID, error) {
	if n.sealing {
		return n.give(canonical, 0)
	}
	sum := sha256.Sum256(canonical)
	who := identity(sum[:len(identity{})])
	if id, ok := n.fresh[who]; ok {
		return id, nil
	}
	if len(n.entry.segments) > 0 {
		if id, ok, err := n.find(ctx, who, canonical); ok || err != nil {
			return id, err
		}
	}
	id, err := n.give(canonical, who.hash())
	if err == nil {
		n.fresh[who] = id
	}
	return id, err
}

// give gives an id to a new series.
func (n *numbering) give(canonical []byte, hash uint32) (ID, error) {
	if n.entry.next > maxID {
		return 0, errFull
	}
	if n.builder == nil {
		var err error
		if n.builder, err = index.NewBuilder(n.options()); err != nil {
			return 0, err
		}
	}
	if err := n.builder.Add(canonical, hash); err != nil {
		return 0, err
	}
	id := ID(n.entry.next)
	if i := n.entry.next - n.from; i%64 == 0 {
		n.waiting = append(n.waiting, 1)
	} else {
		n.waiting[i/64] |= 1 << (i % 64)
	}
	n.entry.next++
	n.changed = true
	return id, nil
}

// options says what segments are for: those of a sealed partition are hardly ever asked for a series by its labels.
func (n *numbering) options() index.Options {
	return index.Options{Hashes: !n.sealing, Smaller: n.sealing}
}

// find returns the id of a series of an earlier flush.
func (n *numbering) find(ctx context.Context, who identity, canonical []byte) (ID, bool, error) {
	if n.old == nil {
		if err := n.lookUp(ctx); err != nil {
			return 0, false, err
		}
	}
	k := n.old
	id, ok := k.ids[who.hash()]
	for i := 0; ok; i++ {
		at := n.entry.segment(id)
		var err error
		if k.buffer, err = k.segments[at].AppendCanonical(k.buffer[:0], uint32(id)-n.entry.segments[at].first); err != nil {
			return 0, false, err
		}
		if string(k.buffer) == string(canonical) {
			return id, true, nil
		}
		others := k.more[who.hash()]
		if ok = i < len(others); ok {
			id = others[i]
		}
	}
	return 0, false, nil
}

// lookUp reads the hashes of all series.
func (n *numbering) lookUp(ctx context.Context) error {
	k := &known{ids: make(map[uint32]ID, n.entry.series()), more: map[uint32][]ID{}}
	for _, s := range n.entry.segments {
		segment, err := n.p.segment(n.txn, n.tenant, s)
		if err != nil {
			return err
		}
		k.segments = append(k.segments, segment)
		add := func(i, hash uint32) {
			if _, ok := k.ids[hash]; ok {
				k.more[hash] = append(k.more[hash], ID(s.first+i))
				return
			}
			k.ids[hash] = ID(s.first + i)
		}
		if segment.Hashes() {
			err = segment.Hashed(add)
		}
		for i := uint32(0); !segment.Hashes() && i < s.series && err == nil; i++ {
			if k.buffer, err = segment.AppendCanonical(k.buffer[:0], i); err == nil {
				add(i, index.HashOf(k.buffer))
			}
			if i%1024 == 0 && err == nil {
				err = ctx.Err()
			}
		}
		if err != nil {
			return err
		}
	}
	n.old = k
	return nil
}

// knows reports whether a series has the id.
func (n *numbering) knows(id ID) bool {
	return uint64(id) >= n.from && uint64(id) < n.entry.next || n.entry.segment(id) >= 0
}

// added says that there are samples of a series.
func (n *numbering) added(id ID) {
	if i := uint64(id) - n.from; uint64(id) >= n.from {
		n.waiting[i/64] &^= 1 << (i % 64)
	}
}

// idle returns the series of this flush for which no samples came.
func (n *numbering) idle() (ids []ID) {
	for i := range n.entry.next - n.from {
		if n.waiting[i/64]>>(i%64)&1 > 0 {
			ids = append(ids, ID(n.from+i))
		}
	}
	return ids
}

// full reports whether a segment should end.
func (n *numbering) full() bool {
	if n.builder == nil {
		return false
	}
	times := 1
	if n.sealing {
		times = sealedTimes
	}
	return n.builder.Len() >= times*mostSeries || n.builder.Pairs() >= times*mostPairs
}

// endSegment gives the pages of a segment with the series that are in none yet to emit.
func (n *numbering) endSegment(sequence uint64, emit func(key, value []byte) error) error {
	if n.builder == nil || n.builder.Len() == 0 {
		return nil
	}
	series := n.builder.Len()
	s := segmentOf{uint32(n.entry.next - uint64(series)), uint32(series), sequence}
	if err := n.builder.Build(segmentKey(n.tenant, s.first), emit); err != nil {
		return err
	}
	n.builder.Reset()
	n.ended = append(n.ended, s)
	return nil
}

// publish adds the segments of this flush to the entry of the tenant and returns how many series they have.
func (n *numbering) publish() (series uint64) {
	for _, s := range n.ended {
		series += uint64(s.series)
	}
	n.changed = n.changed || series > 0
	n.entry.segments = append(n.entry.segments, n.ended...)
	n.ended = n.ended[:0]
	return series
}

// room is how many bytes the entry of the tenant takes at most in a transaction, the info entry with it.
func (n *numbering) room() int64 {
	return int64(1024 + 20*(len(n.entry.segments)+len(n.ended)))
}

// segment opens a segment of a tenant, for one goroutine.
func (p *Partition) segment(txn *badgerdb.Txn, tenant tenancy.ID, s segmentOf) (*index.Segment, error) {
	d, err := p.directory(txn, tenant, s)
	if err != nil {
		return nil, err
	}
	return index.NewSegment(d, fetchFrom(txn), p.decoder), nil
}

// directory reads the head of a segment.
func (p *Partition) directory(txn *badgerdb.Txn, tenant tenancy.ID, s segmentOf) (*index.Directory, error) {
	d, err := index.OpenDirectory(segmentKey(tenant, s.first), fetchFrom(txn), p.decoder)
	if err != nil {
		return nil, fmt.Errorf("index of %d series from %d on: %w", s.series, s.first, err)
	}
	if d.Series() != int(s.series) {
		return nil, fmt.Errorf("%w: an index has %d series instead of %d", store.ErrCorrupt, d.Series(), s.series)
	}
	return d, nil
}
