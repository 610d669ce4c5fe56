package remotewrite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// These tests stand inside the package since they compare the decoders, which only the handler uses, with the generated
// code of Prometheus.

// A content is what a request says, in a form that can be compared. Values are bits, so that NaNs compare.
type content struct {
	Series   []contentSeries
	Metadata []metric.Metadata
	Rejected []metric.Reason // In the order of the request.
}

type contentSeries struct {
	Origin     int
	Labels     string
	Samples    []contentSample
	Histograms []string
	Exemplars  []string
}

type contentSample struct {
	Timestamp, Start int64
	Bits             uint64
}

func exemplarText(ts int64, v float64, ls labels.Labels) string {
	return fmt.Sprintf("%d %x %s", ts, math.Float64bits(v), ls)
}

func histogramText(ts, start int64, h *histogram.Histogram, fh *histogram.FloatHistogram) string {
	if h != nil {
		h = h.Copy()
		h.CounterResetHint = knownHint(h.CounterResetHint)
		return fmt.Sprintf("%d %d int %d %x %v %x", ts, start, h.CounterResetHint, math.Float64bits(h.Sum), emptyNil(h), h.CustomValues)
	}
	fh = fh.Copy()
	fh.CounterResetHint = knownHint(fh.CounterResetHint)
	return fmt.Sprintf("%d %d float %d %x %x %x %x %d %x %v %v %x %x %x", ts, start, fh.CounterResetHint, math.Float64bits(fh.Sum), math.Float64bits(fh.Count),
		math.Float64bits(fh.ZeroCount), math.Float64bits(fh.ZeroThreshold), fh.Schema, 0, fh.PositiveSpans, fh.NegativeSpans,
		bits(fh.PositiveBuckets), bits(fh.NegativeBuckets), bits(fh.CustomValues))
}

func emptyNil(h *histogram.Histogram) string {
	return fmt.Sprintf("%d %d %d %x %v %v %v %v", h.Schema, h.Count, h.ZeroCount, math.Float64bits(h.ZeroThreshold),
		h.PositiveSpans, h.NegativeSpans, h.PositiveBuckets, h.NegativeBuckets)
}

func bits(v []float64) (out []uint64) {
	for _, f := range v {
		out = append(out, math.Float64bits(f))
	}
	return out
}

// knownHint is what the decoders make of a hint that nobody has defined.
func knownHint(h histogram.CounterResetHint) histogram.CounterResetHint {
	if h > histogram.GaugeType {
		return histogram.UnknownCounterReset
	}
	return h
}

// contentOf reads back what a decoder made.
func contentOf(t testing.TB, d *decoder) content {
	t.Helper()
	var c content
	b := d.batch
	text := func(canonical []byte) labels.Labels {
		ls, err := metric.DecodeLabels(canonical)
		if err != nil {
			t.Fatalf("labels %x are not canonical: %v", canonical, err)
		}
		if again := metric.EncodeLabels(nil, ls); !slices.Equal(again, canonical) {
			t.Fatalf("labels %s are not canonical:\n got %x\nwant %x", ls, canonical, again)
		}
		return ls
	}
	for i := range b.Series {
		s := &b.Series[i]
		if want := b.Hasher().Sum(s.Labels); s.Hash != want {
			t.Fatalf("series %d has the wrong hash", i)
		}
		out := contentSeries{Origin: s.Origin, Labels: text(s.Labels).String()}
		for _, v := range b.Samples[s.Samples.Start:s.Samples.End] {
			out.Samples = append(out.Samples, contentSample{v.Timestamp, v.Start, math.Float64bits(v.Value)})
		}
		for _, h := range b.Histograms[s.Histograms.Start:s.Histograms.End] {
			out.Histograms = append(out.Histograms, histogramText(h.Timestamp, h.Start, h.Int, h.Float))
		}
		for _, e := range b.Exemplars[s.Exemplars.Start:s.Exemplars.End] {
			out.Exemplars = append(out.Exemplars, exemplarText(e.Timestamp, e.Value, text(e.Labels)))
		}
		c.Series = append(c.Series, out)
	}
	c.Metadata = append(c.Metadata, b.Metadata...)
	for _, r := range d.rejected {
		c.Rejected = append(c.Rejected, r.Reason)
	}
	return c
}

