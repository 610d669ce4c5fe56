package active_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
)

// oracle is a head of plain maps beside a real one.
type oracle struct {
	t       *testing.T
	rng     *rand.Rand
	head    *active.Head
	writers []*active.Writer
	series  map[string]*oracleSeries
	frozen  map[uint32]bool // Groups.
	shelves map[uint32]int  // How often a group was frozen anew.
	shelved int
	flushed int
	evicted int
}

type oracleSeries struct {
	tenant       uint32
	labels       labels.Labels
	ref          uint32
	shelves      []map[int64]item
	frozen, open map[int64]item
}

func (s *oracleSeries) parts() []map[int64]item {
	return append(slices.Clone(s.shelves), s.frozen, s.open)
}

func (s *oracleSeries) all(in store.Range) map[int64]item {
	out := map[int64]item{}
	for _, part := range s.parts() {
		for at, v := range part {
			if in.Contains(at) {
				out[at] = v
			}
		}
	}
	return out
}

func key(tenant uint32, ls labels.Labels) string { return fmt.Sprint(tenant, ls) }

func TestRandomOperations(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := &oracle{
				t: t, rng: rand.New(rand.NewPCG(seed, 5)), series: map[string]*oracleSeries{}, frozen: map[uint32]bool{}, shelves: map[uint32]int{},
				head: newHead(t, active.Options{ChunkSamples: 30, GroupBlocks: 40}),
			}
			for range 3 {
				o.writers = append(o.writers, o.head.NewWriter())
			}
			for range 700 {
				o.step()
			}
			o.selectAll()
			if o.flushed == 0 || o.evicted == 0 || o.shelved == 0 {
				t.Errorf("%d groups flushed, %d of them again, %d series evicted: the test does not test them", o.flushed, o.shelved, o.evicted)
			}
			for _, w := range o.writers {
				w.Close()
			}
		})
	}
}

func (o *oracle) step() {
	switch n := o.rng.IntN(100); {
	case n < 55:
		o.write()
	case n < 80:
		o.selectSome()
	case n < 83:
		o.delete()
	case n < 90:
		o.freeze()
	case n < 96:
		o.release()
	case n < 98:
		o.evict()
	default:
		o.names()
	}
}

func (o *oracle) labels() labels.Labels {
	r := o.rng
	sb := labels.NewScratchBuilder(4)
	if r.IntN(20) > 0 {
		sb.Add("__name__", []string{"up", "requests_total", "size", "x"}[r.IntN(4)])
	}
	if r.IntN(3) > 0 {
		sb.Add("instance", fmt.Sprintf("host-%03d", r.IntN(120)))
	}
	if r.IntN(4) == 0 {
		sb.Add("long", fmt.Sprintf("%0*d", 1+r.IntN(300), r.IntN(5)))
	}
	if r.IntN(2) == 0 {
		sb.Add("path", fmt.Sprintf("/p%d", r.IntN(9)))
	}
	return sb.Labels()
}

func (o *oracle) timestamp() int64 {
	base := int64(1_700_000_000_000)
	switch o.rng.IntN(20) {
	case 0:
		return base - o.rng.Int64N(1_000_000)
	case 1:
		return o.rng.Int64()
	default:
		return base + o.rng.Int64N(400)*15000
	}
}

// values appends the items of one series to b and to s.
func (o *oracle) values(b batch, s *oracleSeries) {
	r := o.rng
	at := o.timestamp()
	start := int64(0)
	switch r.IntN(12) {
	case 0:
		start = at - r.Int64N(1000)
	case 1, 2: // The same as before, mostly.
		start = 1_600_000_000_000
	}
	type arrived struct {
		at   int64
		item item
	}
	var floats, histograms []arrived
	for range 1 + r.IntN(30) {
		v := float64(r.IntN(1000))
		switch r.IntN(6) {
		case 0:
			v = math.Float64frombits(r.Uint64())
		case 1:
			v /= 100
		}
		if r.IntN(40) == 0 {
			i := &histogram.Histogram{
				Count: uint64(r.IntN(9)), Sum: v, CounterResetHint: histogram.CounterResetHint(r.IntN(4)),
				PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{1},
			}
			kept := i.Copy()
			if kept.CounterResetHint == histogram.NotCounterReset {
				kept.CounterResetHint = histogram.UnknownCounterReset
			}
			h := metric.Histogram{Timestamp: at, Start: start, Int: i}
			is := histogramItem(start, kept, nil)
			if r.IntN(2) == 0 {
				h.Int, h.Float = nil, i.ToFloat(nil)
				is = histogramItem(start, nil, kept.ToFloat(nil))
			}
			b.AddHistogram(h)
			histograms = append(histograms, arrived{at, is})
		} else {
			b.AddSample(metric.Sample{Timestamp: at, Start: start, Value: v})
			floats = append(floats, arrived{at, floatItem(start, v)})
		}
		switch r.IntN(10) {
		case 0:
			at -= r.Int64N(100_000)
		case 1: // The same timestamp again.
		default:
			at += 15000
		}
	}
	for _, a := range append(floats, histograms...) {
		s.open[a.at] = a.item
	}
}

