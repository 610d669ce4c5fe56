package catalog_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// state is the catalog in testdata.
func state() catalog.State {
	return catalog.State{
		PartitionWidth: 86_400_000, NextSequence: 8, NextPartition: 4, NextGeneration: 3, FirstRecord: 1234,
		Checkpoint: "checkpoint-00000000000000001234",
		Partitions: []catalog.Partition{
			{Index: -1, Number: 2, State: catalog.Dropping},
			{Index: 19675, Number: 1, State: catalog.Live, Sequence: 7, Series: 10, Chunks: 70, Clean: true, Tables: []catalog.Table{{ID: 1, Size: 2048}}},
			{Index: 19676, Number: 3, State: catalog.Building},
		},
	}
}

// checkpoint is the checkpoint in testdata.
func checkpoint() *catalog.Checkpoint {
	return &catalog.Checkpoint{
		Exemplars: []catalog.Exemplar{{
			Tenant: "a", Series: metric.AppendLabel(nil, "__name__", "up"),
			Exemplar: metric.Exemplar{Timestamp: -5, Value: 0.5, Labels: metric.AppendLabel(nil, "trace", "x")},
		}},
		Metadata: []catalog.Metadata{{Tenant: "ab", Metadata: metric.Metadata{Family: "up", Type: "gauge", Help: "help\n", Unit: "unit"}}},
		Deletions: []catalog.Deletion{{
			Tenant: "a", Range: store.Range{Min: -7, Max: 9}, Sequence: 6,
			Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "job", "x|y")},
		}},
	}
}

// plain makes checkpoints comparable.
func plain(c *catalog.Checkpoint) any {
	var deletions []string
	for _, d := range c.Deletions {
		for _, m := range d.Matchers {
			deletions = append(deletions, m.String())
		}
		deletions = append(deletions, string(d.Tenant))
	}
	return []any{c.Exemplars, c.Metadata, deletions}
}

// TestGoldenV1 reads files that version 1 of the formats wrote. A new version keeps them and adds its own.
func TestGoldenV1(t *testing.T) {
	data, err := os.ReadFile("testdata/catalog-v1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := catalog.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state(), got); diff != "" {
		t.Fatal(diff)
	}
	c, err := catalog.ReadCheckpoint("testdata/checkpoint-v1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain(checkpoint()), plain(c)); diff != "" || c.Deletions[0].Range != (store.Range{Min: -7, Max: 9}) || c.Deletions[0].Sequence != 6 {
		t.Fatal(diff, c.Deletions)
	}
}

func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	if _, err := catalog.Load(dir); !errors.Is(err, catalog.ErrMissing) {
		t.Fatal(err)
	}
	c, err := catalog.Create(dir, state())
	if err != nil {
		t.Fatal(err)
	}
	err = c.Update(func(s *catalog.State) {
		s.Partition(3).State = catalog.Live
		s.Remove(2)
		s.Partitions = append(s.Partitions, catalog.Partition{Index: -2, Number: 9})
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := catalog.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := again.State()
	if diff := cmp.Diff(c.State(), got); diff != "" {
		t.Fatal(diff)
	}
	if len(got.Partitions) != 3 || got.Partitions[0].Number != 9 || got.Partitions[2].State != catalog.Live {
		t.Fatal(got)
	}
}

// TestDamage changes each byte of the files in turn.
func TestDamage(t *testing.T) {
	data, err := catalog.Encode(state())
	if err != nil {
		t.Fatal(err)
	}
	point := checkpoint().Encode()
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 2
		if _, err := catalog.Decode(bad); !errors.Is(err, catalog.ErrDamaged) && !errors.Is(err, catalog.ErrVersion) {
			t.Fatalf("byte %d of the catalog: %v", i, err)
		}
		if _, err := catalog.Decode(data[:i]); !errors.Is(err, catalog.ErrDamaged) && !errors.Is(err, catalog.ErrVersion) {
			t.Fatalf("catalog cut at %d: %v", i, err)
		}
	}
	for i := range point {
		bad := append([]byte(nil), point...)
		bad[i] ^= 2
		if _, err := catalog.DecodeCheckpoint(bad); !errors.Is(err, catalog.ErrDamaged) {
			t.Fatalf("byte %d of the checkpoint: %v", i, err)
		}
		if _, err := catalog.DecodeCheckpoint(point[:i]); !errors.Is(err, catalog.ErrDamaged) {
			t.Fatalf("checkpoint cut at %d: %v", i, err)
		}
	}
	if _, err := catalog.ReadCheckpoint(filepath.Join(t.TempDir(), "none")); !errors.Is(err, catalog.ErrDamaged) {
		t.Fatal(err)
	}
}

func TestNewerVersion(t *testing.T) {
	if _, err := catalog.Decode([]byte("luminate-catalog v2 crc32c=00000000\n{}")); !errors.Is(err, catalog.ErrVersion) {
		t.Fatal(err)
	}
}
