// Package pairs is the interned (label name, label value) pairs of all tenants, each with a number and its postings.
//
// A pair belongs to one tenant: neither numbers nor values nor postings are shared between tenants.
package pairs

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
	"github.com/luminate-metrics/luminate/store/badger/active/index"
	"github.com/luminate-metrics/luminate/store/badger/active/postings"
	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

// ErrMalformed reports bytes that are no label.
var ErrMalformed = errors.New("pairs: malformed label encoding")

// Segments of the arrays by number.
const numberBits, numberSegments = 18, 1 << 13

// A Column is the pairs of one tenant and one label name.
type Column struct {
	Tenant uint32
	Name   string

	number  uint32
	newest  atomic.Uint32 // Number of the newest pair and one more: the start of a chain.
	values  atomic.Int64
	bytes   atomic.Int64
	changes atomic.Uint64 // How often pairs were taken out of the chain.
}

// Values is the number of pairs.
func (c *Column) Values() int64 { return c.values.Load() }

// Bytes is the length of all values.
func (c *Column) Bytes() int64 { return c.bytes.Load() }

// State tells two moments of a column apart: pairs were taken out in between if changes differs, and pairs were added
// if newest does.
func (c *Column) State() (newest uint32, changes uint64) {
	changes = c.changes.Load()
	return c.newest.Load(), changes
}

type columnKey struct {
	tenant uint32
	name   string
}

// Pairs is the table. Whoever calls its methods holds a pin of the epochs.
type Pairs struct {
	seed   uint64
	epochs *epoch.Epochs
	index  *index.Index
	post   *postings.Postings
	values *slab.Arena        // Of each pair: number of the column, length, value.
	offset *slab.Slab[uint32] // By number: into values.
	next   *slab.Slab[uint32] // By number: the pair of the same column before, and one more.

	mu      sync.RWMutex // Guards what follows and, against other writers, the beginnings of chains.
	count   uint32
	free    []uint32
	retired epoch.Queue[uint32]
	columns map[columnKey]*Column
	tenants map[uint32][]*Column

	list atomic.Pointer[[]*Column] // By number.
}

// New returns an empty table. The seed must not be known to those who choose labels.
func New(mem *slab.Memory, epochs *epoch.Epochs, seed uint64) *Pairs {
	p := &Pairs{
		seed: seed, epochs: epochs, index: index.New(), post: postings.New(mem, epochs), values: slab.NewArena(mem),
		offset:  slab.New[uint32](mem, numberBits, numberSegments),
		next:    slab.New[uint32](mem, numberBits, numberSegments),
		columns: map[columnKey]*Column{}, tenants: map[uint32][]*Column{},
	}
	p.list.Store(&[]*Column{})
	return p
}

// Postings returns the postings by number.
func (p *Pairs) Postings() *postings.Postings { return p.post }

// Split splits the first label off canonical labels. encoded is the part that identifies it.
func Split(labels []byte) (encoded, rest []byte, err error) {
	if len(labels) < 2 {
		return nil, nil, ErrMalformed
	}
	n, w := uint64(labels[1]), 1
	if n >= 0x80 {
		n, w = binary.Uvarint(labels[1:])
	}
	if labels[0] != 0x0a || w <= 0 || n > uint64(len(labels)-1-w) {
		return nil, nil, ErrMalformed
	}
	return labels[1+w : 1+w+int(n)], labels[1+w+int(n):], nil
}

// parse splits an encoded label into its parts.
func parse(encoded []byte) (name, value []byte, err error) {
	if len(encoded) == 0 || encoded[0] != 0x0a {
		return nil, nil, ErrMalformed
	}
	n, w := binary.Uvarint(encoded[1:])
	if w <= 0 || n > uint64(len(encoded)-1-w) {
		return nil, nil, ErrMalformed
	}
	name, encoded = encoded[1+w:1+w+int(n)], encoded[1+w+int(n):]
	if len(encoded) == 0 || encoded[0] != 0x12 {
		return nil, nil, ErrMalformed
	}
	n, w = binary.Uvarint(encoded[1:])
	if w <= 0 || n != uint64(len(encoded)-1-w) {
		return nil, nil, ErrMalformed
	}
	return name, encoded[1+w:], nil
}

func (p *Pairs) hash(tenant uint32, encoded []byte) uint64 {
	return xxh3.HashSeed(encoded, p.seed^uint64(tenant)*0x9e3779b97f4a7c15)
}

// Add gives a pair another reference and returns its number. The pair is encoded as Split returns it.
func (p *Pairs) Add(tenant uint32, encoded []byte, ref uint32) (number uint32, err error) {
	name, value, err := parse(encoded)
	if err != nil {
		return 0, err
	}
	hash := p.hash(tenant, encoded)
	for {
		number, ok := p.find(tenant, name, value, hash)
		if !ok {
			if number, err = p.create(tenant, name, value, hash); err != nil {
				return 0, err
			}
		}
		// Between the look-up and here the pair may have died with its last series.
		if ok, err = p.post.Add(number, ref); ok || err != nil {
			return number, err
		}
	}
}

