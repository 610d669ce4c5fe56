package memory_test

import (
	"errors"
	"testing"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
)

func open(tb testing.TB) store.Store {
	tb.Helper()
	st := memory.New(memory.Options{Hasher: storetest.Hasher(), MaxExemplars: 1000})
	tb.Cleanup(func() {
		if err := st.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			tb.Errorf("close: %v", err)
		}
	})
	return st
}

func TestStore(t *testing.T) { storetest.Run(t, open) }

func TestPromQL(t *testing.T) { storetest.RunPromQL(t, open) }

func TestScripts(t *testing.T) { storetest.RunScripts(t, open) }

// TestAgainst checks the comparison itself: a store does what it does itself.
func TestAgainst(t *testing.T) { storetest.RunAgainst(t, open, open) }

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, open) }
