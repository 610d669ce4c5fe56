package partition

import (
	"context"
	"fmt"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	entryOverhead = 64        // Bytes that Badger counts for an entry beside key and value, from above.
	unitBytes     = 256 << 10 // Chunks of a series that are written at once.
)

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
	series  uint64              // Series of tenant.
	counted bool                // Whether series is not written yet.
	known   map[string]struct{} // Index keys of this flush that need not be written again.
	pending []pair
}

type pair struct{ key, value []byte }

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
	}, nil
}

// Series writes the samples of a series. Each series is written once in a flush, and tenants one after the other.
func (w *Writer) Series(ctx context.Context, tenant tenancy.ID, ls labels.Labels, run series.Run) error {
	if len(run) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.startTenant(tenant); err != nil {
		return err
	}
	canonical := metric.EncodeLabels(nil, ls)
	id := IDOf(canonical)
	c, isNew, err := w.census(tenant, id)
	if err != nil {
		return err
	}
	if isNew {
		w.add(seriesKey(kindSeries, tenant, id), encodeLabels(canonical))
	}
	if err := w.chunks(id, c, run); err != nil {
		return err
	}
	if isNew {
		w.series++ // Now that it is in the transaction, or before it: the count is never too high.
		w.info.Series++
		w.counted = true
	}
	if isNew || c.first > w.complete {
		// The index comes last: a series that is in it exists. What an interrupted flush began gets it now.
		return w.index(id, ls)
	}
	return nil
}

func (w *Writer) startTenant(tenant tenancy.ID) error {
	if tenant == w.tenant {
		return nil
	}
	if err := w.settle(); err != nil {
		return err
	}
	w.tenant, w.series = tenant, 0
	clear(w.known)
	value, err := get(w.snapshot, tenantKey(kindTenant, tenant))
	if value != nil && err == nil {
		w.series, err = decodeCount(value)
	}
	return err
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

func (w *Writer) census(tenant tenancy.ID, id ID) (c census, isNew bool, err error) {
	value, err := get(w.snapshot, censusKey(tenant, id))
	switch {
	case err != nil:
		return census{}, false, err
	case value == nil:
		return census{first: w.sequence}, true, nil
	}
	c, err = decodeCensus(value)
	return c, false, err
}

// chunks writes run, the census always together with the chunks that it counts.
func (w *Writer) chunks(id ID, c census, run series.Run) error {
	if c.chunks == 0 {
		c.min, c.max = run[0].Timestamp, run[len(run)-1].Timestamp
	}
	c.min, c.max = min(c.min, run[0].Timestamp), max(c.max, run[len(run)-1].Timestamp)
	c.last = w.sequence
	bytes := 0
	for part := 0; len(run) > 0; part++ {
		value, rest, err := encodeChunk(run)
		if err != nil {
			return err
		}
		c.chunks++
		w.info.Chunks++
		c.samples += uint64(len(run) - len(rest))
		w.add(chunkKey(w.tenant, id, w.sequence, part), value)
		run = rest
		if bytes += len(value); bytes > unitBytes || len(run) == 0 {
			w.add(censusKey(w.tenant, id), c.encode())
			if err := w.unit(); err != nil {
				return err
			}
			bytes = 0
		}
	}
	return nil
}

// index makes the series findable.
func (w *Writer) index(id ID, ls labels.Labels) error {
	ls.Range(func(l labels.Label) {
		if w.once(nameKey(w.tenant, l.Name)) {
			w.add(nameKey(w.tenant, l.Name), textValue(l.Name))
		}
		if key := pairKey(kindValue, w.tenant, l.Name, l.Value); w.once(key) {
			w.add(key, textValue(l.Value))
		}
		w.add(append(pairKey(kindPostings, w.tenant, l.Name, l.Value), id[:]...), nil)
	})
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
