package badger

import (
	"context"
	"time"

	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// SetInGoHeap shows the race detector what is in memory.
func (o *Options) SetInGoHeap(in bool) { o.hooks.inGoHeap = in }

// SetLog puts faults between a store and its log.
func (o *Options) SetLog(wrap func(wal.Segments) wal.Segments) { o.hooks.wrapLog = wrap }

// SetFree says how much space is free, and how large the disk is.
func (o *Options) SetFree(free func(dir string) (free, total int64, err error)) { o.hooks.free = free }

// Tend does what the store does now and then about the space on its disk.
func (s *Store) Tend() { s.tend(context.Background()) }

// SetWait says how the scrubber waits.
func (o *Options) SetWait(wait func(ctx context.Context, d time.Duration) error) { o.hooks.wait = wait }

// SetCrash calls f between the steps of maintenance.
func (o *Options) SetCrash(f func(at string)) { o.hooks.crash = f }
