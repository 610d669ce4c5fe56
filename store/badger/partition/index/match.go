package index

import (
	"context"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store/badger/codec"
)

// Match returns the series that all matchers match. It reads no label sets.
func (s *Segment) Match(ctx context.Context, matchers []*labels.Matcher) (Set, error) {
	out := NewSet(s.series)
	out.fill()
	// Those that narrow most come first, so that the others need not be looked at where nothing is left.
	matchers = slices.Clone(matchers)
	slices.SortStableFunc(matchers, func(a, b *labels.Matcher) int { return weight(a) - weight(b) })
	var some Set
	for _, m := range matchers {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if some.words == nil {
			some = NewSet(s.series)
		}
		clear(some.words)
		// A series that lacks the label has the empty value. If that matches, those that do not match are taken away.
		missing := m.Matches("")
		if err := s.union(ctx, m, !missing, some); err != nil {
			return out, err
		}
		out.and(some, !missing)
		if out.Empty() {
			break
		}
	}
	return out, nil
}

func weight(m *labels.Matcher) int {
	switch {
	case m.Type == labels.MatchEqual && m.Value != "":
		return 0
	case !m.Matches(""):
		return 1
	default:
		return 2
	}
}

// union adds the series with a value of m's label that m matches, or with one that it does not.
func (s *Segment) union(ctx context.Context, m *labels.Matcher, matching bool, into Set) error {
	at := s.name(m.Name)
	if at < 0 {
		return nil
	}
	n := s.names[at]
	if few := literals(m, matching); few != nil {
		for _, value := range few {
			if err := s.addValue(n, value, into); err != nil {
				return err
			}
		}
		return nil
	}
	from, to := s.pageOf(n.first), s.pageOf(n.end-1)
	prefix := ""
	if matching && m.Type == labels.MatchRegexp {
		if prefix = m.Prefix(); prefix != "" {
			from = s.pageFor(n, prefix)
		}
	}
	for p := from; p <= to; p++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sep := s.pages[p].separator
		if prefix != "" && p > from && sep > prefix && (len(sep) < len(prefix) || sep[:len(prefix)] != prefix) {
			break // All values from here on are above those with the prefix.
		}
		if err := s.addMatching(p, n, func(value string) bool { return m.Matches(value) == matching }, into); err != nil {
			return err
		}
	}
	return nil
}

// literals returns the values that a matcher is about, if it names them; nil if it does not.
func literals(m *labels.Matcher, matching bool) []string {
	switch {
	case m.Type == labels.MatchEqual && matching, m.Type == labels.MatchNotEqual && !matching:
		return []string{m.Value}
	case m.Type == labels.MatchRegexp && matching, m.Type == labels.MatchNotRegexp && !matching:
		set := slices.Clone(m.SetMatches())
		slices.Sort(set)
		return slices.Compact(set)
	default:
		return nil
	}
}

// addValue adds the series with one value of a name.
func (s *Segment) addValue(n name, value string, into Set) error {
	p := s.pageFor(n, value)
	texts, err := s.texts(p)
	if err != nil {
		return err
	}
	first := s.pages[p].first
	from, to := max(n.first, first)-first, min(n.end, s.pages[p].end)-first
	i := from + sort.SearchStrings(texts[from:to], value)
	if i == to || texts[i] != value {
		return nil
	}
	return s.addLists(p, []int{i}, into)
}

// addMatching adds the series with the values of a name in one page that f wants.
func (s *Segment) addMatching(p int, n name, f func(string) bool, into Set) error {
	texts, err := s.texts(p)
	if err != nil {
		return err
	}
	first := s.pages[p].first
	var wanted []int
	for i := max(n.first, first) - first; i < min(n.end, s.pages[p].end)-first; i++ {
		if f(texts[i]) {
			wanted = append(wanted, i)
		}
	}
	return s.addLists(p, wanted, into)
}

// addLists adds the series of some values of a page, which ascend.
func (s *Segment) addLists(p int, wanted []int, into Set) error {
	if len(wanted) == 0 {
		return nil
	}
	if err := s.load(kindPostings, p); err != nil {
		return err
	}
	d := codec.NewDecoder(s.raw)
	at := 0
	for _, i := range wanted {
		for ; at < i; at++ {
			skipList(d)
		}
		addList(d, into)
		at++
	}
	if d.Err() != nil {
		return malformed("page of postings")
	}
	return nil
}
