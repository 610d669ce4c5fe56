package series

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
)

// defaultTop is the length of a ranking if the query does not say.
const defaultTop = 10

// A Census counts what series cost, for Tenant.Cardinality. Its dimensions are all labels, the metric name among them.
// The zero value is ready for use.
type Census struct {
	series int64
	names  map[string]int64
	values map[string]map[string]int64 // Series by dimension and value.
}

// Add counts one series. Each series is added once only.
func (c *Census) Add(ls labels.Labels) {
	if c.values == nil {
		c.names, c.values = map[string]int64{}, map[string]map[string]int64{}
	}
	c.series++
	ls.Range(func(l labels.Label) {
		if l.Name == labels.MetricName {
			c.names[l.Value]++
		}
		of := c.values[l.Name]
		if of == nil {
			of = map[string]int64{}
			c.values[l.Name] = of
		}
		of[l.Value]++
	})
}

// Result returns the counts, with rankings of the given length; 0 means 10. held is the range of the samples.
func (c *Census) Result(top int, held store.Range) store.Cardinality {
	if top <= 0 {
		top = defaultTop
	}
	out := store.Cardinality{Series: c.series, Range: held}
	byName := make([]store.Rank, 0, len(c.names))
	for name, n := range c.names {
		byName = append(byName, store.Rank{Key: name, Count: n})
	}
	var byDimension, byBytes, byPair []store.Rank
	for dimension, of := range c.values {
		out.LabelPairs += int64(len(of))
		bytes := int64(0)
		for v, n := range of {
			bytes += int64(len(v))
			byPair = append(byPair, store.Rank{Key: dimension + "=" + v, Count: n})
		}
		byDimension = append(byDimension, store.Rank{Key: dimension, Count: int64(len(of))})
		byBytes = append(byBytes, store.Rank{Key: dimension, Count: bytes})
	}
	out.ByName, out.ByDimension = TopRanks(byName, top), TopRanks(byDimension, top)
	out.ByBytes, out.ByPair = TopRanks(byBytes, top), TopRanks(byPair, top)
	return out
}

// TopRanks sorts ranks in descending order of counts, then ascending by key, and returns the first top ones.
func TopRanks(ranks []store.Rank, top int) []store.Rank {
	slices.SortFunc(ranks, func(a, b store.Rank) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key))
	})
	return slices.Clip(ranks[:min(top, len(ranks))])
}
