package main

import (
	"context"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/luminate-metrics/luminate/config"
)

// Bounds of what follows from the memory limit.
const (
	leastInFlight     = 64 << 20
	mostInFlight      = 1 << 30
	unlimitedInFlight = 512 << 20

	leastHeldSamples   = 10_000_000
	mostHeldSamples    = 200_000_000
	bytesOfHeldSamples = 64 // Of memory limit for a sample that a query holds, which takes up to 40.

	leastHeadSamples = 100_000
	mostHeadSamples  = 32_000_000 // More makes fewer and longer flushes, and a longer replay, for little.
	bytesOfSample    = 64         // Of memory limit for a sample in memory, which gives the head a tenth of it at most.
)

// available is the memory that this process may take: that of its control group or, if that is not limited, of the machine.
func available() (uint64, error) {
	return memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
}

// limitMemory makes the garbage collector keep to the memory that there is. GOMEMLIMIT in the environment wins.
func limitMemory(ctx context.Context, c config.Memory, provider memlimit.Provider, log *slog.Logger) {
	if c.Limit > 0 {
		provider = memlimit.Limit(uint64(c.Limit))
	}
	limit, err := memlimit.Set(memlimit.WithProvider(provider), memlimit.WithRatio(c.Ratio))
	switch {
	case err != nil:
		log.LogAttrs(ctx, slog.LevelWarn, "the memory of this machine is not known: set memory.limit or GOMEMLIMIT", slog.Any("error", err))
	case limit == math.MaxInt64:
		log.LogAttrs(ctx, slog.LevelInfo, "memory is not limited")
	default:
		log.LogAttrs(ctx, slog.LevelInfo, "memory limit of the garbage collector (GOMEMLIMIT)", slog.Int64("bytes", limit))
	}
}

// heapGrowth is how much the Go heap may grow, in percent of what is in use, before garbage is collected. Series and their
// samples are not in it, so that collecting twice as often as usual costs little and halves the peaks.
const heapGrowth = 50

// collectOften sets that, unless GOGC in the environment says something else. It returns what puts the old value back.
func collectOften() (restore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	old := debug.SetGCPercent(heapGrowth)
	return func() { debug.SetGCPercent(old) }
}

// inFlight is the memory that the writes being served may take together. The limit is that of the process;
// math.MaxInt64 means that there is none.
func inFlight(c config.Ingest, limit int64) int64 {
	switch {
	case c.MaxInFlightBytes > 0:
		return int64(c.MaxInFlightBytes)
	case limit == math.MaxInt64:
		return unlimitedInFlight
	default:
		return min(max(limit/8, leastInFlight), mostInFlight)
	}
}

// headBytes is the memory that samples may take before they are moved to disk, whatever their number; 0 means any. It
// matters where they do not compress, or come out of order.
func headBytes(limit int64) int64 {
	if limit == math.MaxInt64 {
		return 0
	}
	return limit / 4
}

// heapShare is the part of the memory limit that the garbage collector gets at least: one of so many.
const heapShare = 4

// leaveRoom makes the garbage collector keep to what the store leaves of the memory limit, for it does not see what lies
// outside its heap. After ctx ends the limit is as before.
func leaveRoom(offHeap func() int64) func(ctx context.Context, ticks <-chan time.Time) {
	return func(ctx context.Context, ticks <-chan time.Time) {
		limit := debug.SetMemoryLimit(-1)
		if limit == math.MaxInt64 || offHeap == nil {
			return
		}
		defer debug.SetMemoryLimit(limit)
		for {
			debug.SetMemoryLimit(max(limit-offHeap(), limit/heapShare))
			select {
			case <-ctx.Done():
				return
			case <-ticks:
			}
		}
	}
}

// roomInterval is how often the garbage collector is told what the store leaves.
const roomInterval = 5 * time.Second

// headSamples is the number of samples in memory at which they are moved to disk.
func headSamples(c config.Badger, limit int64) int64 {
	if c.MaxHeadSamples > 0 {
		return int64(c.MaxHeadSamples)
	}
	return min(max(limit/bytesOfSample, leastHeadSamples), mostHeadSamples)
}

// heldSamples is the number of samples that all reads may hold in memory together.
func heldSamples(c config.Query, limit int64) int64 {
	if c.MaxSamplesTotal > 0 {
		return int64(c.MaxSamplesTotal)
	}
	return min(max(limit/bytesOfHeldSamples, leastHeldSamples), mostHeldSamples)
}
