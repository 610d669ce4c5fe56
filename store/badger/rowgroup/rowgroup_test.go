package rowgroup_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

func encode(t testing.TB, e *rowgroup.Encoder, g *rowgroup.Group) []byte {
	t.Helper()
	value, err := e.Encode(nil, g)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// equalBits compares floats by their bits, so that NaN equals itself and -0 does not equal 0.
func equalBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// compare checks every way of reading value against g.
func compare(t testing.TB, r *rowgroup.Reader, g *rowgroup.Group, value []byte) {
	t.Helper()
	if err := r.Open(value); err != nil {
		t.Fatal(err)
	}
	var members uint64
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for i, c := range g {
		if n := len(c.Timestamps); n > 0 {
			members |= 1 << i
			first, last = min(first, c.Timestamps[0]), max(last, c.Timestamps[n-1])
		}
		if got := r.Samples(i); got != len(c.Timestamps) {
			t.Fatalf("member %d has %d samples, want %d", i, got, len(c.Timestamps))
		}
	}
	if members == 0 {
		first, last = 0, 0
	}
	if f, l := r.Bounds(); r.Members() != members || f != first || l != last {
		t.Fatalf("members %x from %d to %d, want %x from %d to %d", r.Members(), f, l, members, first, last)
	}
	if info, err := rowgroup.Peek(value); err != nil || info != (rowgroup.Info{Members: members, First: first, Last: last}) {
		t.Fatalf("peek: %+v, %v", info, err)
	}
	check := func(how string, i int, c rowgroup.Column) {
		t.Helper()
		if !slices.Equal(c.Timestamps, g[i].Timestamps) {
			t.Fatalf("%s: timestamps of member %d: got %v, want %v", how, i, c.Timestamps, g[i].Timestamps)
		}
		if !equalBits(c.Values, g[i].Values) {
			t.Fatalf("%s: values of member %d: got %x, want %x", how, i, c.Values, g[i].Values)
		}
		if !slices.Equal(c.Starts, g[i].Starts) {
			t.Fatalf("%s: start timestamps of member %d: got %v, want %v", how, i, c.Starts, g[i].Starts)
		}
	}
	var seen uint64
	for r.Select(^uint64(0)); r.Next(); {
		i, c := r.At()
		seen |= 1 << i
		check("pass", i, c)
	}
	if seen != members {
		t.Fatalf("pass: got members %x, want %x", seen, members)
	}
	some := rand.Uint64()
	seen = 0
	for r.Select(some); r.Next(); {
		i, c := r.At()
		seen |= 1 << i
		check("some", i, c)
	}
	if seen != members&some {
		t.Fatalf("some: got members %x, want %x", seen, members&some)
	}
	var c rowgroup.Column
	for k := range g {
		i := (k*37 + 11) % len(g) // Not in order.
		c = r.Column(c, i)
		check("column", i, c)
	}
}

func TestFleet(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	f := func(jitter bool, n int, most float64) {
		t.Helper()
		size, samples := 0, 0
		for _, g := range newFleet(1024, 2*n, jitter).groups(n) {
			value := encode(t, &e, g)
			compare(t, &r, g, value)
			size += len(value)
			samples += n * rowgroup.MaxMembers
		}
		if got := float64(size) / float64(samples); got > most {
			t.Errorf("jitter %v, %d samples: %.3f bytes a sample, want at most %.2f", jitter, n, got, most)
		}
	}
	f(false, 20, 0.90)
	f(false, 60, 0.66)
	f(false, 180, 0.58)
	f(false, 480, 0.56)
	f(true, 20, 1.35)
	f(true, 180, 1.03)
}

func TestRandomGroups(t *testing.T) {
	t.Parallel()
	const groups = 3000
	for seed := range uint64(4) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			var e rowgroup.Encoder
			var r rowgroup.Reader
			for k := range uint64(groups / 4) {
				g := randomGroup(rand.New(rand.NewPCG(seed, k)))
				compare(t, &r, g, encode(t, &e, g))
				if t.Failed() {
					t.Fatalf("group %d of seed %d", k, seed)
				}
			}
		})
	}
}