func testRules() *metric.Rules {
	r := metric.PrometheusRules(tenancy.Dimension)
	r.MaxValueLength, r.MaxNameLength = 0, 0
	return &r
}

func newDecoder() *decoder {
	hasher := metric.NewHasher(7)
	d := &decoder{known: metric.NewKnown(hasher, testRules())}
	d.reset(metric.NewBatch(hasher), testRules(), DefaultMaxItems, DefaultMaxLabels)
	return d
}

// goldenLabels sorts labels and drops the empty ones; ok is false if a name occurs twice.
func goldenLabels(pairs [][2]string) (ls labels.Labels, ok bool) {
	var b labels.ScratchBuilder
	seen := map[string]bool{}
	for _, p := range pairs {
		if seen[p[0]] {
			return labels.EmptyLabels(), false
		}
		seen[p[0]] = true
		if p[1] != "" {
			b.Add(p[0], p[1])
		}
	}
	b.Sort()
	return b.Labels(), true
}

// goldenV1 is the content of a request as the generated code has decoded it.
func goldenV1(req *prompb.WriteRequest) content {
	var c content
	pairs := func(ls []prompb.Label) (out [][2]string) {
		for _, l := range ls {
			out = append(out, [2]string{l.Name, l.Value})
		}
		return out
	}
	for i, ts := range req.Timeseries {
		s := contentSeries{Origin: i}
		for _, v := range ts.Samples {
			s.Samples = append(s.Samples, contentSample{v.Timestamp, 0, math.Float64bits(v.Value)})
		}
		for _, h := range ts.Histograms {
			if h.IsFloatHistogram() {
				s.Histograms = append(s.Histograms, histogramText(h.Timestamp, 0, nil, h.ToFloatHistogram()))
			} else {
				s.Histograms = append(s.Histograms, histogramText(h.Timestamp, 0, h.ToIntHistogram(), nil))
			}
		}
		for _, e := range ts.Exemplars {
			ls, ok := goldenLabels(pairs(e.Labels))
			if !ok {
				c.Rejected = append(c.Rejected, metric.InvalidExemplar)
				continue
			}
			s.Exemplars = append(s.Exemplars, exemplarText(e.Timestamp, e.Value, ls))
		}
		ls, ok := goldenLabels(pairs(ts.Labels))
		if !ok {
			c.Rejected = append(c.Rejected, metric.DuplicateName)
			continue
		}
		s.Labels = ls.String()
		c.Series = append(c.Series, s)
	}
	families := map[string]int{}
	for _, m := range req.Metadata {
		c.addMetadata(families, m.MetricFamilyName, uint32(m.Type), m.Help, m.Unit)
	}
	return c
}

func (c *content) addMetadata(families map[string]int, family string, typ uint32, help, unit string) {
	if reason, _ := (&decoder{rules: testRules()}).checkMetadata([]byte(family), []byte(help), []byte(unit)); reason != "" {
		c.Rejected = append(c.Rejected, reason)
		return
	}
	m := metric.Metadata{Family: family, Type: strings.ToLower(prompb.MetricMetadata_MetricType(typ).String()), Help: help, Unit: unit}
	if typ > 7 {
		m.Type = "unknown"
	}
	if i, ok := families[family]; ok {
		c.Metadata[i] = m
		return
	}
	families[family] = len(c.Metadata)
	c.Metadata = append(c.Metadata, m)
}

// goldenV2 is the content of a request as the generated code has decoded it. The first symbol must be empty.
func goldenV2(req *writev2.Request) content {
	var c content
	families := map[string]int{}
	for i := range req.Timeseries {
		c.goldenSeriesV2(req, i, families)
	}
	return c
}

