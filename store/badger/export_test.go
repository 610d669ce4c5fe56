package badger

import "github.com/luminate-metrics/luminate/store/badger/wal"

// SetLog puts faults between a store and its log.
func (o *Options) SetLog(wrap func(wal.Segments) wal.Segments) { o.wrapLog = wrap }

// SetFree says how much space is free.
func (o *Options) SetFree(free func(dir string) (int64, error)) { o.free = free }

// SetCrash calls f between the steps of maintenance.
func (o *Options) SetCrash(f func(at string)) { o.crash = f }
