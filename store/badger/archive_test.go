package badger_test

import (
	"testing"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// A backup of this backend restores into itself and into another one, and the other way round.
func TestArchive(t *testing.T) {
	own := func(tb testing.TB) store.Store {
		tb.Helper()
		s := disk{}.Open(tb, tb.TempDir())
		tb.Cleanup(func() { _ = s.Close() })
		return s
	}
	other := func(testing.TB) store.Store { return memory.New(memory.Options{Hasher: storetest.Hasher()}) }
	for _, c := range []struct {
		name     string
		from, to storetest.Opener
	}{{"from badger to badger", own, own}, {"from badger to memory", own, other}, {"from memory to badger", other, own}} {
		t.Run(c.name, func(t *testing.T) { storetest.RunArchive(t, c.from, c.to) })
	}
}
