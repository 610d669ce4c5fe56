package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition/index"
)

// pages is where a test keeps a segment.
type pages map[string][]byte

func (p pages) fetch(key []byte, f func([]byte) error) error {
	value, ok := p[string(key)]
	if !ok {
		return index.ErrMissing
	}
	return f(value)
}

func decoder(tb testing.TB) *zstd.Decoder {
	tb.Helper()
	d, err := index.NewDecoder()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.Close)
	return d
}

func build(tb testing.TB, list []labels.Labels) pages {
	tb.Helper()
	b, err := index.NewBuilder(index.Options{Hashes: true})
	if err != nil {
		tb.Fatal(err)
	}
	for _, ls := range list {
		canonical := metric.EncodeLabels(nil, ls)
		if err := b.Add(canonical, index.HashOf(canonical)); err != nil {
			tb.Fatal(err)
		}
	}
	out := pages{}
	err = b.Build([]byte("prefix"), func(key, value []byte) error {
		if _, ok := out[string(key)]; ok {
			return fmt.Errorf("key %x comes twice", key)
		}
		out[string(key)] = bytes.Clone(value)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func opened(tb testing.TB, p pages) *index.Segment {
	tb.Helper()
	dec := decoder(tb)
	d, err := index.OpenDirectory([]byte("prefix"), p.fetch, dec)
	if err != nil {
		tb.Fatal(err)
	}
	return index.NewSegment(d, p.fetch, dec)
}

// made returns n different label sets: values of many and of few series, long ones, missing ones.
func made(rng *rand.Rand, n int) []labels.Labels {
	var list []labels.Labels
	for i := range n {
		b := labels.NewScratchBuilder(8)
		b.Add("__name__", fmt.Sprintf("metric_%d", i%7))
		if i%5 > 0 {
			b.Add("few", fmt.Sprintf("value %d", i*i%11))
		}
		b.Add("id", fmt.Sprint(i))
		if rng.IntN(3) == 0 {
			b.Add("many", fmt.Sprintf("%x", rng.Uint64N(uint64(n))))
		}
		if i >= 200 && rng.IntN(40) == 0 {
			b.Add("rare", strings.Repeat("long", rng.IntN(400))+".")
		}
		b.Add("runs", fmt.Sprintf("run-%03d", i/90))
		b.Add("third", string([]byte{byte(rng.IntN(256)), byte(rng.IntN(4))}))
		list = append(list, b.Labels())
	}
	return list
}

func TestSegmentAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 63, 64, 65, 128, 129, 1000, 17_000} {
		list := made(rng, n)
		s := opened(t, build(t, list))
		if s.Series() != n || !s.Hashes() {
			t.Fatal(s.Series())
		}
		for range 2 * min(n, 300) {
			i := rng.IntN(n)
			got, err := s.Labels(uint32(i))
			if err != nil || !labels.Equal(got, list[i]) {
				t.Fatalf("series %d of %d: got %s, want %s, error %v", i, n, got, list[i], err)
			}
			canonical, err := s.AppendCanonical(nil, uint32(i))
			if err != nil || !bytes.Equal(canonical, metric.EncodeLabels(nil, list[i])) {
				t.Fatalf("series %d of %d: %x, error %v", i, n, canonical, err)
			}
		}
		for range 100 {
			matchers(t, rng, s, list)
		}
		values(t, s, list)
		err := s.Hashed(func(i, hash uint32) {
			if want := index.HashOf(metric.EncodeLabels(nil, list[i])); hash != want {
				t.Errorf("series %d has hash %d, want %d", i, hash, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func values(t *testing.T, s *index.Segment, list []labels.Labels) {
	t.Helper()
	want := map[string]map[string]bool{}
	for _, ls := range list {
		ls.Range(func(l labels.Label) {
			if want[l.Name] == nil {
				want[l.Name] = map[string]bool{}
			}
			want[l.Name][l.Value] = true
		})
	}
	s.Names(func(name string) {
		var got []string
		err := s.Values(name, func(v string) error {
			got = append(got, v)
			return nil
		})
		if err != nil || !slices.IsSorted(got) || len(got) != len(want[name]) {
			t.Errorf("name %s: %d values, want %d, error %v", name, len(got), len(want[name]), err)
		}
		for _, v := range got {
			delete(want[name], v)
		}
		if len(want[name]) == 0 {
			delete(want, name)
		}
	})
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	if err := s.Values("nobody", func(string) error { return errors.New("called") }); err != nil {
		t.Error(err)
	}
}

// valuesOf compares names and values of some series.
func valuesOf(t *testing.T, s *index.Segment, in index.Set, list []labels.Labels, ids []uint32) {
	t.Helper()
	want := map[string]map[string]bool{}
	for _, i := range ids {
		list[i].Range(func(l labels.Label) {
			if want[l.Name] == nil {
				want[l.Name] = map[string]bool{}
			}
			want[l.Name][l.Value] = true
		})
	}
	var names []string
	if err := s.NamesIn(t.Context(), in, func(name string) { names = append(names, name) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
		t.Fatalf("names %v, want %v", names, want)
	}
	for _, name := range append(names, "nobody") {
		var got []string
		err := s.ValuesIn(t.Context(), name, in, func(v string) error {
			got = append(got, v)
			return nil
		})
		if err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(want[name]))) {
			t.Fatalf("name %s: %d values, want %d, error %v", name, len(got), len(want[name]), err)
		}
	}
}

// matchers selects by some matchers.
func matchers(t *testing.T, rng *rand.Rand, s *index.Segment, list []labels.Labels) {
	t.Helper()
	names := []string{"__name__", "few", "id", "many", "rare", "runs", "third", "nobody"}
	var ms []*labels.Matcher
	for range 1 + rng.IntN(3) {
		name := names[rng.IntN(len(names))]
		value := list[rng.IntN(len(list))].Get(name)
		kind := labels.MatchType(rng.IntN(4))
		if kind >= labels.MatchRegexp {
			quoted := strings.ReplaceAll(fmt.Sprintf("%q", value), `"`, "")
			value = []string{".*", ".+", "", "run-00.*", "run-01[0-9]", "value (3|4|9)", "metric_1|metric_2|none", "1.*", "10.*|20.*", "(?i)RUN-001", quoted}[rng.IntN(11)]
		}
		m, err := labels.NewMatcher(kind, name, value)
		if err != nil {
			continue // A value that is no expression.
		}
		ms = append(ms, m)
	}
	set, err := s.Match(t.Context(), ms)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []uint32
	_ = set.All(func(i uint32) error {
		got = append(got, i)
		return nil
	})
	for i, ls := range list {
		if (store.Selection{Matchers: ms}).Matches(ls) {
			want = append(want, uint32(i))
		}
	}
	valuesOf(t, s, set, list, want)
	if !slices.Equal(got, want) || set.Len() != len(want) || set.Empty() != (len(want) == 0) {
		t.Fatalf("%v of %d series: got %d, want %d", ms, len(list), len(got), len(want))
	}
}

// TestDamagedPages changes or removes each page: nobody may get less without an error.
func TestDamagedPages(t *testing.T) {
	list := made(rand.New(rand.NewPCG(3, 4)), 700)
	whole := build(t, list)
	dec := decoder(t)
	readAll := func(p pages) error {
		d, err := index.OpenDirectory([]byte("prefix"), p.fetch, dec)
		if err != nil {
			return err
		}
		s := index.NewSegment(d, p.fetch, dec)
		return s.Verify(t.Context())
	}
	if err := readAll(whole); err != nil {
		t.Fatal(err)
	}
	for key, value := range whole {
		for at := range value {
			if at > 40 && at%97 > 0 {
				continue
			}
			whole[key] = bytes.Clone(value)
			whole[key][at] ^= 4
			if err := readAll(whole); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("page %x, byte %d: %v", key, at, err)
			}
		}
		for other := range whole {
			if other != key {
				whole[key] = whole[other]
				if err := readAll(whole); !errors.Is(err, store.ErrCorrupt) {
					t.Fatalf("page %x at %x: %v", other, key, err)
				}
			}
		}
		delete(whole, key)
		if err := readAll(whole); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("page %x is missing: %v", key, err)
		}
		whole[key] = value
	}
}
