package partition_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
)

func verify(t *testing.T, p *partition.Partition) (partition.Counts, []string) {
	t.Helper()
	var lines []string
	counts, err := p.Verify(t.Context(), func(int) error { return nil }, func(d partition.Damage) {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", d.Tenant, d.What, d.Lost))
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts, lines
}

func TestVerify(t *testing.T) {
	one, two := labels.FromStrings("__name__", "up", "i", "1"), labels.FromStrings("__name__", "up", "i", "2")
	row := partition.RowsKey("a", 0, 1, 1)
	f := func(change func(p *partition.Partition) error, want ...string) {
		t.Helper()
		p := open(t)
		list := []written{{"a", one, floats(1, 2)}, {"a", two, floats(3)}, {"b", one, floats(4)}}
		write(t, p, 1, true, list...)
		write(t, p, 2, true, written{"a", one, floats(5)})
		if change != nil {
			if err := change(p); err != nil {
				t.Fatal(err)
			}
		}
		counts, got := verify(t, p)
		for i, w := range want {
			if i >= len(got) || !strings.Contains(got[i], w) {
				t.Errorf("got %q, want %q", got, want)
				return
			}
		}
		if len(want) != len(got) {
			t.Errorf("got %q, want %q", got, want)
		}
		if diff := cmp.Diff(partition.Counts{Series: 3, Chunks: 3, Samples: 5}, counts); len(want) == 0 && diff != "" {
			t.Error(diff)
		}
	}
	f(nil)
	f(func(p *partition.Partition) error { return p.Delete(row) },
		"series 0 to 63: 1 row groups and 0 chunks are there, 2 and 0 were written: samples of up to 2 series of the time from 1 to 5 ms", "3 series and 2 chunks are there, 3 series and 3 chunks were written")
	f(func(p *partition.Partition) error { return p.Set(row, []byte("nonsense")) },
		"series 0 to 63: a row group of flush 1: ")
	f(func(p *partition.Partition) error { // A value that is right by itself, at another place.
		value, err := p.Get(row)
		return errors.Join(err, p.Set(partition.RowsKey("a", 0, 2, 2), value))
	}, "a row group of flush 2: it begins at 1 ms, its key says 2 ms")
	f(func(p *partition.Partition) error {
		value, err := p.Get(partition.RowsKey("b", 0, 4, 1))
		return errors.Join(err, p.Set(partition.CensusKey("a", 0), mustGet(t, p, partition.CensusKey("b", 0))), p.Set(partition.RowsKey("b", 0, 4, 2), value))
	}, "the census does not know", "the census does not know", `series 1 is not in the census`)
	f(func(p *partition.Partition) error { return p.Set(partition.ChunkKey("a", 1, 1, 0), []byte("nonsense")) },
		"series 1: a chunk of flush 1: store: corrupt data: checksum")
	f(func(p *partition.Partition) error { return p.Delete(partition.CensusKey("c", 0)) }) // No such key: nothing happens.
	f(func(p *partition.Partition) error { return p.Delete(partition.CensusKey("a", 0)) },
		"have samples and no census: 2 row groups", "series 0 to 63 have no census: the series")
	f(func(p *partition.Partition) error { return p.Set(partition.CensusKey("a", 0), []byte("nonsense")) },
		"the census of series 0 to 63: store: corrupt data")
	for kind := range 5 {
		f(func(p *partition.Partition) error { return p.Delete(partition.IndexKey("a", 0, byte(kind), 0)) },
			"the index of the series from 0 on that came with flush 1: ", "1 series and 3 chunks are there, 3 series and 3 chunks were written")
	}
	f(func(p *partition.Partition) error {
		return p.Set(partition.IndexKey("a", 0, partition.LabelsPage, 0), []byte("nonsense"))
	}, "the index of the series from 0 on that came with flush 1: store: corrupt data: checksum of a page", "1 series and 3 chunks")
	f(func(p *partition.Partition) error {
		return p.Set(partition.IndexKey("b", 0, partition.LabelsPage, 0), mustGet(t, p, partition.IndexKey("a", 0, partition.LabelsPage, 0)))
	}, "the index of the series from 0 on", "2 series and 3 chunks")
	f(func(p *partition.Partition) error { return p.Set(partition.TenantKey("a"), []byte("nonsense")) },
		"what is known about the tenant: store: corrupt data", "1 series and 3 chunks")
	f(func(p *partition.Partition) error { return p.Set([]byte("y\x01a"), nil) }, `unknown kind 'y'`)
	f(func(p *partition.Partition) error { return p.Set([]byte("x\x09a"), nil) }, "a key of kind 'x' has no tenant")
	f(func(p *partition.Partition) error { return p.Set([]byte("i"), []byte("nonsense")) }, "the entry about the partition")
	// What an interrupted flush left behind is no damage.
	f(func(p *partition.Partition) error {
		w, err := p.NewWriter(3)
		if err != nil {
			return err
		}
		defer w.Discard()
		return w.Series(context.Background(), "a", one, floats(9))
	})
}

func TestVerifyEndsEarly(t *testing.T) {
	p := open(t)
	write(t, p, 1, true, written{"a", labels.FromStrings("__name__", "up"), floats(1, 2)})
	stop := errors.New("stop")
	if _, err := p.Verify(t.Context(), func(int) error { return stop }, nil); !errors.Is(err, stop) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Verify(ctx, func(int) error { return nil }, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func mustGet(t *testing.T, p *partition.Partition, key []byte) []byte {
	t.Helper()
	value, err := p.Get(key)
	if err != nil || value == nil {
		t.Fatalf("%q: %v", key, err)
	}
	return value
}

// floats is a run of samples at the given times.
func floats(at ...int64) series.Run {
	var out series.Run
	for _, t := range at {
		out = append(out, series.Sample{Timestamp: t, Value: float64(t)})
	}
	return out
}
