package partition_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
)

func numbered(i int) labels.Labels {
	return labels.FromStrings("__name__", "m", "i", fmt.Sprint(i), "third", fmt.Sprint(i%3))
}

// scrapes returns n samples of a target at 15 s, from a time on.
func scrapes(rng *rand.Rand, from int64, n int) series.Run {
	run := make(series.Run, n)
	for i := range run {
		run[i] = series.Sample{Timestamp: from + int64(i)*15_000, Value: float64(rng.IntN(1000)), Start: int64(rng.IntN(2))}
	}
	return run
}

// TestNeighboursShareValues checks that ids follow the order of arrival, that a group of 64 is one value for each span of
// up to 480 samples, and that spans are even.
func TestNeighboursShareValues(t *testing.T) {
	p := open(t)
	rng := rand.New(rand.NewPCG(1, 1))
	var list []written
	for i := range 130 {
		list = append(list, written{"a", numbered(999 - i), scrapes(rng, int64(i/70), 1000)})
	}
	info := write(t, p, 1, true, list...)
	if want := (partition.Info{Sequence: 1, Series: 130, Chunks: 3 * 3}); info != want {
		t.Fatal(info)
	}
	if n := sampleEntries(t, p); n != 3*(1+3) {
		t.Fatal(n)
	}
	r := p.NewReader("a")
	defer r.Close()
	found, err := r.Select(t.Context(), store.Selection{})
	if err != nil || len(found) != len(list) {
		t.Fatal(len(found), err)
	}
	for i := range found {
		if int(found[i].ID) != i || !labels.Equal(found[i].Labels, list[i].labels) {
			t.Fatalf("series %d has id %d and is %s", i, found[i].ID, found[i].Labels)
		}
	}
}

// model is what a partition should hold, beside it.
type model struct {
	flushes []map[int]series.Run // By sequence less one, then series.
}

func (m *model) want(i int, in store.Range, mask partition.Mask) series.Run {
	var out series.Run
	for at, f := range m.flushes {
		run := f[i]
		if uint64(at+1) <= mask.Sequence {
			run = run.Without(mask.Range)
		}
		out = series.Merge(out, run)
	}
	return out.Between(in)
}

// brought returns some samples for a flush: late ones, ones that were there already, several spans, histograms between.
func brought(rng *rand.Rand) series.Run {
	n := []int{1, 3, 60, 481, 1100}[rng.IntN(5)]
	run := scrapes(rng, int64(rng.IntN(100))*150_000, n)
	if rng.IntN(8) == 0 {
		for i := range run {
			if rng.IntN(3) == 0 {
				run[i].Value = 0
				oddHistogram(rng, &run[i])
			}
		}
	}
	return run
}

func TestRandomFlushesAgainstModel(t *testing.T) {
	const all = 150
	rng := rand.New(rand.NewPCG(5, 6))
	p := open(t)
	var m model
	for sequence := uint64(1); sequence <= 6; sequence++ {
		flush := map[int]series.Run{}
		var list []written
		for _, i := range rng.Perm(all)[:1+rng.IntN(all)] {
			flush[i] = brought(rng)
			list = append(list, written{"a", numbered(i), flush[i]})
		}
		m.flushes = append(m.flushes, flush)
		if sequence == 3 { // Interrupted, done again.
			writeWith(t, p, sequence, false, rng.IntN(100_000), list[:len(list)/2]...)
			m.flushes = append(m.flushes, flush)
			sequence++
		}
		writeWith(t, p, sequence, true, rng.IntN(100_000), list...)
		for range 6 {
			compare(t, rng, p, &m)
		}
	}
}

