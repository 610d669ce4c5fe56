package badger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/head"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// frozen is a generation on its way into partitions.
type frozen struct {
	head       *head.Head
	checkpoint *catalog.Checkpoint // As of the end of the generation.
	segment    int                 // The log from here on is about later generations.
	first      uint64              // First record there.
}

// Flush moves the head into partitions.
func (s *Store) Flush(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	if err := s.flush(ctx, false); err != nil {
		return fmt.Errorf("badger: flush: %w", err)
	}
	return nil
}

// flush is Flush for callers that hold maintenance. If forced, it writes a checkpoint though nothing changed.
func (s *Store) flush(ctx context.Context, forced bool) (err error) {
	if err := s.failure(); err != nil {
		return err
	}
	_, samples := s.headSize()
	if err := s.guard.mayMaintain(samples * flushedBytes); err != nil {
		return err
	}
	start := s.opts.Now()
	defer func() {
		result := "ok"
		if err != nil {
			result = "error"
		}
		s.metrics.flushes.WithLabelValues(result).Inc()
		s.metrics.flushTime.Observe(s.opts.Now().Sub(start).Seconds())
	}()
	if s.flushing != nil {
		if err := s.finishFlush(ctx); err != nil {
			return err
		}
	}
	if err := s.freeze(ctx, forced); err != nil || s.flushing == nil {
		return err
	}
	return s.finishFlush(ctx)
}

// flushedBytes is what a sample takes on disk, estimated from above.
const flushedBytes = 16

// freeze starts a generation, unless there is nothing to move.
func (s *Store) freeze(ctx context.Context, forced bool) error {
	return s.commit.do(ctx, alone(func() error {
		c, changed, err := s.annex.checkpoint()
		if err != nil || (!forced && !changed && s.active.Samples() == 0) {
			return err
		}
		segment, first, err := s.log.Rotate()
		if err != nil {
			s.fail(err)
			return s.failure()
		}
		next := head.New(s.opts.Hasher, s.active.Generation()+1)
		s.flushing = &frozen{s.active, c, segment, first}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active, s.frozen = next, s.active
		return nil
	}))
}

// piece is the samples of a series in one partition.
type piece struct {
	tenant tenancy.ID
	labels labels.Labels
	run    series.Run
}

// finishFlush writes s.flushing. If it fails everything stays readable, and it can be called again.
func (s *Store) finishFlush(ctx context.Context) error {
	f := s.flushing
	pieces, err := s.cut(ctx, f.head)
	if err != nil {
		return err
	}
	var sequence uint64
	// What an interrupted flush wrote must not be taken for a part of this one.
	err = s.catalog.Update(func(st *catalog.State) { sequence = st.NextSequence; st.NextSequence++ })
	if err != nil {
		return err
	}
	var written []wrote
	for _, index := range slices.Sorted(maps.Keys(pieces)) {
		w, writeErr := s.writePieces(ctx, index, sequence, pieces[index])
		if err = writeErr; err != nil {
			break
		}
		written = append(written, w)
	}
	if err == nil {
		s.opts.crash("flush: written")
		err = s.publish(f, written)
	}
	for _, w := range written {
		if err != nil && w.isNew {
			err = errors.Join(err, w.handle.drop())
		}
	}
	if err != nil {
		return err
	}
	s.opts.crash("flush: published")
	return s.afterFlush(f, written)
}

// cut sorts the samples of a head by partition.
func (s *Store) cut(ctx context.Context, h *head.Head) (map[int64][]piece, error) {
	pieces := map[int64][]piece{}
	for _, id := range h.Tenants() {
		found, err := h.Tenant(id).Select(ctx, store.AllTime(), store.Selection{})
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			for run := f.Run; len(run) > 0; {
				index := indexOf(run[0].Timestamp, s.width)
				part := run.Between(rangeOf(index, s.width))
				pieces[index] = append(pieces[index], piece{id, f.Labels, part})
				run = run[len(part):]
			}
		}
	}
	return pieces, nil
}

