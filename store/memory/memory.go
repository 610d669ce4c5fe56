// Package memory is a correct, slow store that keeps nothing: the oracle for the other backends and the fake for tests
// of what stands on a store.
package memory

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/aggregate"
	"github.com/luminate-metrics/luminate/store/rollup"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Options says how a store behaves. The zero value is ready for use.
type Options struct {
	Hasher         metric.Hasher // What identifies series. Batches of another hasher are hashed again.
	MaxExemplars   int           // Most exemplars of a tenant; 0 means series.DefaultMaxExemplars.
	PartitionWidth time.Duration // What Expire removes at once, from multiples of it since the epoch; 0 means 24 hours.
}

// A Store is a store.Store in memory.
type Store struct {
	hasher       metric.Hasher
	maxExemplars int
	width        int64 // Of a partition, in milliseconds.

	mu      sync.RWMutex // Guards what follows and all tenants.
	closed  bool
	tenants map[tenancy.ID]*tenant
}

// tenant is the data of one tenant.
type tenant struct {
	series    map[metric.Hash]*entry
	exemplars *series.Exemplars
	metadata  map[string]metric.Metadata // By family.
}

// entry is one series. Runs are replaced or grown at their end, and never changed where a reader can see them.
type entry struct {
	labels labels.Labels
	run    series.Run
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(opts Options) *Store {
	s := &Store{
		hasher:       opts.Hasher,
		maxExemplars: opts.MaxExemplars,
		width:        opts.PartitionWidth.Milliseconds(),
		tenants:      map[tenancy.ID]*tenant{},
	}
	if s.width <= 0 {
		s.width = (24 * time.Hour).Milliseconds()
	}
	return s
}

// Tenant returns the view of one tenant.
func (s *Store) Tenant(id tenancy.ID) store.Tenant { return &view{s, id} }

// Tenants lists the tenants that have samples, exemplars or metadata.
func (s *Store) Tenants(ctx context.Context) ([]tenancy.ID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.tenants)), nil
}

// Expire removes the partitions that end before the given time.
func (s *Store) Expire(ctx context.Context, before int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return err
	}
	start := s.partitionStart(before)
	if start == math.MinInt64 {
		return nil
	}
	for id, t := range s.tenants {
		t.remove(store.Range{Min: math.MinInt64, Max: start - 1}, store.Selection{})
		s.forgetIfEmpty(id, t)
	}
	return nil
}

// partitionStart returns the start of the partition that holds t.
func (s *Store) partitionStart(t int64) int64 {
	into := t % s.width
	if into < 0 {
		into += s.width
	}
	if t < math.MinInt64+into {
		return math.MinInt64
	}
	return t - into
}

// Flush does nothing.
func (s *Store) Flush(ctx context.Context) error { return s.Ping(ctx) }

// Compact does nothing.
func (s *Store) Compact(ctx context.Context) error { return s.Ping(ctx) }

// Seal does nothing.
func (s *Store) Seal(ctx context.Context) error { return s.Ping(ctx) }

// Ping reports whether the store is open.
func (s *Store) Ping(ctx context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.check(ctx)
}

// Close forgets everything.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.closed = true
	s.tenants = nil
	return nil
}

// check reports why a call can't go on. The caller holds the lock.
func (s *Store) check(ctx context.Context) error {
	if s.closed {
		return store.ErrClosed
	}
	return ctx.Err()
}

// tenantFor returns the data of a tenant, which is new if it has none yet. The caller holds the write lock.
func (s *Store) tenantFor(id tenancy.ID) *tenant {
	t := s.tenants[id]
	if t == nil {
		t = &tenant{
			series:    map[metric.Hash]*entry{},
			exemplars: series.NewExemplars(s.maxExemplars),
			metadata:  map[string]metric.Metadata{},
		}
		s.tenants[id] = t
	}
	return t
}

