package active_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/active/pairs"
	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

func name(n string) labels.Labels { return labels.FromStrings("__name__", n) }

func TestLastWriteWins(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	one := &histogram.Histogram{Count: 1, Sum: 2}
	two := &histogram.FloatHistogram{Count: 3, Sum: 4}
	f := func(what string, want item, writes ...func(b batch)) {
		t.Helper()
		for _, frozen := range []int{-1, 0, 1} {
			ls := labels.FromStrings("__name__", "m", "what", what, "frozen", fmt.Sprint(frozen))
			var ref uint32
			for i, add := range writes {
				b := newBatch().series(ls)
				add(b)
				ref = write(t, h, w, 1, b)[0]
				if i == frozen {
					h.Freeze(ref / active.GroupSize)
				}
			}
			if diff := cmp.Diff(want, read(t, h, ref, store.AllTime())[10]); diff != "" {
				t.Errorf("%s, frozen after write %d: -want +got\n%s", what, frozen, diff)
			}
			h.Release(ref / active.GroupSize)
		}
	}
	value := func(v float64) func(batch) {
		return func(b batch) { b.AddSample(metric.Sample{Timestamp: 10, Value: v}) }
	}
	started := func(v float64) func(batch) {
		return func(b batch) { b.AddSample(metric.Sample{Timestamp: 10, Start: 5, Value: v}) }
	}
	ints := func(b batch) { b.AddHistogram(metric.Histogram{Timestamp: 10, Int: one}) }
	floats := func(b batch) { b.AddHistogram(metric.Histogram{Timestamp: 10, Float: two}) }
	later := func(b batch) { b.AddSample(metric.Sample{Timestamp: 20, Value: 1}) }

	f("float, float", floatItem(0, 2), value(1), value(2))
	f("float, newer, float", floatItem(0, 2), value(1), later, value(2))
	f("float, the same, and back", floatItem(0, 1), value(1), value(2), value(1))
	f("histogram, float", floatItem(0, 2), ints, value(2))
	f("float, histogram", histogramItem(0, one, nil), value(1), ints)
	f("histogram, histogram", histogramItem(0, nil, two), ints, floats)
	f("float, histogram, float", floatItem(0, 1), value(1), floats, value(1))
	f("start is new", floatItem(5, 1), value(1), started(1))
	f("start is gone", floatItem(0, 1), started(1), value(1))
	f("NaN over zero", floatItem(0, math.NaN()), value(0), value(math.NaN()))
	f("minus zero over zero", floatItem(0, math.Copysign(0, -1)), value(0), value(math.Copysign(0, -1)))
}

func TestWhatIsSentAgainTakesNoMemory(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	b := newBatch().series(name("m")).floats(1, 1, 2, 2)
	write(t, h, w, 1, b)
	again := newBatch().series(name("m")).floats(2, 2)
	write(t, h, w, 1, again)
	if m := h.Memory(); m.Aside != 0 {
		t.Errorf("%d bytes are aside", m.Aside)
	}
}

