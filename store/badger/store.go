// Package badger is the embedded backend: a write-ahead log, a head in memory, and one Badger directory for each span
// of time.
package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/wal"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Store is a store.Store in a directory.
//
// Locks are taken in this order: maintenance, mu, a handle's, the pool's, the catalog's. The committer takes mu only.
type Store struct {
	opts    Options
	width   int64 // Of a partition, in milliseconds.
	metrics *metrics
	lock    *os.File
	catalog *catalog.Catalog
	pool    *pool
	annex   *annex
	guard   *guard

	calendar *calendar

	log    *wal.Log // The committer's.
	commit *committer

	failOnce sync.Once
	failErr  error // Set before failed is closed.
	failed   chan struct{}

	maintenance sync.Mutex // One of Flush, Expire, Compact and Delete at a time.
	unfinished  bool       // Whether the last flush failed. Under maintenance.

	memory *memory
	mu     sync.RWMutex // Guards what readers start from.
	live   []*handle    // Ascending by index. Replaced, never changed.

	lossy   bool // Whether the log had lost something when it was opened.
	running callers
	kick    chan struct{} // Holds a token if the background should flush.
	lifetime
}

// lifetime says when the background is to end, and when it has.
type lifetime struct {
	stop    chan struct{}
	stopped chan struct{}
}

var _ store.Store = (*Store)(nil)

// Tenant returns the view of one tenant.
func (s *Store) Tenant(id tenancy.ID) store.Tenant { return &view{s, id} }

// callers counts who is inside the store.
type callers struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // Closed when the last one has left after closed.
}

// enter begins a call or a Reader; leave ends it.
func (s *Store) enter() error {
	c := &s.running
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return store.ErrClosed
	}
	c.n++
	return nil
}

func (s *Store) leave() {
	c := &s.running
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.closed && c.n == 0 {
		close(c.idle)
	}
}

// close makes enter fail; the channel is closed when all have left. Only the first call is ok.
func (c *callers) close() (idle <-chan struct{}, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	c.closed, c.idle = true, make(chan struct{})
	if c.n == 0 {
		close(c.idle)
	}
	return c.idle, true
}

// Tenants lists the tenants that have samples, exemplars or metadata.
func (s *Store) Tenants(ctx context.Context) (out []tenancy.ID, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	snap := s.snapshot(store.AllTime())
	defer func() { err = errors.Join(err, s.release(snap)) }()
	out = s.annex.held()
	for n, id := range s.memory.tenants.list() {
		if holds, err := s.holds(ctx, uint32(n), id); err != nil {
			return nil, err
		} else if holds {
			out = append(out, id)
		}
	}
	for _, h := range snap.handles {
		ids, err := s.tenantsIn(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("badger: tenants: %w", err)
		}
		out = append(out, ids...)
	}
	slices.Sort(out)
	return slices.Compact(out), ctx.Err()
}

// holds reports whether a tenant has samples in memory that it still keeps.
func (s *Store) holds(ctx context.Context, number uint32, id tenancy.ID) (bool, error) {
	in, ok := s.visible(id, store.AllTime())
	if !ok {
		return false, nil
	}
	r := s.memory.head.NewReader()
	defer r.Close()
	refs, err := r.Select(ctx, number, nil, nil)
	for i := 0; i < len(refs) && err == nil; i++ {
		var found bool
		if found, _, err = r.Overlaps(refs[i], in); found {
			return true, nil
		}
	}
	return false, err
}

// tenantsIn lists the tenants of a partition of whom not everything was deleted or has outlived their retention.
func (s *Store) tenantsIn(ctx context.Context, h *handle) ([]tenancy.ID, error) {
	part, err := h.pin()
	if err != nil {
		return nil, err
	}
	defer h.unpin()
	ids, err := part.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	var out []tenancy.ID
	for _, id := range ids {
		deletions := s.annex.deletionsOf(id, h.in)
		seen, ok := s.visible(id, store.AllTime())
		switch {
		case !ok || seen.Min > h.in.Max:
			continue
		case len(deletions) == 0 && seen.Min <= h.in.Min:
			out = append(out, id)
			continue
		}
		in := openPartitionReader(part, h, id, seen, deletions)
		found, err := in.selectSeries(ctx, store.Selection{})
		in.close()
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			out = append(out, id)
		}
	}
	return out, nil
}

