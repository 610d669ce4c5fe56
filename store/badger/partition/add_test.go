package partition_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// TestAddByID writes known series by their ids alone, from memory that changes afterwards.
func TestAddByID(t *testing.T) {
	p := open(t)
	var ids [3]partition.ID
	var canonical []byte
	column := rowgroup.Column{Timestamps: []int64{0}, Values: []float64{0}}
	for sequence := uint64(1); sequence <= 3; sequence++ {
		w, err := p.NewWriter(sequence)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ids {
			canonical = metric.EncodeLabels(canonical[:0], numbered(i))
			if sequence != 2 {
				id, err := w.Resolve(t.Context(), "a", canonical)
				if sequence == 3 && id != ids[i] || err != nil {
					t.Fatal(id, ids[i], err)
				}
				ids[i] = id
			}
			column.Timestamps[0], column.Values[0] = int64(sequence), float64(i)
			if err := w.Add(t.Context(), "a", ids[i], column, nil); err != nil {
				t.Fatal(err)
			}
			if err := w.Add(t.Context(), "a", ids[i], column, nil); err == nil {
				t.Fatal("a series was added twice")
			}
		}
		clear(canonical)
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := read(t.Context(), p, "a", nil)
	want := []string{
		numbered(0).String() + " 1 0 0000000000000000, 2 0 0000000000000000, 3 0 0000000000000000",
		numbered(1).String() + " 1 0 3ff0000000000000, 2 0 3ff0000000000000, 3 0 3ff0000000000000",
		numbered(2).String() + " 1 0 4000000000000000, 2 0 4000000000000000, 3 0 4000000000000000",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

// TestUnresolved adds samples under an id that no series has.
func TestUnresolved(t *testing.T) {
	p := open(t)
	w, err := p.NewWriter(1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	if err := w.Add(t.Context(), "a", 5, rowgroup.Column{Timestamps: []int64{1}, Values: []float64{1}}, nil); err == nil {
		t.Fatal("samples of nobody were taken")
	}
}
