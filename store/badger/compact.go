package badger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// scattered is the number of short pieces of a series, on average, from which on a partition is written anew. After that
// it has at most one or two.
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
		if !hidden && p.Short < scattered*p.Series {
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
	sums := newDigest()
	info, err := s.copyPartition(ctx, old, part, fresh, sequence, sums)
	if err == nil && info.Series > 0 {
		err = s.compareCopy(ctx, fresh, sums)
	}
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

func (s *Store) copyPartition(ctx context.Context, old *handle, from *partition.Partition, fresh *handle, sequence uint64, sums *digest) (info partition.Info, err error) {
	to, err := fresh.pinForWriting()
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
		kept, ok := s.visible(tenants[i], store.AllTime())
		if !ok || kept.Min > old.in.Max {
			continue
		}
		err = s.copyTenant(ctx, old, from, tenants[i], kept, func(ls labels.Labels, run series.Run) error {
			sums.add(tenants[i], ls, run)
			return w.Series(ctx, tenants[i], ls, run)
		})
	}
	if err != nil {
		w.Discard()
		return info, err
	}
	return w.Finish()
}

// copyTenant calls f with each series of a tenant that has samples lie in kept and no deletion hides.
func (s *Store) copyTenant(ctx context.Context, h *handle, from *partition.Partition, id tenancy.ID, kept store.Range, f func(labels.Labels, series.Run) error) error {
	in := openPartitionReader(from, h, id, kept, s.annex.deletionsOf(id, h.in))
	defer in.close()
	found, err := in.reader.Select(ctx, store.Selection{})
	if err != nil {
		return err
	}
	pass := partition.NewPass()
	for i := range found {
		pass.Expect(&found[i])
	}
	for i := range found {
		run, err := in.load(&found[i], pass)
		if run = run.Between(kept); err == nil && len(run) > 0 {
			err = f(found[i].Labels, run)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// compareCopy closes and opens a written partition, which verifies the checksums of its tables, and reads everything back
// before what it was made from may go.
func (s *Store) compareCopy(ctx context.Context, fresh *handle, want *digest) error {
	if err := fresh.shut(); err != nil {
		return err
	}
	fresh.forgetVerified()
	s.opts.hooks.crash("compact: written")
	part, err := fresh.pin()
	if err != nil {
		return err
	}
	defer fresh.unpin()
	got := want.again()
	tenants, err := part.Tenants(ctx)
	for i := 0; i < len(tenants) && err == nil; i++ {
		// All of it, for what is kept gets less while time passes.
		err = s.copyTenant(ctx, fresh, part, tenants[i], store.AllTime(), func(ls labels.Labels, run series.Run) error {
			got.add(tenants[i], ls, run)
			return nil
		})
	}
	if err == nil && !got.equal(want) {
		err = fmt.Errorf("%w: %s reads back as %s, but %s went in", store.ErrCorrupt, fresh.dir, got, want)
	}
	return err
}

// replace puts a partition in the place of another.
func (s *Store) replace(old, fresh *handle, info partition.Info) error {
	err := s.catalog.Update(func(st *catalog.State) {
		st.Partition(old.number).State = catalog.Dropping
		p := st.Partition(fresh.number)
		took(p, info)
	})
	if err != nil {
		return err
	}
	s.opts.hooks.crash("compact: replaced")
	s.mu.Lock()
	live := slices.Clone(s.live)
	live[slices.Index(live, old)] = fresh
	slices.SortStableFunc(live, func(a, b *handle) int { return cmp.Compare(a.index, b.index) })
	s.live = live
	s.mu.Unlock()
	return errors.Join(fresh.shut(), old.drop())
}
