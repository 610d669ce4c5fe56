package metric_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
)

func encoded(b *metric.Batch, pairs ...string) []byte {
	canonical := metric.EncodeLabels(nil, labels.FromStrings(pairs...))
	dst := b.Alloc(len(canonical))
	copy(dst, canonical)
	return dst
}

func TestBatchKeepsItemsWithTheirSeries(t *testing.T) {
	b := metric.NewBatch(metric.NewHasher(1))
	b.StartSeries(encoded(b, "__name__", "a"), 3)
	b.AddSample(metric.Sample{Timestamp: 1, Value: 1})
	b.AddSample(metric.Sample{Timestamp: 2, Value: 2})
	b.AddExemplar(metric.Exemplar{Timestamp: 1})
	b.StartSeries(encoded(b, "__name__", "b"), 4)
	b.AddHistogram(metric.Histogram{Timestamp: 5, Int: &histogram.Histogram{}})
	b.Metadata = append(b.Metadata, metric.Metadata{Family: "a"})

	want := []metric.Span{{Start: 0, End: 2}, {Start: 0, End: 0}, {Start: 0, End: 1}, {Start: 2, End: 2}, {Start: 0, End: 1}, {Start: 1, End: 1}}
	var got []metric.Span
	for _, s := range b.Series {
		got = append(got, s.Samples, s.Histograms, s.Exemplars)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(metric.Counts{Samples: 2, Histograms: 1, Exemplars: 1, Metadata: 1}, b.Counts()); d != "" {
		t.Error(d)
	}
	if b.Series[0].Origin != 3 || b.Series[1].Origin != 4 {
		t.Error("origins are lost")
	}
	if b.Series[0].Hash != b.Hasher().Sum(b.Series[0].Labels) {
		t.Error("the hash is not the hasher's")
	}
	b.Reset()
	if b.Counts().Total() != 0 || len(b.Series) != 0 {
		t.Errorf("after Reset: %+v", b)
	}
}

func TestArenaGrowsWithoutMovingWhatItGaveOut(t *testing.T) {
	b := metric.NewBatch(metric.NewHasher(1))
	var given [][]byte
	for i := range 5000 {
		p := b.Alloc(1 + i%40)
		if cap(p) != len(p) {
			t.Fatal("an append to one piece would write into the next one")
		}
		for j := range p {
			p[j] = byte(i)
		}
		given = append(given, p)
	}
	for i, p := range given {
		if !bytes.Equal(p, bytes.Repeat([]byte{byte(i)}, 1+i%40)) {
			t.Fatalf("piece %d was overwritten", i)
		}
	}
}

// fill makes a batch of n series with one sample each, as a decoder would.
func fill(b *metric.Batch, canonical [][]byte) {
	b.Reset()
	for i, c := range canonical {
		dst := b.Alloc(len(c))
		copy(dst, c)
		b.StartSeries(dst, i)
		b.AddSample(metric.Sample{Timestamp: 1_700_000_000_000, Value: float64(i)})
	}
}

func canonicalSeries(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = metric.EncodeLabels(nil, labels.FromStrings("__name__", "http_requests_total", "customer_id", fmt.Sprint(i), "job", "api"))
	}
	return out
}

func TestReusedBatchAllocatesNothing(t *testing.T) {
	b := metric.NewBatch(metric.NewHasher(1))
	canonical := canonicalSeries(1000)
	rules := metric.PrometheusRules("_tenant_id")
	run := func() {
		fill(b, canonical)
		if rejected := rules.Apply(b, now); rejected != nil {
			t.Fatal(rejected)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for a batch of known shape", n)
	}
}

func BenchmarkFillAndApply(b *testing.B) {
	batch := metric.NewBatch(metric.NewHasher(1))
	canonical := canonicalSeries(2000)
	rules := metric.PrometheusRules("_tenant_id")
	b.ReportAllocs()
	for b.Loop() {
		fill(batch, canonical)
		rules.Apply(batch, now)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/sample")
}