func TestStartsAfterDelete(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	add := func(at, start int64) uint32 {
		b := newBatch().series(name("m"))
		b.AddSample(metric.Sample{Timestamp: at, Start: start, Value: 1})
		return write(t, h, w, 1, b)[0]
	}
	add(10, 5)
	ref := add(20, 5)
	if found, err := h.Delete(ref, store.Range{Min: 10, Max: 10}); err != nil || !found {
		t.Fatal(found, err)
	}
	add(30, 0)
	add(40, 5)
	want := map[int64]item{20: floatItem(5, 1), 30: floatItem(0, 1), 40: floatItem(5, 1)}
	if diff := cmp.Diff(want, read(t, h, ref, store.AllTime())); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTenantsShareNothing(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	ls := labels.FromStrings("__name__", "m", "secret", "of two")
	one := write(t, h, w, 1, newBatch().series(name("m")).floats(1, 1))[0]
	two := write(t, h, w, 2, newBatch().series(ls).floats(1, 2).series(name("m")).floats(1, 3))
	if one == two[1] || one/active.GroupSize == two[1]/active.GroupSize {
		t.Errorf("references %d and %d of two tenants are in one group", one, two[1])
	}
	r := h.NewReader()
	defer r.Close()
	if got := r.Names(1); len(got) != 1 || r.Values(1, "secret") != nil || r.TenantSeries(1) != 1 || r.TenantSeries(3) != 0 {
		t.Errorf("tenant 1 sees %q", got)
	}
	refs, err := r.Select(t.Context(), 1, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")}, nil)
	if err != nil || len(refs) != 1 || refs[0] != one {
		t.Errorf("tenant 1 selects %v, error %v", refs, err)
	}
	if h.Tenant(one) != 1 || h.Tenant(two[0]) != 2 {
		t.Error("tenants of references are wrong")
	}
}

func TestRegisterRefuses(t *testing.T) {
	h := newHead(t, active.Options{MaxSeries: 2 * active.GroupSize})
	w := h.NewWriter()
	defer w.Close()
	w.Begin()
	defer w.End()
	f := func(canonical []byte, want error) {
		t.Helper()
		ref, isNew, err := w.Register(1, canonical, func(uint32) { t.Error("announced") })
		if !errors.Is(err, want) || isNew || ref != active.NoRef {
			t.Errorf("%.20q: reference %d, new %v, error %v; want %v", canonical, ref, isNew, err, want)
		}
	}
	good := metric.EncodeLabels(nil, labels.FromStrings("__name__", "m", "a", "b"))
	f(good[:len(good)-1], pairs.ErrMalformed)
	f(append(slices.Clip(good), 7), pairs.ErrMalformed)
	f(metric.AppendLabel(nil, "a", strings.Repeat("x", 3<<20)), slab.ErrTooLong)
	var err error
	n := 0
	for ; err == nil; n++ {
		_, _, err = w.Register(1, metric.AppendLabel(nil, "i", fmt.Sprint(n)), nil)
	}
	if !errors.Is(err, active.ErrFull) || n != 2*active.GroupSize-3+1 {
		t.Errorf("error %v after %d series", err, n)
	}
}

// TestHalfASeriesIsNotSelected shows that a series which has some of its pairs only, as for a moment each new one, is not
// taken for one that lacks a label.
func TestHalfASeriesIsNotSelected(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	whole := write(t, h, w, 1, newBatch().series(name("m")))
	w.Begin()
	if _, _, err := w.Register(1, append(metric.EncodeLabels(nil, name("m")), 7), nil); !errors.Is(err, pairs.ErrMalformed) {
		t.Error(err)
	}
	w.End()
	r := h.NewReader()
	defer r.Close()
	refs, err := r.Select(t.Context(), 1, []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"), labels.MustNewMatcher(labels.MatchNotEqual, "job", "x"),
	}, nil)
	if diff := cmp.Diff(whole, refs); diff != "" || err != nil {
		t.Errorf("error %v, -want +got\n%s", err, diff)
	}
}

func TestAnnouncedBeforeOthersFindIt(t *testing.T) {
	h := newHead(t, active.Options{})
	w, other := h.NewWriter(), h.NewWriter()
	defer w.Close()
	defer other.Close()
	b := newBatch().series(name("m"))
	refs := []uint32{0}
	w.Begin()
	defer w.End()
	ref, isNew, err := w.Register(1, b.Series[0].Labels, func(uint32) {
		other.Begin()
		defer other.End()
		if other.Resolve(b.Batch, 1, refs) != 1 {
			t.Error("another writer finds the series before it is announced")
		}
	})
	if err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	other.Begin()
	defer other.End()
	if other.Resolve(b.Batch, 1, refs) != 0 || refs[0] != ref {
		t.Error("another writer does not find the series")
	}
}

func TestBatchOfAnotherHasher(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	first := write(t, h, w, 1, newBatch().series(name("m")).floats(1, 1))
	other := batch{metric.NewBatch(metric.NewHasher(99))}
	if again := write(t, h, w, 1, other.series(name("m")).floats(2, 2).series(name("n"))); again[0] != first[0] {
		t.Errorf("references %v and %v", first, again)
	}
}

func TestPredictionAndStages(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	f := newFleet(10 * podSeries)
	all := f.order("sequential", 0)
	b := newBatch()
	f.fill(b.Batch, all)
	want := write(t, h, w, 1, b)
	check := func(how string, ids []int, extra int) {
		t.Helper()
		f.fill(b.Batch, ids)
		for i := range extra { // Unknown series among the known.
			b.series(labels.FromStrings("new", fmt.Sprint(i)))
		}
		got := make([]uint32, len(b.Series))
		w.Begin()
		defer w.End()
		if n := w.Resolve(b.Batch, 1, got); n != extra {
			t.Errorf("%s: %d series are not known, want %d", how, n, extra)
		}
		for i, id := range ids {
			if got[i] != want[id] {
				t.Fatalf("%s: series %d is %d, want %d", how, id, got[i], want[id])
			}
		}
	}
	for seed := range uint64(3) {
		check("random", f.order("random", seed), 5)
		check("target", f.order("target", seed), 0)
		check("sequential", all, 40)
	}
}

func TestPostingsHoldEachSeries(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	f := newFleet(8 * podSeries)
	b := newBatch()
	f.fill(b.Batch, f.order("random", 5))
	write(t, h, w, 1, b)
	want := map[string]int{}
	for i := range f.ends {
		for it := metric.Labels(f.of(i)); it.Next(); {
			want[string(it.Name())+"="+string(it.Value())]++
		}
	}
	r := h.NewReader()
	defer r.Close()
	for pair, n := range want {
		k, v, _ := strings.Cut(pair, "=")
		refs, err := r.Select(t.Context(), 1, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, k, v)}, nil)
		if err != nil || len(refs) != n {
			t.Fatalf("%s: %d series, want %d; error %v", pair, len(refs), n, err)
		}
		for _, ref := range refs {
			if got := r.Labels(ref).Get(k); got != v {
				t.Fatalf("series of %s has %q", pair, got)
			}
		}
	}
}

