package main

import (
	"math"
	"testing"

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
	f(0, 8<<30, 1<<30)
	f(0, 128<<20, 64<<20)
	f(0, math.MaxInt64, 512<<20)
}