func pairsV2(req *writev2.Request, refs []uint32) (out [][2]string, ok bool) {
	if len(refs)%2 != 0 {
		return nil, false
	}
	for i := 0; i < len(refs); i += 2 {
		if int(refs[i]) >= len(req.Symbols) || int(refs[i+1]) >= len(req.Symbols) {
			return nil, false
		}
		out = append(out, [2]string{req.Symbols[refs[i]], req.Symbols[refs[i+1]]})
	}
	return out, true
}

func (c *content) goldenSeriesV2(req *writev2.Request, i int, families map[string]int) {
	ts := &req.Timeseries[i]
	s := contentSeries{Origin: i}
	for _, v := range ts.Samples {
		s.Samples = append(s.Samples, contentSample{v.Timestamp, v.StartTimestamp, math.Float64bits(v.Value)})
	}
	for _, h := range ts.Histograms {
		if h.IsFloatHistogram() {
			s.Histograms = append(s.Histograms, histogramText(h.Timestamp, h.StartTimestamp, nil, h.ToFloatHistogram()))
		} else {
			s.Histograms = append(s.Histograms, histogramText(h.Timestamp, h.StartTimestamp, h.ToIntHistogram(), nil))
		}
	}
	for _, e := range ts.Exemplars {
		pairs, ok := pairsV2(req, e.LabelsRefs)
		if !ok {
			c.Rejected = append(c.Rejected, metric.InvalidSymbols)
			continue
		}
		ls, ok := goldenLabels(pairs)
		if !ok {
			c.Rejected = append(c.Rejected, metric.InvalidExemplar)
			continue
		}
		s.Exemplars = append(s.Exemplars, exemplarText(e.Timestamp, e.Value, ls))
	}
	pairs, ok := pairsV2(req, ts.LabelsRefs)
	for _, ref := range []uint32{ts.Metadata.HelpRef, ts.Metadata.UnitRef} {
		ok = ok && (ref == 0 || int(ref) < len(req.Symbols))
	}
	if !ok {
		c.Rejected = append(c.Rejected, metric.InvalidSymbols)
		return
	}
	ls, ok := goldenLabels(pairs)
	if !ok {
		c.Rejected = append(c.Rejected, metric.DuplicateName)
		return
	}
	s.Labels = ls.String()
	if name := ls.Get(labels.MetricName); name != "" && (ts.Metadata.Type != 0 || ts.Metadata.HelpRef != 0 || ts.Metadata.UnitRef != 0) {
		typ := uint32(ts.Metadata.Type)
		symbol := func(ref uint32) string {
			if len(req.Symbols) == 0 {
				return ""
			}
			return req.Symbols[ref]
		}
		c.addMetadata(families, string(familyName([]byte(name), metricType(typ))), typ, symbol(ts.Metadata.HelpRef), symbol(ts.Metadata.UnitRef))
	}
	switch {
	case len(s.Samples) > 0 && len(s.Histograms) > 0:
		c.Rejected = append(c.Rejected, metric.MixedSeries)
	case len(s.Samples)+len(s.Histograms)+len(s.Exemplars) > 0:
		c.Series = append(c.Series, s)
	case len(ts.Exemplars) == 0:
		c.Rejected = append(c.Rejected, metric.EmptySeries)
	}
}

func diffContent(t testing.TB, d *decoder, want content) {
	t.Helper()
	if diff := cmp.Diff(want, contentOf(t, d), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("differs from the generated decoder (-generated +own):\n%s", diff)
	}
}

func TestDecodeV1LikeGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 1))}
	d := newDecoder()
	for range 3000 {
		body, err := proto.Marshal(g.requestV1())
		if err != nil {
			t.Fatal(err)
		}
		var req prompb.WriteRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			t.Fatal(err)
		}
		d.batch.Reset()
		d.reset(d.batch, testRules(), DefaultMaxItems, DefaultMaxLabels)
		if err := d.decodeV1(body); err != nil {
			t.Fatalf("%v: %v", &req, err)
		}
		diffContent(t, d, goldenV1(&req))
	}
}

