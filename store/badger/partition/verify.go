package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Damage is something in a partition that can't be read, or is missing.
type Damage struct {
	Tenant tenancy.ID // "" if it is not one tenant's.
	What   string
	Lost   string
}

// Counts is what Verify has read.
type Counts struct{ Series, Chunks, Samples uint64 }

// Verify reads every entry and all tables, checks all checksums and counts, and calls found for each damage. It calls
// read with the number of bytes it has read since the last call, and ends with its error. The error is about what kept
// it from reading on.
func (p *Partition) Verify(ctx context.Context, read func(bytes int) error, found func(Damage)) (Counts, error) {
	txn := p.db.NewTransaction(false)
	defer txn.Discard()
	v := verification{txn: txn, found: found, tenants: map[tenancy.ID]uint64{}}
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
	txn     *badgerdb.Txn
	found   func(Damage)
	info    Info
	seen    Counts
	tenants map[tenancy.ID]uint64 // How many series each has.
	now     counted
}

// counted is the series whose chunks are being read; their keys stand behind that of its census.
type counted struct {
	prefix []byte
	tenant tenancy.ID
	id     ID
	census census
	known  bool // Whether there is a census that can be read.
	chunks uint64
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
	if err := v.endSeries(); err != nil {
		return err
	}
	if v.seen.Series < v.info.Series || v.seen.Chunks < v.info.Chunks {
		v.damage("", "the difference", "%d series and %d chunks are there, %d series and %d chunks were written", v.seen.Series, v.seen.Chunks, v.info.Series, v.info.Chunks)
	}
	return ctx.Err()
}

// entry checks one entry. They come in the order of their kinds: d, i, n, p, s, t, v.
func (v *verification) entry(key, value []byte) error {
	kind, rest := key[0], key[1:]
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
	case kindSeries:
		return v.series(tenant, rest, value)
	case kindTenant:
		v.count(tenant, value)
	case kindName:
		if _, ok := textIn(rest, value); !ok {
			v.damage(tenant, "a label name in lists of names", "a label name in the index")
		}
	case kindValue, kindPostings: // That none is missing is seen from the series.
	default:
		v.damage(tenant, "the entry", "a key of the unknown kind %q", kind)
	}
	return nil
}

func (v *verification) data(tenant tenancy.ID, key, rest, value []byte) error {
	if len(rest) <= len(ID{}) {
		v.damage(tenant, "the samples of the entry", "a key of samples")
		return nil
	}
	id, rest := ID(rest), rest[len(ID{}):]
	prefix := key[:len(key)-len(rest)]
	if !bytes.Equal(prefix, v.now.prefix) {
		if err := v.endSeries(); err != nil {
			return err
		}
		v.now = counted{prefix: bytes.Clone(prefix), tenant: tenant, id: id}
	}
	if rest[0] == dataCensus && len(rest) == 1 {
		var err error
		if v.now.census, err = decodeCensus(value); err != nil {
			v.damage(tenant, "the series", "the census of series %x: %v", id, err)
			return nil
		}
		v.now.known = true
		return nil
	}
	sequence, ok := chunkSequence(rest)
	if !ok {
		v.damage(tenant, "the samples of the entry", "series %x: the key of a chunk", id)
		return nil
	}
	v.now.chunks++
	v.seen.Chunks++
	run, err := decodeChunk(value)
	if err != nil {
		v.damage(tenant, v.now.span(), "series %x: a chunk of flush %d: %v", id, sequence, err)
	}
	v.seen.Samples += uint64(len(run))
	return nil
}

// span says which samples a damaged chunk may have held.
func (c *counted) span() string {
	if !c.known {
		return "a chunk of samples"
	}
	return fmt.Sprintf("a chunk of the series' %d samples of the time from %d to %d ms", c.census.samples, c.census.min, c.census.max)
}

// endSeries checks what is known when all chunks of a series were read.
func (v *verification) endSeries() error {
	c := &v.now
	if c.prefix == nil {
		return nil
	}
	switch {
	case !c.known && c.chunks > 0:
		value, err := get(v.txn, censusKey(c.tenant, c.id))
		if err != nil {
			return err
		}
		if value == nil { // A damaged one was told already.
			v.damage(c.tenant, fmt.Sprintf("%d chunks", c.chunks), "series %x has chunks and no census", c.id)
		}
	case c.chunks < c.census.chunks:
		v.damage(c.tenant, fmt.Sprintf("%d chunks of samples of the time from %d to %d ms", c.census.chunks-c.chunks, c.census.min, c.census.max),
			"series %x: %d chunks are there, %d were written", c.id, c.chunks, c.census.chunks)
	}
	value, err := get(v.txn, seriesKey(kindSeries, c.tenant, c.id))
	if err == nil && value == nil {
		v.damage(c.tenant, fmt.Sprintf("a series with %d chunks", c.chunks), "series %x has chunks and no labels", c.id)
	}
	return err
}

func (v *verification) series(tenant tenancy.ID, rest, value []byte) error {
	if len(rest) != len(ID{}) {
		v.damage(tenant, "a series", "the key of a series")
		return nil
	}
	id := ID(rest)
	v.seen.Series++
	v.tenants[tenant]++
	canonical, err := unseal(value)
	var ls labels.Labels
	if err == nil {
		ls, err = metric.DecodeLabels(canonical)
	}
	if err == nil && IDOf(canonical) != id {
		err = errors.New("they are those of another series")
	}
	if err != nil {
		v.damage(tenant, "the series", "the labels of series %x: %v", id, err)
		return nil
	}
	value, err = get(v.txn, censusKey(tenant, id))
	if err != nil {
		return err
	}
	if value == nil {
		v.damage(tenant, "the series", "series %s has no census", ls)
		return nil
	}
	// A damaged census was told already, and an interrupted flush will be done again.
	if c, err := decodeCensus(value); err == nil && c.first <= v.info.Sequence {
		return v.indexed(tenant, id, ls)
	}
	return nil
}

// indexed checks that a series can be found by each of its labels.
func (v *verification) indexed(tenant tenancy.ID, id ID, ls labels.Labels) error {
	return ls.Validate(func(l labels.Label) error {
		for _, key := range [...][]byte{
			nameKey(tenant, l.Name), pairKey(kindValue, tenant, l.Name, l.Value),
			append(pairKey(kindPostings, tenant, l.Name, l.Value), id[:]...),
		} {
			value, err := get(v.txn, key)
			if err != nil {
				return err
			}
			if value == nil {
				v.damage(tenant, "the series, for queries by this label", "series %s is not in the index under %s=%q", ls, l.Name, l.Value)
				break
			}
		}
		return nil
	})
}

// count checks how many series a tenant has. All were read before.
func (v *verification) count(tenant tenancy.ID, value []byte) {
	n, err := decodeCount(value)
	switch {
	case err != nil:
		v.damage(tenant, "nothing, but missing series can't be told", "the number of series: %v", err)
	case v.tenants[tenant] < n:
		v.damage(tenant, fmt.Sprintf("%d series", n-v.tenants[tenant]), "%d series are there, %d were written", v.tenants[tenant], n)
	}
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
