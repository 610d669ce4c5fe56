package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/archive"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
	"github.com/luminate-metrics/luminate/tenancy"
)

func TestArchive(t *testing.T) {
	open := func(testing.TB) store.Store { return memory.New(memory.Options{Hasher: storetest.Hasher()}) }
	storetest.RunArchive(t, open, open)
}

func created() time.Time { return time.UnixMilli(1_700_000_000_000) }

func add(tb testing.TB, st store.Store, id tenancy.ID, fill func(b *metric.Batch)) {
	tb.Helper()
	b := metric.NewBatch(metric.NewHasher(1))
	fill(b)
	rejected, err := st.Tenant(id).Append(tb.Context(), b)
	if err != nil || len(rejected) > 0 {
		tb.Fatal(err, rejected)
	}
}

func canonical(pairs ...string) []byte { return metric.EncodeLabels(nil, labels.FromStrings(pairs...)) }

// sample returns a store with a bit of everything.
func sample(tb testing.TB) store.Store {
	tb.Helper()
	st := memory.New(memory.Options{})
	tb.Cleanup(func() { _ = st.Close() })
	add(tb, st, "acme", func(b *metric.Batch) {
		b.StartSeries(canonical("__name__", "a", "x", "1"), 0)
		for i := range 5000 {
			b.AddSample(metric.Sample{Timestamp: int64(i) * 15_000, Start: 7, Value: float64(i) * 1.5})
		}
		b.AddSample(metric.Sample{Timestamp: 5000 * 15_000, Value: math.Float64frombits(value.StaleNaN)})
		b.AddExemplar(metric.Exemplar{Timestamp: 20, Value: math.Copysign(0, -1), Labels: canonical("trace", "t2")})
		b.AddExemplar(metric.Exemplar{Timestamp: 10, Value: 1})
		b.StartSeries(canonical("__name__", "h"), 1)
		b.AddHistogram(metric.Histogram{Timestamp: 1, Start: 1, Int: &histogram.Histogram{
			Schema: 3, ZeroThreshold: 0.001, ZeroCount: 1, Count: 6, Sum: 12.5, CounterResetHint: histogram.GaugeType,
			PositiveSpans: []histogram.Span{{Offset: -3, Length: 2}}, PositiveBuckets: []int64{2, 1},
		}})
		b.AddHistogram(metric.Histogram{Timestamp: 3, Float: &histogram.FloatHistogram{
			Schema: histogram.CustomBucketsSchema, Count: 3.5, Sum: math.Inf(1), CustomValues: []float64{1, 2.5},
			PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []float64{1, 2.5},
		}})
		b.AddSample(metric.Sample{Timestamp: 2, Value: -1})
		b.StartSeries(nil, 2)
		b.AddSample(metric.Sample{Timestamp: math.MinInt64, Start: math.MaxInt64, Value: math.NaN()})
		b.AddSample(metric.Sample{Timestamp: math.MaxInt64, Start: math.MinInt64, Value: 5})
		b.Metadata = append(b.Metadata, metric.Metadata{Family: "a", Type: "counter", Help: "Hälp.\n", Unit: "seconds"})
	})
	add(tb, st, "b", func(b *metric.Batch) {
		b.Metadata = append(b.Metadata, metric.Metadata{Family: "only", Type: "gauge"})
	})
	return st
}

func write(tb testing.TB, st store.Store) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if _, err := archive.Write(tb.Context(), &buf, st, archive.WriteOptions{Program: "test", Now: created}); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// The text of an archive is that of version 1 for ever, up to what the compressor makes of it: so the old one is read.
func TestGolden(t *testing.T) {
	const file = "testdata/v1.archive"
	want := sample(t)
	if os.Getenv("LUMINATE_REWRITE") != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, write(t, want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := memory.New(memory.Options{})
	res, err := archive.Restore(t.Context(), got, bytes.NewReader(golden), archive.RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := (archive.Counts{Tenants: 2, Series: 3, Samples: 5004, Histograms: 2, Exemplars: 2, Metadata: 2}); res.Archive.Counts != c ||
		res.Archive.Bytes != int64(len(golden)) || !res.Archive.Header.Created.Equal(created()) || res.Archive.Header.Writer != "test" {
		t.Errorf("%+v", res)
	}
	storetest.Same(t, want, got)
}

// flip returns data with one bit changed.
func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 1 << (at % 8)
	return out
}

func TestEveryDamageIsFound(t *testing.T) {
	st := memory.New(memory.Options{})
	add(t, st, "a", func(b *metric.Batch) {
		b.StartSeries(canonical("__name__", "a"), 0)
		b.AddSample(metric.Sample{Timestamp: 1, Value: 2})
	})
	data := write(t, st)
	if _, err := archive.Verify(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, text []byte) {
		t.Helper()
		_, err := archive.Verify(bytes.NewReader(text))
		if !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, archive.ErrVersion) {
			t.Fatalf("%s: %v", what, err)
		}
		if errors.Is(err, archive.ErrDamaged) && !strings.Contains(err.Error(), "at byte ") {
			t.Fatalf("%s: the error does not say where: %v", what, err)
		}
		got := memory.New(memory.Options{})
		if _, err := archive.Restore(t.Context(), got, bytes.NewReader(text), archive.RestoreOptions{}); err == nil {
			t.Fatalf("%s: restored", what)
		}
		if held, err := got.Tenants(t.Context()); err != nil || len(held) > 0 {
			t.Fatalf("%s: %v was restored, %v", what, held, err)
		}
	}
	for i := range data {
		refused(fmt.Sprintf("bit flipped in byte %d", i), flip(data, i))
		refused(fmt.Sprintf("cut at %d", i), data[:i])
	}
	refused("one byte too many", append(bytes.Clone(data), 0))
	refused("twice", append(bytes.Clone(data), data...))
}

