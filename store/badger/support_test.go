package badger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/tenancy"
)

const day = int64(24 * 60 * 60 * 1000)

var everything = store.AllTime()

// openAt opens a store that is closed when the test ends.
func openAt(tb testing.TB, dir string, change ...func(*badger.Options)) *badger.Store {
	tb.Helper()
	s, err := tryOpen(dir, change...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			tb.Error(err)
		}
	})
	return s
}

func tryOpen(dir string, change ...func(*badger.Options)) (*badger.Store, error) {
	opts := badger.Options{Dir: dir, Hasher: metric.NewHasher(7), MinFreeBytes: -1}
	opts.SetInGoHeap(inGoHeap)
	for _, f := range change {
		f(&opts)
	}
	return badger.Open(opts)
}

// closed closes a store now.
func closed(tb testing.TB, s *badger.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// sample is one line of input for appendTo: a float, or a histogram if h is set.
type sample struct {
	series string // Such as `up{job="a"}`, written as "up,job=a".
	t      int64
	v      float64
	start  int64
	h      *histogram.Histogram
}

func labelsOf(series string) labels.Labels {
	name, rest, _ := strings.Cut(series, ",")
	pairs := []string{labels.MetricName, name}
	for p := range strings.SplitSeq(rest, ",") {
		if k, v, ok := strings.Cut(p, "="); ok {
			pairs = append(pairs, k, v)
		}
	}
	return labels.FromStrings(pairs...)
}

func batchOf(samples ...sample) *metric.Batch {
	b := metric.NewBatch(metric.NewHasher(7))
	for i, s := range samples {
		b.StartSeries(metric.EncodeLabels(nil, labelsOf(s.series)), i)
		if s.h != nil {
			b.AddHistogram(metric.Histogram{Timestamp: s.t, Start: s.start, Int: s.h})
			continue
		}
		b.AddSample(metric.Sample{Timestamp: s.t, Start: s.start, Value: s.v})
	}
	return b
}

func appendTo(tb testing.TB, s store.Store, tenant tenancy.ID, samples ...sample) {
	tb.Helper()
	rejected, err := s.Tenant(tenant).Append(tb.Context(), batchOf(samples...))
	if err != nil || len(rejected) > 0 {
		tb.Fatalf("append: rejected %v, error %v", rejected, err)
	}
}

// dump returns every sample of a tenant, one line for each.
func dump(tb testing.TB, s store.Store, tenant tenancy.ID, r store.Range) string {
	tb.Helper()
	out, err := tryDump(tb.Context(), s, tenant, r)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func tryDump(ctx context.Context, s store.Store, tenant tenancy.ID, r store.Range) (string, error) {
	rd, err := s.Tenant(tenant).Reader(r)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	set := rd.Select(ctx, store.Selection{Sorted: true})
	for set.Next() {
		it := set.At().Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			switch kind {
			case chunkenc.ValFloat:
				t, v := it.At()
				fmt.Fprintf(&b, "%s %d %v start=%d\n", set.At().Labels(), t, v, it.AtST())
			case chunkenc.ValHistogram:
				t, h := it.AtHistogram(nil)
				fmt.Fprintf(&b, "%s %d %v start=%d\n", set.At().Labels(), t, h, it.AtST())
			default:
				t, h := it.AtFloatHistogram(nil)
				fmt.Fprintf(&b, "%s %d %v start=%d\n", set.At().Labels(), t, h, it.AtST())
			}
		}
	}
	return b.String(), errors.Join(set.Err(), rd.Close())
}

func wantDump(tb testing.TB, s store.Store, tenant tenancy.ID, r store.Range, want ...string) {
	tb.Helper()
	got := dump(tb, s, tenant, r)
	lines := strings.Join(want, "\n")
	if len(want) > 0 {
		lines += "\n"
	}
	if got != lines {
		tb.Fatalf("got\n%swant\n%s", got, lines)
	}
}

func equals(tb testing.TB, name, value string) *labels.Matcher {
	tb.Helper()
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}
