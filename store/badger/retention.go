package badger

import (
	"context"
	"math"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/tenancy"
)

// worthwhile is the part of a partition's series, one of so many, from which on it is written anew without the tenants
// that do not keep them any more.
const worthwhile = 10

// floor is the time of the oldest sample that retention keeps.
func (s *Store) floor() int64 {
	if s.opts.Retention == 0 {
		return math.MinInt64
	}
	return s.opts.Now().Add(-s.opts.Retention).UnixMilli()
}

// floorOf is the time of the oldest sample that retention keeps of a tenant.
func (s *Store) floorOf(id tenancy.ID) int64 {
	kept, ok := s.opts.TenantRetention[id]
	if !ok {
		return s.floor()
	}
	return max(s.floor(), s.opts.Now().Add(-kept).UnixMilli())
}

// visible is the part of a range that a tenant may read; ok is false if there is none. The store's own retention removes
// whole partitions, and hides nothing before.
func (s *Store) visible(id tenancy.ID, r store.Range) (in store.Range, ok bool) {
	if kept, short := s.opts.TenantRetention[id]; short {
		r.Min = max(r.Min, s.opts.Now().Add(-kept).UnixMilli())
	}
	return r, r.Min <= r.Max
}

// reclaim writes partitions anew in which tenants have a good part that they do not keep any more. The caller holds
// maintenance.
func (s *Store) reclaim(ctx context.Context) error {
	if len(s.opts.TenantRetention) == 0 || s.unfinished {
		return nil
	}
	for id := range s.opts.TenantRetention {
		s.annex.expireTenant(id, s.floorOf(id))
	}
	st := s.catalog.State()
	for _, h := range s.listed() {
		p := st.Partition(h.number)
		if p == nil {
			continue
		}
		useless, err := s.outlived(ctx, h, p)
		if err == nil && useless {
			err = s.rewrite(ctx, h, p.Sequence)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// outlived reports whether a good part of a partition belongs to tenants that keep nothing of it.
func (s *Store) outlived(ctx context.Context, h *handle, p *catalog.Partition) (bool, error) {
	// Nothing as old is taken from a tenant any more, so that once is enough to look.
	var look []tenancy.ID
	for id := range s.opts.TenantRetention {
		if !h.outlived[id] && s.floorOf(id) > h.in.Max {
			look = append(look, id)
		}
	}
	if len(look) == 0 {
		return false, nil
	}
	part, err := h.pin()
	if err != nil {
		return false, err
	}
	defer h.unpin()
	if h.outlived == nil {
		h.outlived = map[tenancy.ID]bool{}
	}
	for _, id := range look {
		n, err := part.SeriesOf(id)
		if err != nil {
			return false, err
		}
		h.outlived[id] = true
		h.useless += n
	}
	return h.useless > 0 && h.useless >= p.Series/worthwhile, ctx.Err()
}

// Reclaim writes partitions anew in which tenants have a good part that they do not keep any more.
func (s *Store) Reclaim(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	return s.reclaim(ctx)
}
