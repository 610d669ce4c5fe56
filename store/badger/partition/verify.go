package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition/index"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Damage is something in a partition that can't be read, or is missing.
type Damage struct {
	Tenant tenancy.ID // "" if it is not one tenant's.
	What   string
	Lost   string
}

// Counts is what Verify has read. Chunks are values with samples: row groups, and chunks of histograms.
type Counts struct{ Series, Chunks, Samples uint64 }

// Verify reads every entry and all tables, checks all checksums and counts, and calls found for each damage. It calls
// read with the number of bytes it has read since the last call, and ends with its error. The error is about what kept
// it from reading on.
func (p *Partition) Verify(ctx context.Context, read func(bytes int) error, found func(Damage)) (Counts, error) {
	txn := p.db.NewTransaction(false)
	defer txn.Discard()
	v := verification{p: p, ctx: ctx, txn: txn, found: found}
	err := v.run(ctx, read)
	if err == nil {
		err = v.tables(p.db)
	}
	if err != nil {
		err = fmt.Errorf("partition: verify %s: %w", p.dir, err)
	}
	return v.seen, err
}

// verification is the state of a Verify.
type verification struct {
	p     *Partition
	ctx   context.Context
	txn   *badgerdb.Txn
	found func(Damage)
	info  Info
	seen  Counts
	now   counted
	read  bool // Whether all data were.
	rows  rowgroup.Reader
}

// counted is the group whose values are being read; their keys stand behind that of its census.
type counted struct {
	prefix []byte
	tenant tenancy.ID
	group  uint32
	census *census // nil if there is none that can be read.
	rows   uint64
	chunks uint64
}

// String says which series the group has.
func (c *counted) String() string {
	return fmt.Sprintf("series %d to %d", idAt(c.group, 0), idAt(c.group, rowgroup.MaxMembers-1))
}

func (v *verification) damage(tenant tenancy.ID, lost, format string, args ...any) {
	v.found(Damage{tenant, fmt.Sprintf(format, args...), lost})
}

func (v *verification) run(ctx context.Context, read func(int) error) error {
	value, err := get(v.txn, []byte{kindInfo})
	if err != nil {
		return err
	}
	if value != nil {
		if v.info, err = decodeInfo(value); err != nil {
			if errors.Is(err, ErrVersion) {
				return err
			}
			v.damage("", "nothing, but what is missing can't be told", "the entry about the partition: %v", err)
		}
	}
	it := v.txn.NewIterator(badgerdb.IteratorOptions{})
	defer it.Close()
	n := 0
	for it.Rewind(); it.Valid(); it.Next() {
		if n++; n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		item := it.Item()
		size := 0
		err := item.Value(func(value []byte) error {
			size = len(item.Key()) + len(value)
			return v.entry(item.Key(), value)
		})
		if err == nil {
			err = read(size)
		}
		if err != nil {
			return err
		}
	}
	if err := v.leaveData(); err != nil {
		return err
	}
	if v.seen.Series < v.info.Series || v.seen.Chunks < v.info.Chunks {
		v.damage("", "the difference", "%d series and %d chunks are there, %d series and %d chunks were written", v.seen.Series, v.seen.Chunks, v.info.Series, v.info.Chunks)
	}
	return ctx.Err()
}

// entry checks one entry. They come in the order of their kinds: d, i, t, x.
func (v *verification) entry(key, value []byte) error {
	kind, rest := key[0], key[1:]
	if kind != kindData {
		if err := v.leaveData(); err != nil {
			return err
		}
	}
	if kind == kindInfo {
		return nil
	}
	if len(rest) < 1 || len(rest) <= int(rest[0]) {
		v.damage("", "the entry", "a key of kind %q has no tenant", kind)
		return nil
	}
	tenant, rest := tenancy.ID(rest[1:1+rest[0]]), rest[1+rest[0]:]
	switch kind {
	case kindData:
		return v.data(tenant, key, rest, value)
	case kindTenant:
		return v.tenant(tenant, value)
	case kindIndex: // Those that an entry of a tenant names are read with it.
	default:
		v.damage(tenant, "the entry", "a key of the unknown kind %q", kind)
	}
	return nil
}

func (v *verification) data(tenant tenancy.ID, key, rest, value []byte) error {
	if len(rest) <= groupBytes {
		v.damage(tenant, "the samples of the entry", "a key of samples")
		return nil
	}
	group, rest := binary.BigEndian.Uint32(rest), rest[groupBytes:]
	prefix := key[:len(key)-len(rest)]
	if !bytes.Equal(prefix, v.now.prefix) {
		if err := v.endGroup(); err != nil {
			return err
		}
		v.now = counted{prefix: bytes.Clone(prefix), tenant: tenant, group: group}
	}
	if rest[0] == dataCensus && len(rest) == 1 {
		var err error
		if v.now.census, err = decodeCensus(value); err != nil {
			v.now.census = nil
			v.damage(tenant, "these series", "the census of %s: %v", &v.now, err)
		}
		return nil
	}
	p, ok := placeIn(rest)
	if !ok {
		v.damage(tenant, "the samples of the entry", "%s: the key of samples", &v.now)
		return nil
	}
	v.seen.Chunks++
	if p.kind == dataChunk {
		v.chunk(p, value)
	} else {
		v.row(p, value)
	}
	return nil
}

func (v *verification) chunk(p place, value []byte) {
	c := &v.now
	c.chunks++
	id := idAt(c.group, p.member)
	run, err := decodeChunk(value)
	if err == nil && len(run) > 0 {
		err = c.holds(p.member, store.Range{Min: run[0].Timestamp, Max: run[len(run)-1].Timestamp})
	}
	if err != nil {
		v.damage(c.tenant, c.span(1<<p.member, math.MinInt64), "series %d: a chunk of flush %d: %v", id, p.sequence, err)
	}
	v.seen.Samples += uint64(len(run))
}

