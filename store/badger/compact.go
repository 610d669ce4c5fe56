package badger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// scattered is the number of short pieces of a series, on average, from which on a partition is written anew. After that
// it has at most one or two.
const scattered = 16

// Compact writes partitions anew from which samples were deleted, which hold many small chunks, or whose time is over: what
// is complete is sealed once, which makes it smaller and quicker to read.
func (s *Store) Compact(ctx context.Context) error { return s.compactAll(ctx, false) }

// Seal is Compact that also seals partitions that get samples, and those that got some since they were sealed.
func (s *Store) Seal(ctx context.Context) error { return s.compactAll(ctx, true) }

func (s *Store) compactAll(ctx context.Context, seal bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	if err := s.compact(ctx, seal); err != nil {
		return fmt.Errorf("badger: compact: %w", err)
	}
	return nil
}

// settled reports whether no samples of a partition are to be expected any more but late ones, which all were flushed.
func (s *Store) settled(in store.Range) bool {
	return s.opts.Now().Add(-2*s.opts.MaxHeadAge).UnixMilli() > in.Max
}

// unsealed reports whether there is a partition that Compact would seal.
func (s *Store) unsealed() bool {
	st := s.catalog.State()
	return slices.ContainsFunc(s.listed(), func(h *handle) bool {
		p := st.Partition(h.number)
		return p != nil && p.Sealed == 0 && s.settled(h.in)
	})
}

// toRewrite reports whether a partition is to be written anew.
func (s *Store) toRewrite(h *handle, p *catalog.Partition, deletions []catalog.Deletion, seal bool) bool {
	switch {
	case slices.ContainsFunc(deletions, func(d catalog.Deletion) bool { return d.Range.Overlaps(h.in) }):
		return true
	case seal:
		return p.Sealed < p.Sequence
	default:
		// A few late samples do not pay for another rewrite.
		return p.Short >= scattered*p.Series || p.Sealed == 0 && s.settled(h.in)
	}
}

func (s *Store) compact(ctx context.Context, seal bool) error {
	if err := s.flush(ctx, false); err != nil {
		return err
	}
	s.annex.mu.RLock()
	deletions := s.annex.deletions
	s.annex.mu.RUnlock()
	st := s.catalog.State()
	for _, h := range s.listed() {
		p := st.Partition(h.number)
		if !s.toRewrite(h, p, deletions, seal) {
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
	w, err := to.NewSealer(sequence)
	if err != nil {
		return info, err
	}
	tenants, err := from.Tenants(ctx)
	for i := 0; i < len(tenants) && err == nil; i++ {
		kept, ok := s.visible(tenants[i], store.AllTime())
		if !ok || kept.Min > old.in.Max {
			continue
		}
		err = s.copyTenant(ctx, old, from, tenants[i], kept, func(canonical []byte, floats rowgroup.Column, histograms series.Run) error {
			sums.add(tenants[i], canonical, floats, histograms)
			id, err := w.Resolve(ctx, tenants[i], canonical)
			if err != nil {
				return err
			}
			return w.Add(ctx, tenants[i], id, floats, histograms)
		})
	}
	if err != nil {
		w.Discard()
		return info, err
	}
	return w.Finish()
}

// copyTenant calls f with each series of a tenant that has samples that lie in kept and no deletion hides.
func (s *Store) copyTenant(ctx context.Context, h *handle, from *partition.Partition, id tenancy.ID, kept store.Range,
	f func(canonical []byte, floats rowgroup.Column, histograms series.Run) error,
) error {
	r := from.NewReader(id)
	defer r.Close()
	c := r.NewCursor(kept)
	defer c.Close()
	deletions := s.annex.deletionsOf(id, h.in)
	var floats rowgroup.Column
	return r.Walk(ctx, func(found *partition.Series, canonical []byte) (err error) {
		if !found.Range.Overlaps(kept) {
			return nil
		}
		if len(deletions) > 0 {
			if found.Labels, err = metric.DecodeLabels(canonical); err != nil {
				return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
			}
		}
		histograms, err := c.Columns(found, masksFor(deletions, found), &floats)
		if histograms = histograms.Between(kept); err != nil || len(floats.Timestamps)+len(histograms) == 0 {
			return err
		}
		return f(canonical, floats, histograms)
	})
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
		err = s.copyTenant(ctx, fresh, part, tenants[i], store.AllTime(), func(canonical []byte, floats rowgroup.Column, histograms series.Run) error {
			got.add(tenants[i], canonical, floats, histograms)
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
		p.Sealed = info.Sequence
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
