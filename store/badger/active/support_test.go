package active_test

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
)

func hasher() metric.Hasher { return metric.NewHasher(7) }

func newHead(t testing.TB, o active.Options) *active.Head {
	t.Helper()
	o.Hasher, o.InGoHeap = hasher(), inGoHeap
	h := active.New(o)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// batch is a batch in the making.
type batch struct{ *metric.Batch }

func newBatch() batch { return batch{metric.NewBatch(hasher())} }

func (b batch) series(ls labels.Labels) batch {
	b.StartSeries(metric.EncodeLabels(nil, ls), len(b.Series))
	return b
}

func (b batch) floats(numbers ...int64) batch {
	for i := 0; i < len(numbers); i += 2 {
		b.AddSample(metric.Sample{Timestamp: numbers[i], Value: float64(numbers[i+1])})
	}
	return b
}

// write appends b to h and returns the references of its series.
func write(t testing.TB, h *active.Head, w *active.Writer, tenant uint32, b batch) []uint32 {
	t.Helper()
	refs := make([]uint32, len(b.Series))
	w.Begin()
	defer w.End()
	w.Resolve(b.Batch, tenant, refs)
	w.RegisterAll(b.Batch, tenant, refs, nil, func(i int, err error) { t.Errorf("series %d: %v", i, err) })
	w.Append(b.Batch, refs, 1)
	return refs
}

// item is a sample as tests compare it.
type item struct {
	Start     int64
	Bits      uint64
	Histogram string
}

func floatItem(start int64, v float64) item { return item{Start: start, Bits: math.Float64bits(v)} }

func histogramItem(start int64, i *histogram.Histogram, f *histogram.FloatHistogram) item {
	if f != nil {
		return item{Start: start, Histogram: "float " + f.String()}
	}
	return item{Start: start, Histogram: "int " + i.String()}
}

// items returns what Samples gave by timestamp, and checks its form.
func items(t testing.TB, s *active.Samples, in store.Range) map[int64]item {
	t.Helper()
	out := map[int64]item{}
	if len(s.Values) != len(s.Timestamps) || len(s.Starts) != 0 && len(s.Starts) != len(s.Values) {
		t.Fatalf("%d timestamps, %d values, %d starts", len(s.Timestamps), len(s.Values), len(s.Starts))
	}
	for i, at := range s.Timestamps {
		if i > 0 && s.Timestamps[i-1] >= at || !in.Contains(at) {
			t.Fatalf("timestamp %d after %v in %v", at, s.Timestamps[:i], in)
		}
		start := int64(0)
		if len(s.Starts) > 0 {
			start = s.Starts[i]
		}
		out[at] = floatItem(start, s.Values[i])
	}
	for i := range s.Histograms {
		h := &s.Histograms[i]
		if h.Timestamp < in.Min && i == 0 {
			continue
		}
		if _, ok := out[h.Timestamp]; ok || !in.Contains(h.Timestamp) {
			t.Fatalf("histogram at %d is outside %v or there twice", h.Timestamp, in)
		}
		out[h.Timestamp] = histogramItem(h.Start, h.Int, h.Float)
	}
	return out
}

// read returns the samples of a series.
func read(t testing.TB, h *active.Head, ref uint32, in store.Range) map[int64]item {
	t.Helper()
	r := h.NewReader()
	defer r.Close()
	s, err := r.Samples(ref, in)
	if err != nil {
		t.Fatal(err)
	}
	return items(t, s, in)
}
