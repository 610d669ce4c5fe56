package badger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
)

// A flush moves what is in memory into partitions.
type flush struct {
	checkpoint *catalog.Checkpoint // As of the first record.
	first      uint64              // Of the log, after the flush began.
	generation uint64              // Which ended then.
	samples    int64               // That there were.

	groups  []group // What is frozen.
	written []wrote
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

// flush is Flush for callers that hold maintenance. If forced, it writes a checkpoint though nothing changed. If it fails
// everything stays readable, and the next flush tries again.
func (s *Store) flush(ctx context.Context, forced bool) (err error) {
	if err := s.failure(); err != nil {
		return err
	}
	series, samples := s.headSize()
	if err := s.guard.mayMaintain(samples*flushedSampleBytes + series*flushedSeriesBytes); err != nil {
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
	f, err := s.freeze(ctx, forced)
	if err != nil || f == nil {
		return err
	}
	s.unfinished = true
	if err := s.move(ctx, f); err != nil {
		s.annex.touch() // The checkpoint was not written.
		for _, h := range s.listed() {
			clear(h.places) // Some may have been given by a writer that failed.
		}
		return err
	}
	s.unfinished = false
	return errors.Join(s.afterFlush(f), s.evict(f.generation))
}

// What samples and series take on disk, estimated from above.
const (
	flushedSampleBytes = 8
	flushedSeriesBytes = 128
)

// freeze ends a generation, and the chunks of all series, unless there is nothing to move.
func (s *Store) freeze(ctx context.Context, forced bool) (*flush, error) {
	m := s.memory
	var f *flush
	err := s.commit.do(ctx, alone(func() error {
		c, changed, err := s.annex.checkpoint()
		if err != nil || (!forced && !changed && !s.unfinished && m.samples.Load() == 0) {
			return err
		}
		segment, first, err := s.log.Rotate()
		if err != nil {
			s.fail(err)
			return s.failure()
		}
		f = &flush{checkpoint: c, first: first, generation: m.generation, samples: m.samples.Load()}
		m.generation++
		m.spans = append(m.spans, span{m.generation, segment, first})
		return nil
	}))
	if err != nil || f == nil {
		return nil, err
	}
	m.windows.release()
	var groups []uint32
	for _, g := range m.head.Pending(nil) {
		if m.head.Freeze(g) {
			groups = append(groups, g)
		}
	}
	f.groups = m.byTenant(groups)
	return f, nil
}

// move writes what is frozen.
func (s *Store) move(ctx context.Context, f *flush) (err error) {
	places, err := s.spread(f.groups)
	if err != nil {
		return err
	}
	var sequence uint64
	// What an interrupted flush wrote must not be taken for a part of this one.
	err = s.catalog.Update(func(st *catalog.State) { sequence = st.NextSequence; st.NextSequence++ })
	if err != nil {
		return err
	}
	defer func() {
		for _, w := range f.written {
			if err != nil && w.isNew {
				err = errors.Join(err, w.handle.drop())
			}
		}
	}()
	for _, index := range slices.Sorted(maps.Keys(places)) {
		w, err := s.writeGroups(ctx, index, sequence, places[index])
		if err != nil {
			return err
		}
		if w.handle != nil {
			f.written = append(f.written, w)
		}
	}
	s.opts.hooks.crash("flush: written")
	return s.publish(f)
}

// spread sorts groups by the partitions that their samples belong to.
func (s *Store) spread(groups []group) (map[int64][]group, error) {
	out := map[int64][]group{}
	var frozen active.Frozen
	for _, g := range groups {
		in := s.memory.head.FrozenRange(g.number)
		first, last := indexOf(in.Min, s.width), indexOf(in.Max, s.width)
		if first == last {
			out[first] = append(out[first], g)
			continue
		}
		if err := s.memory.head.Frozen(g.number, &frozen); err != nil {
			return nil, err
		}
		seen := map[int64]bool{}
		for i := range frozen.Members {
			m := &frozen.Members[i]
			for _, t := range m.Timestamps {
				seen[indexOf(t, s.width)] = true
			}
			for k := range m.Histograms {
				seen[indexOf(m.Histograms[k].Timestamp, s.width)] = true
			}
		}
		for index := range seen {
			out[index] = append(out[index], g)
		}
	}
	return out, nil
}

// wrote is a partition with what it holds after a flush.
type wrote struct {
	handle *handle
	info   partition.Info
	isNew  bool
}

// writeGroups writes what is frozen of groups into a partition. There is no handle if that was nothing.
func (s *Store) writeGroups(ctx context.Context, index int64, sequence uint64, list []group) (wrote, error) {
	w := wrote{handle: s.liveAt(index)}
	var err error
	if w.handle == nil {
		w.isNew = true
		if w.handle, err = s.newPartition(index); err != nil {
			return wrote{}, err
		}
	}
	p := placing{ctx: ctx, from: s.memory.head, in: w.handle.in, places: w.handle.places}
	w.info, err = w.handle.write(sequence, &p, list)
	if w.isNew && (err != nil || w.info.Series == 0) {
		return wrote{}, errors.Join(err, w.handle.drop())
	}
	return w, err
}

// write adds samples to the partition. It is open no longer than that takes, for one flush may write to many.
func (h *handle) write(sequence uint64, p *placing, list []group) (info partition.Info, err error) {
	part, err := h.pinForWriting()
	if err != nil {
		return info, err
	}
	defer h.unpin()
	if p.to, err = part.NewWriter(sequence); err != nil {
		return info, err
	}
	if err := p.groups(list); err != nil {
		p.to.Discard()
		return info, err
	}
	return p.to.Finish()
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

// publish makes what was written the partitions' and lets go of the log.
func (s *Store) publish(f *flush) error {
	name := fmt.Sprintf("%s%020d", checkpointName, f.first)
	if err := catalog.WriteFile(filepath.Join(s.opts.Dir, name), f.checkpoint.Encode()); err != nil {
		return err
	}
	if err := catalog.SyncDir(filepath.Join(s.opts.Dir, partitionsDir)); err != nil {
		return err
	}
	s.opts.hooks.crash("flush: checkpoint")
	m := s.memory
	needed := m.needed()
	err := s.catalog.Update(func(st *catalog.State) {
		for _, w := range f.written {
			p := st.Partition(w.handle.number)
			took(p, w.info)
		}
		st.FirstRecord, st.Checkpoint, st.NextGeneration = needed.first, name, f.generation+2
	})
	if err != nil {
		return err
	}
	m.forget(needed)
	numbers := make([]uint32, len(f.groups))
	for i, g := range f.groups {
		numbers[i] = g.number
		m.head.Publish(g.number)
	}
	s.mu.Lock()
	live := slices.Clone(s.live)
	for _, w := range f.written {
		if w.isNew {
			live = append(live, w.handle)
		}
	}
	slices.SortStableFunc(live, func(a, b *handle) int { return cmp.Compare(a.index, b.index) })
	s.live = live
	m.windows.publish(numbers)
	s.mu.Unlock()
	m.windows.release()
	m.samples.Add(-f.samples)
	return nil
}

// took enters into the catalog what a partition holds now.
func took(p *catalog.Partition, info partition.Info) {
	p.State, p.Sequence, p.Series, p.Chunks, p.Short = catalog.Live, info.Sequence, info.Series, info.Chunks, info.Short
}

// afterFlush lets go of what a published flush made superfluous.
func (s *Store) afterFlush(f *flush) error {
	s.opts.hooks.crash("flush: published")
	// A closed partition is nothing but tables, of which the catalog has a list.
	var errs []error
	for _, w := range f.written {
		errs = append(errs, w.handle.shut())
	}
	errs = append(errs, s.removeCheckpoints(s.catalog.State().Checkpoint), s.log.Drop(s.memory.spans[0].segment))
	return errors.Join(errs...)
}

// worthTrimming is how much memory of flushed samples is given back to the system. Less of it is soon needed again.
const worthTrimming = 32 << 20

// evict takes series out of memory that had no samples in the given generation nor since.
func (s *Store) evict(generation uint64) error {
	m := s.memory
	out, err := m.head.Evict(uint32(generation))
	if err != nil {
		return err
	}
	s.keepPlaces(out.Refs)
	// The log has no reference of theirs any more: their samples are in partitions.
	m.head.Recycle(out.Generation)
	if free := m.head.FreeSampleBytes(); free > worthTrimming && free > m.head.SampleBytes() {
		m.head.Trim()
	}
	return nil
}
