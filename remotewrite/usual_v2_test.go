package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// usualV2Request makes series in the form in which almost all come, some of them not quite.
func (g generator) usualV2Request(n int) *writev2.Request {
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for range n {
		var pairs []uint32
		names := []string{"__name__", "a", "abcdefgh", "abcdefghi", "instance", "job"}[g.IntN(8)/7:]
		if g.IntN(60) == 0 {
			names = append(names, oneOf(g, tenancy.Dimension, "z", "a-b", "0", "\xff", "ä", "", "job"))
		}
		for _, name := range names {
			if g.IntN(12) == 0 {
				continue
			}
			value := fmt.Sprint("v", g.IntN(10))
			if g.IntN(40) == 0 {
				value = oneOf(g, "", "a", "job", "\xff", "ü", strings.Repeat("l", 30+g.IntN(200)))
			}
			pairs = append(pairs, symbols.Symbolize(name), symbols.Symbolize(value))
		}
		switch g.IntN(100) {
		case 0:
			pairs = append(pairs, 0x12)
		case 1:
			pairs = append(pairs, 1<<uint(g.IntN(32)), 1)
		case 2:
			pairs = append(pairs, 1, 1<<uint(g.IntN(32)))
		}
		ts := writev2.TimeSeries{LabelsRefs: pairs}
		for range oneOf(g, 1, 1, 1, 1, 1, 1, 0, 2, 3) {
			ts.Samples = append(ts.Samples, writev2.Sample{
				Value: oneOf(g, 0, 0, 1, g.float()), Timestamp: oneOf(g, 1_700_000_000_000, 1_699_999_999_999, g.time()), StartTimestamp: oneOf[int64](g, 0, 0, 1_600_000_000_000),
			})
		}
		if g.IntN(3) > 0 {
			ts.Metadata = writev2.Metadata{Type: writev2.Metadata_MetricType(g.IntN(3)), HelpRef: symbols.Symbolize(fmt.Sprint("v", g.IntN(3)))}
		}
		switch g.IntN(200) {
		case 0:
			ts.Metadata.UnitRef = 9999
		case 1:
			ts.Histograms = append(ts.Histograms, g.histogramV2())
		case 2, 3:
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{LabelsRefs: pairs, Value: 1, Timestamp: 1_700_000_000_000})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = symbols.Symbols()
	return req
}

// The short way of series of version 2.0 ends where the long one does, whatever comes, under whichever limits.
func TestUsualV2LikeTheLongWay(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(12, 12))}
	all := limits()
	for i := range 600 {
		body := marshal(t, g.usualV2Request(g.IntN(120)))
		switch g.IntN(12) {
		case 0:
			body[g.IntN(len(body)+1)%max(len(body), 1)] ^= 1 << g.IntN(8)
		case 1:
			body = body[:g.IntN(len(body)+1)]
		}
		w := way{rules: all[i%len(all)], v2: true, maxItems: DefaultMaxItems}
		if g.IntN(8) == 0 {
			w.maxItems = 1 + g.IntN(300)
		}
		if g.IntN(8) == 0 {
			w.maxLabelBytes = 1 + g.IntN(5000)
		}
		compareWays(t, w, body)
	}
}

// References that reach out of their field into what follows it are not taken for those of the series before.
func TestReferencesThatEndEarly(t *testing.T) {
	symbols := []string{"", "__name__", "up", "job"}
	for len(symbols) < 0x20 {
		symbols = append(symbols, fmt.Sprint("v", len(symbols)))
	}
	ok := writev2.TimeSeries{LabelsRefs: []uint32{1, 2, 3, 0x12}, Samples: []writev2.Sample{{Value: 1, Timestamp: 1_700_000_000_000}}}
	short := ok
	short.LabelsRefs = ok.LabelsRefs[:3] // The tag of the sample is 0x12.
	body := marshal(t, &writev2.Request{Symbols: symbols, Timeseries: []writev2.TimeSeries{ok, short, ok}})
	w := way{rules: limits()[0], v2: true, maxItems: DefaultMaxItems}
	compareWays(t, w, body)
	got := w.decode(t, body)
	if len(got.Kept.Series) != 2 || len(got.Rejected) != 1 || got.Rejected[0].Reason != metric.InvalidSymbols {
		t.Errorf("%d series are kept, %v are refused", len(got.Kept.Series), got.Rejected)
	}
}

// More pairs than are kept are encoded anew.
func TestManyPairs(t *testing.T) {
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for i := range 3000 {
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
			LabelsRefs: []uint32{symbols.Symbolize("__name__"), symbols.Symbolize("up"), symbols.Symbolize("a"), symbols.Symbolize(fmt.Sprint(strings.Repeat("l", 800), i%2000))},
			Samples:    []writev2.Sample{{Value: 1, Timestamp: 1_700_000_000_000}},
		})
	}
	req.Symbols = symbols.Symbols()
	compareWays(t, way{rules: limits()[0], v2: true, maxItems: DefaultMaxItems}, marshal(t, req))
}
