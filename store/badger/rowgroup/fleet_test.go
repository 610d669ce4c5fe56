package rowgroup_test

import (
	"math"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// A fleet is made-up data in the proportions of a Kubernetes cluster, a pure function of its series and round: pods of
// 250 series, of which 40 % are counters, 29 % histogram buckets, 5 % their counts and sums, 16 % gauges and 10 %
// constants, scraped every 15 seconds.
type fleet struct {
	// jitter gives each pod scrape times of its own that vary by tens of milliseconds, and turns half of the gauges into
	// walks of two decimals and half into random mantissas.
	jitter  bool
	series  int
	samples int
	values  [][]float64
	times   [][]int64
}

const (
	podSeries  = 250
	histograms = 6
	fleetStart = int64(1_790_000_000_000)
	interval   = 15_000
)

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

func hash(a, b, c int) uint64 { return mix(mix(mix(uint64(a))^uint64(b)) ^ uint64(c)) }

func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

func newFleet(series, samples int, jitter bool) *fleet {
	f := &fleet{jitter: jitter, series: series, samples: samples}
	var times []int64
	for i := range series {
		if i%podSeries == 0 && (jitter || i == 0) {
			times = f.scrapes(i / podSeries)
		}
		v := make([]float64, samples)
		for r := range v {
			if r == 0 {
				v[r] = f.value(i, r, 0)
			} else {
				v[r] = f.value(i, r, v[r-1])
			}
		}
		f.values, f.times = append(f.values, v), append(f.times, times)
	}
	return f
}

func (f *fleet) scrapes(pod int) []int64 {
	ts := make([]int64, f.samples)
	for r := range ts {
		ts[r] = fleetStart + int64(r)*interval
		if f.jitter {
			h := hash(9, pod, r)
			ts[r] += int64(hash(7, pod, 1)%interval) + int64(h%21) + int64(h>>8%21)
			if h>>20%50 == 0 {
				ts[r] += int64(h >> 30 % 300)
			}
		}
	}
	return ts
}

func (f *fleet) value(i, r int, before float64) float64 {
	pod, j := i/podSeries, i%podSeries
	h := hash(1, i, r+1000)
	reset := hash(6, pod, r)%700 == 0
	switch {
	case j < 100:
		return counter(hash(1, i, 9), h, r, before, reset)
	case j < 184:
		return histogramPart(pod, j-100, r, before, reset)
	case j < 225 && f.jitter:
		if j%2 == 0 {
			if r == 0 {
				before = float64(hash(1, i, 5) % 100)
			}
			return math.Round((before+float64(int64(h%201)-100)/100)*100) / 100
		}
		return 0.2 + 0.6*unit(hash(1, i, 5)) + 0.1*unit(h)
	case j < 225:
		return gauge(j-184, hash(1, i, 5), h, r, before)
	}
	return float64((hash(1, i, 5)%64 + 1) << 26)
}

func counter(own, h uint64, r int, before float64, reset bool) float64 {
	switch {
	case r == 0:
		return float64(own % 1_000_000)
	case own%10 < 3: // An idle one.
		return before
	case reset:
		return float64(h % 10)
	}
	mean := math.Exp(unit(mix(own)) * 7)
	return before + math.Floor(mean*(0.7+0.6*unit(h)))
}

// histogramPart is a bucket (72 of them), a count (6) or a sum (6) of one of the pod's histograms.
func histogramPart(pod, j, r int, before float64, reset bool) float64 {
	which, k := j/12, j%12
	switch {
	case j >= 78:
		which, k = j-78, 12
	case j >= 72:
		which, k = j-72, 11
	}
	h := hash(1, pod*histograms+which, r+31)
	n := math.Floor(20 + 80*unit(h))
	if which == 5 && h%4 != 0 {
		n = 0
	}
	if reset {
		before = 0
	}
	share := 1.0
	switch {
	case k == 12:
		return before + math.Floor(n*1e6*(0.08+0.04*unit(mix(h))))/1e6
	case k < 11:
		share = 1 - math.Exp(-math.Pow(float64(k+1)/4.2, 1.8))
	}
	return before + math.Floor(n*share)
}

func gauge(j int, own, h uint64, r int, before float64) float64 {
	switch j % 5 {
	case 0: // Bytes.
		if r == 0 {
			return float64(own%4_000_000) * 4096
		}
		return math.Max(0, before+float64(int64(h%2001)-1000)*4096)
	case 1: // A ratio.
		return math.Round((0.3+0.2*unit(own)+0.1*unit(h))*1e4) / 1e4
	case 2: // The length of a queue.
		if h%3 != 0 {
			return before
		}
		return float64(h >> 8 % 50)
	case 3: // A small walk.
		if r == 0 {
			return float64(50 + own%400)
		}
		return math.Max(1, before+float64(int64(h%11)-5))
	}
	return math.Round((40+20*math.Sin(float64(r)/40+float64(own%7))+unit(h))*10) / 10
}

// groups cuts the fleet into full groups of spans of n samples.
func (f *fleet) groups(n int) []*rowgroup.Group {
	var out []*rowgroup.Group
	for at := 0; at+n <= f.samples; at += n {
		for i := 0; i+rowgroup.MaxMembers <= f.series; i += rowgroup.MaxMembers {
			g := &rowgroup.Group{}
			for k := range g {
				g[k] = rowgroup.Column{Timestamps: f.times[i+k][at : at+n], Values: f.values[i+k][at : at+n]}
			}
			out = append(out, g)
		}
	}
	return out
}