func (v *verification) row(p place, value []byte) {
	c := &v.now
	c.rows++
	samples, err := v.decode(p, value)
	if err != nil {
		v.damage(c.tenant, c.span(math.MaxUint64, p.first), "%s: a row group of flush %d: %v", c, p.sequence, err)
	}
	v.seen.Samples += samples
}

// decode decodes all of a row group.
func (v *verification) decode(p place, value []byte) (samples uint64, err error) {
	if err := v.rows.Open(value); err != nil {
		return 0, err
	}
	if first, _ := v.rows.Bounds(); first != p.first {
		return 0, fmt.Errorf("it begins at %d ms, its key says %d ms", first, p.first)
	}
	for v.rows.Select(math.MaxUint64); v.rows.Next(); {
		member, column := v.rows.At()
		ts := column.Timestamps
		samples += uint64(len(ts))
		if held := v.now.holds(member, store.Range{Min: ts[0], Max: ts[len(ts)-1]}); err == nil {
			err = held
		}
	}
	return samples, err
}

// holds returns an error if the census does not know of samples: nobody would read them.
func (c *counted) holds(member int, in store.Range) error {
	switch {
	case c.census == nil: // That was told, or will be.
	case c.census.members>>member&1 == 0:
		return fmt.Errorf("the census does not know series %d", idAt(c.group, member))
	case in.Min < c.census.ranges[member].Min, in.Max > c.census.ranges[member].Max:
		return fmt.Errorf("the census does not know all samples of series %d", idAt(c.group, member))
	}
	return nil
}

// span says which samples from a time on a value of some of the group's members may have held.
func (c *counted) span(members uint64, from int64) string {
	if c.census == nil {
		return "samples"
	}
	in := store.Range{Min: math.MaxInt64, Max: math.MinInt64}
	n := 0
	for set := members & c.census.members; set != 0; set &= set - 1 {
		r := c.census.ranges[bits.TrailingZeros64(set)]
		in.Min, in.Max = min(in.Min, r.Min), max(in.Max, r.Max)
		n++
	}
	if in.Min = max(in.Min, from); in.Min > in.Max {
		return "samples"
	}
	return fmt.Sprintf("samples of up to %d series of the time from %d to %d ms", n, in.Min, in.Max)
}

// leaveData checks the last group, when all data were read.
func (v *verification) leaveData() error {
	if v.read {
		return nil
	}
	err := v.endGroup()
	v.read, v.now = true, counted{}
	return err
}

// endGroup checks what is known when all values of a group were read.
func (v *verification) endGroup() error {
	c := &v.now
	if c.prefix == nil {
		return nil
	}
	if c.census == nil {
		value, err := get(v.txn, censusKey(c.tenant, c.group))
		if err == nil && value == nil { // A damaged one was told already.
			v.damage(c.tenant, fmt.Sprintf("%d row groups and %d chunks", c.rows, c.chunks), "%s have samples and no census", c)
		}
		return err
	}
	if c.rows < c.census.rows || c.chunks < c.census.chunks {
		v.damage(c.tenant, c.span(math.MaxUint64, math.MinInt64), "%s: %d row groups and %d chunks are there, %d and %d were written",
			c, c.rows, c.chunks, c.census.rows, c.census.chunks)
	}
	return nil
}

// tenant checks the series of a tenant. All samples were read before.
func (v *verification) tenant(tenant tenancy.ID, value []byte) error {
	entry, err := decodeTenant(value)
	if err != nil {
		v.damage(tenant, "all series", "what is known about the tenant: %v", err)
		return nil
	}
	for _, s := range entry.segments {
		if err := v.segment(tenant, s); err != nil {
			return err
		}
	}
	return v.ctx.Err()
}

func (v *verification) segment(tenant tenancy.ID, s segmentOf) error {
	lost := fmt.Sprintf("%d series", s.series)
	segment, err := v.p.segment(v.txn, tenant, s)
	if err == nil {
		err = segment.Verify(v.ctx)
	}
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, index.ErrVersion) {
		v.damage(tenant, lost, "the index of the series from %d on that came with flush %d: %v", s.first, s.sequence, err)
		return nil
	} else if err != nil {
		return err
	}
	v.seen.Series += uint64(s.series)
	var c *census
	for i := range s.series {
		id := ID(s.first + i)
		if i == 0 || id.member() == 0 {
			value, err := get(v.txn, censusKey(tenant, id.group()))
			if err != nil {
				return err
			}
			if value == nil {
				v.damage(tenant, "the series", "series %d to %d have no census", id, idAt(id.group(), rowgroup.MaxMembers-1))
			}
			if c, err = decodeCensus(value); err != nil {
				c = nil // A damaged one was told with the samples.
			}
		}
		if c != nil && c.members>>id.member()&1 == 0 {
			v.damage(tenant, "the series", "series %d is not in the census", id)
		}
	}
	return nil
}

// tables checks the checksums of Badger's tables: not all entries have one of their own.
func (v *verification) tables(db *badgerdb.DB) (err error) {
	defer func() {
		if r := recover(); r != nil { // Badger does so on some damaged tables.
			v.damage("", "some of its entries", "its tables: %v", r)
		}
	}()
	if err := db.VerifyChecksum(); err != nil {
		v.damage("", "some of its entries", "its tables: %v", err)
	}
	return nil
}

// corruptOnly makes every panic of f corruption.
func corruptOnly(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", store.ErrCorrupt, r)
		}
	}()
	return f()
}
