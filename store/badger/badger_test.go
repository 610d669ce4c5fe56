package badger_test

import (
	"context"
	"errors"
	"testing"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
	"github.com/luminate-metrics/luminate/tenancy"
)

// disk opens stores for the suite.
type disk struct{ change func(*badger.Options) }

func (d disk) Open(tb testing.TB, dir string) store.Store {
	tb.Helper()
	s, err := tryOpen(dir, func(o *badger.Options) {
		o.Hasher, o.MaxExemplars = storetest.Hasher(), 1000
		if d.change != nil {
			d.change(o)
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// flushed flushes after each Append, so that reads meet partitions only.
type flushed struct {
	disk
}

func (d flushed) Open(tb testing.TB, dir string) store.Store {
	tb.Helper()
	return flushingStore{d.disk.Open(tb, dir)}
}

type flushingStore struct{ store.Store }

func (s flushingStore) Tenant(id tenancy.ID) store.Tenant {
	return flushingTenant{s.Store.Tenant(id), s.Store}
}

type flushingTenant struct {
	store.Tenant
	st store.Store
}

func (t flushingTenant) Append(ctx context.Context, b *metric.Batch) ([]metric.Rejection, error) {
	rejected, err := t.Tenant.Append(ctx, b)
	if err == nil {
		err = t.st.Flush(ctx)
	}
	return rejected, err
}

func openMemory(tb testing.TB) store.Store {
	tb.Helper()
	st := memory.New(memory.Options{Hasher: storetest.Hasher(), MaxExemplars: 1000})
	tb.Cleanup(func() {
		if err := st.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			tb.Errorf("close: %v", err)
		}
	})
	return st
}

// smallParts makes flushes and closing of partitions happen often.
func smallParts(o *badger.Options) {
	o.MaxHeadSamples, o.MaxOpenPartitions = 50, 1
}

// The tests run in parallel because most of their time goes into syncs.

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.OnDisk(disk{}))
}

func TestStoreFlushed(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.OnDisk(flushed{}))
}

func TestDisk(t *testing.T) {
	t.Parallel()
	storetest.RunDisk(t, disk{})
}

func TestDiskSmallParts(t *testing.T) {
	t.Parallel()
	storetest.RunDisk(t, disk{smallParts})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	storetest.RunScripts(t, storetest.OnDisk(disk{}))
}

func TestScriptsFlushed(t *testing.T) {
	t.Parallel()
	storetest.RunScripts(t, storetest.OnDisk(flushed{}))
}

func TestPromQL(t *testing.T) {
	t.Parallel()
	storetest.RunPromQL(t, storetest.OnDisk(disk{}))
}

func TestPromQLSmallParts(t *testing.T) {
	t.Parallel()
	storetest.RunPromQL(t, storetest.OnDisk(disk{smallParts}))
}

func TestAgainst(t *testing.T) {
	t.Parallel()
	storetest.RunAgainst(t, openMemory, storetest.OnDisk(disk{smallParts}))
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, storetest.OnDisk(disk{})) }