// Ping reports whether the store takes writes.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.failure(); err != nil {
		return err
	}
	if err := s.guard.mayWrite(); err != nil {
		return err
	}
	return ctx.Err()
}

// headSize is the number of series in memory, and of samples that are not in partitions.
func (s *Store) headSize() (series, samples int64) {
	return s.memory.head.Series(), s.memory.samples.Load()
}

// Close waits for running calls and open readers, and closes everything. What is in memory stays in the log.
func (s *Store) Close() error {
	idle, ok := s.running.close()
	if !ok {
		return store.ErrClosed
	}
	close(s.stop)
	<-s.stopped
	<-idle
	s.commit.stop()
	return s.closeFiles()
}

// closeFiles closes what Open opened, as far as it came.
func (s *Store) closeFiles() error {
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.pool != nil {
		errs = append(errs, s.pool.closeAll())
	}
	if s.memory != nil {
		errs = append(errs, s.memory.close())
	}
	s.metrics.unregister()
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("badger: close: %w", err)
	}
	return nil
}

// kickFlush asks the background for a flush.
func (s *Store) kickFlush() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// spaceInterval is how often the free space is looked at, besides at each write.
const spaceInterval = 2 * time.Second

// tend looks after the space on the disk. When there is too little, what is in memory is moved to disk, for then the log
// goes, and what was deleted is reclaimed.
func (s *Store) tend(ctx context.Context) {
	relieve, err := s.guard.tend()
	if err == nil && relieve {
		if err = s.Flush(ctx); err == nil && s.annex.hides() {
			err = s.Compact(ctx)
		}
	}
	s.report(err)
}

// background flushes when the head is large or old, expires what retention does not keep, and reclaims what was deleted.
func (s *Store) background() {
	defer close(s.stopped)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	var scrubbing sync.WaitGroup
	defer scrubbing.Wait()
	if s.opts.ScrubInterval > 0 {
		scrubbing.Go(func() { s.scrubber(ctx) })
	}
	age := time.NewTicker(s.opts.MaxHeadAge)
	defer age.Stop()
	expiry := time.NewTicker(10 * time.Minute)
	defer expiry.Stop()
	space := time.NewTicker(spaceInterval)
	defer space.Stop()
	if s.lossy {
		s.report(s.Flush(ctx)) // So that the same gap is not found again at the next start.
	}
	for {
		var err error
		select {
		case <-s.stop:
			return
		case <-s.kick:
			if s.large() { // It may have been moved since.
				err = s.Flush(ctx)
			}
		case <-age.C:
			err = s.Flush(ctx)
		case <-space.C:
			s.tend(ctx)
		case <-expiry.C:
			if s.opts.Retention > 0 {
				err = s.Expire(ctx, s.floor())
			}
			if err == nil && (s.annex.hides() || s.unsealed()) {
				err = s.Compact(ctx)
			}
			if err == nil {
				err = s.Reclaim(ctx)
			}
		}
		s.report(err)
	}
}

// perSeries is how many samples of a series are worth a flush of their own: the more, the less it costs. If there are
// many series it is leastPerSeries.
const (
	perSeries      = 240
	leastPerSeries = 24
	fewSamples     = 1 << 20
)

// large reports whether the head is to be moved.
func (s *Store) large() bool {
	series, samples := s.headSize()
	return samples >= s.mostSamples(series) || s.opts.MaxHeadBytes > 0 && s.memory.head.SampleBytes() >= s.opts.MaxHeadBytes
}

// OffHeap is the bytes of memory that the store takes outside the Go heap, where the garbage collector does not see them.
func (s *Store) OffHeap() int64 {
	if s.memory.head.InGoHeap() {
		return 0
	}
	return s.memory.head.Memory().Total()
}

// mostSamples is how many samples may be in memory.
func (s *Store) mostSamples(series int64) int64 {
	most := s.opts.MaxHeadSamples
	if most <= fewSamples {
		return most
	}
	return min(max(perSeries*series, fewSamples), max(most, leastPerSeries*series))
}

func (s *Store) report(err error) {
	if err != nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, context.Canceled) {
		s.opts.Logger.Error("Background maintenance failed: it is tried again later", slog.Any("err", err))
	}
}
