package wal_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// recorder keeps what a log writes.
type recorder struct {
	wal.Segments
	records [][]byte
}

func (r *recorder) Log(records ...[]byte) error {
	for _, rec := range records {
		r.records = append(r.records, append([]byte(nil), rec...))
	}
	return r.Segments.Log(records...)
}

// seeds returns one record of each kind.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	rec := &recorder{}
	l, _, _ := open(tb, wal.Options{Dir: tb.TempDir(), Wrap: func(s wal.Segments) wal.Segments { rec.Segments = s; return rec }})
	b := metric.NewBatch(metric.Hasher{})
	b.StartSeries(metric.AppendLabel(nil, "__name__", "up"), 0)
	b.AddSample(metric.Sample{Timestamp: 1, Value: 2, Start: 1})
	b.AddSample(metric.Sample{Timestamp: 3, Value: 4})
	b.AddHistogram(metric.Histogram{Timestamp: 5, Int: &histogram.Histogram{Count: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{1}}})
	b.AddExemplar(metric.Exemplar{Timestamp: 6, Labels: metric.AppendLabel(nil, "trace", "x")})
	g := l.Begin()
	g.StartBatch(1, "acme")
	g.Series(1, b.Series[0].Labels, b, &b.Series[0])
	g.Metadata(metric.Metadata{Family: "up", Type: "gauge"})
	g.Delete(wal.Delete{Tenant: "acme", Range: store.AllTime(), Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "a", "b")}})
	g.Expire(7)
	if err := l.Commit(); err != nil {
		tb.Fatal(err)
	}
	closeLog(tb, l)
	return rec.records
}

// FuzzRecord decodes anything without a panic or a huge allocation; what decodes again and again is the same.
func FuzzRecord(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r, again wal.Record
		if r.Decode(data) != nil {
			return
		}
		first := describe(&r)
		if err := again.Decode(data); err != nil {
			t.Fatal(err)
		}
		if err := again.Decode(data); err != nil || len(describe(&again)) != len(first) {
			t.Fatalf("decoded twice: %v", err)
		}
		if n := len(r.Batch.Samples); n > len(data) {
			t.Fatalf("%d samples out of %d bytes", n, len(data))
		}
	})
}