// onlyReader can't be rewound.
type onlyReader struct{ io.Reader }

// A pipe is verified block by block: what was read before the damage is stored, and the error says how much.
func TestDamageInAPipe(t *testing.T) {
	data := write(t, sample(t))
	got := memory.New(memory.Options{})
	cut := data[:len(data)-10]
	_, err := archive.Restore(t.Context(), got, onlyReader{bytes.NewReader(cut)}, archive.RestoreOptions{})
	if !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), "the restore stopped after") {
		t.Fatal(err)
	}
	if held, _ := got.Tenants(t.Context()); len(held) != 2 {
		t.Errorf("%v", held)
	}
	// Done again with the whole archive, the result is as if nothing had happened.
	if _, err := archive.Restore(t.Context(), got, onlyReader{bytes.NewReader(data)}, archive.RestoreOptions{}); !errors.Is(err, archive.ErrNotEmpty) {
		t.Errorf("into a store with data: %v", err)
	}
	for range 2 {
		if _, err := archive.Restore(t.Context(), got, onlyReader{bytes.NewReader(data)}, archive.RestoreOptions{Merge: true}); err != nil {
			t.Fatal(err)
		}
		storetest.Same(t, sample(t), got)
	}
}

func TestOnlySomeTenants(t *testing.T) {
	var buf bytes.Buffer
	sum, err := archive.Write(t.Context(), &buf, sample(t), archive.WriteOptions{Tenants: []tenancy.ID{"b", "nobody"}})
	if err != nil || len(sum.Header.Tenants) != 1 || sum.Counts != (archive.Counts{Tenants: 1, Metadata: 1}) || sum.Bytes != int64(buf.Len()) {
		t.Fatalf("%+v %v", sum, err)
	}
	got, err := archive.Verify(&buf)
	if err != nil || got.SHA256 != sum.SHA256 || got.Counts != sum.Counts {
		t.Errorf("%+v %v, want %+v", got, err, sum)
	}
}

// Blocks are many, and entries of any size come through.
func TestLargeEntries(t *testing.T) {
	st := memory.New(memory.Options{})
	add(t, st, "a", func(b *metric.Batch) {
		for i := range 5 {
			b.StartSeries(canonical("__name__", "a", "i", fmt.Sprint(i), "long", strings.Repeat("x", 3<<20)), i)
			b.AddSample(metric.Sample{Timestamp: 1, Value: 2})
		}
		buckets := make([]float64, 100_000)
		b.StartSeries(canonical("__name__", "h"), 5)
		for i := range 4 {
			b.AddHistogram(metric.Histogram{Timestamp: int64(i), Float: &histogram.FloatHistogram{
				PositiveSpans: []histogram.Span{{Length: uint32(len(buckets))}}, PositiveBuckets: buckets,
			}})
		}
	})
	got := memory.New(memory.Options{})
	if _, err := archive.Restore(t.Context(), got, bytes.NewReader(write(t, st)), archive.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, st, got)
}

// full is a writer that fails after a number of bytes.
type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAFailingWriterIsReported(t *testing.T) {
	st := sample(t)
	size := len(write(t, st))
	for _, left := range []int{0, 20, 300, size - 100} {
		if _, err := archive.Write(t.Context(), &full{left}, st, archive.WriteOptions{}); !errors.Is(err, errFull) {
			t.Errorf("%d bytes: %v", left, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Write(ctx, io.Discard, st, archive.WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// crowded is a store that has no room now and then.
type crowded struct {
	store.Store
	calls, flushes int
}

func (c *crowded) Tenant(id tenancy.ID) store.Tenant { return crowdedTenant{c.Store.Tenant(id), c} }

func (c *crowded) Flush(ctx context.Context) error {
	c.flushes++
	return c.Store.Flush(ctx)
}

type crowdedTenant struct {
	store.Tenant
	in *crowded
}

func (t crowdedTenant) Append(ctx context.Context, b *metric.Batch) ([]metric.Rejection, error) {
	if t.in.calls++; t.in.calls%2 == 1 {
		return nil, fmt.Errorf("crowded: %w", store.ErrUnavailable)
	}
	return t.Tenant.Append(ctx, b)
}

func TestRestoreMakesRoom(t *testing.T) {
	want := sample(t)
	c := &crowded{Store: memory.New(memory.Options{})}
	if _, err := archive.Restore(t.Context(), c, bytes.NewReader(write(t, want)), archive.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, want, c.Store)
	if c.flushes == 0 {
		t.Error("no flush")
	}
}

func FuzzVerify(f *testing.F) {
	st := memory.New(memory.Options{})
	add(f, st, "a", func(b *metric.Batch) {
		b.StartSeries(canonical("__name__", "a"), 0)
		b.AddSample(metric.Sample{Timestamp: 1, Value: 2})
		b.AddHistogram(metric.Histogram{Timestamp: 2, Float: &histogram.FloatHistogram{Count: 1, ZeroCount: 1}})
	})
	f.Add(write(f, st))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := memory.New(memory.Options{})
		res, err := archive.Restore(context.Background(), got, bytes.NewReader(data), archive.RestoreOptions{})
		if err != nil {
			return
		}
		// What is an archive says the same after another round.
		sum, err := archive.Verify(bytes.NewReader(write(t, got)))
		if err != nil || sum.Counts.Samples != res.Archive.Counts.Samples {
			t.Errorf("%v: %+v, %+v", err, sum, res)
		}
	})
}
