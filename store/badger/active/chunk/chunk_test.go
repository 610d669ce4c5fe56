package chunk_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
)

// writer is a chunk with all its bytes.
type writer struct {
	state  chunk.State
	tail   [chunk.Tail]byte
	before []byte
	start  int64
	want   chunk.Columns
}

func (w *writer) add(timestamp, start int64, v float64) {
	var spill [chunk.Tail]byte
	if start != w.start {
		w.start = start
		if w.state.AppendStart(&w.tail, &spill, start) {
			w.before = append(w.before, spill[:]...)
		}
	}
	if w.state.Append(&w.tail, &spill, timestamp, v) {
		w.before = append(w.before, spill[:]...)
	}
	w.want.Add(timestamp, start, v)
}

func (w *writer) bytes() []byte {
	return append(slices.Clip(w.before), w.tail[:w.state.Used]...)
}

func (w *writer) check(t *testing.T, what string) {
	t.Helper()
	ended := *w
	ended.state.End(&ended.tail)
	for _, b := range [][]byte{w.bytes(), append(ended.before[:len(w.before):len(w.before)], ended.tail[:]...)} {
		var got chunk.Columns
		if err := got.Decode(b); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(got.Timestamps) != len(w.want.Timestamps) || len(got.Starts) != len(w.want.Starts) {
			t.Fatalf("%s: %d samples, %d starts; want %d, %d", what, len(got.Timestamps), len(got.Starts),
				len(w.want.Timestamps), len(w.want.Starts))
		}
		for i, at := range w.want.Timestamps {
			if got.Timestamps[i] != at || math.Float64bits(got.Values[i]) != math.Float64bits(w.want.Values[i]) {
				t.Fatalf("%s: sample %d is %d %x, want %d %x", what, i, got.Timestamps[i], math.Float64bits(got.Values[i]),
					at, math.Float64bits(w.want.Values[i]))
			}
			if len(w.want.Starts) > 0 && got.Starts[i] != w.want.Starts[i] {
				t.Fatalf("%s: start %d is %d, want %d", what, i, got.Starts[i], w.want.Starts[i])
			}
		}
	}
	if last := w.want.Values[len(w.want.Values)-1]; w.state.Last() != math.Float64bits(last) {
		t.Fatalf("%s: the newest value is %x, want %x", what, w.state.Last(), math.Float64bits(last))
	}
}

// odd are floats that decimals or differences may get wrong.
func odd() []float64 {
	return []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 1e-9, 1e-10, 123456.789, math.Pi, math.Inf(1), math.Inf(-1), math.NaN(),
		math.Float64frombits(0x7ff0000000000002), math.Float64frombits(0xfff8dead00000001), math.MaxFloat64,
		math.SmallestNonzeroFloat64, 1 << 53, 1<<53 - 1, -(1 << 53), 1 << 62, -(1 << 63), 1 << 63, 1e15, 1e22, 4503599627370497.5,
		0.30000000000000004, 9007199254740.993,
	}
}

func TestEveryPairOfFloats(t *testing.T) {
	for _, a := range odd() {
		for _, b := range odd() {
			var w writer
			for i, v := range []float64{a, b, b, a, a, a, b, a, b} {
				w.add(int64(i)*15000, 0, v)
			}
			w.check(t, "pair")
		}
	}
}

func TestRandomChunks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	list := odd()
	for round := range 3000 {
		var w writer
		at := rng.Int64N(2_000_000_000_000) - 1000
		v := math.Floor(rng.Float64() * 1000)
		start := int64(0)
		for range 1 + rng.IntN(400) {
			switch rng.IntN(12) {
			case 0:
				v = list[rng.IntN(len(list))]
			case 1:
				v = math.Float64frombits(rng.Uint64())
			case 2:
				v = rng.Float64() * 100
			case 3:
				v = math.Round(rng.Float64()*1e6) / math.Pow(10, float64(rng.IntN(11)))
			case 4, 5, 6:
				v += math.Floor(math.Exp(rng.Float64() * 30))
			}
			if round%3 == 0 && rng.IntN(30) == 0 {
				start = rng.Int64()
			}
			w.add(at, start, v)
			step := int64(15000)
			switch rng.IntN(20) {
			case 0:
				step = 1 + rng.Int64N(100_000)
			case 1:
				step = 1 + rng.Int64N(1<<40)
			}
			at += step
		}
		w.check(t, "random")
	}
}

func TestExtremeTimestamps(t *testing.T) {
	var w writer
	for i, at := range []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64} {
		w.add(at, 0, float64(i))
	}
	w.check(t, "extremes")
}

func TestConstantSeriesIsShort(t *testing.T) {
	for _, v := range odd() {
		var w writer
		for i := range int64(120) {
			w.add(1_700_000_000_000+i*15000, 0, v)
		}
		w.check(t, "constant")
		if n := len(w.bytes()); n > 25 {
			t.Errorf("120 times %v take %d bytes", v, n)
		}
	}
}

func TestSizes(t *testing.T) {
	f := func(what string, most float64, next func(i int) float64) {
		t.Helper()
		var w writer
		for i := range 120 {
			w.add(1_700_000_000_000+int64(i)*15000, 0, next(i))
		}
		w.check(t, what)
		if got := float64(len(w.bytes())) / 120; got > most {
			t.Errorf("%s takes %.2f bytes a sample, more than %v", what, got, most)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	total := 0.0
	f("a slow counter", 1.2, func(int) float64 { total += float64(rng.IntN(60)); return total })
	f("a gauge of two decimals", 2.1, func(int) float64 { return math.Round(rng.Float64()*1e4) / 100 })
	f("random floats", 8.5, func(int) float64 { return rng.Float64() * 100 })
	f("decimals after a stale marker", 2.4, func(i int) float64 {
		if i == 50 {
			return math.Float64frombits(0x7ff0000000000002)
		}
		return math.Round(rng.Float64()*1e4) / 100
	})
}

func FuzzDecode(f *testing.F) {
	var w writer
	for i, v := range odd() {
		w.add(int64(i)*1000, int64(i/5), v)
	}
	f.Add(w.bytes())
	f.Add([]byte{0xe3})
	f.Add([]byte{15, 0, 0, 0xe2, 0, 15, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var got chunk.Columns
		_ = got.Decode(b)
		if len(got.Values) != len(got.Timestamps) || len(got.Starts) != 0 && len(got.Starts) != len(got.Values) {
			t.Errorf("%d timestamps, %d values, %d starts", len(got.Timestamps), len(got.Values), len(got.Starts))
		}
		if len(got.Values) > 255*len(b)+1 {
			t.Errorf("%d samples from %d bytes", len(got.Values), len(b))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	var w writer
	var spill [chunk.Tail]byte
	rng := rand.New(rand.NewPCG(3, 4))
	var steps [256]float64
	for i := range steps {
		steps[i] = float64(rng.IntN(500))
	}
	v := 0.0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v += steps[i&255]
		w.state.Append(&w.tail, &spill, int64(i)*15000, v)
	}
}

func BenchmarkDecode(b *testing.B) {
	var w writer
	rng := rand.New(rand.NewPCG(3, 4))
	v := 0.0
	for i := range int64(120) {
		v += float64(rng.IntN(500))
		w.add(i*15000, 0, v)
	}
	all := w.bytes()
	var got chunk.Columns
	b.ReportAllocs()
	for b.Loop() {
		got.Reset()
		if got.Decode(all) != nil {
			b.Fatal("malformed")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/120, "ns/sample")
}
