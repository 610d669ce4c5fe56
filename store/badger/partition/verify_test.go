package partition_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
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
	id := partition.IDOf(metric.EncodeLabels(nil, one))
	chunk := partition.ChunkKey("a", id, 1, 0)
	key := func(kind byte, rest string) []byte { return append([]byte{kind, 1, 'a'}, rest...) }
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
		if diff := cmp.Diff(partition.Counts{Series: 3, Chunks: 4, Samples: 5}, counts); len(want) == 0 && diff != "" {
			t.Error(diff)
		}
	}
	f(nil)
	f(func(p *partition.Partition) error { return p.Delete(chunk) },
		"1 chunks are there, 2 were written: 1 chunks of samples of the time from 1 to 5 ms", "3 series and 3 chunks are there, 3 series and 4 chunks were written")
	f(func(p *partition.Partition) error { return p.Set(chunk, []byte("nonsense")) },
		"a chunk of flush 1: store: corrupt data: checksum")
	f(func(p *partition.Partition) error { return p.Delete(chunk[:len(chunk)-13]) }) // No such key: nothing happens.
	f(func(p *partition.Partition) error { return p.Delete(append(chunk[:len(chunk)-13:len(chunk)-13], 0)) },
		"has chunks and no census: 2 chunks", `series {__name__="up", i="1"} has no census`)
	f(func(p *partition.Partition) error { return p.Delete(key('s', string(id[:]))) },
		"has chunks and no labels: a series with 2 chunks", "1 series are there, 2 were written", "2 series and 4 chunks are there, 3 series and 4 chunks were written")
	f(func(p *partition.Partition) error {
		return p.Set(key('s', string(id[:])), partition.Seal(append([]byte{1}, metric.EncodeLabels(nil, two)...)))
	}, "they are those of another series")
	f(func(p *partition.Partition) error { return p.Delete(partition.PairKey("a", "i", "1")) },
		`series {__name__="up", i="1"} is not in the index under i="1"`)
	f(func(p *partition.Partition) error { return p.Set([]byte("x\x01a"), nil) }, `unknown kind 'x'`)
	f(func(p *partition.Partition) error { return p.Set([]byte("s\x09a"), nil) }, "a key of kind 's' has no tenant")
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

// floats is a run of samples at the given times.
func floats(at ...int64) series.Run {
	var out series.Run
	for _, t := range at {
		out = append(out, series.Sample{Timestamp: t, Value: float64(t)})
	}
	return out
}