// compare reads a range, some of it masked, in some order.
func compare(t *testing.T, rng *rand.Rand, p *partition.Partition, m *model) {
	t.Helper()
	in := store.AllTime()
	if rng.IntN(3) > 0 {
		in.Min = int64(rng.IntN(30_000_000))
		in.Max = in.Min + int64(rng.IntN(8_000_000))
	}
	mask := partition.Mask{Range: store.Range{Min: 2_000_000, Max: 5_000_000}, Sequence: rng.Uint64N(5)}
	r := p.NewReader("a")
	defer r.Close()
	sel := store.Selection{Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "third", []string{".*", "[01]"}[rng.IntN(2)])}}
	found, err := r.Select(t.Context(), sel)
	if err != nil {
		t.Fatal(err)
	}
	c, pass := r.NewCursor(in), partition.NewPass()
	defer c.Close()
	for i := range found {
		pass.Expect(&found[i])
	}
	if rng.IntN(2) == 0 {
		rng.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
		pass.Hold(rng.IntN(60_000))
	}
	for k := range found {
		run, err := c.Load(&found[k], pass, []partition.Mask{mask})
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscan(found[k].Labels.Get("i"), &i); err != nil {
			t.Fatal(err)
		}
		if got, want := text(run.Between(in)), text(m.want(i, in, mask)); got != want {
			t.Fatalf("series %s in %v: %s", found[k].Labels, in, cmp.Diff(want, got))
		}
		if counted, actual := pass.Held(); counted != actual {
			t.Fatalf("%d samples are counted, %d are held", counted, actual)
		}
	}
	if counted, _ := pass.Held(); counted != 0 {
		t.Fatalf("%d samples are held at the end", counted)
	}
	masks := []partition.Mask{mask, {Range: store.Range{Min: 3_000_000, Max: 3_100_000}, Sequence: 99}}
	want := func(i int) series.Run { return m.want(i, in, mask).Without(masks[1].Range) }
	compareColumns(t, rng, r, found, seen{in, masks}, want)
}

// seen is what a reader may see.
type seen struct {
	in    store.Range
	masks []partition.Mask
}

// compareColumns is compare by columns.
func compareColumns(t *testing.T, rng *rand.Rand, r *partition.Reader, found []partition.Series, what seen, want func(i int) series.Run) {
	t.Helper()
	in, masks := what.in, what.masks
	c := r.NewCursor(in)
	defer c.Close()
	if rng.IntN(2) == 0 {
		c.Expect(found[:rng.IntN(len(found)+1)])
	}
	var floats rowgroup.Column
	for k := range found {
		histograms, err := c.Columns(&found[k], masks, &floats)
		if err != nil {
			t.Fatal(err)
		}
		if floats.Starts != nil && len(floats.Starts) != len(floats.Timestamps) {
			t.Fatalf("%d start timestamps, %d timestamps", len(floats.Starts), len(floats.Timestamps))
		}
		var run series.Run
		for i, at := range floats.Timestamps {
			s := series.Sample{Timestamp: at, Value: floats.Values[i]}
			if floats.Starts != nil {
				s.Start = floats.Starts[i]
			}
			run = append(run, s)
		}
		if len(histograms.Between(in)) < len(histograms)-1 {
			t.Fatalf("%d of %d histograms lie in the range", len(histograms.Between(in)), len(histograms))
		}
		var i int
		if _, err := fmt.Sscan(found[k].Labels.Get("i"), &i); err != nil {
			t.Fatal(err)
		}
		if got, want := text(series.Merge(run, histograms.Between(in))), text(want(i)); got != want {
			t.Fatalf("series %s in %v: %s", found[k].Labels, in, cmp.Diff(want, got))
		}
	}
}

// TestDamageOutsideTheRange damages the bounds of a value, which must not make a read pass over it.
func TestDamageOutsideTheRange(t *testing.T) {
	p := open(t)
	write(t, p, 1, true, written{"a", numbered(1), at(100_000, 1)})
	key := partition.RowsKey("a", 0, 100_000, 1)
	value, err := p.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range value {
		bad := append([]byte(nil), value...)
		bad[i] ^= 2
		if err := p.Set(key, bad); err != nil {
			t.Fatal(err)
		}
		for _, in := range []store.Range{store.AllTime(), {Min: 100_001, Max: math.MaxInt64}} {
			if _, err := loadFirst(t.Context(), p, in); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("byte %d, range %v: %v", i, in, err)
			}
		}
	}
}

func loadFirst(ctx context.Context, p *partition.Partition, in store.Range) (series.Run, error) {
	r := p.NewReader("a")
	defer r.Close()
	found, err := r.Select(ctx, store.Selection{})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	c := r.NewCursor(in)
	defer c.Close()
	return c.Load(&found[0], nil, nil)
}