func TestEvictionSparesSeriesInFlight(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	b := newBatch().series(name("m")).floats(1, 1)
	refs := write(t, h, w, 1, b)
	h.Freeze(refs[0] / active.GroupSize)
	h.Release(refs[0] / active.GroupSize)
	w.Begin()
	w.Resolve(b.Batch, 1, refs)
	evict := func(want int) active.Evicted {
		t.Helper()
		out, err := h.Evict(math.MaxUint32)
		if err != nil || out.Series != want {
			t.Errorf("%d series evicted, want %d; error %v", out.Series, want, err)
		}
		return out
	}
	evict(0) // The sample may be in the log already.
	w.Append(b.Batch, refs, 1)
	w.End()
	evict(0) // It is not flushed.
	if len(read(t, h, refs[0], store.AllTime())) != 1 {
		t.Error("the sample is lost")
	}
	h.Freeze(refs[0] / active.GroupSize)
	evict(0)
	h.Release(refs[0] / active.GroupSize)
	w.Begin()
	if w.Resolve(b.Batch, 1, refs); !w.Tell(refs[0], 5) || w.Tell(refs[0], 5) || w.Tell(refs[0], 4) {
		t.Error("a series is told once for each mark")
	}
	w.End()
	if out, err := h.Evict(5); err != nil || out.Series != 0 {
		t.Errorf("%d series evicted that are not older, error %v", out.Series, err)
	}

	r := h.NewReader()
	evict(1)
	if got := r.Labels(refs[0]); labels.Compare(got, name("m")) != 0 || r.Alive(refs[0]) {
		t.Errorf("a reader from before the eviction sees labels %v", got)
	}
	r.Close()
}

