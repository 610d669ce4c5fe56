package badger

import (
	"context"
	"fmt"
	"math"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/head"
	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// Delete removes samples and exemplars.
func (v *view) Delete(ctx context.Context, r store.Range, sel store.Selection) error {
	s := v.store
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.guard.mayWrite(); err != nil {
		return err
	}
	// No flush is under way: what is in partitions now has a sequence up to the last one.
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	d := &deleting{catalog.Deletion{Tenant: v.id, Range: r, Matchers: sel.Matchers, Sequence: s.catalog.State().NextSequence - 1}}
	if err := s.commit.do(ctx, d); err != nil {
		return fmt.Errorf("badger: delete: %w", err)
	}
	return nil
}

// deleting is a deletion on its way through the committer.
type deleting struct{ catalog.Deletion }

func (d *deleting) log(_ *Store, g *wal.Group) error {
	g.Delete(wal.Delete(d.Deletion))
	return nil
}

func (d *deleting) apply(s *Store) error {
	for _, h := range s.heads() {
		if t := h.Tenant(d.Tenant); t != nil {
			t.Delete(d.Range, store.Selection{Matchers: d.Matchers})
		}
	}
	s.annex.delete(d.Deletion)
	return nil
}

// heads returns the generations in memory, the oldest first.
func (s *Store) heads() []*head.Head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.frozen == nil {
		return []*head.Head{s.active}
	}
	return []*head.Head{s.frozen, s.active}
}

// Expire removes the partitions that end before the given time.
func (s *Store) Expire(ctx context.Context, before int64) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	cutoff := rangeOf(indexOf(before, s.width), s.width).Min
	if cutoff == math.MinInt64 {
		return nil
	}
	if err := s.commit.do(ctx, &expiring{cutoff}); err != nil {
		return fmt.Errorf("badger: expire: %w", err)
	}
	s.calendar.forget(cutoff)
	s.opts.crash("expire: logged")
	if err := s.dropPartitions(func(h *handle) bool { return h.in.Max < cutoff }); err != nil {
		return fmt.Errorf("badger: expire: %w", err)
	}
	return nil
}

// expiring is an expiry on its way through the committer.
type expiring struct{ before int64 }

func (e *expiring) log(_ *Store, g *wal.Group) error {
	g.Expire(e.before)
	return nil
}

func (e *expiring) apply(s *Store) error {
	for _, h := range s.heads() {
		h.Expire(e.before)
	}
	s.annex.expire(e.before)
	return nil
}

// dropPartitions takes partitions out of all new readers; their directories go when the old readers have.
func (s *Store) dropPartitions(gone func(*handle) bool) error {
	var kept, dropped []*handle
	for _, h := range s.listed() {
		if gone(h) {
			dropped = append(dropped, h)
		} else {
			kept = append(kept, h)
		}
	}
	if len(dropped) == 0 {
		return nil
	}
	err := s.catalog.Update(func(st *catalog.State) {
		for _, h := range dropped {
			if p := st.Partition(h.number); p != nil {
				p.State = catalog.Dropping
			}
		}
	})
	if err != nil {
		return err
	}
	s.opts.crash("expire: marked")
	s.mu.Lock()
	s.live = kept
	s.mu.Unlock()
	for _, h := range dropped {
		if dropErr := h.drop(); err == nil {
			err = dropErr
		}
	}
	return err
}

func (s *Store) listed() []*handle {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live
}
