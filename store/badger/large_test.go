package badger_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger"
)

// TestSamplesThatTakeMuchMemory writes values that do not compress: they are moved to disk long before there are many.
func TestSamplesThatTakeMuchMemory(t *testing.T) {
	flushed := make(chan struct{})
	once := sync.OnceFunc(func() { close(flushed) })
	s := openAt(t, t.TempDir(), func(o *badger.Options) {
		o.MaxHeadBytes = 64 << 10
		o.SetCrash(func(at string) {
			if at == "flush: published" {
				once()
			}
		})
	})
	rng := rand.New(rand.NewPCG(1, 2))
	n := int64(0)
	for done := false; !done; {
		for range 100 {
			n++
			appendTo(t, s, "a", sample{series: "m", t: n, v: rng.NormFloat64()})
		}
		select {
		case <-flushed:
			done = true
		default:
			if n > 100_000 {
				t.Fatalf("%d samples are in memory", n)
			}
		}
	}
	if s.OffHeap() <= 0 && !inGoHeap {
		t.Error("the head takes no memory")
	}
}
