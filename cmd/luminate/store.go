package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// An openStore is a store that may tell that it can't go on.
type openStore struct {
	store.Store
	failed  <-chan struct{} // Closed when nothing may be acknowledged any more; nil if that can't be.
	offHeap func() int64    // Bytes that it takes outside the Go heap; nil if it takes none.
}

func tenantRetention(c config.TenantDurations) map[tenancy.ID]time.Duration {
	out := map[tenancy.ID]time.Duration{}
	for id, d := range c {
		out[tenancy.ID(id)] = d.Std()
	}
	return out
}

// An opener opens the configured store.
type opener func(cfg *config.Config, hasher metric.Hasher, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) (openStore, error)

// open is the opener of the program. That may take as long as replaying its log does.
func open(cfg *config.Config, hasher metric.Hasher, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) (openStore, error) {
	switch c := cfg.Storage.Badger; cfg.Storage.Backend {
	case config.BackendBadger:
		limit := debug.SetMemoryLimit(-1)
		o := badger.Options{
			Dir: c.Path, Hasher: hasher, PartitionWidth: c.PartitionWidth.Std(), Retention: cfg.Retention.Period.Std(),
			TenantRetention: tenantRetention(cfg.Retention.Tenants),
			FsyncPolicy:     c.Fsync, MaxHeadSamples: headSamples(c, limit), MaxHeadBytes: headBytes(limit), MaxHeadAge: c.MaxHeadAge.Std(),
			MaxOpenPartitions: c.MaxOpenPartitions, MaxPartitions: c.MaxPartitions, MaxExemplars: cfg.Storage.MaxExemplars, WALSegmentBytes: int(c.WALSegmentBytes),
			MinFreeBytes: int64(c.MinFreeBytes), MinFreePercent: c.MinFreePercent, BallastBytes: int64(c.BallastBytes),
			ScrubInterval: c.ScrubInterval.Std(), ScrubBytesPerSecond: int64(c.ScrubBytesPerSecond),
			AllowLossyRecovery: cfg.Storage.AllowLossyRecovery, Logger: log, Registerer: reg, Now: now,
		}
		if o.MinFreeBytes == 0 {
			o.MinFreeBytes = -1 // Its zero means the default.
		}
		st, err := badger.Open(o)
		if err != nil {
			return openStore{}, err
		}
		return openStore{st, st.Failed(), st.OffHeap}, nil
	case config.BackendMemory:
		log.Warn("nothing is kept: all data is gone when the server stops, because storage.backend is memory")
		return openStore{Store: memory.New(memory.Options{Hasher: hasher, MaxExemplars: cfg.Storage.MaxExemplars})}, nil
	default:
		return openStore{}, fmt.Errorf("storage.backend %q is not known", cfg.Storage.Backend)
	}
}
