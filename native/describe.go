package native

import (
	"context"
	"net/http"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	defaultTop = 10
	maxTop     = 1000
)

// A metricInfo describes one metric.
type metricInfo struct {
	Name       string          `json:"name"`
	Metadata   *metadata       `json:"metadata"` // null if nobody sent any.
	Series     int64           `json:"series"`
	Dimensions []dimensionInfo `json:"dimensions"`
	held
	Approximate bool `json:"approximate"`
}

// metadata is what the writer said about the metric.
type metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// A dimensionInfo tells how many distinct values a dimension has.
type dimensionInfo struct {
	Dimension string `json:"dimension"`
	Values    int64  `json:"values"`
}

// held is the time of the first and the last sample; null if there are none.
type held struct {
	First *int64 `json:"first"`
	Last  *int64 `json:"last"`
}

func heldRange(r store.Range) held {
	if r.Min > r.Max {
		return held{}
	}
	return held{&r.Min, &r.Max}
}

// describeMetric serves GET /luminate/v1/metrics/:name.
func (a *API) describeMetric(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	p, err := readParams(r, paramFrom, paramTo)
	if err != nil {
		return err
	}
	name := pathName(r, "name")
	span := p.timeRange(a.now())
	if err := p.wrong.err(); err != nil {
		return err
	}
	ctx, done, err := a.turn(r.Context())
	if err != nil {
		return err
	}
	defer done()
	view := a.source.Tenant(tenant)
	c, err := view.Cardinality(ctx, store.CardinalityQuery{
		Range: span, Selection: store.Selection{Matchers: []*labels.Matcher{nameMatcher(name)}}, Top: maxTop,
	})
	if err != nil {
		return a.stopped(ctx, err)
	}
	if c.Series == 0 {
		return problem.New(problem.NotFound, "there is no metric %q in the range", clip(name))
	}
	info := metricInfo{
		Name: name, Series: c.Series, Dimensions: []dimensionInfo{}, held: heldRange(c.Range), Approximate: c.Approximate,
	}
	for _, d := range c.ByDimension {
		if d.Key != labels.MetricName {
			info.Dimensions = append(info.Dimensions, dimensionInfo{d.Key, d.Count})
		}
	}
	if info.Metadata, err = describeFamily(ctx, view, name); err != nil {
		return a.stopped(ctx, err)
	}
	return answer(w, info)
}

// describeFamily returns what is known about the family of a metric. The parts of a histogram or summary, and
// OpenMetrics counters, belong to the family without their suffix.
func describeFamily(ctx context.Context, view store.Tenant, name string) (*metadata, error) {
	families := []string{name}
	for _, suffix := range []string{"_bucket", "_sum", "_count", "_total"} {
		if family, ok := strings.CutSuffix(name, suffix); ok && family != "" {
			families = append(families, family)
		}
	}
	for _, family := range families {
		found, err := view.Metadata(ctx, store.MetadataQuery{Family: family, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return newMetadata(found[0]), nil
		}
	}
	return nil, nil
}

func newMetadata(m metric.Metadata) *metadata {
	return &metadata{Type: m.Type, Help: m.Help, Unit: m.Unit}
}

// A census is the answer of GET /luminate/v1/cardinality. The name of a metric counts as the dimension __name__.
type census struct {
	Series         int64           `json:"series"`
	DimensionPairs int64           `json:"dimension_pairs"`
	ByMetric       []metricCount   `json:"by_metric"`
	ByDimension    []dimensionInfo `json:"by_dimension"`
	ByBytes        []byteCount     `json:"by_bytes"`
	ByPair         []pairCount     `json:"by_pair"`
	held
	Approximate bool `json:"approximate"`
}

// A metricCount is the number of series of a metric.
type metricCount struct {
	Metric string `json:"metric"`
	Series int64  `json:"series"`
}

// A byteCount is the length of all distinct values of a dimension.
type byteCount struct {
	Dimension string `json:"dimension"`
	Bytes     int64  `json:"bytes"`
}

// A pairCount is the number of series with a "dimension=value".
type pairCount struct {
	Pair   string `json:"pair"`
	Series int64  `json:"series"`
}

// serveCardinality serves GET /luminate/v1/cardinality.
func (a *API) serveCardinality(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	p, err := readParams(r, paramMetric, paramFrom, paramTo, paramTop)
	if err != nil {
		return err
	}
	q := store.CardinalityQuery{Range: p.timeRange(a.now()), Top: p.count(paramTop, defaultTop, maxTop, "")}
	if name := p.values.Get(paramMetric); name != "" {
		q.Matchers = append(q.Matchers, nameMatcher(name))
	}
	if err := p.wrong.err(); err != nil {
		return err
	}
	ctx, done, err := a.turn(r.Context())
	if err != nil {
		return err
	}
	defer done()
	c, err := a.source.Tenant(tenant).Cardinality(ctx, q)
	if err != nil {
		return a.stopped(ctx, err)
	}
	return answer(w, census{
		Series:         c.Series,
		DimensionPairs: c.LabelPairs,
		ByMetric:       ranking(c.ByName, func(r store.Rank) metricCount { return metricCount{r.Key, r.Count} }),
		ByDimension:    ranking(c.ByDimension, func(r store.Rank) dimensionInfo { return dimensionInfo{r.Key, r.Count} }),
		ByBytes:        ranking(c.ByBytes, func(r store.Rank) byteCount { return byteCount{r.Key, r.Count} }),
		ByPair:         ranking(c.ByPair, func(r store.Rank) pairCount { return pairCount{r.Key, r.Count} }),
		held:           heldRange(c.Range),
		Approximate:    c.Approximate,
	})
}

// ranking gives the columns of a ranking their names.
func ranking[T any](ranks []store.Rank, named func(store.Rank) T) []T {
	out := make([]T, 0, len(ranks))
	for _, r := range ranks {
		out = append(out, named(r))
	}
	return out
}