// edge is a group whose members from on have the values vals at timestamps ts.
func edge(ts []int64, vals []float64, members ...int) *rowgroup.Group {
	g := &rowgroup.Group{}
	for _, i := range members {
		g[i] = rowgroup.Column{Timestamps: ts, Values: vals}
	}
	return g
}

func repeat(n int, f func(i int) float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = f(i)
	}
	return v
}

func TestEdges(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	f := func(name string, g *rowgroup.Group, most int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			value := encode(t, &e, g)
			compare(t, &r, g, value)
			if len(value) > most {
				t.Errorf("got %d bytes, want at most %d", len(value), most)
			}
		})
	}
	every := func(n int, step int64) []int64 {
		ts := make([]int64, n)
		for i := range ts {
			ts[i] = fleetStart + int64(i)*step
		}
		return ts
	}
	full := every(rowgroup.MaxSamples, interval)
	nan := func(payload uint64) func(int) float64 {
		return func(i int) float64 { return math.Float64frombits(payload + uint64(i)) }
	}
	random := rand.New(rand.NewPCG(1, 2))
	const overhead = 60 // Of a group with one timestamp column and one member.

	f("no member", &rowgroup.Group{}, 30)
	f("one sample", edge([]int64{fleetStart}, []float64{1}, 63), overhead)
	f("two samples", edge([]int64{math.MinInt64, math.MaxInt64}, []float64{math.MaxFloat64, -math.MaxFloat64}, 0), overhead+16)
	f("three extreme timestamps", edge([]int64{math.MinInt64, 0, math.MaxInt64}, []float64{1, 2, 3}, 1), overhead+24)
	// Differences that only exceptions can hold: raw timestamps are shorter.
	farApart := []int64{
		1498636859451208814, 1514514538173602536, 1608022748560926544, 1638976819941762240, 1640248095318120089,
		1640248095318120090, 3640248095318120089, 5640248095318120089, 7640248095318120089,
	}
	f("far apart", edge(farApart, make([]float64, 9), 0), overhead+72)
	f("negative timestamps", edge([]int64{-30_000, -15_000, -14_999}, []float64{-1, -2, -3}, 2), overhead)
	f("timestamps at the upper end", edge([]int64{math.MaxInt64 - 2, math.MaxInt64 - 1, math.MaxInt64}, []float64{1, 2, 3}, 2), overhead)
	f("timestamps at the lower end", edge([]int64{math.MinInt64, math.MinInt64 + 1, math.MinInt64 + 2}, []float64{1, 2, 3}, 2), overhead)
	f("constant", edge(full, repeat(480, func(int) float64 { return 0.1 }), 5), overhead)
	f("zero", edge(full, make([]float64, 480), 5), overhead)
	f("minus zero", edge(full, repeat(480, func(int) float64 { return math.Copysign(0, -1) }), 5), overhead+60)
	f("stale markers", edge(full, repeat(480, func(int) float64 { return math.Float64frombits(0x7ff0000000000002) }), 5), overhead+60)
	f("one payload of NaN", edge(full, repeat(480, func(int) float64 { return math.Float64frombits(0x7ff123456789abcd) }), 5), overhead)
	f("many payloads of NaN", edge(full, repeat(480, nan(0x7ff8000000001000)), 5), overhead)
	f("signalling NaN", edge(full, repeat(480, nan(0xfff0000000000001)), 5), overhead)
	f("infinities", edge(full, repeat(480, func(i int) float64 { return math.Inf(i%2 - 1) }), 5), overhead+960)
	f("subnormals", edge(full, repeat(480, func(i int) float64 { return math.Float64frombits(uint64(i)) }), 5), overhead)
	f("random bits", edge(full, repeat(480, func(int) float64 { return math.Float64frombits(random.Uint64()) }), 0), overhead+480*8)
	f("random integers", edge(full, repeat(480, func(int) float64 { return float64(int64(random.Uint64())) }), 0), overhead+480*8)
	f("integers at the limit", edge(full, repeat(480, func(i int) float64 { return float64(int64(1)<<62-1024) * float64(1-i%2*2) }), 0), overhead+480*8)
	f("large counter", edge(full, repeat(480, func(i int) float64 { return 0x1p60 + float64(i)*4096 }), 0), overhead)
	f("progression", edge(full, repeat(480, func(i int) float64 { return float64(i) * 1.5 }), 0), overhead)
	f("64 members", edge(full, repeat(480, func(i int) float64 { return float64(i) }), all()...), overhead+64*6)
	f("seconds", edge(irregular(480, 1000), make([]float64, 480), 0), overhead+480*9/8)
	f("worst", worst(random), 64*480*8+480*8+64*12)
}

