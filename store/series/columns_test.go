package series_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store/series"
)

func TestColumnsTakeWhatIsLater(t *testing.T) {
	var c series.Columns
	add := func(want bool, timestamps, starts []int64, values ...float64) {
		t.Helper()
		if got := c.Add(timestamps, values, starts); got != want {
			t.Errorf("taken: %v", got)
		}
	}
	add(true, nil, nil)
	add(true, []int64{1, 2}, nil, 10, 20)
	add(false, []int64{2, 3}, nil, 1, 1)
	add(true, []int64{3}, []int64{7}, 30)
	add(true, []int64{4}, nil, 40)
	if c.AddRun(series.Run{{Timestamp: 4}}) || c.AddRun(series.Run{{Timestamp: 5}, {Timestamp: 6, Int: &histogram.Histogram{}}}) {
		t.Error("what is not later, or a histogram, was taken")
	}
	if !c.AddRun(series.Run{{Timestamp: 5, Value: 50, Start: 9}}) || !c.AddRun(nil) {
		t.Error("what is later was not taken")
	}
	want := series.Run{
		{Timestamp: 1, Value: 10},
		{Timestamp: 2, Value: 20},
		{Timestamp: 3, Value: 30, Start: 7},
		{Timestamp: 4, Value: 40},
		{Timestamp: 5, Value: 50, Start: 9},
	}
	if d := cmp.Diff(want, c.Run()); d != "" {
		t.Error(d)
	}
}

// TestColumnIteratorIsLikeThatOfARun walks at random over the same samples.
func TestColumnIteratorIsLikeThatOfARun(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var reuse chunkenc.Iterator
	for range 500 {
		var run series.Run
		at := int64(0)
		for range rng.IntN(40) {
			at += 1 + rng.Int64N(3)
			run = append(run, series.Sample{Timestamp: at, Value: rng.Float64()})
		}
		c := series.NewColumnIterator(reuse)
		if !c.AddRun(run) {
			t.Fatal("not taken")
		}
		reuse = c
		want := run.Iterator(nil)
		for range 60 {
			var a, b chunkenc.ValueType
			if rng.IntN(2) == 0 {
				a, b = want.Next(), c.Next()
			} else {
				to := rng.Int64N(at + 3)
				a, b = want.Seek(to), c.Seek(to)
			}
			if a != b {
				t.Fatalf("%v instead of %v", b, a)
			}
			if a == chunkenc.ValNone {
				break
			}
			t1, v1 := want.At()
			if t2, v2 := c.At(); t1 != t2 || v1 != v2 || c.AtT() != t1 || c.AtST() != want.AtST() {
				t.Fatalf("%d %v instead of %d %v", t2, v2, t1, v1)
			}
		}
		if c.Err() != nil {
			t.Fatal(c.Err())
		}
	}
}