// Lookup returns the number of a pair.
func (p *Pairs) Lookup(tenant uint32, name, value string) (number uint32, ok bool) {
	var buf [256]byte
	encoded, _, err := Split(metric.AppendLabel(buf[:0], name, value))
	if err != nil {
		return 0, false
	}
	return p.find(tenant, []byte(name), []byte(value), p.hash(tenant, encoded))
}

func (p *Pairs) find(tenant uint32, name, value []byte, hash uint64) (number uint32, ok bool) {
	probe := p.index.Find(hash)
	for {
		number, ok = probe.Next()
		if !ok {
			return 0, false
		}
		c, v := p.Pair(number)
		if c.Tenant == tenant && string(v) == string(value) && c.Name == string(name) && !p.post.Dead(number) {
			return number, true
		}
	}
}

func (p *Pairs) create(tenant uint32, name, value []byte, hash uint64) (number uint32, err error) {
	shard := p.index.Lock(hash)
	defer shard.Unlock()
	if number, ok := p.find(tenant, name, value, hash); ok {
		return number, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.column(tenant, name)
	number, err = p.take()
	if err != nil {
		return 0, err
	}
	var buf [128]byte
	b := binary.AppendUvarint(buf[:0], uint64(c.number))
	b = binary.AppendUvarint(b, uint64(len(value)))
	at, err := p.values.Put(append(b, value...))
	if err != nil {
		p.free = append(p.free, number)
		return 0, err
	}
	atomic.StoreUint32(p.offset.At(number), at)
	p.post.Revive(number)
	atomic.StoreUint32(p.next.At(number), c.newest.Load())
	c.newest.Store(number + 1)
	c.values.Add(1)
	c.bytes.Add(int64(len(value)))
	shard.Insert(hash, number)
	return number, nil
}

// take returns a number that is not used.
func (p *Pairs) take() (number uint32, err error) {
	if n := len(p.free); n > 0 {
		number = p.free[n-1]
		p.free = p.free[:n-1]
		return number, nil
	}
	if p.count == index.Limit {
		return 0, slab.ErrFull
	}
	n := uint64(p.count) + 1
	if err := errors.Join(p.offset.Grow(n), p.next.Grow(n), p.post.Grow(n)); err != nil {
		return 0, err
	}
	p.count++
	return p.count - 1, nil
}

func (p *Pairs) column(tenant uint32, name []byte) *Column {
	c := p.columns[columnKey{tenant, string(name)}]
	if c != nil {
		return c
	}
	list := *p.list.Load()
	c = &Column{Tenant: tenant, Name: string(name), number: uint32(len(list))}
	list = append(list, c) // Readers of the shorter list do not see the new element.
	p.list.Store(&list)
	p.columns[columnKey{tenant, c.Name}] = c
	p.tenants[tenant] = append(p.tenants[tenant], c)
	return c
}

// Column returns the pairs of one label name, or nil if there never was one.
func (p *Pairs) Column(tenant uint32, name string) *Column {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.columns[columnKey{tenant, name}]
}

// Columns returns the columns of a tenant in no order. Some may be without pairs.
func (p *Pairs) Columns(tenant uint32) []*Column {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Clip(p.tenants[tenant])
}

// Pair returns the parts of a pair. The value lives as long as the caller's pin.
func (p *Pairs) Pair(number uint32) (c *Column, value []byte) {
	at := atomic.LoadUint32(p.offset.At(number))
	head := p.values.After(at)
	column, n, w := header(head)
	return (*p.list.Load())[column], head[w : w+n : w+n]
}

// header reads what stands before a value.
func header(b []byte) (column uint64, length, width int) {
	if b[0] < 0x80 && b[1] < 0x80 {
		return uint64(b[0]), int(b[1]), 2
	}
	column, w := binary.Uvarint(b)
	n, v := binary.Uvarint(b[w:])
	return column, int(n), w + v
}

// Each calls f with all pairs of a column from the newest to the given one, which is left out; 0 means to the first. If f
// returns false it is not called again.
func (p *Pairs) Each(c *Column, newest, until uint32, f func(number uint32, value []byte) bool) {
	for at := newest; at != 0 && at != until; at = atomic.LoadUint32(p.next.At(at - 1)) {
		if _, value := p.Pair(at - 1); !f(at-1, value) {
			return
		}
	}
}

// Memory is the bytes that the parts of the table take.
type Memory struct {
	Pairs         int
	Strings, Free int64 // Values; of those what can be used again.
	Index, Arrays int64
	Runs, Bitmaps int64
	BitmapCount   int
}

// Memory counts.
func (p *Pairs) Memory() Memory {
	var m Memory
	m.Pairs, m.Index = p.index.Size()
	m.Strings, m.Free = p.values.Size()
	p.mu.RLock()
	m.Arrays = int64(p.count) * 16 // Offset, next and the entry of the postings.
	p.mu.RUnlock()
	m.Runs, m.Bitmaps, m.BitmapCount = p.post.Size()
	return m
}

// limit is the number of numbers that were ever given.
func (p *Pairs) limit() uint32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return min(p.count, math.MaxUint32)
}