func all() []int {
	members := make([]int, rowgroup.MaxMembers)
	for i := range members {
		members[i] = i
	}
	return members
}

// irregular returns n timestamps, multiples of unit, with up to 200 units between neighbours.
func irregular(n int, unit int64) []int64 {
	r := rand.New(rand.NewPCG(3, 4))
	ts := make([]int64, n)
	at := fleetStart
	for i := range ts {
		at += (1 + r.Int64N(200)) * unit
		ts[i] = at
	}
	return ts
}

// worst is the largest group that there is with one timeline.
func worst(r *rand.Rand) *rowgroup.Group {
	ts := make([]int64, rowgroup.MaxSamples)
	for i := range ts {
		ts[i] = int64(r.Uint64())
	}
	slices.Sort(ts)
	g := &rowgroup.Group{}
	for i := range g {
		g[i].Timestamps = ts
		g[i].Values = repeat(len(ts), func(int) float64 { return math.Float64frombits(r.Uint64()) })
	}
	return g
}

// TestParts is about members that miss some of the timestamps of their target.
func TestParts(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	times := newFleet(podSeries, 180, true).times[0]
	without := func(drop func(i int) bool) []int64 {
		var out []int64
		for i, ts := range times {
			if !drop(i) {
				out = append(out, ts)
			}
		}
		return out
	}
	base := len(encode(t, &e, edge(times, make([]float64, 180), 0)))
	f := func(name string, most int, columns ...[]int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			g := &rowgroup.Group{}
			for i, ts := range columns {
				g[i] = rowgroup.Column{Timestamps: ts, Values: make([]float64, len(ts))}
			}
			value := encode(t, &e, g)
			compare(t, &r, g, value)
			if got := len(value) - base - 3*(len(columns)-1); got > most {
				t.Errorf("the parts cost %d bytes, want at most %d", got, most)
			}
		})
	}
	late := without(func(i int) bool { return i < 100 })
	early := without(func(i int) bool { return i > 40 })
	hole := without(func(i int) bool { return i == 50 })
	other := without(func(i int) bool { return i == 150 })
	odd := without(func(i int) bool { return i%3 == 0 })
	f("equal", 0, times, slices.Clone(times))
	f("born later", 6, times, late, late)
	f("born later, first", 8, late, times)
	f("ended, first", 8, early, times, times)
	f("a hole", 10, times, hole, times)
	f("two holes", 32, hole, other, hole, other)
	f("every third", 26, times, odd)
	f("ended and born", 240, early, late)
}

