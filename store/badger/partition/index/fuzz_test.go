package index_test

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition/index"
)

// FuzzPage puts anything in the place of one page of a segment, under a checksum that is right. Reads end in an error or
// with something, but they end.
func FuzzPage(f *testing.F) {
	whole := build(f, made(rand.New(rand.NewPCG(5, 6)), 300))
	dec := decoder(f)
	keys := slices.Sorted(maps.Keys(whole))
	for i, key := range keys {
		raw, err := index.Unseal([]byte(key), whole[key], dec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), raw)
	}
	all := []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchRegexp, "runs", "run-00.*"), labels.MustNewMatcher(labels.MatchNotEqual, "id", "7"),
		labels.MustNewMatcher(labels.MatchNotRegexp, "third", "x.*"), labels.MustNewMatcher(labels.MatchEqual, "__name__", "metric_1"),
	}
	f.Fuzz(func(t *testing.T, which byte, raw []byte) {
		key := keys[int(which)%len(keys)]
		p := maps.Clone(whole)
		p[key] = index.Seal([]byte(key), bytes.Clone(raw))
		d, err := index.OpenDirectory([]byte("prefix"), p.fetch, dec)
		if err != nil {
			expected(t, err)
			return
		}
		if d.Series() > 10_000 {
			return // The caller knows how many there are.
		}
		s := index.NewSegment(d, p.fetch, dec)
		expected(t, s.Verify(t.Context()))
		for _, m := range all {
			set, err := s.Match(t.Context(), []*labels.Matcher{m})
			expected(t, err)
			expected(t, set.All(func(i uint32) error {
				_, err := s.Labels(i)
				return err
			}))
		}
		s.Names(func(name string) { expected(t, s.Values(name, func(string) error { return nil })) })
	})
}

func expected(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
}
