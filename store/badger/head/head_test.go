package head_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/head"
	"github.com/luminate-metrics/luminate/store/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type builder struct {
	tb     testing.TB
	hasher metric.Hasher
	head   *head.Head
}

func (b *builder) add(ls labels.Labels, samples ...series.Sample) {
	b.tb.Helper()
	t := b.head.Writable("a")
	canonical := metric.EncodeLabels(nil, ls)
	hash := b.hasher.Sum(canonical)
	s := t.Lookup(hash)
	if s == nil {
		var err error
		if s, err = t.Register(hash, canonical); err != nil {
			b.tb.Fatal(err)
		}
	}
	t.Append(s, samples)
}

func (b *builder) want(r store.Range, ms []*labels.Matcher, want ...string) {
	b.tb.Helper()
	found, err := b.head.Tenant("a").Select(b.tb.Context(), r, store.Selection{Matchers: ms})
	if err != nil {
		b.tb.Fatal(err)
	}
	var got []string
	for _, f := range found {
		var line strings.Builder
		line.WriteString(f.Labels.Get("i"))
		for _, s := range f.Run {
			fmt.Fprintf(&line, " %d:%v", s.Timestamp, s.Value)
		}
		if !f.Inside {
			line.WriteString(" before")
		}
		got = append(got, line.String())
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		b.tb.Fatalf("got %q, want %q", got, want)
	}
}

func at(t int64, v float64) series.Sample { return series.Sample{Timestamp: t, Value: v} }

func TestOrderAndRanges(t *testing.T) {
	b := builder{t, metric.NewHasher(1), head.New(metric.NewHasher(1), 1)}
	one, two := labels.FromStrings("i", "1", "x", "y"), labels.FromStrings("i", "2")
	b.add(one, at(10, 1), at(30, 3), at(20, 2), at(30, 4), at(40, 5))
	b.add(two, at(5, 1))
	b.want(store.AllTime(), nil, "1 10:1 20:2 30:4 40:5", "2 5:1")
	b.want(store.Range{Min: 20, Max: 30}, nil, "1 10:1 20:2 30:4", "2 5:1 before")
	b.want(store.Range{Min: 0, Max: 4}, nil)

	found, err := b.head.Tenant("a").Select(t.Context(), store.AllTime(), store.Selection{Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "i", "1")}})
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(found[0].Run)
	b.add(one, at(50, 6), at(20, 9))
	b.head.Tenant("a").Delete(store.Range{Min: 10, Max: 10}, store.Selection{})
	if !slices.Equal(before, found[0].Run) {
		t.Fatal("what a reader holds has changed")
	}
	b.want(store.AllTime(), nil, "1 20:9 30:4 40:5 50:6", "2 5:1")
	b.head.Expire(30)
	b.want(store.AllTime(), nil, "1 30:4 40:5 50:6")
	if b.head.Tenant("b").Any() {
		t.Fatal("a tenant without data has some")
	}
}

func TestMatchers(t *testing.T) {
	b := builder{t, metric.NewHasher(1), head.New(metric.NewHasher(1), 1)}
	for i, ls := range []labels.Labels{
		labels.FromStrings("i", "0"), labels.FromStrings("i", "1", "x", "a"), labels.FromStrings("i", "2", "x", "b"), labels.FromStrings("i", "3", "x", "ab"),
	} {
		b.add(ls, at(int64(i), 0))
	}
	for _, c := range []struct {
		kind  labels.MatchType
		value string
		want  string
	}{
		{labels.MatchEqual, "a", "1"},
		{labels.MatchEqual, "", "0"},
		{labels.MatchEqual, "none", ""},
		{labels.MatchNotEqual, "a", "0 2 3"},
		{labels.MatchNotEqual, "", "1 2 3"},
		{labels.MatchRegexp, "a.*", "1 3"},
		{labels.MatchRegexp, ".*", "0 1 2 3"},
		{labels.MatchRegexp, ".+", "1 2 3"},
		{labels.MatchNotRegexp, "a|b", "0 3"},
		{labels.MatchNotRegexp, "a|", "2 3"},
	} {
		m := labels.MustNewMatcher(c.kind, "x", c.value)
		var want []string
		for i := range strings.FieldsSeq(c.want) {
			want = append(want, i+" "+i+":0")
		}
		b.want(store.AllTime(), []*labels.Matcher{m}, want...)
	}
}

func TestReferences(t *testing.T) {
	h := head.New(metric.NewHasher(1), 4)
	b := builder{t, metric.NewHasher(1), h}
	b.add(labels.FromStrings("i", "1"), at(1, 1))
	s := h.Writable("a").Lookup(metric.NewHasher(1).Sum(metric.EncodeLabels(nil, labels.FromStrings("i", "1"))))
	h.Continue(9)
	if ref, isNew := h.Reference(s); ref != 1 || !isNew || h.Generation() != 9 {
		t.Fatal(ref, isNew, h.Generation())
	}
	if ref, isNew := h.Reference(s); ref != 1 || isNew {
		t.Fatal(ref, isNew)
	}
}
