package partition_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

func open(tb testing.TB) *partition.Partition {
	tb.Helper()
	p, err := partition.Open(partition.Options{Dir: filepath.Join(tb.TempDir(), "p"), Verify: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

type written struct {
	tenant tenancy.ID
	labels labels.Labels
	run    series.Run
}

func write(tb testing.TB, p *partition.Partition, sequence uint64, finish bool, list ...written) partition.Info {
	tb.Helper()
	return writeWith(tb, p, sequence, finish, 1<<20, list...)
}

// writeWith is write with a bound for the bytes of samples that wait.
func writeWith(tb testing.TB, p *partition.Partition, sequence uint64, finish bool, most int, list ...written) partition.Info {
	tb.Helper()
	w, err := p.NewWriter(sequence)
	if err != nil {
		tb.Fatal(err)
	}
	w.Buffer(most)
	for _, x := range list {
		if err := w.Series(tb.Context(), x.tenant, x.labels, x.run); err != nil {
			tb.Fatal(err)
		}
	}
	if !finish {
		w.Discard()
		return partition.Info{}
	}
	info, err := w.Finish()
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

// read returns what a tenant has, one line for each series.
func read(ctx context.Context, p *partition.Partition, tenant tenancy.ID, masks []partition.Mask, ms ...*labels.Matcher) ([]string, error) {
	r := p.NewReader(tenant)
	defer r.Close()
	found, err := r.Select(ctx, store.Selection{Matchers: ms})
	if err != nil {
		return nil, err
	}
	c := r.NewCursor(store.AllTime())
	defer c.Close()
	pass := partition.NewPass()
	for i := range found {
		pass.Expect(&found[i])
	}
	var out []string
	for i := range found {
		run, err := c.Load(&found[i], pass, masks)
		if err != nil {
			return nil, err
		}
		out = append(out, found[i].Labels.String()+" "+strings.ReplaceAll(strings.TrimSpace(text(run)), "\n", ", "))
	}
	return out, nil
}

func at(t int64, v float64) series.Run { return series.Run{{Timestamp: t, Value: v}} }

func TestLaterFlushWins(t *testing.T) {
	p := open(t)
	up := labels.FromStrings("__name__", "up")
	write(t, p, 5, true, written{"a", up, series.Run{{Timestamp: 1, Value: 1}, {Timestamp: 2, Value: 1}}})
	info := write(t, p, 300, true, written{"a", up, series.Run{{Timestamp: 0, Value: 2}, {Timestamp: 2, Value: 2}}})
	if want := (partition.Info{Sequence: 300, Series: 1, Chunks: 2, Short: 2}); info != want {
		t.Fatal(info)
	}
	check := func(masks []partition.Mask, want string) {
		t.Helper()
		got, err := read(t.Context(), p, "a", masks)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Fatal(diff)
		}
	}
	const one, two = "3ff0000000000000", "4000000000000000"
	check(nil, `{__name__="up"} 0 0 `+two+`, 1 0 `+one+`, 2 0 `+two)
	check([]partition.Mask{{Range: store.Range{Min: 1, Max: 2}, Sequence: 299}}, `{__name__="up"} 0 0 `+two+`, 2 0 `+two)
	check([]partition.Mask{{Range: store.Range{Min: 1, Max: 2}, Sequence: 300}}, `{__name__="up"} 0 0 `+two)
}

func TestTenantsAndKeysDoNotMix(t *testing.T) {
	p := open(t)
	var list []written
	values := []string{"", "b", "b\x00", "\x00b", strings.Repeat("x", 511), strings.Repeat("x", 512), strings.Repeat("x", 513), strings.Repeat("x", 600), strings.Repeat("x", 599) + "y"}
	tenants := []tenancy.ID{"a", "aa", "ab", "b"}
	for i, id := range tenants {
		for k, v := range values {
			list = append(list, written{id, labels.FromStrings("__name__", "m", "l", v+"."), at(int64(i), float64(k))})
		}
	}
	write(t, p, 1, true, list...)
	for i, id := range tenants {
		for k, v := range values {
			got, err := read(t.Context(), p, id, nil, labels.MustNewMatcher(labels.MatchEqual, "l", v+"."))
			want := labels.FromStrings("__name__", "m", "l", v+".").String() + " " + strings.TrimSpace(text(at(int64(i), float64(k))))
			if err != nil || len(got) != 1 || got[0] != want {
				t.Fatalf("tenant %s, value %q: got %v, error %v", id, v, got, err)
			}
		}
		r := p.NewReader(id)
		names, err := r.LabelNames(t.Context(), nil)
		if err != nil || len(names) != 2 {
			t.Fatal(names, err)
		}
		found, err := r.LabelValues(t.Context(), "l", nil)
		if err != nil || len(found) != len(values) {
			t.Fatal(found, err)
		}
		r.Close()
	}
	if got, err := read(t.Context(), p, "c", nil); err != nil || len(got) > 0 {
		t.Fatal(got, err)
	}
}

// TestInterruptedFlush checks that what a flush left half done is findable after the next, in which the series come in
// another order, and that nothing of it goes to another series.
func TestInterruptedFlush(t *testing.T) {
	p := open(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var list []written
	for i := range 300 {
		run := make(series.Run, 2000) // All in all more than fits into some transactions.
		for k := range run {
			run[k] = series.Sample{Timestamp: int64(k), Value: rng.Float64()}
		}
		list = append(list, written{"a", numbered(i), run})
	}
	write(t, p, 1, false, list...)
	if sampleEntries(t, p) == 0 {
		t.Fatal("nothing was written of the interrupted flush")
	}
	slices.Reverse(list)
	write(t, p, 2, true, append(list, written{"a", numbered(1000), at(1, 1)})...)
	for i := 0; i < len(list); i += 7 {
		x := list[i]
		got, err := read(t.Context(), p, "a", nil, labels.MustNewMatcher(labels.MatchEqual, "i", x.labels.Get("i")))
		want := x.labels.String() + " " + strings.ReplaceAll(strings.TrimSpace(text(x.run)), "\n", ", ")
		if err != nil || len(got) != 1 || got[0] != want {
			t.Fatalf("series %d: %d found, error %v", i, len(got), err)
		}
	}
	if got, err := read(t.Context(), p, "a", nil); err != nil || len(got) != 301 {
		t.Fatal(len(got), err)
	}
}

func move(p *partition.Partition, from, to []byte) error {
	value, err := p.Get(from)
	return errors.Join(err, p.Delete(from), p.Set(to, value))
}

func TestMissingEntriesAreCorruption(t *testing.T) {
	up, down := labels.FromStrings("__name__", "up"), labels.FromStrings("__name__", "down")
	const id = partition.ID(0)
	page := func(kind byte) []byte { return partition.IndexKey("a", id, kind, 0) }
	labelsKey, censusKey, rowsKey := page(partition.LabelsPage), partition.CensusKey("a", id), partition.RowsKey("a", id, 1, 1)
	byName := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	for name, c := range map[string]struct {
		do func(p *partition.Partition) error
		by []*labels.Matcher
	}{
		"rows":               {func(p *partition.Partition) error { return p.Delete(rowsKey) }, nil},
		"chunk":              {func(p *partition.Partition) error { return p.Delete(partition.ChunkKey("a", id+2, 1, 0)) }, nil},
		"census":             {func(p *partition.Partition) error { return p.Delete(censusKey) }, nil},
		"labels, by index":   {func(p *partition.Partition) error { return p.Delete(labelsKey) }, []*labels.Matcher{byName}},
		"labels, in a scan":  {func(p *partition.Partition) error { return p.Delete(labelsKey) }, nil},
		"labels are damaged": {func(p *partition.Partition) error { return p.Set(labelsKey, []byte("garbage")) }, nil},
		"head of the index":  {func(p *partition.Partition) error { return p.Delete(page(partition.HeadPage)) }, nil},
		"values":             {func(p *partition.Partition) error { return p.Delete(page(partition.ValuesPage)) }, []*labels.Matcher{byName}},
		"postings":           {func(p *partition.Partition) error { return p.Delete(page(partition.PostingsPage)) }, []*labels.Matcher{byName}},
		"a page of another":  {func(p *partition.Partition) error { return move(p, labelsKey, page(partition.PostingsPage)) }, []*labels.Matcher{byName}},
		"tenant":             {func(p *partition.Partition) error { return p.Delete(partition.TenantKey("a")) }, nil},
		"tenant is damaged":  {func(p *partition.Partition) error { return p.Set(partition.TenantKey("a"), []byte("garbage")) }, nil},
		"census is damaged":  {func(p *partition.Partition) error { return p.Set(censusKey, []byte{1, 2, 3, 4, 5, 6}) }, nil},
		"a key of nonsense": {func(p *partition.Partition) error {
			return p.Set(append(bytes.Clone(censusKey[:len(censusKey)-1]), 1, 2), nil)
		}, nil},
		"rows are damaged":    {func(p *partition.Partition) error { return p.Set(rowsKey, []byte("garbage")) }, nil},
		"rows of another key": {func(p *partition.Partition) error { return move(p, rowsKey, partition.RowsKey("a", id, 2, 1)) }, nil},
		"chunk is damaged": {func(p *partition.Partition) error {
			return p.Set(partition.ChunkKey("a", id+2, 1, 0), []byte("garbage"))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			write(t, p, 1, true, written{"a", up, at(1, 1)}, written{"a", down, at(1, 1)}, written{"a", labels.FromStrings("__name__", "h"), golden()})
			if _, err := read(t.Context(), p, "a", nil, c.by...); err != nil {
				t.Fatal(err)
			}
			if err := c.do(p); err != nil {
				t.Fatal(err)
			}
			if got, err := read(t.Context(), p, "a", nil, c.by...); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("got %v, error %v", got, err)
			}
		})
	}
}

func TestExpectation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	p, err := partition.Open(partition.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	info := write(t, p, 3, true, written{"a", labels.FromStrings("__name__", "up"), at(1, 1)})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	info.Sequence++
	if _, err := partition.Open(partition.Options{Dir: dir, Expect: info}); !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
}
