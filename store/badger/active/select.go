package active

import (
	"cmp"
	"context"
	"slices"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store/badger/active/pairs"
	"github.com/luminate-metrics/luminate/store/badger/active/postings"
)

// checkEvery is how many steps a long loop takes between looks at its context.
const checkEvery = 4096

// Select appends to dst the references of a tenant's series that match all matchers, in ascending order. Some may have no
// samples; some may just be evicted, and match no more then. Overlaps tells both.
func (r *Reader) Select(ctx context.Context, tenant uint32, matchers []*labels.Matcher, dst []uint32) ([]uint32, error) {
	s := selection{reader: r, ctx: ctx, tenant: tenant}
	if err := s.run(matchers); err != nil {
		return dst, err
	}
	if s.found == nil {
		return dst, nil
	}
	n := len(dst)
	dst = slices.Grow(dst, int(s.found.GetCardinality()))
	it := s.found.ManyIterator()
	for {
		k := it.NextMany(dst[n:cap(dst)])
		if k == 0 {
			return dst[:n], ctx.Err()
		}
		n += k
	}
}

// short is the length of runs that are added to bitmaps reference by reference.
const short = 16

// selection is one Select.
type selection struct {
	reader *Reader
	ctx    context.Context //nolint:containedctx // It lives as long as the call.
	tenant uint32
	found  *roaring.Bitmap // nil: none.
	runs   []postings.Run
	few    []uint32 // Of short runs: adding many references costs less than adding a short run.
}

// run narrows found matcher by matcher: first by single values, the rarest first, then by sets of values, at last by
// values that must not be.
func (s *selection) run(matchers []*labels.Matcher) error {
	p := s.reader.head.pairs
	var equal []uint32
	var include, exclude []*labels.Matcher
	for _, m := range matchers {
		switch {
		case m.Matches(""):
			exclude = append(exclude, m)
		case m.Type == labels.MatchEqual:
			number, ok := p.Lookup(s.tenant, m.Name, m.Value)
			if !ok {
				return nil
			}
			equal = append(equal, number)
		default:
			include = append(include, m)
		}
	}
	tenant, ok := p.Lookup(s.tenant, "", "")
	if !ok {
		return nil
	}
	if len(equal) == 0 && len(include) == 0 {
		equal = append(equal, tenant)
	}
	slices.SortFunc(equal, func(a, b uint32) int { return cmp.Compare(p.Postings().Count(a), p.Postings().Count(b)) })
	for i, number := range equal {
		if i == 0 {
			s.found = s.union(equal[:1])
		} else {
			s.found = p.Postings().Intersect(number, s.found)
		}
	}
	if err := s.applyAll(include, true); err != nil || len(exclude) == 0 {
		return err
	}
	// A series that is being registered lacks some of its pairs yet, and could not be told from one that has not the
	// label. It gets the tenant's pair when it has everything else.
	s.found = p.Postings().Intersect(tenant, s.found)
	return s.applyAll(exclude, false)
}

func (s *selection) applyAll(ms []*labels.Matcher, include bool) error {
	for _, m := range ms {
		if s.found != nil && s.found.IsEmpty() {
			return nil
		}
		if err := s.apply(m, include); err != nil {
			return err
		}
	}
	return nil
}

func (s *selection) narrow(by *roaring.Bitmap) {
	if s.found == nil {
		s.found = by
	} else {
		s.found.And(by)
	}
}

// apply narrows found by a matcher of more than one value. If few series are left their labels are looked at; else the
// values of the label.
func (s *selection) apply(m *labels.Matcher, include bool) error {
	h := s.reader.head
	c := h.pairs.Column(s.tenant, m.Name)
	if c == nil {
		if include {
			s.found = roaring.New()
		}
		return nil
	}
	if s.found != nil && int64(s.found.GetCardinality()) < c.Values()/2 && !h.matched.has(c, m) {
		return s.filter(m)
	}
	numbers, err := h.matched.numbers(s, c, m, include)
	if err != nil {
		return err
	}
	if include {
		s.narrow(s.union(numbers))
	} else {
		s.found.AndNot(s.union(numbers))
	}
	return s.ctx.Err()
}

// filter keeps the series whose label matches.
func (s *selection) filter(m *labels.Matcher) error {
	kept := roaring.New()
	it := s.found.Iterator()
	for n := 0; it.HasNext(); n++ {
		if n%checkEvery == 0 && s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		ref := it.Next()
		_, value, _ := s.reader.head.value(ref, m.Name)
		if m.Matches(text(value)) {
			kept.Add(ref)
		}
	}
	s.found = kept
	return nil
}

// text is b as a string, which must not be kept.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// union returns the series that have any of the pairs.
func (s *selection) union(numbers []uint32) *roaring.Bitmap {
	out := roaring.New()
	s.runs, s.few = s.runs[:0], s.few[:0]
	p := s.reader.head.pairs.Postings()
	for _, number := range numbers {
		s.runs = p.Append(s.runs, out, number)
	}
	slices.Sort(s.runs)
	for i := 0; i < len(s.runs); {
		start, end := uint64(s.runs[i].Start()), s.runs[i].End()
		for i++; i < len(s.runs) && uint64(s.runs[i].Start()) <= end; i++ {
			end = max(end, s.runs[i].End())
		}
		if end-start > short {
			out.AddRange(start, end)
			continue
		}
		for ref := start; ref < end; ref++ {
			s.few = append(s.few, uint32(ref))
		}
	}
	out.AddMany(s.few)
	return out
}

// matching calls the given matcher on values of a column, from the newest pair to the one at until, and returns the
// pairs whose value matches, or does not if include is false.
func (s *selection) matching(c *pairs.Column, m *labels.Matcher, include bool, newest, until uint32) (out []uint32, err error) {
	p := s.reader.head.pairs
	if set := m.SetMatches(); include && m.Type == labels.MatchRegexp && len(set) > 0 {
		for _, value := range set {
			if number, ok := p.Lookup(s.tenant, m.Name, value); ok {
				out = append(out, number)
			}
		}
		return out, nil
	}
	n := 0
	p.Each(c, newest, until, func(number uint32, value []byte) bool {
		if n++; n%checkEvery == 0 && s.ctx.Err() != nil {
			err = s.ctx.Err()
			return false
		}
		// The tenant's own pair has no value and is no label.
		if len(value) > 0 && m.Matches(text(value)) == include {
			out = append(out, number)
		}
		return true
	})
	return out, err
}
