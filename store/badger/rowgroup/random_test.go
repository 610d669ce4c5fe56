package rowgroup_test

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

var special = []float64{
	math.NaN(), math.Float64frombits(0x7ff0000000000002), math.Float64frombits(0x7ff8000000000000),
	math.Float64frombits(0xfff8000000000000), math.Float64frombits(0xffffffffffffffff), math.Float64frombits(0x7ff0dead00000001),
	math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 5e-324, -5e-324, math.MaxFloat64, -math.MaxFloat64,
	1e15, 1 << 53, -(1 << 53), 1 << 62, -(1 << 62), 1 << 63, -(1 << 63), 0.1, 1e-9, 123456789.123456789,
}

// randomGroup returns a group of any kind, mostly small.
func randomGroup(r *rand.Rand) *rowgroup.Group {
	g := &rowgroup.Group{}
	n := 1 + r.IntN(40)
	switch r.IntN(20) {
	case 0:
		n = rowgroup.MaxSamples
	case 1, 2, 3:
		n = 1 + r.IntN(200)
	case 4:
		n = 1 + r.IntN(3)
	}
	members := 1 + r.IntN(8)
	if r.IntN(20) == 0 {
		members = rowgroup.MaxMembers
	}
	target := randomTimes(r, n)
	var before []float64
	var starts []int64
	for range members {
		i := r.IntN(rowgroup.MaxMembers)
		if members == rowgroup.MaxMembers {
			i = slices.IndexFunc(g[:], func(c rowgroup.Column) bool { return c.Timestamps == nil })
		}
		if r.IntN(12) == 0 {
			target = randomTimes(r, 1+r.IntN(n))
		}
		c := rowgroup.Column{Timestamps: randomPart(r, target)}
		c.Values = randomValues(r, len(c.Timestamps), before)
		before = c.Values
		if r.IntN(4) == 0 {
			if len(starts) != len(c.Values) || r.IntN(2) == 0 {
				starts = randomStarts(r, c.Timestamps)
			}
			c.Starts = starts
		}
		g[i] = c
	}
	return g
}

func randomTimes(r *rand.Rand, n int) []int64 {
	ts := make([]int64, 0, n)
	at := fleetStart + r.Int64N(1e6)
	switch r.IntN(10) {
	case 0:
		for range n {
			ts = append(ts, int64(r.Uint64()))
		}
		slices.Sort(ts)
		return slices.Compact(ts)
	case 1:
		at = math.MinInt64
	case 2:
		at = math.MaxInt64 - int64(n)*20_000 - 100_000_000
	case 3:
		at = -at
	}
	step, jitter, unit := 1+r.Int64N(20_000), int64(1), int64(1)
	if r.IntN(2) == 0 {
		jitter = 1 + r.Int64N(step)
	}
	if r.IntN(5) == 0 {
		step, jitter, unit = step/1000+1, jitter/1000+1, 1000
	}
	gap := r.IntN(4) == 0
	for i := range n {
		t := at + int64(i)*step*unit + r.Int64N(jitter)*unit
		if len(ts) == 0 || t > ts[len(ts)-1] {
			ts = append(ts, t)
		}
		if gap && r.IntN(n) == 0 {
			at += 600_000
		}
	}
	return ts
}

// randomPart returns all or some of ts, itself or a copy.
func randomPart(r *rand.Rand, ts []int64) []int64 {
	a, b := r.IntN(len(ts)), r.IntN(len(ts))
	a, b = min(a, b), max(a, b)+1
	switch r.IntN(8) {
	case 0:
		return slices.Clone(ts)
	case 1:
		return ts[a:b]
	case 2:
		return append(slices.Clone(ts[:a]), ts[b-1:]...)
	case 3:
		share := 2 + r.IntN(10)
		var part []int64
		for _, t := range ts {
			if r.IntN(share) > 0 {
				part = append(part, t)
			}
		}
		if len(part) > 0 {
			return part
		}
	}
	return ts
}

func randomStarts(r *rand.Rand, ts []int64) []int64 {
	out := make([]int64, len(ts))
	start := ts[0] - r.Int64N(1e9)
	kind := r.IntN(4)
	for i := range out {
		switch kind {
		case 0:
			if r.IntN(20) == 0 {
				start = ts[i]
			}
			out[i] = start
		case 1:
			out[i] = int64(r.Uint64())
		case 2:
			out[i] = ts[max(i-1, 0)]
		default:
			out[i] = start
		}
	}
	return out
}

func randomValues(r *rand.Rand, n int, before []float64) []float64 {
	v := make([]float64, n)
	kind, scale := r.IntN(13), math.Pow(10, float64(r.IntN(12)))
	share := 10 + r.IntN(500)
	p := 0.0
	for i := range v {
		switch kind {
		case 0, 1:
			p += float64(r.IntN(1000))
			if r.IntN(60) == 0 {
				p = 0
			}
		case 2:
			p = math.Round(r.NormFloat64()*1e4) / scale
		case 3:
			p = r.NormFloat64() * scale
		case 4:
			p += r.Float64()
		case 5:
			p = math.Float64frombits(r.Uint64())
		case 6:
			p += math.Floor(r.Float64()*1e6) / 1e6
		case 7:
			p = special[r.IntN(len(special))]
		case 8:
			p = float64(r.Int64() - r.Int64())
		case 9:
			p = float64(r.IntN(3)) * scale
		case 10:
			p = float64(r.IntN(1<<20)) * 4096
		case 11, 12:
			if i < len(before) {
				p = math.Floor(before[i]*0.8) + float64(r.IntN(2))
			}
		}
		v[i] = p
		if r.IntN(share) == 0 {
			v[i] = special[r.IntN(len(special))]
		}
	}
	return v
}