func TestDecodeV2LikeGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(2, 2))}
	d := newDecoder()
	for range 3000 {
		body, err := proto.Marshal(g.requestV2())
		if err != nil {
			t.Fatal(err)
		}
		var req writev2.Request
		if err := proto.Unmarshal(body, &req); err != nil {
			t.Fatal(err)
		}
		d.batch.Reset()
		d.reset(d.batch, testRules(), DefaultMaxItems, DefaultMaxLabels)
		if err := d.decodeV2(body); err != nil {
			t.Fatalf("%v: %v", &req, err)
		}
		diffContent(t, d, goldenV2(&req))
	}
}

// Any prefix of a request, and any request with one byte changed, is understood or refused, and both decoders agree.
func TestDecodeDamaged(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 3))}
	for range 150 {
		v1, _ := proto.Marshal(g.requestV1())
		v2, _ := proto.Marshal(g.requestV2())
		for range 40 {
			for i, body := range [][]byte{slices.Clone(v1), slices.Clone(v2)} {
				if len(body) == 0 {
					continue
				}
				if g.IntN(2) == 0 {
					body = body[:g.IntN(len(body))]
				} else {
					body[g.IntN(len(body))] = byte(g.IntN(256))
				}
				if i == 0 {
					compareV1(t, body)
				} else {
					compareV2(t, body)
				}
			}
		}
	}
}

// compareV1 decodes body by both decoders and fails if they disagree.
func compareV1(t testing.TB, body []byte) {
	t.Helper()
	d := newDecoder()
	err := d.decodeV1(body)
	var req prompb.WriteRequest
	generated := proto.Unmarshal(body, &req)
	switch {
	case generated != nil && err == nil:
		t.Fatalf("accepted what the generated decoder refuses: %v", generated)
	case generated != nil:
		return
	case err == nil:
		diffContent(t, d, goldenV1(&req))
	default:
		// Refused on purpose: the other version, or packed fields whose elements reach out of them. What the generated
		// decoder has understood must be understood once it is written properly.
		if len(req.Timeseries)+len(req.Metadata) == 0 && strings.Contains(err.Error(), "seems to be") {
			return
		}
		again, err := proto.Marshal(&req)
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder()
		if err := d.decodeV1(again); err != nil {
			t.Fatalf("refused what the generated decoder accepts: %v", err)
		}
		diffContent(t, d, goldenV1(&req))
	}
}

// compareV2 decodes body by both decoders and fails if they disagree.
func compareV2(t testing.TB, body []byte) {
	t.Helper()
	d := newDecoder()
	err := d.decodeV2(body)
	var req writev2.Request
	generated := proto.Unmarshal(body, &req)
	switch {
	case generated != nil && err == nil:
		t.Fatalf("accepted what the generated decoder refuses: %v", generated)
	case generated != nil:
		return
	case len(req.Symbols) > 0 && req.Symbols[0] != "":
		if err == nil {
			t.Fatal("accepted a symbol table that does not begin with the empty string")
		}
		return
	case err == nil:
		if legacyStart(body) {
			return
		}
		diffContent(t, d, goldenV2(&req))
	default:
		if len(req.Timeseries) == 0 && strings.Contains(err.Error(), "seems to be") {
			return
		}
		again, err := proto.Marshal(&req)
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder()
		if err := d.decodeV2(again); err != nil {
			t.Fatalf("refused what the generated decoder accepts: %v", err)
		}
		diffContent(t, d, goldenV2(&req))
	}
}

// legacyStart reports whether a request has the field of start timestamps that the generated decoder does not know.
func legacyStart(body []byte) bool {
	for r := (reader{b: body}); r.next(); {
		if r.num != 5 {
			continue
		}
		for s := (reader{b: r.body}); s.next(); {
			if s.num == 6 && s.typ == wireVarint {
				return true
			}
		}
	}
	return false
}

// What a validated request holds can be worked with: no damaged histogram makes the rules panic or hang.
func applyRules(d *decoder) { d.rules.Apply(d.batch, time.UnixMilli(1_700_000_000_000)) }

// What no encoder writes is understood as the generated decoder understands it, or refused.
func TestDecodeUnusualWireForms(t *testing.T) {
	for _, body := range wireSeeds {
		compareV1(t, []byte(body))
		compareV2(t, []byte(body))
	}
}
