package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/config"
)

func TestInFlight(t *testing.T) {
	f := func(set config.Bytes, limit, want int64) {
		t.Helper()
		if got := inFlight(config.Ingest{MaxInFlightBytes: set}, limit); got != want {
			t.Errorf("setting %d, memory limit %d: %d, want %d", set, limit, got, want)
		}
	}
	f(1, 8<<30, 1)
	f(0, 4<<30, 512<<20)
	f(0, 128<<20, 64<<20)
	f(0, 64<<30, 1<<30)
	f(0, math.MaxInt64, 512<<20)
}

func TestHeadSamples(t *testing.T) {
	f := func(set int, limit, want int64) {
		t.Helper()
		if got := headSamples(config.Badger{MaxHeadSamples: set}, limit); got != want {
			t.Errorf("setting %d, memory limit %d: %d, want %d", set, limit, got, want)
		}
	}
	f(7, 8<<30, 7)
	f(0, 8<<30, 32_000_000)
	f(0, 1<<30, 1<<24)
	f(0, 1<<20, 100_000)
	f(0, math.MaxInt64, 32_000_000)
}

func TestHeldSamples(t *testing.T) {
	f := func(set int, limit, want int64) {
		t.Helper()
		if got := heldSamples(config.Query{MaxSamplesTotal: set}, limit); got != want {
			t.Errorf("setting %d, memory limit %d: %d, want %d", set, limit, got, want)
		}
	}
	f(7, 8<<30, 7)
	f(0, 4<<30, 64<<20)
	f(0, 1<<20, 10_000_000)
	f(0, 64<<30, 200_000_000)
	f(0, math.MaxInt64, 200_000_000)
}

func TestLeaveRoom(t *testing.T) {
	before := debug.SetMemoryLimit(8 << 30)
	defer debug.SetMemoryLimit(before)
	ctx, stop := context.WithCancel(t.Context())
	ticks, asked := make(chan time.Time), make(chan int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		leaveRoom(func() int64 { return <-asked })(ctx, ticks)
	}()
	f := func(takes, want int64) {
		t.Helper()
		asked <- takes
		ticks <- time.Time{} // It is looked at after the limit was set.
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("the store takes %d: limit %d, want %d", takes, got, want)
		}
	}
	f(0, 8<<30)
	f(3<<30, 5<<30)
	f(7<<30, 2<<30)
	stop()
	asked <- 0
	<-done
	if got := debug.SetMemoryLimit(-1); got != 8<<30 {
		t.Errorf("limit %d at the end", got)
	}
	leaveRoom(nil)(t.Context(), ticks) // A store without memory of its own.
}

func TestCollectOften(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	now := func() int {
		p := debug.SetGCPercent(77)
		debug.SetGCPercent(p)
		return p
	}
	t.Setenv("GOGC", "")
	restore := collectOften()
	if got := now(); got != heapGrowth {
		t.Errorf("%d percent", got)
	}
	restore()
	if got := now(); got != 77 {
		t.Errorf("%d percent afterwards", got)
	}
	t.Setenv("GOGC", "100")
	collectOften()()
	if got := now(); got != 77 {
		t.Errorf("%d percent in spite of GOGC", got)
	}
}

func TestHeadBytes(t *testing.T) {
	if a, b := headBytes(8<<30), headBytes(math.MaxInt64); a != 2<<30 || b != 0 {
		t.Errorf("%d and %d", a, b)
	}
}

func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	unset := func(name string) {
		t.Setenv(name, "") // So that it is put back.
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	unset("GOMEMLIMIT")
	unset("AUTOMEMLIMIT")
	there := func() (uint64, error) { return 10 << 30, nil }
	f := func(c config.Memory, provider func() (uint64, error), want int64, says string) {
		t.Helper()
		debug.SetMemoryLimit(5 << 30)
		var log strings.Builder
		limitMemory(t.Context(), c, provider, slog.New(slog.NewTextHandler(&log, nil)))
		if got := debug.SetMemoryLimit(-1); got != want || !strings.Contains(log.String(), says) {
			t.Errorf("limit %d, want %d; log: %s", got, want, log.String())
		}
	}
	f(config.Memory{Ratio: 0.5}, there, 5<<30, "bytes=5368709120")
	f(config.Memory{Ratio: 0.5, Limit: 4 << 30}, there, 2<<30, "bytes=2147483648")
	f(config.Memory{Ratio: 1}, func() (uint64, error) { return 0, errors.New("no /proc") }, 5<<30, "set memory.limit or GOMEMLIMIT")
	t.Setenv("GOMEMLIMIT", "5GiB")
	f(config.Memory{Ratio: 1}, there, 5<<30, "bytes=5368709120")
}