// TestTimelines is about members that share the memory of their timestamps.
func TestTimelines(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	one, two := newFleet(2*podSeries, 60, true).times[0], newFleet(2*podSeries, 60, true).times[podSeries]
	g := &rowgroup.Group{}
	for i, ts := range [][]int64{0: one, 1: slices.Clone(one), 2: two, 3: two[:40], 5: two[:40], 63: one} {
		g[i] = rowgroup.Column{Timestamps: ts, Values: make([]float64, len(ts))}
	}
	compare(t, &r, g, encode(t, &e, g))
	want := map[int]int{0: 0, 1: 0, 2: 1, 3: 2, 5: 2, 63: 3}
	for i := range g {
		w, present := want[i]
		if !present {
			w = -1
		}
		if got := r.Timeline(i); got != w {
			t.Errorf("member %d has timeline %d, want %d", i, got, w)
		}
	}
	shared := map[int]*int64{}
	for r.Select(1<<0 | 1<<1 | 1<<3 | 1<<5); r.Next(); {
		i, c := r.At()
		if at, ok := shared[r.Timeline(i)]; ok && at != &c.Timestamps[0] {
			t.Errorf("member %d has a copy of its timestamps", i)
		}
		shared[r.Timeline(i)] = &c.Timestamps[0]
	}
	for r.Select(^uint64(0)); r.Next(); {
		if i, _ := r.At(); i == 2 {
			break // A pass may be given up.
		}
	}
	if r.Select(1 << 63); !r.Next() || r.Next() {
		t.Error("a pass over one member does not have one step")
	}
	if _, err := rowgroup.Peek(nil); !errors.Is(err, rowgroup.ErrCorrupt) {
		t.Errorf("peek at nothing: got %v", err)
	}
}

func TestStarts(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	times := newFleet(podSeries, 180, false).times[0]
	base := len(encode(t, &e, edge(times, make([]float64, 180), all()...)))
	same := slices.Repeat([]int64{fleetStart - 3_600_000}, 180)
	restarted := append(slices.Repeat([]int64{fleetStart - 7_200_000}, 100), slices.Repeat([]int64{times[99] + 5}, 80)...)
	delta := append([]int64{fleetStart - interval}, times[:179]...)
	extreme := slices.Repeat([]int64{math.MinInt64, math.MaxInt64, 0}, 60)
	f := func(name string, most int, starts func(i int) []int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			g := edge(times, make([]float64, 180), all()...)
			for i := range g {
				g[i].Starts = starts(i)
			}
			value := encode(t, &e, g)
			compare(t, &r, g, value)
			if got := len(value) - base; got > most {
				t.Errorf("start timestamps cost %d bytes, want at most %d", got, most)
			}
		})
	}
	f("one for all", 10, func(int) []int64 { return same })
	f("one for all, copied", 10, func(int) []int64 { return slices.Clone(same) })
	f("some have none", 64, func(i int) []int64 {
		if i%8 == 0 {
			return same
		}
		return nil
	})
	f("a restart", 20, func(int) []int64 { return restarted })
	f("since the sample before", 12, func(int) []int64 { return delta })
	f("in turn", 64*20, func(i int) []int64 { return [][]int64{same, restarted, delta}[i%3] })
	f("extreme", 180*8+3, func(int) []int64 { return extreme })
}

