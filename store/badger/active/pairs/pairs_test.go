package pairs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/active/epoch"
	"github.com/luminate-metrics/luminate/store/badger/active/pairs"
	"github.com/luminate-metrics/luminate/store/badger/active/postings"
	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

// table is pairs for one goroutine.
type table struct {
	*pairs.Pairs
	t      *testing.T
	epochs *epoch.Epochs
}

func newTable(t *testing.T) table {
	t.Helper()
	mem := slab.NewMemory(false)
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	e := epoch.New()
	return table{pairs.New(mem, e, 11), t, e}
}

func (p table) add(tenant uint32, name, value string, ref uint32) uint32 {
	p.t.Helper()
	encoded, rest, err := pairs.Split(metric.AppendLabel(nil, name, value))
	if err != nil || len(rest) > 0 {
		p.t.Fatal(err)
	}
	number, err := p.Add(tenant, encoded, ref)
	if err != nil {
		p.t.Fatal(err)
	}
	return number
}

func (p table) values(tenant uint32, name string) []string {
	c := p.Column(tenant, name)
	if c == nil {
		return nil
	}
	var out []string
	newest, _ := c.State()
	p.Each(c, newest, 0, func(_ uint32, value []byte) bool {
		out = append(out, string(value))
		return true
	})
	slices.Sort(out)
	if int64(len(out)) != c.Values() {
		p.t.Errorf("%d values of %s, the column counts %d", len(out), name, c.Values())
	}
	return out
}

func (p table) sweep(refs ...uint32) int {
	p.t.Helper()
	died, err := p.Sweep(postings.NewSet(refs))
	if err != nil {
		p.t.Fatal(err)
	}
	p.epochs.Advance()
	p.Collect()
	return died
}

func TestTenantsShareNothing(t *testing.T) {
	p := newTable(t)
	a, b := p.add(1, "job", "x", 1), p.add(2, "job", "x", 2)
	if a == b || p.add(1, "job", "x", 3) != a {
		t.Errorf("numbers %d and %d", a, b)
	}
	p.add(2, "secret", "s", 2)
	if _, ok := p.Lookup(1, "secret", "s"); ok || p.Column(1, "secret") != nil || len(p.Columns(1)) != 1 {
		t.Error("a tenant sees another one's pair")
	}
	if got, ok := p.Lookup(2, "job", "x"); !ok || got != b {
		t.Errorf("look-up gives %d %v, want %d", got, ok, b)
	}
}

func TestSweep(t *testing.T) {
	p := newTable(t)
	for i := range uint32(100) {
		p.add(1, "all", "same", i)
		p.add(1, "each", fmt.Sprint(i), i)
	}
	before := p.Memory()
	if n := p.sweep(0, 1, 2, 50, 98, 99); n != 6 {
		t.Errorf("%d pairs died, want 6", n)
	}
	if _, ok := p.Lookup(1, "each", "50"); ok {
		t.Error("a dead pair is found")
	}
	if got := p.values(1, "each"); len(got) != 94 || slices.Contains(got, "99") {
		t.Errorf("values %q", got)
	}
	for i := range uint32(6) {
		p.add(1, "each", fmt.Sprint("new", i), 200+i)
	}
	if m := p.Memory(); m.Arrays != before.Arrays {
		t.Errorf("numbers are not used again: %d bytes of arrays, %d before", m.Arrays, before.Arrays)
	}
	p.add(1, "each", "50", 300)
	if got := p.values(1, "each"); len(got) != 101 || !slices.Contains(got, "50") {
		t.Errorf("values %q", got)
	}
}

func TestRandom(t *testing.T) {
	p := newTable(t)
	rng := rand.New(rand.NewPCG(1, 2))
	held := map[uint32][2]string{} // By reference: tenant and value.
	for next := range uint32(8000) {
		if rng.IntN(200) == 0 {
			var gone []uint32
			for ref := range held {
				if rng.IntN(2) == 0 {
					gone = append(gone, ref)
					delete(held, ref)
				}
			}
			p.sweep(gone...)
			check(p, held)
		}
		tenant, value := rng.Uint32N(3), fmt.Sprint(rng.IntN(300))
		p.add(tenant, "l", value, next)
		held[next] = [2]string{fmt.Sprint(tenant), value}
	}
	check(p, held)
}

func check(p table, held map[uint32][2]string) {
	p.t.Helper()
	for tenant := range uint32(3) {
		want := map[string]int64{}
		for _, of := range held {
			if of[0] == fmt.Sprint(tenant) {
				want[of[1]]++
			}
		}
		got := map[string]int64{}
		for _, value := range p.values(tenant, "l") {
			number, ok := p.Lookup(tenant, "l", value)
			if !ok {
				p.t.Fatalf("value %s is in the chain and not in the index", value)
			}
			got[value] = p.Postings().Count(number)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			p.t.Fatalf("series by value: -want +got\n%s", diff)
		}
	}
}

// TestSweepWhilePairsAreAdded shows that the beginning of a chain, which both sides change, stays whole.
func TestSweepWhilePairsAreAdded(t *testing.T) {
	p := newTable(t)
	const most = 20_000
	var added atomic.Uint32
	var adder sync.WaitGroup
	adder.Go(func() {
		for ref := range uint32(most) {
			pin := p.epochs.Enter()
			p.add(1, "l", fmt.Sprint(ref), ref)
			p.epochs.Leave(pin)
			added.Store(ref + 1)
		}
	})
	swept := uint32(0)
	for swept < most/2 {
		var refs []uint32
		for top := added.Load(); swept < top; swept++ {
			refs = append(refs, swept)
		}
		p.sweep(refs...)
	}
	adder.Wait()
	if got := p.values(1, "l"); len(got) != most-int(swept) {
		t.Errorf("%d values, want %d", len(got), most-swept)
	}
	for ref := range uint32(most) {
		if _, ok := p.Lookup(1, "l", fmt.Sprint(ref)); ok != (ref >= swept) {
			t.Fatalf("pair %d of %d is found: %v", ref, swept, ok)
		}
	}
}

func TestMalformed(t *testing.T) {
	p := newTable(t)
	good := metric.AppendLabel(nil, "name", "value")
	for cut := 1; cut < len(good); cut++ {
		if _, _, err := pairs.Split(good[:cut]); err == nil {
			t.Errorf("%d of %d bytes are split", cut, len(good))
		}
	}
	encoded, _, err := pairs.Split(good)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range encoded {
		if _, err := p.Add(1, encoded[:cut], 1); err == nil {
			t.Errorf("%d of %d bytes are a pair", cut, len(encoded))
		}
	}
	if _, err := p.Add(1, append(slices.Clone(encoded), 0), 1); err == nil {
		t.Error("a pair with more behind it is taken")
	}
}
