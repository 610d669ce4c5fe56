package remotewrite

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A result is all that becomes of a body before the store.
type result struct {
	Err      string
	Limit    *problem.Limit
	Decoded  content
	Kept     content
	Rejected []metric.Rejection
	Items    int

	LabelBytes int
}

// way is one way through the decoder.
type way struct {
	rules    *metric.Rules
	known    *metric.Known // nil is the way that looks at everything.
	maxItems int
	v2       bool
	longWay  bool

	maxLabelBytes int // 0 means the default.
}

func (w way) decode(t testing.TB, body []byte) result {
	t.Helper()
	d := &decoder{known: w.known, longWay: w.longWay}
	d.reset(metric.NewBatch(metric.NewHasher(7)), w.rules, w.maxItems, stdcmp.Or(w.maxLabelBytes, DefaultMaxLabels))
	decode := d.decodeV1
	if w.v2 {
		decode = d.decodeV2
	}
	if err := decode(slices.Clone(body)); err != nil {
		out := result{Err: err.Error()}
		if p, ok := errors.AsType[*problem.Error](err); ok {
			out.Limit = p.Limit
		}
		return out
	}
	out := result{Items: d.items, LabelBytes: d.labelBytes, Decoded: contentOf(t, d)}
	out.Rejected = append(slices.Clone(d.rejected), w.rules.Apply(d.batch, time.UnixMilli(1_700_000_000_000))...)
	out.Kept = contentOf(t, d)
	return out
}

// compareWays decodes body by the short ways and by the long one. The second time everything in it is known.
func compareWays(t testing.TB, w way, body []byte) {
	t.Helper()
	slow := w
	slow.known, slow.longWay = nil, true
	want := slow.decode(t, body)
	for range 2 {
		if diff := cmp.Diff(want, w.decode(t, body), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the outcome is not that of the long way (-long +short):\n%s", diff)
		}
	}
}

// limits are rules for the same server at different times.
func limits() []*metric.Rules {
	normal := metric.PrometheusRules(tenancy.Dimension)
	tight := normal
	tight.MaxNameLength, tight.MaxValueLength, tight.MaxDimensions = 20, 8, 3
	strict := metric.StrictRules(tenancy.Dimension)
	reserved := normal
	reserved.Reserved = "a"
	return []*metric.Rules{&normal, &tight, &strict, &reserved, {}}
}

// usual makes series in the form in which almost all come, some of them not quite.
func (g generator) usual(n int) (out []prompb.TimeSeries) {
	for range n {
		ts := prompb.TimeSeries{}
		if g.IntN(60) == 0 {
			ts.Labels = g.labels()
		} else {
			names := []string{"__name__", "a", "b", "instance", "job"}[g.IntN(8)/7:]
			for _, name := range names[:len(names)-g.IntN(2)] {
				ts.Labels = append(ts.Labels, prompb.Label{Name: name, Value: fmt.Sprint("v", g.IntN(30))})
			}
		}
		if g.IntN(100) == 0 {
			ts.Labels = append(ts.Labels, prompb.Label{Name: oneOf(g, tenancy.Dimension, "z", "a-b", "0", "\xff", "ä"), Value: oneOf(g, "", "1", "0123456789", "\xff")})
		}
		for range oneOf(g, 1, 1, 1, 1, 1, 1, 0, 2, 3) {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: oneOf(g, 0, 0, 1, g.float()), Timestamp: oneOf(g, 1_700_000_000_000, 1_699_999_999_999, 1_700_000_000_123, g.time())})
		}
		if g.IntN(50) == 0 {
			ts.Exemplars = append(ts.Exemplars, prompb.Exemplar{Labels: g.labels(), Value: 1, Timestamp: 1_700_000_000_000})
		}
		if g.IntN(50) == 0 {
			ts.Histograms = append(ts.Histograms, g.histogram())
		}
		out = append(out, ts)
	}
	return out
}

// What is known saves work and changes nothing, whatever comes, under whichever limits, and for requests of which a part
// is refused.
func TestExpectedLikeLookedAt(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(11, 11))}
	all := limits()
	var ways []way
	for _, r := range all {
		ways = append(ways, way{rules: r, known: metric.NewKnown(metric.NewHasher(7), r), maxItems: DefaultMaxItems})
	}
	for i := range 400 {
		req := &prompb.WriteRequest{Timeseries: g.usual(g.IntN(3 * block))}
		if g.IntN(4) == 0 {
			req.Metadata = g.requestV1().Metadata
		}
		body := marshal(t, req)
		if len(body) > 0 {
			switch g.IntN(12) {
			case 0:
				body[g.IntN(len(body))] ^= 1 << g.IntN(8)
			case 1:
				body = body[:g.IntN(len(body))]
			}
		}
		w := ways[i%len(ways)]
		if g.IntN(8) == 0 {
			w.maxItems = 1 + g.IntN(200)
		}
		compareWays(t, w, body)
	}
}

// Labels that are known under other limits are looked at again.
func TestKnownUnderOtherLimits(t *testing.T) {
	all := limits()
	known := metric.NewKnown(metric.NewHasher(7), all[0])
	body := fleetV1(t, fleetOrder(500, false))
	compareWays(t, way{rules: all[0], known: known, maxItems: DefaultMaxItems}, body)
	for _, r := range all[1:] {
		compareWays(t, way{rules: r, known: known, maxItems: DefaultMaxItems}, body)
	}
	got := way{rules: all[1], known: known, maxItems: DefaultMaxItems}.decode(t, body)
	if len(got.Rejected) != 500 {
		t.Errorf("%d of 500 series are refused under tighter limits", len(got.Rejected))
	}
}

// Bad labels that look like samples, and samples that look like labels, confuse nobody.
func TestExpectedLookalikes(t *testing.T) {
	r := limits()[0]
	w := way{rules: r, known: metric.NewKnown(metric.NewHasher(7), r), maxItems: DefaultMaxItems}
	label := metric.AppendLabel(nil, "__name__", "up")
	const ts = "\x10\x80\x80\x80\x80\x80\x31"
	long, zero := "\x12\x10\x0912345678"+ts, "\x12\x07"+ts
	for _, tail := range []string{
		long, zero, zero + long, long + zero + zero, long[:3] + "\x00\x12\x07" + long[6:], // The value looks like the start of a short field.
		"\x12\x10\x09\x12\x07\x10\x80\x80\x80\x80\x80" + ts, "\x12\x19" + zero + long, "\x0a\x12" + long, "\x12\x12" + long,
		"\x0a\x09" + zero, string(metric.AppendLabel(nil, "a", "b")) + long, string(metric.AppendLabel(nil, "_a", "b")) + long, long + string(label),
		"\x12\x0f" + ts + "\x10" + ts, "\x12\x07\x10\x80\x80\x80\x80\x80\x80", "", "\x12\x07" + "\x18" + ts[1:],
	} {
		msg := string(label) + tail
		compareWays(t, w, []byte("\x0a"+string(rune(len(msg)))+msg))
	}
}
