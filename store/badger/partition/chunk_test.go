package partition_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
)

// roundTrip encodes and decodes.
func roundTrip(tb testing.TB, run series.Run) series.Run {
	tb.Helper()
	values := partition.EncodeChunk(run)
	var out series.Run
	for _, v := range values {
		part, err := partition.DecodeChunk(v)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, part...)
	}
	return out
}

// text shows a run with the bits of its values.
func text(run series.Run) string {
	var b strings.Builder
	for _, s := range run {
		fmt.Fprintf(&b, "%d %d %016x", s.Timestamp, s.Start, math.Float64bits(s.Value))
		if s.Int != nil {
			fmt.Fprintf(&b, " %016x %+v", math.Float64bits(s.Int.Sum), *s.Int)
		}
		if s.Float != nil {
			fmt.Fprintf(&b, " %016x %+v", math.Float64bits(s.Float.Sum), *s.Float)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func oddFloat(rng *rand.Rand) float64 {
	odd := []uint64{0, 1, 1 << 63, 0x7ff0000000000002, 0x7ff8000000000001, 0x7ff8000000000abc, 0xfff8000000000000, 0x7ff0000000000000, math.MaxUint64}
	if i := rng.IntN(len(odd) + 4); i < len(odd) {
		return math.Float64frombits(odd[i])
	}
	return math.Float64frombits(rng.Uint64())
}

func oddHistogram(rng *rand.Rand, s *series.Sample) {
	spans := []histogram.Span{{Offset: int32(rng.Uint32()), Length: 2}, {Offset: 3, Length: 1}}
	hint := []histogram.CounterResetHint{histogram.UnknownCounterReset, histogram.CounterReset, histogram.GaugeType}[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		s.Int = &histogram.Histogram{
			CounterResetHint: hint, Schema: int32(rng.IntN(13) - 4), Count: rng.Uint64(), ZeroCount: rng.Uint64(), Sum: oddFloat(rng),
			ZeroThreshold: oddFloat(rng), PositiveSpans: spans, PositiveBuckets: []int64{1, -2, math.MinInt64},
		}
		return
	}
	s.Float = &histogram.FloatHistogram{
		CounterResetHint: hint, Schema: histogram.CustomBucketsSchema, Count: oddFloat(rng), Sum: oddFloat(rng),
		PositiveSpans: spans, PositiveBuckets: []float64{oddFloat(rng), 1, 2}, CustomValues: []float64{1, oddFloat(rng)},
	}
}

func TestChunkKeepsEverything(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		run := make(series.Run, 1+rng.IntN(300))
		if round%300 == 0 {
			run = make(series.Run, 5000)
		}
		at := int64(rng.Uint64N(1000))
		if round%5 == 0 {
			at = math.MinInt64
		}
		for i := range run {
			run[i] = series.Sample{Timestamp: at}
			if round%2 > 0 {
				run[i].Start = []int64{at - 1000, 0, int64(rng.Uint64())}[rng.IntN(3)]
			}
			oddHistogram(rng, &run[i])
			step := uint64(30_000)
			if round%7 == 0 {
				step = math.MaxUint64 / uint64(2*len(run)+2)
			}
			at += 1 + int64(rng.Uint64N(step))
		}
		if diff := cmp.Diff(text(run), text(roundTrip(t, run))); diff != "" {
			t.Fatalf("round %d: %s", round, diff)
		}
	}
}

func TestDamagedChunk(t *testing.T) {
	values := partition.EncodeChunk(golden())
	for i := range values[0] {
		bad := append([]byte(nil), values[0]...)
		bad[i] ^= 4
		if _, err := partition.DecodeChunk(bad); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := partition.DecodeChunk(values[0][:i]); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// golden is the run in testdata.
func golden() series.Run {
	rng := rand.New(rand.NewPCG(3, 4))
	run := make(series.Run, 12)
	for i := range run {
		run[i] = series.Sample{Timestamp: 1_700_000_000_000 + int64(i)*15_000, Start: int64(i/4) * 7}
		oddHistogram(rng, &run[i])
	}
	return run
}

// TestGoldenV3 reads a chunk that version 3 of the format wrote. A new version keeps the file and adds its own.
func TestGoldenV3(t *testing.T) {
	data, err := os.ReadFile("testdata/chunk-v3.hex")
	if err != nil {
		t.Fatal(err)
	}
	value, err := hex.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	if err != nil {
		t.Fatal(err)
	}
	run, err := partition.DecodeChunk(value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text(golden()), text(run)); diff != "" {
		t.Fatal(diff)
	}
}

// FuzzChunk decodes anything without a panic or a huge allocation. The checksum is made right, or nothing would be met.
func FuzzChunk(f *testing.F) {
	values := partition.EncodeChunk(golden())
	for _, v := range values {
		f.Add(v[:len(v)-4])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		run, err := partition.DecodeChunk(partition.Seal(append([]byte(nil), payload...)))
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, partition.ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		if len(run) == 0 {
			return
		}
		if diff := cmp.Diff(text(run), text(roundTrip(t, run))); diff != "" {
			t.Fatal(diff)
		}
	})
}