func (o *oracle) write() {
	tenant := uint32(o.rng.IntN(3))
	b := newBatch()
	var list []*oracleSeries
	for range 1 + o.rng.IntN(40) {
		ls := o.labels()
		s := o.series[key(tenant, ls)]
		if s == nil {
			s = &oracleSeries{tenant: tenant, labels: ls, ref: active.NoRef, frozen: map[int64]item{}, open: map[int64]item{}}
			o.series[key(tenant, ls)] = s
		}
		b.series(ls)
		o.values(b, s)
		list = append(list, s)
	}
	for i, ref := range write(o.t, o.head, o.writers[o.rng.IntN(len(o.writers))], tenant, b) {
		if s := list[i]; s.ref == active.NoRef {
			s.ref = ref
		} else if s.ref != ref {
			o.t.Fatalf("series %v has references %d and %d", s.labels, s.ref, ref)
		}
	}
}

func (o *oracle) matcher() *labels.Matcher {
	r := o.rng
	name := []string{"__name__", "instance", "path", "long", "absent"}[r.IntN(5)]
	value := []string{
		"up", "size", "host-007", "/p3", "", ".*", ".+", "up|x|none", "host-0.*", "host-0[0-5].", "/p[1-4]|", "0+1", "x|",
	}[r.IntN(13)]
	m, err := labels.NewMatcher(labels.MatchType(r.IntN(4)), name, value)
	if err != nil {
		o.t.Fatal(err)
	}
	return m
}

func (o *oracle) selectSome() {
	var ms []*labels.Matcher
	for range o.rng.IntN(4) {
		ms = append(ms, o.matcher())
	}
	in := store.AllTime()
	if o.rng.IntN(2) == 0 {
		in.Min = o.timestamp()
		in.Max = in.Min + o.rng.Int64N(10_000_000)
	}
	o.check(uint32(o.rng.IntN(4)), ms, in)
}

func (o *oracle) selectAll() {
	for tenant := range uint32(3) {
		o.check(tenant, nil, store.AllTime())
	}
}

