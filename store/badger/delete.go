package badger

import (
	"context"
	"fmt"
	"math"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
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
	if err := s.memory.delete(d.Deletion); err != nil {
		return err
	}
	s.annex.delete(d.Deletion)
	return nil
}

// delete removes samples that are not in partitions.
func (m *memory) delete(d catalog.Deletion) error {
	tenant, ok := m.tenants.number(d.Tenant)
	if !ok {
		return nil
	}
	r := m.head.NewReader()
	defer r.Close()
	refs, err := r.Select(context.Background(), tenant, d.Matchers, nil)
	for i := 0; i < len(refs) && err == nil; i++ {
		_, err = m.head.Delete(refs[i], d.Range)
	}
	return err
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
	s.opts.hooks.crash("expire: logged")
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
	if err := s.memory.head.Expire(e.before); err != nil {
		return err
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
	s.opts.hooks.crash("expire: marked")
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
