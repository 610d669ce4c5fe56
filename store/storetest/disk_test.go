package storetest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// TestRunDisk checks the suite for stores on disk with one that never loses anything.
func TestRunDisk(t *testing.T) {
	storetest.RunDisk(t, perfectDisk{map[string]store.Store{}})
}

// perfectDisk keeps stores in memory and only their names on disk.
type perfectDisk struct{ stores map[string]store.Store }

func (d perfectDisk) Open(tb testing.TB, dir string) store.Store {
	tb.Helper()
	file := filepath.Join(dir, "name")
	name, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		name = []byte(dir)
		d.stores[dir] = memory.New(memory.Options{Hasher: storetest.Hasher()})
		err = os.WriteFile(file, name, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return undying{d.stores[string(name)]}
}

// undying outlives Close.
type undying struct{ store.Store }

func (undying) Close() error { return nil }
