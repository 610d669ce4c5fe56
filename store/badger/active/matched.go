package active

import (
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store/badger/active/pairs"
)

const (
	// fewValues is the number of values of a label that are matched anew each time.
	fewValues = 64
	// maxMatched is the number of pairs in the cache of matched values: 4 bytes each.
	maxMatched = 1 << 20
	maxEntries = 1 << 10
)

// matchCache remembers which values a matcher selects, until pairs are taken out of the label's column. Pairs that came
// later are added when they are asked for.
type matchCache struct {
	mu      sync.Mutex
	entries map[matchKey]matchEntry
	total   int
}

type matchKey struct {
	column *pairs.Column
	kind   labels.MatchType
	value  string
}

type matchEntry struct {
	newest  uint32
	changes uint64
	numbers []uint32 // Not changed once it is here.
}

func (c *matchCache) get(key matchKey) (matchEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	return e, ok
}

// has reports whether the values of a matcher are known, but for new ones.
func (c *matchCache) has(column *pairs.Column, m *labels.Matcher) bool {
	e, ok := c.get(matchKey{column, m.Type, m.Value})
	_, changes := column.State()
	return ok && e.changes == changes
}

// numbers returns the pairs that a matcher selects, or those that it does not.
func (c *matchCache) numbers(s *selection, column *pairs.Column, m *labels.Matcher, include bool) ([]uint32, error) {
	newest, changes := column.State()
	if column.Values() <= fewValues || include && len(m.SetMatches()) > 0 {
		return s.matching(column, m, include, newest, 0)
	}
	key := matchKey{column, m.Type, m.Value}
	e, ok := c.get(key)
	if !ok || e.changes != changes {
		e = matchEntry{}
	}
	more, err := s.matching(column, m, include, newest, e.newest)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(more, e.numbers)
	c.put(key, matchEntry{newest, changes, all})
	return all, nil
}

func (c *matchCache) put(key matchKey, e matchEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[matchKey]matchEntry{}
	}
	c.total += len(e.numbers) - len(c.entries[key].numbers)
	c.entries[key] = e
	for other, old := range c.entries { // In random order.
		if c.total <= maxMatched && len(c.entries) <= maxEntries {
			break
		}
		if other != key || len(c.entries) == 1 {
			c.total -= len(old.numbers)
			delete(c.entries, other)
		}
	}
}

// size is the bytes of the cache.
func (c *matchCache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.total)*4 + int64(len(c.entries))*128
}