// TestLargeLabels writes more new labels for one group than fit into one transaction.
func TestLargeLabels(t *testing.T) {
	p := open(t)
	var list []written
	for i := range 64 {
		ls := labels.FromStrings("__name__", "m", "i", fmt.Sprint(i), "large", strings.Repeat(fmt.Sprint(i%10), 100_000))
		list = append(list, written{"a", ls, at(int64(i), 1)})
	}
	write(t, p, 1, true, list...)
	got, err := read(t.Context(), p, "a", nil)
	if err != nil || len(got) != len(list) {
		t.Fatal(len(got), err)
	}
}

// TestMissingSeriesStopsAWriter has a partition that lost its series: their ids would be given again.
func TestMissingSeriesStopsAWriter(t *testing.T) {
	p := open(t)
	write(t, p, 1, true, written{"a", numbered(1), at(1, 1)}, written{"a", numbered(2), at(1, 1)})
	if err := p.Delete(partition.TenantKey("a")); err != nil {
		t.Fatal(err)
	}
	w, err := p.NewWriter(2)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	if err := w.Series(t.Context(), "a", numbered(3), at(1, 1)); !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
}

// TestGoldenCensusV3 reads and writes a census of version 3 of the format.
func TestGoldenCensusV3(t *testing.T) {
	p := open(t)
	write(t, p, 7, true, written{"a", numbered(1), series.Run{{Timestamp: -5}, {Timestamp: 1000}}},
		written{"a", numbered(2), at(30, 1)}, written{"a", numbered(3), at(30, 1)}, written{"a", numbered(4), golden()})
	value, err := p.Get(partition.CensusKey("a", 0))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/census-v3.hex")
	if got := hex.EncodeToString(value); err != nil || got != strings.TrimSpace(string(data)) {
		t.Fatal(got, err)
	}
	again, err := partition.RecodeCensus(value)
	if err != nil || string(again) != string(value) {
		t.Fatal(again, err)
	}
	for i := range value[:len(value)-4] {
		cut := partition.Seal(append([]byte(nil), value[:i]...))
		if _, err := partition.RecodeCensus(cut); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// TestRangeAtBounds reads ranges that touch the samples of a row group at one end only.
func TestRangeAtBounds(t *testing.T) {
	p := open(t)
	write(t, p, 1, true, written{"a", numbered(1), series.Run{{Timestamp: 10, Value: 1}, {Timestamp: 20, Value: 2}, {Timestamp: 30, Value: 3}}})
	f := func(minimum, maximum int64, want ...int64) {
		t.Helper()
		in := store.Range{Min: minimum, Max: maximum}
		run, err := loadFirst(t.Context(), p, in)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, s := range run.Between(in) {
			got = append(got, s.Timestamp)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in %v got %v, want %v", in, got, want)
		}
	}
	f(0, 9)
	f(0, 10, 10)
	f(10, 10, 10)
	f(11, 19)
	f(20, 29, 20)
	f(30, 30, 30)
	f(30, 99, 30)
	f(31, 99)
}

// TestGroupIsDecodedOnce checks that the first series of a group that is loaded brings the others which are expected.
func TestGroupIsDecodedOnce(t *testing.T) {
	p := open(t)
	var list []written
	for i := range 70 {
		list = append(list, written{"a", numbered(i), series.Run{{Timestamp: 1}, {Timestamp: 2}}})
	}
	write(t, p, 1, true, list...)
	r := p.NewReader("a")
	defer r.Close()
	found, err := r.Select(t.Context(), store.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	c, pass := r.NewCursor(store.AllTime()), partition.NewPass()
	defer c.Close()
	for i := 0; i < len(found); i += 2 {
		pass.Expect(&found[i])
	}
	for _, step := range []struct{ load, held int }{{0, 62}, {2, 60}, {3, 60}, {64, 64}, {64, 64}, {62, 62}} {
		run, err := c.Load(&found[step.load], pass, nil)
		if _, held := pass.Held(); err != nil || len(run) != 2 || held != step.held {
			t.Fatalf("after series %d: %d samples are held, error %v", step.load, held, err)
		}
	}
}
