package main

import (
	"math"

	"github.com/luminate-metrics/luminate/config"
)

const (
	leastInFlight     = 64 << 20
	unlimitedInFlight = 512 << 20
)

// inFlight is the memory that the writes being served may take together. The limit is that of the process;
// math.MaxInt64 means that there is none.
func inFlight(c config.Ingest, limit int64) int64 {
	switch {
	case c.MaxInFlightBytes > 0:
		return int64(c.MaxInFlightBytes)
	case limit == math.MaxInt64:
		return unlimitedInFlight
	default:
		return max(limit/8, leastInFlight)
	}
}