func TestReferencesAreUsedAgainAfterRecycle(t *testing.T) {
	h := newHead(t, active.Options{MaxSeries: active.GroupSize})
	w := h.NewWriter()
	defer w.Close()
	fill := func(prefix string) {
		t.Helper()
		b := newBatch()
		for i := range active.GroupSize {
			b.series(name(fmt.Sprint(prefix, i)))
		}
		write(t, h, w, 1, b)
	}
	fill("a")
	out, err := h.Evict(math.MaxUint32)
	if err != nil || out.Series != active.GroupSize || h.Series() != 0 {
		t.Fatalf("%d series evicted, error %v", out.Series, err)
	}
	w.Begin()
	if _, _, err := w.Register(1, metric.EncodeLabels(nil, name("b")), nil); !errors.Is(err, active.ErrFull) {
		t.Errorf("a reference is used again before Recycle: error %v", err)
	}
	w.End()
	h.Recycle(out.Generation)
	fill("b")
	r := h.NewReader()
	defer r.Close()
	refs, err := r.Select(t.Context(), 1, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", "[ab].*")}, nil)
	if err != nil || len(refs) != active.GroupSize || r.Labels(refs[3]).Get("__name__") != "b3" {
		t.Errorf("%d series, error %v", len(refs), err)
	}
}

func TestMarks(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	at := func(want uint32, some bool) {
		t.Helper()
		if mark, ok := h.OldestMark(); ok != some || ok && mark != want {
			t.Errorf("oldest mark %d %v, want %d %v", mark, ok, want, some)
		}
	}
	add := func(timestamp int64, mark uint32) uint32 {
		b := newBatch().series(name("m")).floats(timestamp, 1)
		refs := []uint32{0}
		w.Begin()
		defer w.End()
		w.Resolve(b.Batch, 1, refs)
		w.RegisterAll(b.Batch, 1, refs, nil, func(_ int, err error) { t.Error(err) })
		w.Append(b.Batch, refs, mark)
		return refs[0] / active.GroupSize
	}
	at(0, false)
	g := add(1, 5)
	add(2, 7)
	at(5, true)
	if !h.Freeze(g) {
		t.Error("nothing to freeze")
	}
	at(0, false)
	add(3, 9)
	at(9, true)
	if !h.Freeze(g) { // The flush failed and is tried again.
		t.Error("nothing to freeze again")
	}
	if got, want := h.FrozenRange(g), (store.Range{Min: 1, Max: 2}); got != want {
		t.Errorf("frozen is %v, want %v", got, want)
	}
	h.Publish(g)
	if !h.Freeze(g) { // Somebody still reads what was published.
		t.Error("nothing to freeze besides what is published")
	}
	if n := len(read(t, h, g*active.GroupSize, store.AllTime())); n != 3 {
		t.Errorf("%d samples, want 3", n)
	}
	h.Release(g)
	if n := len(read(t, h, g*active.GroupSize, store.AllTime())); n != 1 {
		t.Errorf("%d samples, want 1", n)
	}
	h.Publish(g)
	h.Release(g)
	at(0, false)
	add(4, 9)
	at(9, true)
	add(1, 8) // Out of order.
	at(8, true)
	if got := h.Bounds(); got.Min != 1 {
		t.Errorf("bounds %v", got)
	}
	h.Freeze(g)
	h.Release(g)
	at(0, false)
	if h.Freeze(g) || h.Pending(nil) != nil {
		t.Error("something is left")
	}
	if m := h.Memory(); m.Aside != 0 {
		t.Errorf("%d bytes are aside", m.Aside)
	}
}

func TestTrim(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	const n = 4000
	peak := int64(0)
	for round := range int64(3) {
		b := newBatch()
		for i := range n {
			b.series(name(fmt.Sprint("m", i)))
			for at := range int64(50) {
				b.AddSample(metric.Sample{Timestamp: round*1000 + at, Value: math.Sqrt(float64(int64(i) + at))})
			}
		}
		write(t, h, w, 1, b)
		peak = max(peak, h.Memory().Blocks)
		for _, g := range h.Pending(nil) {
			h.Freeze(g)
			h.Release(g)
		}
		h.Trim()
		// Blocks in the caches of writer and flush keep some pages.
		if m := h.Memory(); peak < n*5*64 || m.Blocks > peak/4 || m.BlocksFree > m.Blocks {
			t.Errorf("%d bytes of blocks are left of %d, %d of them free", m.Blocks, peak, m.BlocksFree)
		}
	}
}

// TestFlushesAreSpread shows that groups that began together are not due together, whether chunks end by samples or by
// bytes.
func TestFlushesAreSpread(t *testing.T) {
	f := func(what string, rounds int, value func(i int, v float64) float64) {
		t.Helper()
		h := newHead(t, active.Options{})
		w := h.NewWriter()
		defer w.Close()
		fl := newFleet(12 * podSeries)
		b := newBatch()
		most, all := 0, map[uint32]int{}
		for range rounds {
			fl.fill(b.Batch, fl.order("sequential", 0))
			for i := range b.Samples {
				b.Samples[i].Value = value(i, b.Samples[i].Value)
			}
			fl.round++
			write(t, h, w, 1, b)
			due := h.Due(nil)
			most = max(most, len(due))
			for _, g := range due {
				all[g]++
				h.Freeze(g)
				h.Release(g)
			}
		}
		n := int(h.Groups())
		if most > n/6 || len(all) < n-8 {
			t.Errorf("%s: %d of %d groups were due at one time, %d ever", what, most, n, len(all))
		}
	}
	f("fleet", 150, func(_ int, v float64) float64 { return v })
	f("random floats", 60, func(i int, v float64) float64 { return math.Sqrt(v + float64(i)) })
}

func TestMemory(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	const n = 80 * podSeries
	f := newFleet(n)
	b := newBatch()
	f.fill(b.Batch, f.order("sequential", 0))
	write(t, h, w, 1, b)
	m := h.Memory()
	if m.Series != n || m.Records < n*128 || m.Records > n*131 {
		t.Errorf("%d series in %d bytes of records", m.Series, m.Records)
	}
	if got := float64(m.Total()) / n; got > 230 || got < 150 {
		t.Errorf("%.0f bytes a series: %+v", got, m)
	}
}

func TestKnownSeriesAllocateNothing(t *testing.T) {
	h := newHead(t, active.Options{})
	w := h.NewWriter()
	defer w.Close()
	f := newFleet(8 * podSeries)
	all := f.order("sequential", 0)
	shuffled := f.order("random", 1)
	b := newBatch()
	refs := make([]uint32, len(all))
	send := func(ids []int) {
		f.fill(b.Batch, ids)
		f.round++
		w.Begin()
		w.Resolve(b.Batch, 1, refs)
		w.Append(b.Batch, refs, 1)
		w.End()
	}
	f.fill(b.Batch, all)
	write(t, h, w, 1, b)
	for range 60 {
		send(all)
		send(shuffled)
	}
	if n := testing.AllocsPerRun(30, func() { send(all) }); n != 0 {
		t.Errorf("%v allocations for a batch in order", n)
	}
	if n := testing.AllocsPerRun(30, func() { send(shuffled) }); n != 0 {
		t.Errorf("%v allocations for a batch in no order", n)
	}
}
