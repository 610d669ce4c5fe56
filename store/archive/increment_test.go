package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/archive"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
	"github.com/luminate-metrics/luminate/tenancy"
)

const day = int64(24 * time.Hour / time.Millisecond)

func readers(files ...[]byte) (out []io.ReadSeeker) {
	for _, f := range files {
		out = append(out, bytes.NewReader(f))
	}
	return out
}

func increment(tb testing.TB, st store.Store, since ...[]byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	o := archive.WriteOptions{Program: "test", Now: func() time.Time { return created().Add(time.Hour) }}
	if _, err := archive.WriteIncrement(tb.Context(), &buf, st, readers(since...), o); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// change does something at random to one of three tenants.
func change(tb testing.TB, st store.Store, r *rand.Rand) {
	tb.Helper()
	id := tenancy.ID(fmt.Sprintf("t%d", r.IntN(3)))
	when := store.Range{Min: r.Int64N(5*day) - 2*day}
	when.Max = when.Min + r.Int64N(2*day)
	var sel store.Selection
	if r.IntN(3) > 0 {
		sel.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "i", fmt.Sprint(r.IntN(4)))}
	}
	switch r.IntN(6) {
	case 0:
		if err := st.Tenant(id).Delete(tb.Context(), when, sel); err != nil {
			tb.Fatal(err)
		}
	case 1:
		if err := st.Tenant(id).Delete(tb.Context(), store.AllTime(), store.Selection{}); err != nil {
			tb.Fatal(err)
		}
	default:
		add(tb, st, id, func(b *metric.Batch) {
			for range r.IntN(8) {
				b.StartSeries(canonical("__name__", "m", "i", fmt.Sprint(r.IntN(4))), 0)
				for range r.IntN(4) {
					b.AddSample(metric.Sample{Timestamp: r.Int64N(5*day/1000)*1000 - 2*day, Value: float64(r.IntN(2))})
				}
				if r.IntN(4) == 0 {
					b.AddExemplar(metric.Exemplar{Timestamp: r.Int64N(3), Value: 1})
				}
			}
		})
	}
}

// Whatever happens between backups, a chain gives the state at the time of its last one.
func TestChainsOfRandomChanges(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		st := memory.New(memory.Options{})
		var files [][]byte
		for range 4 {
			for range r.IntN(5) {
				change(t, st, r)
			}
			if files == nil {
				files = append(files, write(t, st))
				continue
			}
			// From the store and from a full archive of it come the same bytes, but for the times.
			next := increment(t, st, files...)
			var buf bytes.Buffer
			var full bytes.Buffer
			o := archive.WriteOptions{Program: "test", Now: func() time.Time { return created().Add(time.Hour) }}
			if _, err := archive.Write(t.Context(), &full, st, o); err != nil {
				t.Fatal(err)
			}
			if _, err := archive.Increment(&buf, bytes.NewReader(full.Bytes()), readers(files...)); err != nil || !bytes.Equal(next, buf.Bytes()) {
				t.Fatalf("seed %d: an increment from an archive differs: %v", seed, err)
			}
			files = append(files, next)
			got := memory.New(memory.Options{})
			if _, err := archive.RestoreChain(t.Context(), got, readers(files...), archive.RestoreOptions{}); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if storetest.Same(t, st, got); t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

func TestAnIncrementHoldsTheWindowsThatChanged(t *testing.T) {
	st := sample(t)
	full := write(t, st)
	add(t, st, "acme", func(b *metric.Batch) {
		b.StartSeries(canonical("__name__", "h"), 0)
		b.AddSample(metric.Sample{Timestamp: 100 * day, Value: 1})
	})
	sum, err := archive.Verify(bytes.NewReader(increment(t, st, full)))
	want := archive.Counts{Tenants: 2, Series: 1, Samples: 1, Exemplars: 2, Metadata: 2}
	if err != nil || sum.Counts != want || sum.Header.Kind != archive.Incremental {
		t.Errorf("%+v %v", sum, err)
	}
}

func TestChainsThatAreNone(t *testing.T) {
	st := sample(t)
	full := write(t, st)
	add(t, st, "acme", func(b *metric.Batch) {
		b.StartSeries(canonical("__name__", "x"), 0)
		b.AddSample(metric.Sample{Timestamp: 1, Value: 1})
	})
	first := increment(t, st, full)
	add(t, st, "acme", func(b *metric.Batch) {
		b.StartSeries(canonical("__name__", "y"), 0)
		b.AddSample(metric.Sample{Timestamp: 1, Value: 1})
	})
	second := increment(t, st, full, first)
	refused := func(want error, files ...[]byte) {
		t.Helper()
		got := memory.New(memory.Options{})
		_, err := archive.RestoreChain(t.Context(), got, readers(files...), archive.RestoreOptions{})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "nothing was restored") {
			t.Errorf("%v, want %v", err, want)
		}
		if held, _ := got.Tenants(t.Context()); len(held) > 0 {
			t.Errorf("%v", held)
		}
	}
	refused(archive.ErrChain, first)
	refused(archive.ErrChain, full, second)
	refused(archive.ErrChain, full, second, first)
	refused(archive.ErrChain, full, full)
	refused(archive.ErrDamaged, full, first, second[:len(second)-1])
	refused(archive.ErrDamaged, full, flip(first, 300), second)
	for _, in := range []io.Reader{bytes.NewReader(first), onlyReader{bytes.NewReader(first)}} {
		if _, err := archive.Restore(t.Context(), memory.New(memory.Options{}), in, archive.RestoreOptions{}); !errors.Is(err, archive.ErrChain) {
			t.Errorf("an increment alone: %v", err)
		}
	}
	o := archive.WriteOptions{Tenants: []tenancy.ID{"b"}}
	if _, err := archive.WriteIncrement(t.Context(), io.Discard, st, readers(full), o); !errors.Is(err, archive.ErrChain) {
		t.Errorf("an increment of other tenants: %v", err)
	}
	o = archive.WriteOptions{Now: func() time.Time { return created().Add(-1) }}
	if _, err := archive.WriteIncrement(t.Context(), io.Discard, st, readers(full), o); !errors.Is(err, archive.ErrChain) {
		t.Errorf("an increment to a later archive: %v", err)
	}
}

func TestGoldenIncrement(t *testing.T) {
	const file = "testdata/v1-increment.archive"
	full, err := os.ReadFile("testdata/v1.archive")
	if err != nil {
		t.Fatal(err)
	}
	want := sample(t)
	if err := want.Tenant("acme").Delete(t.Context(), store.AllTime(), store.Selection{
		Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "h")},
	}); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("LUMINATE_REWRITE") != "" {
		if err := os.WriteFile(file, increment(t, want, full), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := memory.New(memory.Options{})
	if _, err := archive.RestoreChain(t.Context(), got, readers(full, golden), archive.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, want, got)
}
