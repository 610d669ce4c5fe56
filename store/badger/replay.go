package badger

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// replay fills the memory from the log.
func (s *Store) replay() error {
	st := s.catalog.State()
	r := replaying{store: s, last: store.Range{Min: 1}}
	if err := r.skipAnnex(st.Checkpoint); err != nil {
		return err
	}
	var err error
	var found wal.Recovery
	s.log, found, err = wal.Open(wal.Options{
		Dir: filepath.Join(s.opts.Dir, logDir), Quarantine: filepath.Join(s.opts.Dir, quarantineDir),
		SegmentBytes: s.opts.WALSegmentBytes, First: st.FirstRecord, Logger: s.opts.Logger, Now: s.opts.Now,
		Synced: s.metrics.synced, Wrap: s.opts.hooks.wrapLog,
	}, r.apply)
	if err != nil {
		return err
	}
	for _, l := range found.Losses {
		s.metrics.corruptions.Inc()
		s.metrics.met(partLog)
		if l.LastRecord >= l.FirstRecord {
			s.metrics.lostRecords.Add(float64(l.LastRecord - l.FirstRecord + 1))
		}
	}
	if r.orphans > 0 {
		s.opts.Logger.Error("Samples in the write-ahead log have lost their series", slog.Int("samples", r.orphans))
	}
	m := s.memory
	m.generation = max(st.NextGeneration, r.generation+1, replayed+1)
	m.spans = []span{{replayed, 0, st.FirstRecord}}
	s.lossy = len(found.Losses) > 0
	return nil
}

// replaying is the state of a replay.
type replaying struct {
	store      *Store
	annexed    uint64 // The first record whose exemplars, metadata and deletions are not in the checkpoint.
	generation uint64
	refs       references
	known      []uint32 // In the head, of the series of a record.
	last       store.Range
	orphans    int
	batch      *metric.Batch
}

// skipAnnex reads from the name of a checkpoint what it covers.
func (r *replaying) skipAnnex(checkpoint string) (err error) {
	if checkpoint == "" {
		return nil
	}
	if r.annexed, err = strconv.ParseUint(strings.TrimPrefix(checkpoint, checkpointName), 10, 64); err != nil {
		return fmt.Errorf("%w: the name of the checkpoint %s: %w", store.ErrCorrupt, checkpoint, err)
	}
	return nil
}

func (r *replaying) apply(rec *wal.Record) error {
	annex := rec.Number >= r.annexed
	switch rec.Kind {
	case wal.KindBatch:
		return r.applyBatch(&rec.Batch, annex)
	case wal.KindDelete:
		d := catalog.Deletion(rec.Delete)
		if annex {
			r.store.annex.delete(d)
		}
		return r.store.memory.delete(d)
	case wal.KindExpire:
		if annex {
			r.store.annex.expire(rec.Expire)
		}
		return r.store.memory.head.Expire(rec.Expire)
	default:
		return fmt.Errorf("record of kind %d", rec.Kind)
	}
}

func (r *replaying) applyBatch(b *wal.Batch, annex bool) error {
	if b.Generation != r.generation {
		// Lost records of the last generation must not lend their references to this one.
		r.generation, r.refs = b.Generation, references{}
	}
	s, m := r.store, r.store.memory
	m.writer.Begin()
	defer m.writer.End()
	tenant := m.tenants.add(b.Tenant)
	if r.batch == nil {
		r.batch = metric.NewBatch(s.opts.Hasher)
	}
	r.batch.Series, r.batch.Samples, r.batch.Histograms = r.batch.Series[:0], b.Samples, b.Histograms
	r.known = r.known[:0]
	for i := range b.Series {
		item := &b.Series[i]
		if item.Labels != nil {
			ref, _, err := m.writer.Register(tenant, item.Labels, nil)
			if err != nil {
				return err
			}
			r.refs.set(item.Ref, tenant, ref)
		}
		r.known = append(r.known, r.refs.get(item.Ref, tenant))
		r.batch.Series = append(r.batch.Series, metric.Series{Samples: item.Samples, Histograms: item.Histograms})
	}
	m.writer.Append(r.batch, r.known, replayed)
	r.note(b)
	if annex {
		return r.applyAnnex(b)
	}
	return nil
}

// note counts the samples of a record, and the partitions that they will need.
func (r *replaying) note(b *wal.Batch) {
	at := func(t int64) {
		if t < r.last.Min || t > r.last.Max {
			index := indexOf(t, r.store.width)
			r.store.calendar.note(index)
			r.last = rangeOf(index, r.store.width)
		}
	}
	for i := range b.Series {
		item := &b.Series[i]
		if r.known[i] == active.NoRef {
			r.orphans += item.Samples.Len() + item.Histograms.Len()
			continue
		}
		for k := item.Samples.Start; k < item.Samples.End; k++ {
			at(b.Samples[k].Timestamp)
		}
		for k := item.Histograms.Start; k < item.Histograms.End; k++ {
			at(b.Histograms[k].Timestamp)
		}
		r.store.memory.samples.Add(int64(item.Samples.Len() + item.Histograms.Len()))
	}
}

func (r *replaying) applyAnnex(b *wal.Batch) error {
	s := r.store
	s.annex.addMetadata(b.Tenant, b.Metadata)
	if len(b.Exemplars) == 0 {
		return nil
	}
	reader := s.memory.head.NewReader()
	defer reader.Close()
	for i := range b.Series {
		item := &b.Series[i]
		if item.Exemplars.Len() == 0 || r.known[i] == active.NoRef {
			continue
		}
		canonical := reader.AppendLabels(nil, r.known[i])
		if err := s.annex.addExemplars(b.Tenant, canonical, b.Exemplars[item.Exemplars.Start:item.Exemplars.End]); err != nil {
			return err
		}
	}
	return nil
}

// references are those of one generation of the log, with what they are in the head.
type references struct{ pages map[uint64]*referencePage }

const pageRefs = 1 << 12

// A referencePage is neighbouring references: a tenant and a reference each, one more of both, 0 if there is none.
type referencePage [pageRefs]struct{ tenant, ref uint32 }

func (r *references) set(from uint64, tenant, to uint32) {
	if r.pages == nil {
		r.pages = map[uint64]*referencePage{}
	}
	page := r.pages[from/pageRefs]
	if page == nil {
		page = new(referencePage)
		r.pages[from/pageRefs] = page
	}
	page[from%pageRefs].tenant, page[from%pageRefs].ref = tenant+1, to
}

// get returns active.NoRef for what was not set, or is of another tenant.
func (r *references) get(from uint64, tenant uint32) uint32 {
	page := r.pages[from/pageRefs]
	if page == nil || page[from%pageRefs].tenant != tenant+1 {
		return active.NoRef
	}
	return page[from%pageRefs].ref
}