// wrote is a partition with what it holds after a flush.
type wrote struct {
	handle *handle
	info   partition.Info
	isNew  bool
}

func (s *Store) writePieces(ctx context.Context, index int64, sequence uint64, list []piece) (wrote, error) {
	w := wrote{handle: s.liveAt(index)}
	var err error
	if w.handle == nil {
		w.isNew = true
		if w.handle, err = s.newPartition(index); err != nil {
			return wrote{}, err
		}
	}
	if w.info, err = w.handle.write(ctx, sequence, list); err != nil && w.isNew {
		err = errors.Join(err, w.handle.drop())
	}
	return w, err
}

// write adds samples to the partition. It is open no longer than that takes, for one flush may write to many.
func (h *handle) write(ctx context.Context, sequence uint64, list []piece) (info partition.Info, err error) {
	part, err := h.pinForWriting()
	if err != nil {
		return info, err
	}
	defer h.unpin()
	w, err := part.NewWriter(sequence)
	if err != nil {
		return info, err
	}
	for _, p := range list {
		if err := w.Series(ctx, p.tenant, p.labels, p.run); err != nil {
			w.Discard()
			return info, err
		}
	}
	return w.Finish()
}

// liveAt returns the newest partition of an index, or nil.
func (s *Store) liveAt(index int64) *handle {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range slices.Backward(s.live) {
		if h.index == index {
			return h
		}
	}
	return nil
}

// newPartition announces a partition in the catalog, so that a crash leaves nothing behind that nobody knows.
func (s *Store) newPartition(index int64) (*handle, error) {
	var p catalog.Partition
	err := s.catalog.Update(func(st *catalog.State) {
		p = catalog.Partition{Index: index, Number: st.NextPartition, State: catalog.Building, Format: partition.Version}
		st.NextPartition++
		st.Partitions = append(st.Partitions, p)
	})
	if err != nil {
		return nil, err
	}
	return s.newHandle(p), nil
}

// publish makes a written generation the partitions' and lets go of the log.
func (s *Store) publish(f *frozen, written []wrote) error {
	name := fmt.Sprintf("%s%020d", checkpointName, f.first)
	if err := catalog.WriteFile(filepath.Join(s.opts.Dir, name), f.checkpoint.Encode()); err != nil {
		return err
	}
	if err := catalog.SyncDir(filepath.Join(s.opts.Dir, partitionsDir)); err != nil {
		return err
	}
	s.opts.crash("flush: checkpoint")
	err := s.catalog.Update(func(st *catalog.State) {
		for _, w := range written {
			p := st.Partition(w.handle.number)
			took(p, w.info)
		}
		st.FirstRecord, st.Checkpoint, st.NextGeneration = f.first, name, f.head.Generation()+1
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	live := slices.Clone(s.live)
	for _, w := range written {
		if w.isNew {
			live = append(live, w.handle)
		}
	}
	slices.SortStableFunc(live, func(a, b *handle) int { return cmp.Compare(a.index, b.index) })
	s.live, s.frozen = live, nil
	s.mu.Unlock()
	s.flushing = nil
	return nil
}

// took enters into the catalog what a partition holds now.
func took(p *catalog.Partition, info partition.Info) {
	p.State, p.Sequence, p.Series, p.Chunks, p.Short = catalog.Live, info.Sequence, info.Series, info.Chunks, info.Short
}

// afterFlush lets go of what a published flush made superfluous.
func (s *Store) afterFlush(f *frozen, written []wrote) error {
	// A closed partition is nothing but tables, of which the catalog has a list.
	var errs []error
	for _, w := range written {
		errs = append(errs, w.handle.shut())
	}
	errs = append(errs, s.removeCheckpoints(s.catalog.State().Checkpoint), s.log.Drop(f.segment))
	return errors.Join(errs...)
}
