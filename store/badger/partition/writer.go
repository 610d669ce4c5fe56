package partition

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// entryOverhead is what Badger counts for an entry beside key and value, in bytes, from above.
const entryOverhead = 64

// mostBuffered is how many bytes of samples wait for the other members of their groups.
const mostBuffered = 8 << 20

// A Writer writes one flush into a partition. It is for one goroutine.
type Writer struct {
	p        *Partition
	sequence uint64
	info     Info // When the flush is complete.

	snapshot *badgerdb.Txn // The partition as it was before.
	txn      *badgerdb.Txn // What is not committed yet.
	size     int64
	count    int64

	tenant tenancy.ID
	ids    numbering // Of tenant.

	batches  map[uint32]*batch // What waits for the other series of its group.
	order    []uint32          // Groups in the order in which they came into batches; some are written already.
	buffered int               // Bytes of samples in batches,
	most     int               // of which there may be so many.
	begun    map[uint32]begun  // Groups of the tenant of which a part is written.
	spare    []*batch
	cutter   cutter
	scratch  rowgroup.Column

	pending []pair
	waiting int // Bytes of samples in pending.
}

type pair struct{ key, value []byte }

// begun is a group of which a flush wrote some members, and may have to write others.
type begun struct {
	census []byte
	parts  uint8
}

// NewWriter starts a flush. Sequences ascend: where two flushes hold the same timestamp of a series, the later one wins.
// The caller must call Finish or Discard.
func (p *Partition) NewWriter(sequence uint64) (*Writer, error) {
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	return &Writer{
		p: p, sequence: sequence, info: info, snapshot: p.db.NewTransaction(false), txn: p.db.NewTransaction(true),
		batches: map[uint32]*batch{}, most: mostBuffered, begun: map[uint32]begun{},
	}, nil
}

// NewSealer is NewWriter for an empty partition that is to stay as it is: the caller brings each series once, in one call of
// Resolve and one of Add. What it writes is as small as may be. Later flushes are possible.
func (p *Partition) NewSealer(sequence uint64) (*Writer, error) {
	w, err := p.NewWriter(sequence)
	if err == nil {
		w.ids.sealing = true
	}
	return w, err
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
// not know gets an id, in the order of calls; the id is void if the flush is discarded. Tenants come one after the other.
// The labels are copied.
func (w *Writer) Resolve(ctx context.Context, tenant tenancy.ID, canonical []byte) (ID, error) {
	if err := w.startTenant(tenant); err != nil {
		return 0, err
	}
	id, err := w.ids.resolve(ctx, canonical)
	if err == nil && w.ids.full() {
		err = w.endSegment()
	}
	if err != nil {
		return 0, w.failed(err)
	}
	return id, nil
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
	b, err := w.batchFor(id)
	if err != nil {
		return err
	}
	before := b.bytes()
	b.add(id.member(), floats, histograms)
	w.buffered += b.bytes() - before
	if b.arrived == math.MaxUint64 {
		return w.writeGroup(id.group(), b)
	}
	for w.buffered > w.most && len(w.batches) > 1 {
		if err := w.writeOldest(); err != nil {
			return err
		}
	}
	return nil
}

// batchFor returns the batch that takes a series, which must not have been added yet.
func (w *Writer) batchFor(id ID) (*batch, error) {
	if !w.ids.knows(id) {
		return nil, w.failed(fmt.Errorf("series %d was never resolved", id))
	}
	b := w.batches[id.group()]
	if b == nil {
		if n := len(w.spare); n > 0 {
			b, w.spare = w.spare[n-1], w.spare[:n-1]
		} else {
			b = new(batch)
		}
		w.batches[id.group()] = b
		w.order = append(w.order, id.group())
	}
	if b.arrived>>id.member()&1 > 0 {
		return nil, w.failed(fmt.Errorf("series %d was added already", id))
	}
	w.ids.added(id)
	return b, nil
}

// writeOldest writes what is there of the group that has waited for the longest time.
func (w *Writer) writeOldest() error {
	group := w.order[0]
	w.order = w.order[1:]
	b := w.batches[group]
	if b == nil {
		return nil
	}
	return w.writeGroup(group, b)
}

func (w *Writer) startTenant(tenant tenancy.ID) error {
	if tenant == w.tenant {
		return nil
	}
	if err := w.endTenant(); err != nil {
		return err
	}
	w.tenant = tenant
	clear(w.begun)
	if err := w.ids.start(w.p, w.snapshot, tenant); err != nil {
		return w.failed(err)
	}
	return nil
}

func (w *Writer) failed(err error) error {
	return fmt.Errorf("partition: write %s: tenant %s: %w", w.p.dir, w.tenant, err)
}

// endTenant writes the groups of the tenant that are not full, and what new series it has.
func (w *Writer) endTenant() error {
	if w.tenant == "" {
		return nil
	}
	// A series in the index is in a census, so that one that is missing there is a damage.
	for _, id := range w.ids.idle() {
		b, err := w.batchFor(id)
		if err != nil {
			return err
		}
		b.arrived |= 1 << id.member()
	}
	w.order = w.order[:0]
	for _, group := range slices.Sorted(maps.Keys(w.batches)) {
		if err := w.writeGroup(group, w.batches[group]); err != nil {
			return err
		}
	}
	if err := w.endSegment(); err != nil {
		return err
	}
	w.info.Series += w.ids.publish()
	return w.settle()
}

// endSegment writes the index of new series. Nobody reads it before the tenant's entry names it.
func (w *Writer) endSegment() error {
	return w.ids.endSegment(w.sequence, func(key, value []byte) error {
		w.add(key, value)
		return w.unit()
	})
}

// settle writes the entry of the tenant, before or with any samples of new series.
func (w *Writer) settle() error {
	if !w.ids.changed {
		return nil
	}
	w.ids.changed = false
	value := w.ids.entry.encode()
	if err := w.txn.Set(tenantKey(kindTenant, w.tenant), value); err != nil {
		return fmt.Errorf("partition: write %s: %w", w.p.dir, err)
	}
	w.count++
	w.size += int64(entryOverhead*3 + len(value))
	return nil
}

func (w *Writer) census(group uint32) (*census, error) {
	value := w.begun[group].census
	if value == nil {
		var err error
		if value, err = get(w.snapshot, censusKey(w.tenant, group)); value == nil || err != nil {
			return new(census), err
		}
	}
	c, err := decodeCensus(value)
	if err != nil {
		return nil, w.failed(err)
	}
	return c, nil
}

func (w *Writer) add(key, value []byte) { w.pending = append(w.pending, pair{key, value}) }

// unit writes what is pending in one transaction, which may hold more.
func (w *Writer) unit() error {
	size := int64(0)
	for _, e := range w.pending {
		size += int64(len(e.key) + len(e.value) + entryOverhead)
	}
	n := int64(len(w.pending))
	// Room is left for the entry of the tenant.
	if w.count > 0 && (w.size+size+w.ids.room() >= w.p.db.MaxBatchSize() || w.count+n+4 >= w.p.db.MaxBatchCount()) {
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
	w.tenant = ""
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
