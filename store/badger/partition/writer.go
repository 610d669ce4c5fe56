package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// entryOverhead is what Badger counts for an entry beside key and value, in bytes, from above.
const entryOverhead = 64

// A Writer writes one flush into a partition. It is for one goroutine.
type Writer struct {
	p        *Partition
	sequence uint64
	info     Info // When the flush is complete.
	complete uint64

	snapshot *badgerdb.Txn // The partition as it was before.
	txn      *badgerdb.Txn // What is not committed yet.
	size     int64
	count    int64

	tenant  tenancy.ID
	series  uint64 // Series of tenant.
	counted bool   // Whether series is not written yet.

	known   map[string]struct{} // Index keys of this flush that need not be written again.
	scanned bool                // Whether ids and next are known.
	ids     map[identity]member // All series of tenant.
	next    uint64              // The id of the next new series.

	batches   map[uint32]*batch // What waits for the other series of its group.
	spare     []*batch
	unwritten map[ID]unwritten
	cutter    cutter
	scratch   rowgroup.Column

	pending []pair
	waiting int    // Bytes of samples in pending.
	fresh   uint64 // New series in pending.
}

type pair struct{ key, value []byte }

// member is where a series is; part of an index that was not complete if the flush of that sequence was not.
type member struct {
	id      ID
	partial bool
}

// unwritten is a series that is not in the index yet, and if it is new nowhere.
type unwritten struct {
	isNew     bool
	canonical []byte
}

// NewWriter starts a flush. Sequences ascend: where two flushes hold the same timestamp of a series, the later one wins.
// The caller must call Finish or Discard.
func (p *Partition) NewWriter(sequence uint64) (*Writer, error) {
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	return &Writer{
		p: p, sequence: sequence, info: info, complete: info.Sequence,
		snapshot: p.db.NewTransaction(false), txn: p.db.NewTransaction(true), known: map[string]struct{}{},
		ids: map[identity]member{}, batches: map[uint32]*batch{}, unwritten: map[ID]unwritten{},
	}, nil
}

// Series takes the samples of a series: Resolve and Add in one.
func (w *Writer) Series(ctx context.Context, tenant tenancy.ID, ls labels.Labels, run series.Run) error {
	if len(run) == 0 {
		return nil
	}
	id, err := w.Resolve(ctx, tenant, metric.EncodeLabels(nil, ls))
	if err != nil {
		return err
	}
	floats, histograms := divide(run)
	w.scratch = fill(w.scratch, floats)
	return w.Add(ctx, tenant, id, w.scratch, histograms)
}

// Resolve returns the id of the series of a tenant that has the given canonical labels. A series that the partition does
// not know gets an id, in the order of calls; it is there only once Add brought samples for it, and the id is void if the
// flush is discarded. Tenants come one after the other. The labels are copied.
func (w *Writer) Resolve(ctx context.Context, tenant tenancy.ID, canonical []byte) (ID, error) {
	if err := w.startTenant(tenant); err != nil {
		return 0, err
	}
	if err := w.scanSeries(ctx); err != nil {
		return 0, err
	}
	identity := identityOf(canonical)
	m, ok := w.ids[identity]
	switch {
	case ok && m.partial:
		w.unwritten[m.id] = unwritten{canonical: bytes.Clone(canonical)}
	case ok:
	case w.next > maxID:
		return 0, fmt.Errorf("partition: write %s: tenant %s has %d series, which is all that a partition has room for", w.p.dir, w.tenant, w.next)
	default:
		m.id = ID(w.next)
		w.next++
		w.ids[identity] = m
		w.unwritten[m.id] = unwritten{true, bytes.Clone(canonical)}
	}
	return m.id, nil
}

// Add takes the samples of a series in time order: floats, and histograms in a run. Their memory is the caller's again
// when Add returns. The id is one that Resolve gave, in this flush or one that was finished. Each series is added once in
// a flush, and tenants one after the other; it is cheapest with all series of a group in a row.
func (w *Writer) Add(ctx context.Context, tenant tenancy.ID, id ID, floats rowgroup.Column, histograms series.Run) error {
	if len(floats.Timestamps) == 0 && len(histograms) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.startTenant(tenant); err != nil {
		return err
	}
	b := w.batches[id.group()]
	if b == nil {
		b = w.newBatch()
		w.batches[id.group()] = b
	}
	if b.arrived>>id.member()&1 > 0 {
		return fmt.Errorf("partition: write %s: series %d of tenant %s was added already", w.p.dir, id, tenant)
	}
	b.add(id.member(), floats, histograms)
	if b.arrived != math.MaxUint64 {
		return nil
	}
	delete(w.batches, id.group())
	return w.writeGroup(id.group(), b)
}

func (w *Writer) newBatch() *batch {
	n := len(w.spare)
	if n == 0 {
		return new(batch)
	}
	b := w.spare[n-1]
	w.spare = w.spare[:n-1]
	return b
}

func (w *Writer) startTenant(tenant tenancy.ID) error {
	if tenant == w.tenant {
		return nil
	}
	if err := w.endTenant(); err != nil {
		return err
	}
	w.tenant, w.series, w.next, w.scanned = tenant, 0, 0, false
	clear(w.known)
	clear(w.ids)
	clear(w.unwritten)
	value, err := get(w.snapshot, tenantKey(kindTenant, tenant))
	if value != nil && err == nil {
		w.series, err = decodeCount(value)
	}
	if err != nil {
		return w.failed(err)
	}
	return nil
}