func (s *Store) forgetIfEmpty(id tenancy.ID, t *tenant) {
	if len(t.series) == 0 && t.exemplars.Len() == 0 && len(t.metadata) == 0 {
		delete(s.tenants, id)
	}
}

// remove takes samples and exemplars out.
func (t *tenant) remove(r store.Range, sel store.Selection) {
	for hash, e := range t.series {
		if len(e.run.Between(r)) == 0 || !sel.Matches(e.labels) {
			continue
		}
		e.run = e.run.Without(r)
		if len(e.run) == 0 {
			delete(t.series, hash)
		}
	}
	t.exemplars.Delete(r, sel)
}

// match returns the series that match sel and have samples in r, in label order. The caller holds the lock.
func (t *tenant) match(r store.Range, sel store.Selection) []entry {
	var found []entry
	if t == nil {
		return nil
	}
	for _, e := range t.series {
		if len(e.run.Between(r)) > 0 && sel.Matches(e.labels) {
			found = append(found, *e)
		}
	}
	slices.SortFunc(found, func(a, b entry) int { return labels.Compare(a.labels, b.labels) })
	return found
}

// view is a store narrowed to one tenant.
type view struct {
	store *Store
	id    tenancy.ID
}

// read calls f with the tenant's data under the lock; the data is nil if there is none.
func (v *view) read(ctx context.Context, f func(*tenant)) error {
	v.store.mu.RLock()
	defer v.store.mu.RUnlock()
	if err := v.store.check(ctx); err != nil {
		return err
	}
	f(v.store.tenants[v.id])
	return nil
}

func (v *view) Reader(r store.Range) (store.Reader, error) {
	if err := v.store.Ping(context.Background()); err != nil {
		return nil, err
	}
	return &reader{v, r}, nil
}

func (v *view) Aggregate(ctx context.Context, q store.Aggregation) (store.AggregateResult, error) {
	if err := v.store.Ping(ctx); err != nil {
		return store.AggregateResult{}, err
	}
	return aggregate.Fold(ctx, &reader{v, q.Range}, q)
}

func (v *view) Rollup(ctx context.Context, q store.Rollup) (store.RollupResult, error) {
	return rollup.Fold(ctx, v, &q)
}

func (v *view) Exemplars(ctx context.Context, r store.Range, anyOf []store.Selection) ([]exemplar.QueryResult, error) {
	var out []exemplar.QueryResult
	err := v.read(ctx, func(t *tenant) {
		if t != nil {
			out = t.exemplars.Select(r, anyOf)
		}
	})
	return out, err
}

func (v *view) Metadata(ctx context.Context, q store.MetadataQuery) ([]metric.Metadata, error) {
	var out []metric.Metadata
	err := v.read(ctx, func(t *tenant) {
		if t == nil {
			return
		}
		for _, family := range slices.Sorted(maps.Keys(t.metadata)) {
			if q.Family == "" || q.Family == family {
				out = append(out, t.metadata[family])
			}
		}
	})
	return series.Truncate(out, q.Limit).Items, err
}

func (v *view) Cardinality(ctx context.Context, q store.CardinalityQuery) (store.Cardinality, error) {
	var census series.Census
	held := store.Range{Min: math.MaxInt64, Max: math.MinInt64}
	err := v.read(ctx, func(t *tenant) {
		for _, e := range t.match(q.Range, q.Selection) {
			census.Add(e.labels)
			run := e.run.Between(q.Range)
			held.Min = min(held.Min, run[0].Timestamp)
			held.Max = max(held.Max, run[len(run)-1].Timestamp)
		}
	})
	if err != nil {
		return store.Cardinality{}, err
	}
	return census.Result(q.Top, held), nil
}

func (v *view) Delete(ctx context.Context, r store.Range, sel store.Selection) error {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	if err := v.store.check(ctx); err != nil {
		return err
	}
	if t := v.store.tenants[v.id]; t != nil {
		t.remove(r, sel)
		v.store.forgetIfEmpty(v.id, t)
	}
	return nil
}
