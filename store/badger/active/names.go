package active

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active/pairs"
	"github.com/luminate-metrics/luminate/store/series"
)

// Names returns the label names of all series of a tenant, sorted.
func (r *Reader) Names(tenant uint32) []string {
	var out []string
	for _, c := range r.head.columns(tenant) {
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return out
}

// columns returns the columns with values of labels.
func (h *Head) columns(tenant uint32) []*pairs.Column {
	var out []*pairs.Column
	for _, c := range h.pairs.Columns(tenant) {
		own := int64(0)
		if c.Name == "" {
			if _, ok := h.pairs.Lookup(tenant, "", ""); ok {
				own = 1 // The tenant's own pair.
			}
		}
		if c.Values() > own {
			out = append(out, c)
		}
	}
	return out
}

// NamesOf returns the label names of some series, sorted.
func (r *Reader) NamesOf(refs []uint32) []string {
	seen := map[*pairs.Column]bool{}
	var out []string
	for _, ref := range refs {
		r.head.numbers(ref, func(number uint32) bool {
			if c, _ := r.head.pairs.Pair(number); !seen[c] {
				seen[c] = true
				out = append(out, c.Name)
			}
			return true
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Values returns the values of a label in all series of a tenant, sorted.
func (r *Reader) Values(tenant uint32, name string) []string {
	c := r.head.pairs.Column(tenant, name)
	if c == nil {
		return nil
	}
	var t texts
	newest, _ := c.State()
	r.head.pairs.Each(c, newest, 0, func(number uint32, value []byte) bool {
		if len(value) > 0 && !r.head.pairs.Postings().Dead(number) {
			t.add(value)
		}
		return true
	})
	return t.sorted()
}

// ValuesOf returns the values of a label in some series, sorted.
func (r *Reader) ValuesOf(name string, refs []uint32) []string {
	numbers := make([]uint32, 0, len(refs))
	for _, ref := range refs {
		if number, _, ok := r.head.value(ref, name); ok {
			if n := len(numbers); n == 0 || numbers[n-1] != number {
				numbers = append(numbers, number)
			}
		}
	}
	slices.Sort(numbers)
	var t texts
	for _, number := range slices.Compact(numbers) {
		_, value := r.head.pairs.Pair(number)
		t.add(value)
	}
	return t.sorted()
}

// texts collects strings in one piece of memory.
type texts struct {
	bytes []byte
	ends  []int
}

func (t *texts) add(b []byte) {
	t.bytes = append(t.bytes, b...)
	t.ends = append(t.ends, len(t.bytes))
}

func (t *texts) sorted() []string {
	all := string(t.bytes)
	out := make([]string, len(t.ends))
	start := 0
	for i, end := range t.ends {
		out[i] = all[start:end]
		start = end
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Cardinality counts the series of a tenant that are in the head, those without samples among them, with rankings of the
// given length; 0 means 10. It takes time by the number of label values, not of series.
func (r *Reader) Cardinality(tenant uint32, top int) store.Cardinality {
	if top <= 0 {
		top = 10
	}
	p := r.head.pairs
	out := store.Cardinality{Series: r.TenantSeries(tenant), Approximate: true}
	var byName, byDimension, byBytes, byPair []store.Rank
	for _, c := range r.head.columns(tenant) {
		if c.Name == "" {
			continue
		}
		out.LabelPairs += c.Values()
		byDimension = append(byDimension, store.Rank{Key: c.Name, Count: c.Values()})
		byBytes = append(byBytes, store.Rank{Key: c.Name, Count: c.Bytes()})
		var best ranking
		newest, _ := c.State()
		p.Each(c, newest, 0, func(number uint32, value []byte) bool {
			best.add(top, p.Postings().Count(number), value)
			return true
		})
		for _, e := range best.entries {
			byPair = append(byPair, store.Rank{Key: c.Name + "=" + e.Key, Count: e.Count})
			if c.Name == labels.MetricName {
				byName = append(byName, e)
			}
		}
	}
	out.ByName, out.ByDimension = series.TopRanks(byName, top), series.TopRanks(byDimension, top)
	out.ByBytes, out.ByPair = series.TopRanks(byBytes, top), series.TopRanks(byPair, top)
	return out
}

// TenantSeries is the number of series of a tenant, those without samples among them.
func (r *Reader) TenantSeries(tenant uint32) int64 {
	number, ok := r.head.pairs.Lookup(tenant, "", "")
	if !ok {
		return 0
	}
	return r.head.pairs.Postings().Count(number)
}

// ranking is the largest counts so far, the best ones first after trim.
type ranking struct {
	entries []store.Rank
	least   int64 // Less than this is not among them.
}

func (r *ranking) add(top int, count int64, value []byte) {
	if count == 0 || count < r.least {
		return
	}
	r.entries = append(r.entries, store.Rank{Key: string(value), Count: count})
	if len(r.entries) >= 4*top+64 {
		r.entries = series.TopRanks(r.entries, top)
		r.least = r.entries[len(r.entries)-1].Count
	}
}
