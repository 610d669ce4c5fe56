package partition

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/luminate-metrics/luminate/store/series"
)

func TestChunkKeepsBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	odd := []uint64{0, 1, 1 << 63, 1<<63 | 1, 0x7ff0000000000002, 0x7ff8000000000001, 0x7ff8000000000abc, 0xfff8000000000000, 0x7ff0000000000000, 0xfff0000000000000, math.Float64bits(1.5), math.MaxUint64}
	for round := range 4000 {
		n := 1 + rng.IntN(300)
		run := make(series.Run, n)
		at := int64(rng.Uint64N(1000))
		if round%5 == 0 {
			at = math.MinInt64
		}
		for i := range run {
			bits := odd[rng.IntN(len(odd))]
			if rng.IntN(3) == 0 {
				bits = rng.Uint64()
			}
			var start int64
			switch rng.IntN(4) {
			case 0:
				start = at - 1000
			case 1:
				start = int64(rng.Uint64())
			}
			if round%2 == 0 {
				start = 0
			}
			run[i] = series.Sample{Timestamp: at, Start: start, Value: math.Float64frombits(bits)}
			if round%7 == 0 {
				at += 1 + int64(rng.Uint64N(math.MaxUint64/uint64(2*n+2)))
			} else {
				at += 1 + int64(rng.Uint64N(30000))
			}
		}
		value, rest, err := encodeChunk(run)
		if err != nil || len(rest) > 0 {
			t.Fatal(err, len(rest))
		}
		got, err := decodeChunk(value)
		if err != nil || len(got) != n {
			t.Fatalf("round %d: %v: %d of %d", round, err, len(got), n)
		}
		for i := range got {
			if got[i].Timestamp != run[i].Timestamp || got[i].Start != run[i].Start || math.Float64bits(got[i].Value) != math.Float64bits(run[i].Value) {
				t.Fatalf("round %d, sample %d of %d: got %+v %x, want %+v %x", round, i, n, got[i], math.Float64bits(got[i].Value), run[i], math.Float64bits(run[i].Value))
			}
		}
	}
}
