package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// Sizes of the benchmarks: a scrape of some targets, every 15 seconds.
const (
	benchTargets = 20
	benchSeries  = 50 // Of each target.
	benchStep    = int64(15_000)
	benchScrapes = 240 // Of what the reads read: one hour.
)

// Benchmark measures the headline figures of a store: samples appended to known series, new series, and the reads of a
// dashboard.
func Benchmark(b *testing.B, open Opener) {
	b.Helper()
	b.Run("append known series", func(b *testing.B) {
		p := newProbe(b, open(b))
		batch := metric.NewBatch(Hasher())
		scrape(batch, 0, "")
		p.appendBatch(batch)
		b.ReportAllocs()
		n := int64(0)
		for b.Loop() {
			n++
			for i := range batch.Samples {
				batch.Samples[i].Timestamp = n * benchStep
			}
			p.appendBatch(batch)
		}
		perSample(b, int64(len(batch.Samples))*n)
	})
	b.Run("append new series", func(b *testing.B) {
		p := newProbe(b, open(b))
		batch := metric.NewBatch(Hasher())
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			batch.Reset()
			scrape(batch, 0, fmt.Sprintf("-%d", n))
			p.appendBatch(batch)
		}
		perSample(b, int64(n)*benchTargets*benchSeries)
	})
	reads := map[string]func(p *probe){
		"select one series":         func(p *probe) { p.readThrough(`m_7{target="host-3"}`, 1) },
		"select one name":           func(p *probe) { p.readThrough(`m_7`, benchTargets) },
		"select by regexp":          func(p *probe) { p.readThrough(`{target=~"host-1.*",__name__=~"m_1?"}`, 11) },
		"label values":              func(p *probe) { p.values("", "target", `m_7`, hosts()...) },
		"aggregate P95 by target":   func(p *probe) { p.benchAggregate(store.P95) },
		"aggregate SUM by target":   func(p *probe) { p.benchAggregate(store.Sum) },
		"aggregate INTEGRAL by all": func(p *probe) { p.benchAggregate(store.Integral) },
	}
	p := newProbe(b, open(b))
	batch := metric.NewBatch(Hasher())
	for i := range int64(benchScrapes) {
		batch.Reset()
		scrape(batch, i*benchStep, "")
		p.appendBatch(batch)
	}
	p.fatal(p.st.Flush(b.Context()), "flush")
	for name, read := range reads {
		b.Run(name, func(b *testing.B) {
			of := &probe{b, p.st, p.id}
			b.ReportAllocs()
			for b.Loop() {
				read(of)
			}
		})
	}
}

func perSample(b *testing.B, samples int64) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
	b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "samples/s")
}

// hosts lists the values of the label target, sorted.
func hosts() []string {
	out := []string{"host-0", "host-1"}
	for i := 10; i < benchTargets; i++ {
		out = append(out, fmt.Sprintf("host-%d", i))
	}
	for i := 2; i < 10; i++ {
		out = append(out, fmt.Sprintf("host-%d", i))
	}
	return out
}

// scrape fills a batch with one sample of every series.
func scrape(b *metric.Batch, t int64, suffix string) {
	for target := range benchTargets {
		for s := range benchSeries {
			canonical := metric.AppendLabel(nil, "__name__", fmt.Sprintf("m_%d", s))
			canonical = metric.AppendLabel(canonical, "job", "bench")
			canonical = metric.AppendLabel(canonical, "pod", fmt.Sprintf("pod-%d%s", target, suffix))
			canonical = metric.AppendLabel(canonical, "target", fmt.Sprintf("host-%d", target))
			own := b.Alloc(len(canonical))
			copy(own, canonical)
			b.StartSeries(own, len(b.Series))
			b.AddSample(metric.Sample{Timestamp: t, Value: float64(t/benchStep*int64(s) + int64(target))})
		}
	}
}

// readThrough reads all samples of what the selector matches.
func (p *probe) readThrough(selector string, series int) {
	p.tb.Helper()
	p.read("", func(r store.Reader) error {
		set := r.Select(p.ctx(), p.selection(selector))
		var it chunkenc.Iterator
		found, samples := 0, 0
		for ; set.Next(); found++ {
			it = set.At().Iterator(it)
			for it.Next() != chunkenc.ValNone {
				it.At()
				samples++
			}
			if err := it.Err(); err != nil {
				return err
			}
		}
		if set.Err() == nil && (found != series || samples != series*benchScrapes) {
			return fmt.Errorf("%d series with %d samples, want %d with %d each", found, samples, series, benchScrapes)
		}
		return set.Err()
	})
}

func (p *probe) benchAggregate(f store.Func) {
	p.tb.Helper()
	res, err := p.tenant().Aggregate(p.ctx(), store.Aggregation{
		Range:     store.Range{Min: 0, Max: benchScrapes * benchStep},
		Selection: p.selection(`{__name__=~"m_[123]"}`),
		Funcs:     []store.Func{f}, GroupBy: []string{"target"}, Step: time.Minute,
	})
	p.fatal(err, "aggregate")
	if len(res.Groups) != benchTargets {
		p.tb.Fatalf("%d groups", len(res.Groups))
	}
}
