package badger_test

import (
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger"
)

// Samples of many days must not become more directories than the machine can bear, nor be open all at once.
func TestMostPartitions(t *testing.T) {
	few := func(o *badger.Options) { o.MaxPartitions, o.MaxOpenPartitions = 3, 1 }
	dir := t.TempDir()
	s := openAt(t, dir, few)
	try := func(refused int, days ...int64) {
		t.Helper()
		var list []sample
		for _, d := range days {
			list = append(list, sample{series: "up", t: d * day, v: float64(d)})
		}
		rejected, err := s.Tenant("a").Append(t.Context(), batchOf(list...))
		lost := 0
		for _, r := range rejected {
			lost += r.Lost.Samples
			if r.Reason != metric.Unsupported || !strings.Contains(r.Detail, "the limit set by storage.badger.max_partitions") {
				t.Errorf("rejection %v", r)
			}
		}
		if err != nil || lost != refused {
			t.Errorf("days %v: %d refused, %v; want %d", days, lost, err, refused)
		}
	}
	try(1, 1, 2, 3, 4, 3)
	try(1, 5)
	closed(t, s)
	s = openAt(t, dir, few) // The log knows them.
	try(2, -1, 4)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s = openAt(t, dir, few) // The catalog knows them.
	try(1, 4, 3, 2, 1)
	if err := s.Expire(t.Context(), 3*day); err != nil {
		t.Fatal(err)
	}
	try(1, 3, 4, 5, 6)
	wantDump(t, s, "a", everything,
		`{__name__="up"} 259200000 3 start=0`, `{__name__="up"} 345600000 4 start=0`, `{__name__="up"} 432000000 5 start=0`)
}

// Nothing that is large by itself may become a record that does not fit into a segment: that ends the log.
func TestLargeItems(t *testing.T) {
	s := openAt(t, t.TempDir(), func(o *badger.Options) { o.WALSegmentBytes = 16 << 20 })
	b := batchOf(sample{series: "up", t: 1, v: 1})
	long := strings.Repeat("x", 700_000)
	medium := metric.AppendLabel(nil, []byte("t"), []byte(long[:100_000]))
	for i := range 250 {
		b.AddExemplar(metric.Exemplar{Timestamp: int64(i), Labels: medium})
	}
	b.AddExemplar(metric.Exemplar{Timestamp: 1, Labels: metric.AppendLabel(nil, []byte("t"), []byte(long))})
	b.Metadata = append(b.Metadata, metric.Metadata{Family: "short", Help: "x"}, metric.Metadata{Family: "long", Help: strings.Repeat(long, 40)})
	rejected, err := s.Tenant("a").Append(t.Context(), b)
	var lost metric.Counts
	for _, r := range rejected {
		lost.Add(r.Lost)
	}
	if want := (metric.Counts{Exemplars: 1, Metadata: 1}); err != nil || lost != want {
		t.Fatalf("lost %v, %v; want %v", lost, err, want)
	}
	appendTo(t, s, "a", sample{series: "up", t: 2, v: 2})
}
