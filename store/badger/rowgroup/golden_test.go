package rowgroup_test

import (
	"encoding/hex"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// goldenGroup is a group with a column of each mode, timestamp columns of each mode, parts of them and start timestamps.
func goldenGroup() (g *rowgroup.Group, modes, timeModes []int) {
	g = &rowgroup.Group{}
	regular := make([]int64, 24)
	jitter := make([]int64, 24)
	gap := make([]int64, 24)
	wild := make([]int64, 24)
	for i := range regular {
		n := int64(i)
		regular[i] = fleetStart + n*interval
		jitter[i] = fleetStart + 1234 + n*interval + n*n*7%31
		gap[i] = fleetStart + n*10_000 + n/20*600_000
		wild[i] = int64(mix(uint64(i)))
	}
	slices.Sort(wild)
	set := func(i int, ts []int64, f func(i int) float64) {
		g[i] = rowgroup.Column{Timestamps: ts, Values: repeat(len(ts), f)}
	}
	bucket := func(i int) float64 { return float64(i*i%7*13 + i*40 + i*i*3) }
	sum := 0.0
	set(0, regular, func(int) float64 { return 67_108_864 })
	set(1, regular, func(i int) float64 { return 100 - float64(i)/4 })
	set(3, regular, func(i int) float64 { return float64(i*7919%50) * 4096 })
	set(4, regular, bucket)
	set(5, regular, func(i int) float64 { return bucket(i) + float64(i*i%2) })
	g[5].Values[23] = math.Float64frombits(0x7ff0000000000002) // A stale marker.
	set(6, jitter, func(i int) float64 { return 0.5 + unit(mix(uint64(i))) })
	set(7, jitter, func(i int) float64 { return math.Float64frombits(mix(uint64(i))) })
	set(8, jitter, func(i int) float64 { sum += float64(i*7919%1000) / 1000; return sum })
	set(9, jitter[2:], func(i int) float64 { return float64(i * i * 1000 % 373) })
	set(10, append(slices.Clone(jitter[:1]), jitter[3:]...), func(int) float64 { return math.Inf(-1) })
	set(20, gap, func(i int) float64 { return math.Float64frombits(0x7ff8_0000_0000_1000 + uint64(i%2)) })
	set(40, wild, func(i int) float64 { return float64(i / 23 * 1_000_000) })
	set(50, newFleet(podSeries, 100, true).times[0], func(i int) float64 { return float64(i) })
	set(63, regular[7:8], func(int) float64 { return math.Copysign(0, -1) })
	g[4].Starts = slices.Repeat([]int64{fleetStart - 60_000}, 24)
	g[5].Starts = g[4].Starts
	g[63].Starts = []int64{0}
	return g, []int{0, 1, 2, 3, 4, 5, 6, 7}, []int{1, 2, 3, 6}
}

// TestGolden reads what version 1 has written, and holds the encoder to it.
func TestGolden(t *testing.T) {
	const name = "testdata/v1.hex"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	g, modes, timeModes := goldenGroup()
	var e rowgroup.Encoder
	if got := encode(t, &e, g); !slices.Equal(got, golden) {
		t.Errorf("the encoder writes other bytes; old values must still be readable. If it only chooses better, add "+
			"a second golden file beside %s:\n%x", name, got)
	}
	var r rowgroup.Reader
	compare(t, &r, g, golden)
	seen := map[int]bool{}
	values, times := r.Modes()
	for i, m := range values {
		if r.Members()>>i&1 != 0 {
			seen[m] = true
		}
	}
	for _, m := range modes {
		if !seen[m] {
			t.Errorf("no column of mode %d: %v", m, values)
		}
	}
	for _, m := range timeModes {
		if !slices.Contains(times, m) {
			t.Errorf("no timestamp column of mode %d: %v", m, times)
		}
	}
}