func (o *oracle) check(tenant uint32, ms []*labels.Matcher, in store.Range) {
	r := o.head.NewReader()
	defer r.Close()
	refs, err := r.Select(o.t.Context(), tenant, ms, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	if !slices.IsSorted(refs) {
		o.t.Fatalf("%v: not in order", ms)
	}
	got, want := map[string]bool{}, map[string]bool{}
	for _, ref := range refs {
		some, _, err := r.Overlaps(ref, in)
		if err != nil {
			o.t.Fatal(err)
		}
		k := key(tenant, r.Labels(ref))
		if s := o.series[k]; s == nil || s.ref != ref || string(r.AppendLabels(nil, ref)) != string(metric.EncodeLabels(nil, s.labels)) {
			o.t.Fatalf("reference %d is %v", ref, r.Labels(ref))
		}
		samples, err := r.Samples(ref, in)
		if err != nil {
			o.t.Fatal(err)
		}
		found := items(o.t, samples, in)
		if want := o.series[k].all(in); !maps.Equal(want, found) {
			o.t.Fatalf("%s in %v: -want +got\n%s", k, in, cmp.Diff(want, found))
		}
		if some != (len(found) > 0) {
			o.t.Fatalf("%s overlaps %v: %v, with %d samples", k, in, some, len(found))
		}
		if some {
			got[k] = true
		}
	}
	for k, s := range o.series {
		if s.tenant == tenant && (store.Selection{Matchers: ms}).Matches(s.labels) && len(s.all(in)) > 0 {
			want[k] = true
		}
	}
	if !maps.Equal(want, got) {
		o.t.Fatalf("%v in %v: -want +got\n%s", ms, in, cmp.Diff(want, got))
	}
}

func (o *oracle) any() *oracleSeries {
	keys := slices.Sorted(maps.Keys(o.series))
	if len(keys) == 0 {
		return nil
	}
	return o.series[keys[o.rng.IntN(len(keys))]]
}

func (o *oracle) delete() {
	for range 5 {
		s := o.any()
		if s == nil {
			return
		}
		in := store.Range{Min: o.timestamp()}
		in.Max = in.Min + o.rng.Int64N(3_000_000)
		found, err := o.head.Delete(s.ref, in)
		if err != nil {
			o.t.Fatal(err)
		}
		if want := len(s.all(in)) > 0; found != want {
			o.t.Fatalf("Delete found %v, want %v", found, want)
		}
		for _, part := range s.parts() {
			maps.DeleteFunc(part, func(at int64, _ item) bool { return in.Contains(at) })
		}
	}
}

func (o *oracle) freeze() {
	groups := o.head.Due(nil)
	if o.rng.IntN(3) == 0 {
		groups = o.head.Pending(nil)
	}
	for _, g := range groups {
		if o.rng.IntN(3) == 0 {
			continue
		}
		again := o.frozen[g]
		if again {
			o.head.Publish(g)
		}
		var members [active.GroupSize]*oracleSeries
		some := false
		for _, s := range o.series {
			if s.ref/active.GroupSize == g {
				members[s.ref%active.GroupSize] = s
				some = some || len(s.open) > 0
			}
		}
		frozen := o.head.Freeze(g)
		if some && !frozen {
			o.t.Fatalf("group %d has samples and nothing to freeze", g)
		}
		if again && !frozen {
			continue
		}
		for _, s := range members {
			if s == nil {
				continue
			}
			if again {
				s.shelves = append(s.shelves, s.frozen)
			}
			s.frozen, s.open = s.open, map[int64]item{}
		}
		if again {
			o.shelves[g]++
			o.shelved++
		}
		o.frozen[g] = true
		o.checkFrozen(g, members)
	}
}

func (o *oracle) checkFrozen(g uint32, members [active.GroupSize]*oracleSeries) {
	var f active.Frozen
	if err := o.head.Frozen(g, &f); err != nil {
		o.t.Fatal(err)
	}
	for i, s := range members {
		var want map[int64]item
		if s != nil {
			want = s.frozen
			if f.Tenant != s.tenant {
				o.t.Fatalf("group %d is of tenant %d, want %d", g, f.Tenant, s.tenant)
			}
		}
		if got := items(o.t, &f.Members[i], store.AllTime()); !maps.Equal(want, got) {
			o.t.Fatalf("member %d of group %d: -want +got\n%s", i, g, cmp.Diff(want, got))
		}
	}
}

func (o *oracle) release() {
	for _, g := range slices.Sorted(maps.Keys(o.frozen)) {
		if o.rng.IntN(4) == 0 {
			continue
		}
		o.head.Release(g)
		o.flushed++
		if n := o.shelves[g]; n > 0 {
			o.shelves[g]--
			for _, s := range o.series {
				if s.ref/active.GroupSize == g && len(s.shelves) == n { // Else it is younger than the shelf.
					s.shelves = s.shelves[1:]
				}
			}
			continue
		}
		delete(o.frozen, g)
		for _, s := range o.series {
			if s.ref/active.GroupSize == g {
				s.frozen = map[int64]item{}
			}
		}
	}
}

// shelvedNear reports whether a group of the same stripe has a shelf: then none of its series is evicted.
func (o *oracle) shelvedNear(ref uint32) bool {
	for g := ref >> 8 * 4; g < ref>>8*4+4; g++ {
		if o.shelves[g] > 0 {
			return true
		}
	}
	return false
}

func (o *oracle) evict() {
	out, err := o.head.Evict(math.MaxUint32)
	if err != nil {
		o.t.Fatal(err)
	}
	gone := 0
	for k, s := range o.series {
		if len(s.frozen)+len(s.open) == 0 && !o.frozen[s.ref/active.GroupSize] && !o.shelvedNear(s.ref) {
			delete(o.series, k)
			gone++
		}
	}
	// A group that is frozen keeps what was deleted meanwhile; its series may stay or go.
	maps.DeleteFunc(o.series, func(_ string, s *oracleSeries) bool {
		r := o.head.NewReader()
		defer r.Close()
		return len(s.all(store.AllTime())) == 0 && !r.Alive(s.ref)
	})
	if out.Series < gone || int(o.head.Series()) != len(o.series) {
		o.t.Fatalf("%d series evicted, at least %d are idle; %d are left, want %d", out.Series, gone, o.head.Series(), len(o.series))
	}
	o.evicted += out.Series
	if o.rng.IntN(2) == 0 {
		o.head.Recycle(out.Generation)
		o.head.Trim()
	}
}

func (o *oracle) names() {
	r := o.head.NewReader()
	defer r.Close()
	for tenant := range uint32(4) {
		names, count := map[string]map[string]bool{}, int64(0)
		var refs []uint32
		for _, s := range o.series {
			if s.tenant != tenant {
				continue
			}
			count++
			refs = append(refs, s.ref)
			s.labels.Range(func(l labels.Label) {
				if names[l.Name] == nil {
					names[l.Name] = map[string]bool{}
				}
				names[l.Name][l.Value] = true
			})
		}
		want := slices.Sorted(maps.Keys(names))
		for _, got := range [][]string{r.Names(tenant), r.NamesOf(refs)} {
			if !slices.Equal(want, got) {
				o.t.Fatalf("names %q, want %q", got, want)
			}
		}
		pairs := int64(0)
		for _, name := range append(want, "absent") {
			values := slices.Sorted(maps.Keys(names[name]))
			pairs += int64(len(values))
			for _, got := range [][]string{r.Values(tenant, name), r.ValuesOf(name, refs)} {
				if !slices.Equal(values, got) {
					o.t.Fatalf("values of %s: %q, want %q", name, got, values)
				}
			}
		}
		if c := r.Cardinality(tenant, 3); c.Series != count || c.LabelPairs != pairs {
			o.t.Fatalf("cardinality %d and %d, want %d and %d", c.Series, c.LabelPairs, count, pairs)
		}
	}
}
