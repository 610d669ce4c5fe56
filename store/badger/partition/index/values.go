package index

import (
	"context"
	"errors"

	"github.com/luminate-metrics/luminate/store/badger/codec"
)

// ValuesIn calls f with each value of a label that some of the given series have, in order. It reads no label sets.
func (s *Segment) ValuesIn(ctx context.Context, name string, in Set, f func(value string) error) error {
	at := s.name(name)
	if at < 0 {
		return nil
	}
	n := s.names[at]
	for p := s.pageOf(n.first); p < len(s.pages) && s.pages[p].first < n.end; p++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.pageValuesIn(p, n, in, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Segment) pageValuesIn(p int, n name, in Set, f func(value string) error) error {
	texts, err := s.texts(p)
	if err != nil {
		return err
	}
	if err := s.load(kindPostings, p); err != nil {
		return err
	}
	first := s.pages[p].first
	d := codec.NewDecoder(s.raw)
	for i := range min(n.end, s.pages[p].end) - first {
		if i < n.first-first {
			skipList(d)
			continue
		}
		hit := false
		eachRun(d, in.n, func(from, to uint32) { hit = hit || in.touches(from, to) })
		if d.Err() != nil {
			return malformed("page of postings")
		}
		if !hit {
			continue
		}
		if err := f(texts[i]); err != nil {
			return err
		}
	}
	return nil
}

// errEnough ends a walk over values.
var errEnough = errors.New("enough")

// NamesIn calls f with each label name that some of the given series have, in order.
func (s *Segment) NamesIn(ctx context.Context, in Set, f func(name string)) error {
	for _, n := range s.names {
		err := s.ValuesIn(ctx, n.text, in, func(string) error { return errEnough })
		switch {
		case errors.Is(err, errEnough):
			f(n.text)
		case err != nil:
			return err
		}
	}
	return nil
}

// touches reports whether some of first to last are in the set.
func (s Set) touches(first, last uint32) bool {
	from, to := first/64, last/64
	low, high := ^uint64(0)<<(first%64), ^uint64(0)>>(63-last%64)
	if from == to {
		return s.words[from]&low&high != 0
	}
	if s.words[from]&low != 0 || s.words[to]&high != 0 {
		return true
	}
	for i := from + 1; i < to; i++ {
		if s.words[i] != 0 {
			return true
		}
	}
	return false
}