func TestInvalid(t *testing.T) {
	var e rowgroup.Encoder
	f := func(name string, c rowgroup.Column) {
		t.Helper()
		prefix := []byte("before")
		got, err := e.Encode(prefix, &rowgroup.Group{7: c})
		if !errors.Is(err, rowgroup.ErrInvalid) || string(got) != "before" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	f("too few values", rowgroup.Column{Timestamps: []int64{1, 2}, Values: []float64{1}})
	f("values without timestamps", rowgroup.Column{Values: []float64{1}})
	f("too few starts", rowgroup.Column{Timestamps: []int64{1, 2}, Values: []float64{1, 2}, Starts: []int64{1}})
	f("equal timestamps", rowgroup.Column{Timestamps: []int64{1, 1}, Values: []float64{1, 2}})
	f("falling timestamps", rowgroup.Column{Timestamps: []int64{2, 1}, Values: []float64{1, 2}})
	f("too many samples", rowgroup.Column{Timestamps: make([]int64, 481), Values: make([]float64, 481)})
}

// TestAllocations is about the steady state of encoder and reader.
func TestAllocations(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	var value []byte
	var c rowgroup.Column
	groups := newFleet(512, 360, true).groups(180)
	for k := range groups {
		groups[k][5].Timestamps = groups[k][5].Timestamps[20:] // A part.
		groups[k][5].Values = groups[k][5].Values[20:]
		groups[k][6].Starts = groups[k][6].Timestamps
	}
	run := func() {
		for _, g := range groups {
			var err error
			if value, err = e.Encode(value[:0], g); err != nil {
				t.Fatal(err)
			}
			if err := r.Open(value); err != nil {
				t.Fatal(err)
			}
			for r.Select(^uint64(0)); r.Next(); {
				if _, column := r.At(); len(column.Values) == 0 {
					t.Fatal("no values")
				}
			}
			c = r.Column(c, 40)
		}
	}
	run()
	if n := testing.AllocsPerRun(5, run); n != 0 {
		t.Errorf("got %v allocations for %d groups, want none", n, len(groups))
	}
}

// TestDamage flips and cuts every byte: the checksum finds all of it.
func TestDamage(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	value := encode(t, &e, newFleet(64, 20, true).groups(20)[0])
	for i := range value {
		bad := slices.Clone(value)
		bad[i] ^= 1 << (i % 8)
		want := rowgroup.ErrCorrupt
		if i == 4 {
			want = rowgroup.ErrVersion
		}
		if err := r.Open(bad); !errors.Is(err, want) || r.Members() != 0 {
			t.Fatalf("flipped a bit of byte %d: got %v, members %x", i, err, r.Members())
		}
		if err := r.Open(value[:i]); err == nil {
			t.Fatalf("cut to %d bytes: no error", i)
		}
	}
	if err := r.Open(append(slices.Clone(value), 0)); !errors.Is(err, rowgroup.ErrCorrupt) {
		t.Errorf("a byte more: got %v", err)
	}
}

// TestForged reads values whose checksum is right and whose bytes are not. What opens must be readable without a panic.
func TestForged(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	golden, _, _ := goldenGroup()
	parts, _, _ := goldenGroup()
	parts[1].Timestamps = slices.Clone(parts[1].Timestamps[3:])
	parts[1].Values = parts[1].Values[3:]
	values := [][]byte{encode(t, &e, golden), encode(t, &e, parts)}
	for seed := range uint64(6) {
		values = append(values, encode(t, &e, randomGroup(rand.New(rand.NewPCG(7, seed)))))
	}
	opened, refused := 0, 0
	random := rand.New(rand.NewPCG(5, 5))
	for _, value := range values {
		for i := range min(len(value), 1200) {
			if i == 4 { // The version.
				continue
			}
			bad := slices.Clone(value)
			bad[i] = byte(random.Uint32())
			if i%3 == 0 {
				bad[random.IntN(min(len(bad), 200)-5)+5] ^= 1 << random.IntN(8)
			}
			rowgroup.Seal(bad)
			if err := r.Open(bad); err != nil {
				refused++
				continue
			}
			opened++
			for r.Select(^uint64(0)); r.Next(); {
				if k, c := r.At(); len(c.Values) != r.Samples(k) {
					t.Fatalf("byte %d: member %d has %d values, want %d", i, k, len(c.Values), r.Samples(k))
				}
			}
		}
	}
	if opened == 0 || refused == 0 {
		t.Errorf("%d values opened, %d were refused: the test is about both", opened, refused)
	}
}

// TestChain is about columns each of which is best stored as a difference to the one before: a single read must not have
// to decode all of them.
func TestChain(t *testing.T) {
	var e rowgroup.Encoder
	var r rowgroup.Reader
	random := rand.New(rand.NewPCG(5, 6))
	times := newFleet(podSeries, 180, false).times[0]
	g := &rowgroup.Group{}
	for k := range g {
		g[k] = rowgroup.Column{Timestamps: times, Values: repeat(180, func(i int) float64 {
			if k > 0 {
				return g[k-1].Values[i] + float64(random.IntN(2))
			}
			return float64(i*1000 + random.IntN(500))
		})}
	}
	compare(t, &r, g, encode(t, &e, g))
	longest := 0
	for k := range g {
		longest = max(longest, r.Chain(k))
	}
	if longest != 16 {
		t.Errorf("a read decodes %d columns, want 16", longest)
	}
}
