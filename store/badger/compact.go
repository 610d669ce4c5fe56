package badger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/tenancy"
)

// scattered is the number of chunks of a series, on average, from which on a partition is written anew.
const scattered = 16

// Compact writes partitions anew from which samples were deleted, or which hold many small chunks.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	if err := s.compact(ctx); err != nil {
		return fmt.Errorf("badger: compact: %w", err)
	}
	return nil
}

func (s *Store) compact(ctx context.Context) error {
	if err := s.flush(ctx, false); err != nil {
		return err
	}
	s.annex.mu.RLock()
	deletions := s.annex.deletions
	s.annex.mu.RUnlock()
	st := s.catalog.State()
	for _, h := range s.listed() {
		p := st.Partition(h.number)
		hidden := slices.ContainsFunc(deletions, func(d catalog.Deletion) bool { return d.Range.Overlaps(h.in) })
		if !hidden && p.Chunks < scattered*p.Series {
			continue
		}
		if err := s.rewrite(ctx, h, p.Sequence); err != nil {
			return err
		}
	}
	if err := s.reclaim(ctx); err != nil {
		return err
	}
	if len(deletions) == 0 {
		return nil
	}
	// Nothing is left that they hide; after a crash before the checkpoint they hide nothing once more.
	s.annex.forgetDeletions()
	return s.flush(ctx, true)
}

// rewrite replaces a partition by one without what deletions hide.
func (s *Store) rewrite(ctx context.Context, old *handle, sequence uint64) error {
	size, err := old.size()
	if err == nil {
		err = s.guard.mayMaintain(size)
	}
	if err != nil {
		return err
	}
	part, err := old.pin()
	if err != nil {
		return err
	}
	defer old.unpin()
	fresh, err := s.newPartition(old.index)
	if err != nil {
		return err
	}
	info, err := s.copyPartition(ctx, old, part, fresh, sequence)
	if err == nil && info.Series > 0 {
		err = s.replace(old, fresh, info)
	}
	if err != nil || info.Series == 0 {
		err = errors.Join(err, fresh.drop())
	}
	if err != nil || info.Series > 0 {
		return err
	}
	return s.dropPartitions(func(h *handle) bool { return h == old })
}

func (s *Store) copyPartition(ctx context.Context, old *handle, from *partition.Partition, fresh *handle, sequence uint64) (info partition.Info, err error) {
	to, err := fresh.pin()
	if err != nil {
		return info, err
	}
	defer fresh.unpin()
	w, err := to.NewWriter(sequence)
	if err != nil {
		return info, err
	}
	tenants, err := from.Tenants(ctx)
	for i := 0; i < len(tenants) && err == nil; i++ {
		err = s.copyTenant(ctx, old, from, w, tenants[i])
	}
	if err != nil {
		w.Discard()
		return info, err
	}
	return w.Finish()
}

func (s *Store) copyTenant(ctx context.Context, old *handle, from *partition.Partition, w *partition.Writer, id tenancy.ID) error {
	kept, ok := s.visible(id, store.AllTime())
	if !ok || kept.Min > old.in.Max {
		return nil
	}
	in := openPartitionReader(from, old, id, kept, s.annex.deletionsOf(id, old.in))
	defer in.close()
	found, err := in.reader.Select(ctx, store.Selection{})
	if err != nil {
		return err
	}
	for i := range found {
		run, err := in.load(&found[i])
		if err != nil {
			return err
		}
		if err := w.Series(ctx, id, found[i].Labels, run.Between(kept)); err != nil {
			return err
		}
	}
	return nil
}

// replace puts a partition in the place of another.
func (s *Store) replace(old, fresh *handle, info partition.Info) error {
	err := s.catalog.Update(func(st *catalog.State) {
		st.Partition(old.number).State = catalog.Dropping
		p := st.Partition(fresh.number)
		p.State, p.Sequence, p.Series, p.Chunks = catalog.Live, info.Sequence, info.Series, info.Chunks
	})
	if err != nil {
		return err
	}
	s.opts.crash("compact: replaced")
	s.mu.Lock()
	live := slices.Clone(s.live)
	live[slices.Index(live, old)] = fresh
	slices.SortStableFunc(live, func(a, b *handle) int { return cmp.Compare(a.index, b.index) })
	s.live = live
	s.mu.Unlock()
	return errors.Join(fresh.shut(), old.drop())
}