// scanSeries reads the labels of all series of the tenant, unless it has.
func (w *Writer) scanSeries(ctx context.Context) error {
	if w.scanned {
		return nil
	}
	seen := uint64(0)
	err := scan(ctx, w.snapshot, tenantKey(kindSeries, w.tenant), func(rest, value []byte) error {
		id, ok := idIn(rest)
		if !ok {
			return fmt.Errorf("%w: series key", store.ErrCorrupt)
		}
		first, canonical, err := decodeSeries(value)
		if err != nil {
			return err
		}
		seen++
		w.next = uint64(id) + 1
		w.ids[identityOf(canonical)] = member{id, first > w.complete}
		return nil
	})
	if err == nil && seen != w.series {
		// An id that is given twice would lose what the first owner has.
		err = fmt.Errorf("%w: %d series are there, %d were written", store.ErrCorrupt, seen, w.series)
	}
	if err != nil {
		return w.failed(err)
	}
	w.scanned = true
	return nil
}

func (w *Writer) failed(err error) error {
	return fmt.Errorf("partition: write %s: tenant %s: %w", w.p.dir, w.tenant, err)
}

// endTenant writes the groups of the tenant that are not full, and how many series it has.
func (w *Writer) endTenant() error {
	for _, group := range slices.Sorted(maps.Keys(w.batches)) {
		if err := w.writeGroup(group, w.batches[group]); err != nil {
			return err
		}
		delete(w.batches, group)
	}
	return w.settle()
}

// settle writes how many series the tenant has.
func (w *Writer) settle() error {
	if !w.counted {
		return nil
	}
	w.counted = false
	if err := w.txn.Set(tenantKey(kindTenant, w.tenant), encodeCount(w.series)); err != nil {
		return fmt.Errorf("partition: write %s: %w", w.p.dir, err)
	}
	w.count++
	w.size += entryOverhead * 3
	return nil
}

func (w *Writer) census(group uint32) (*census, error) {
	value, err := get(w.snapshot, censusKey(w.tenant, group))
	if value == nil || err != nil {
		return new(census), err
	}
	c, err := decodeCensus(value)
	if err != nil {
		return nil, w.failed(err)
	}
	return c, nil
}

// index makes the series findable.
func (w *Writer) index(id ID, canonical []byte) error {
	key := binary.BigEndian.AppendUint32(nil, uint32(id))
	it := metric.Labels(canonical)
	for it.Next() {
		name, value := string(it.Name()), string(it.Value())
		if w.once(nameKey(w.tenant, name)) {
			w.add(nameKey(w.tenant, name), textValue(name))
		}
		if pair := pairKey(kindValue, w.tenant, name, value); w.once(pair) {
			w.add(pair, textValue(value))
		}
		w.add(append(pairKey(kindPostings, w.tenant, name, value), key...), nil)
	}
	if it.Err() != nil {
		return fmt.Errorf("partition: write %s: series %d: %w", w.p.dir, id, it.Err())
	}
	// A label set may be too large for one transaction, and nothing needs it to be in one.
	list := w.pending
	for i := range list {
		w.pending = list[i : i+1]
		if err := w.unit(); err != nil {
			return err
		}
	}
	w.pending = list[:0]
	return nil
}

func (w *Writer) once(key []byte) bool {
	if _, ok := w.known[string(key)]; ok {
		return false
	}
	w.known[string(key)] = struct{}{}
	return true
}

func (w *Writer) add(key, value []byte) { w.pending = append(w.pending, pair{key, value}) }

// unit writes what is pending in one transaction, which may hold more.
func (w *Writer) unit() error {
	size := int64(0)
	for _, e := range w.pending {
		size += int64(len(e.key) + len(e.value) + entryOverhead)
	}
	n := int64(len(w.pending))
	// Room is left for the count of a tenant's series.
	if w.count > 0 && (w.size+size+1024 >= w.p.db.MaxBatchSize() || w.count+n+4 >= w.p.db.MaxBatchCount()) {
		if err := w.commit(); err != nil {
			return err
		}
	}
	for _, e := range w.pending {
		if err := w.txn.Set(e.key, e.value); err != nil {
			return fmt.Errorf("partition: write %s: %w", w.p.dir, err)
		}
	}
	w.size, w.count, w.pending = w.size+size, w.count+n, w.pending[:0]
	return nil
}

func (w *Writer) commit() error {
	if err := w.settle(); err != nil {
		return err
	}
	if err := w.txn.Commit(); err != nil {
		return fmt.Errorf("partition: write %s: %w", w.p.dir, err)
	}
	w.txn, w.size, w.count = w.p.db.NewTransaction(true), 0, 0
	return nil
}

// Finish makes the flush complete and durable and returns what the partition holds now.
func (w *Writer) Finish() (Info, error) {
	defer w.Discard()
	if err := w.endTenant(); err != nil {
		return Info{}, err
	}
	w.info.Sequence = w.sequence
	w.add([]byte{kindInfo}, w.info.encode())
	if err := w.unit(); err != nil {
		return Info{}, err
	}
	if err := w.commit(); err != nil {
		return Info{}, err
	}
	return w.info, nil
}

// Discard ends a flush that was not finished. What it wrote may stay: a later flush of the same samples is right all
// the same.
func (w *Writer) Discard() {
	w.txn.Discard()
	w.snapshot.Discard()
}
