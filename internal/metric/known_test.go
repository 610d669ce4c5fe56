package metric_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/luminate-metrics/luminate/internal/metric"
)

func hashed(rng *rand.Rand, n int) []metric.Series {
	out := make([]metric.Series, n)
	for i := range out {
		out[i].Hash = metric.Hash{Hi: rng.Uint64(), Lo: rng.Uint64()}
	}
	return out
}

func newKnown() *metric.Known {
	r := metric.PrometheusRules("_tenant_id")
	return metric.NewKnown(metric.NewHasher(1), &r)
}

// rounds sends all series so many times, as a decoder does, and returns how many were known in the last round.
func rounds(k *metric.Known, series []metric.Series, n int) (hits int) {
	known := make([]bool, 50)
	for range n {
		hits = 0
		for at := 0; at < len(series); at += len(known) {
			part := series[at : at+len(known)]
			k.Have(part, known)
			for i := range part {
				if known[i] {
					hits++
				} else {
					k.Add(part[i].Hash)
				}
			}
		}
	}
	return hits
}

func TestKnownGrowsWithWhatComesAgain(t *testing.T) {
	k := newKnown()
	if k.Bytes() != 32<<10 {
		t.Errorf("%d bytes when empty", k.Bytes())
	}
	series := hashed(rand.New(rand.NewPCG(1, 1)), 100_000)
	if hits := rounds(k, series, 30); hits < 95_000 {
		t.Errorf("%d of 100,000 series are known", hits)
	}
	if k.Bytes() > 4<<20 {
		t.Errorf("%d bytes for 100,000 series", k.Bytes())
	}
	if hits := rounds(k, hashed(rand.New(rand.NewPCG(2, 2)), 10_000), 1); hits != 0 {
		t.Errorf("%d series are known that never came", hits)
	}
}

func TestKnownIsBounded(t *testing.T) {
	k := newKnown()
	rng := rand.New(rand.NewPCG(3, 3))
	known := make([]bool, 5000)
	for range 1000 { // 5 million.
		series := hashed(rng, len(known))
		k.Have(series, known)
		for i := range series {
			k.Add(series[i].Hash)
		}
	}
	if k.Bytes() != metric.MaxKnownBytes {
		t.Errorf("%d bytes, want %d", k.Bytes(), metric.MaxKnownBytes)
	}
}

// All but one of the bits of a hash decide nothing.
func TestKnownComparesAllBits(t *testing.T) {
	k := newKnown()
	h := metric.Hash{Hi: 1, Lo: 1 << 40}
	k.Add(h)
	known := make([]bool, 1)
	has := func(h metric.Hash) bool {
		k.Have([]metric.Series{{Hash: h}}, known)
		return known[0]
	}
	if !has(h) {
		t.Error("forgotten")
	}
	for i := range 64 {
		if other := (metric.Hash{Hi: h.Hi, Lo: h.Lo ^ 1<<i}); has(other) {
			t.Errorf("%x is known", other)
		}
	}
	k.Add(metric.Hash{Hi: 7})
	if has(metric.Hash{Hi: 7}) || has(metric.Hash{Hi: 8}) {
		t.Error("an empty place is known")
	}
}

func TestKnownServes(t *testing.T) {
	r := metric.PrometheusRules("_tenant_id")
	k := metric.NewKnown(metric.NewHasher(1), &r)
	b := metric.NewBatch(metric.NewHasher(1))
	other := r
	other.MaxDimensions--
	if !k.Serves(b, &r) || k.Serves(b, &other) || k.Serves(metric.NewBatch(metric.NewHasher(2)), &r) {
		t.Error("what is known depends on rules and hasher")
	}
	r.MaxValueLength = 1
	if k.Serves(b, &r) {
		t.Error("the rules have changed")
	}
}

func TestKnownConcurrently(t *testing.T) {
	k := newKnown()
	series := hashed(rand.New(rand.NewPCG(4, 4)), 20_000)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { rounds(k, series[i*2000:i*2000+14_000], 5) })
	}
	wg.Wait()
	if hits := rounds(k, series, 20); hits < 19_000 {
		t.Errorf("%d of 20,000 series are known", hits)
	}
}

func BenchmarkKnown(b *testing.B) {
	k := newKnown()
	series := hashed(rand.New(rand.NewPCG(1, 1)), 1_000_000)
	rounds(k, series, 20)
	known := make([]bool, 50)
	n := 0
	for b.Loop() {
		k.Have(series[n:n+len(known)], known)
		n = (n + len(known)) % len(series)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/series")
	b.ReportMetric(float64(k.Bytes()), "B")
}
