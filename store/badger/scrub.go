package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition"
)

// scrubBurst is how many bytes are read at a time before the scrubber waits.
const scrubBurst = 1 << 20

// Scrub reads all partitions, slowly, and announces what can't be read by log and metric. It repairs nothing.
func (s *Store) Scrub(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	snap := s.snapshot(store.AllTime())
	damaged := 0
	for _, h := range snap.handles {
		n, err := s.scrubPartition(ctx, h)
		damaged += n
		if err != nil {
			return errors.Join(fmt.Errorf("badger: scrub: %w", err), s.release(snap))
		}
	}
	s.metrics.scrubDamaged.Set(float64(damaged))
	s.metrics.scrubbed.Set(float64(s.opts.Now().UnixMilli()) / 1000)
	s.opts.Logger.Info("All partitions were read again", slog.Int("partitions", len(snap.handles)), slog.Int("damages", damaged))
	return s.release(snap)
}

// scrubPartition returns how many damages it has found. An error is about what is no damage.
func (s *Store) scrubPartition(ctx context.Context, h *handle) (damaged int, err error) {
	found := func(d partition.Damage) {
		damaged++
		s.metrics.scrubDamages.Inc()
		s.opts.Logger.Error("Stored data can't be read", slog.String("dir", h.dir), slog.String("tenant", string(d.Tenant)),
			slog.String("what", d.What), slog.String("lost", d.Lost), slog.Int64("from_ms", h.in.Min), slog.Int64("to_ms", h.in.Max))
	}
	h.mu.Lock()
	wasOpen := h.part != nil
	h.mu.Unlock()
	part, err := h.pin()
	if err == nil {
		_, err = part.Verify(ctx, s.pacer(ctx), found)
		h.unpin()
		if !wasOpen { // It shall not push out what others read.
			err = errors.Join(err, h.shut())
		}
	}
	if errors.Is(err, store.ErrCorrupt) {
		found(partition.Damage{What: err.Error(), Lost: "all of the partition, until it is repaired"})
		err = nil
	}
	return damaged, err
}

// pacer returns what holds reading to the configured speed.
func (s *Store) pacer(ctx context.Context) func(int) error {
	pending := 0
	return func(n int) error {
		s.metrics.scrubBytes.Add(float64(n))
		if pending += n; pending < scrubBurst || s.opts.ScrubBytesPerSecond <= 0 {
			return nil
		}
		pause := time.Duration(float64(pending) / float64(s.opts.ScrubBytesPerSecond) * float64(time.Second))
		pending = 0
		return s.opts.hooks.wait(ctx, pause)
	}
}

// scrubber scrubs now and then until ctx ends.
func (s *Store) scrubber(ctx context.Context) {
	// A server that is started anew each day is to get round to it, too.
	next := min(s.opts.ScrubInterval, time.Hour)
	for s.opts.hooks.wait(ctx, next) == nil {
		s.report(s.Scrub(ctx))
		next = s.opts.ScrubInterval
	}
}

// wait returns nil after d, or the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
