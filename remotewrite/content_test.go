package remotewrite_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/remotewrite"
	"github.com/luminate-metrics/luminate/tenancy"
)

func TestW17MetadataWithoutSeries(t *testing.T) {
	r := newRig(t)
	r.send(pack(t, &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "requests_total", Help: "Requests.", Unit: ""},
		{Type: prompb.MetricMetadata_GAUGEHISTOGRAM, MetricFamilyName: "queue", Help: "Waiting.", Unit: "seconds"},
		{Type: 99, MetricFamilyName: "odd"},
	}})).is(t, 204).wroteNothingSaid(t)
	if diff := cmp.Diff([]metric.Metadata{
		{Family: "odd", Type: "unknown"},
		{Family: "queue", Type: "gaugehistogram", Help: "Waiting.", Unit: "seconds"},
		{Family: "requests_total", Type: "counter", Help: "Requests."},
	}, r.metadata()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	r.holds()
}

func TestW17ExemplarsAndHistogramsInV1(t *testing.T) {
	r := newRig(t)
	ts := named("h", at(-1, 5))
	ts.Exemplars = []prompb.Exemplar{{Labels: []prompb.Label{{Name: "trace_id", Value: "abc"}}, Value: 7, Timestamp: now}}
	ts.Histograms = []prompb.Histogram{{
		Count: &prompb.Histogram_CountFloat{CountFloat: 3.5}, Sum: 2, Schema: 0, ZeroCount: &prompb.Histogram_ZeroCountFloat{ZeroCountFloat: 0.5},
		PositiveSpans: []prompb.BucketSpan{{Offset: 1, Length: 1}}, PositiveCounts: []float64{3}, Timestamp: now,
	}}
	r.v1(ts).is(t, 204)
	r.holds(`{__name__="h"} @-1 5`, `{__name__="h"} @0 float {count:3.5, sum:2, [-0,0]:0.5, (1,2]:3}`)
	if got, want := r.exemplars(), []string{`{__name__="h"} {trace_id="abc"} @0 7`}; !slices.Equal(got, want) {
		t.Errorf("exemplars %q, want %q", got, want)
	}
}

func TestW18SymbolReferences(t *testing.T) {
	bad := func(what string, change func(q *request2), samples, exemplars int) {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			q := newV2()
			q.add(name("good"), atV2(0, 1))
			change(q)
			r.v2(q.done()).is(t, 400, "invalid_symbol_reference").wrote(t, samples, 0, exemplars)
			if got := r.stored(team); len(got) != samples {
				t.Errorf("stored %q", got)
			}
		})
	}
	bad("labels", func(q *request2) { q.add(nil, atV2(0, 1)).LabelsRefs = []uint32{1, 99} }, 1, 0)
	bad("largest", func(q *request2) { q.add(nil, atV2(0, 1)).LabelsRefs = []uint32{math.MaxUint32, 1} }, 1, 0)
	bad("odd", func(q *request2) { q.add(nil, atV2(0, 1)).LabelsRefs = []uint32{1, 2, 1} }, 1, 0)
	bad("help", func(q *request2) { q.add(name("x"), atV2(0, 1)).Metadata.HelpRef = 99 }, 1, 0)
	bad("unit", func(q *request2) { q.add(name("x"), atV2(0, 1)).Metadata.UnitRef = 99 }, 1, 0)
	// A bad exemplar does not take its series with it.
	bad("exemplar", func(q *request2) {
		q.add(name("x"), atV2(0, 1)).Exemplars = []writev2.Exemplar{
			{LabelsRefs: []uint32{1, 99}, Timestamp: now}, {LabelsRefs: []uint32{1}, Timestamp: now}, {LabelsRefs: []uint32{1, 2}, Timestamp: now},
		}
	}, 2, 1)
	bad("nothing but a bad exemplar", func(q *request2) {
		q.add(name("x")).Exemplars = []writev2.Exemplar{{LabelsRefs: []uint32{1, 99}, Timestamp: now}}
	}, 1, 0)

	r := newRig(t)
	r.v2(&writev2.Request{Symbols: []string{"__name__", "up"}, Timeseries: []writev2.TimeSeries{
		{LabelsRefs: []uint32{0, 1}, Samples: []writev2.Sample{atV2(0, 1)}},
	}}).is(t, 400, "first symbol").wrote(t, 0, 0, 0)
	r.v2(&writev2.Request{Timeseries: []writev2.TimeSeries{
		{LabelsRefs: []uint32{0, 0}, Samples: []writev2.Sample{atV2(0, 1)}},
	}}).is(t, 400, "invalid_symbol_reference").wrote(t, 0, 0, 0)
	r.holds()
}

func TestW19LabelOrder(t *testing.T) {
	r := newRig(t)
	r.v1(series([]string{"z", "1", "__name__", "up", "a", "2", "empty", ""}, at(0, 1)),
		series([]string{"__name__", "up", "a", "2", "z", "1"}, at(1, 2))).is(t, 204)
	q := newV2()
	q.add([]string{"z", "1", "empty", "", "__name__", "up", "a", "2"}, atV2(2, 3))
	q.add([]string{"__name__", "up", "a", "2", "z", "1"}, atV2(3, 4))
	r.v2(q.done()).is(t, 204).wrote(t, 2, 0, 0)
	up := `{__name__="up", a="2", z="1"} `
	r.holds(up+"@0 1", up+"@1 2", up+"@2 3", up+"@3 4")
}

func TestW19RepeatedAndEmptyNames(t *testing.T) {
	for _, pairs := range [][]string{
		{"__name__", "up", "a", "1", "a", "2"},
		{"__name__", "up", "a", "1", "b", "2", "a", "1"},
		{"__name__", "up", "__name__", "down"},
		{"__name__", "up", "a", "", "a", "2"},
		{"__name__", "up", "", "1"},
		{"", "1", "__name__", "up"},
	} {
		r := newRig(t)
		r.v1(series(pairs, at(0, 1), at(1, 1)), named("good", at(0, 1))).is(t, 400, "refused for good 2 samples")
		q := newV2()
		q.add(pairs, atV2(1, 1), atV2(2, 1))
		q.add(name("good"), atV2(1, 1))
		r.v2(q.done()).is(t, 400, "refused for good 2 samples").wrote(t, 1, 0, 0)
		r.holds(`{__name__="good"} @0 1`, `{__name__="good"} @1 1`)
	}
}

func TestW20MetricName(t *testing.T) {
	for _, pairs := range [][]string{nil, {"job", "x"}, {"__name__", ""}, {"__name__", "", "job", "x"}} {
		r := newRig(t)
		r.v1(named("good", at(0, 1)), series(pairs, at(0, 1))).is(t, 400, "invalid_name: 1 samples")
		r.v1(series(pairs)).is(t, 400, "invalid_name")
		q := newV2()
		q.add(pairs, atV2(0, 1))
		q.add(name("good"), atV2(1, 1))
		r.v2(q.done()).is(t, 400, "invalid_name: 1 samples").wrote(t, 1, 0, 0)
		r.holds(`{__name__="good"} @0 1`, `{__name__="good"} @1 1`)
	}
}

func TestW21UTF8(t *testing.T) {
	r := newRig(t)
	odd := []string{"__name__", "resource cpu usage", "job.name", "naïve\n🙂", "日本", `q"uote\`}
	r.v1(series(odd, at(0, 1))).is(t, 204)
	q := newV2()
	q.add(odd, atV2(1, 2))
	r.v2(q.done()).is(t, 204).wrote(t, 1, 0, 0)
	if got := r.stored(team); len(got) != 2 || !strings.Contains(got[0], "resource cpu usage") || !strings.Contains(got[0], `naïve\n🙂`) {
		t.Errorf("stored %q", got)
	}
	for _, pairs := range [][]string{
		{"__name__", "bad\xff"}, {"__name__", "up", "bad\xff", "x"}, {"__name__", "up", "x", "\xc3\x28"},
	} {
		r.v1(series(pairs, at(0, 1))).is(t, 400, "not valid UTF-8")
		q := newV2()
		q.add(pairs, atV2(0, 1))
		r.v2(q.done()).is(t, 400, "not valid UTF-8").wrote(t, 0, 0, 0)
	}
	if n := len(r.stored(team)); n != 2 {
		t.Errorf("%d samples are stored, want 2", n)
	}
}

func TestW22SpecialValues(t *testing.T) {
	r := newRig(t)
	values := []float64{
		math.Float64frombits(value.StaleNaN), math.Float64frombits(value.NormalNaN), math.Float64frombits(0x7ff8dead0000beef),
		math.Float64frombits(0xfff8000000000001), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 0,
	}
	q := newV2()
	ts := named("v1")
	s2 := q.add(name("v2"))
	for i, v := range values {
		ts.Samples = append(ts.Samples, at(int64(i), v))
		s2.Samples = append(s2.Samples, atV2(int64(i), v))
	}
	r.v1(ts).is(t, 204)
	r.v2(q.done()).is(t, 204).wrote(t, len(values), 0, 0)
	var want []string
	for _, n := range []string{"v1", "v2"} {
		for i, v := range values {
			want = append(want, fmt.Sprintf(`{__name__="%s"} @%d %s`, n, i, valueText(v)))
		}
	}
	r.holds(want...)
	if !slices.Contains(want, `{__name__="v1"} @0 0x7ff0000000000002`) {
		t.Error("the stale marker is not among the values")
	}
}

// Usual encoders leave out a negative zero. One that does arrive is kept.
func TestW22NegativeZero(t *testing.T) {
	r := newRig(t)
	// A series {__name__="z"} with one sample of which the value is written out.
	label := "\x0a\x0d\x0a\x08__name__\x12\x01z"
	sample := "\x12\x0b\x09\x00\x00\x00\x00\x00\x00\x00\x80\x10\x05"
	r.send(snappy.Encode(nil, []byte("\x0a\x1c"+label+sample))).is(t, 204)
	got := r.stored(team)
	if len(got) != 1 || !strings.HasSuffix(got[0], " 0x8000000000000000") {
		t.Errorf("stored %q, want a negative zero", got)
	}
}

func TestW23SeveralSamplesAndEqualSeries(t *testing.T) {
	r := newRig(t)
	r.v1(named("a", at(0, 1), at(1, 2)), named("b", at(0, 5)), named("a", at(2, 3), at(3, 4))).is(t, 204)
	q := newV2()
	q.add(name("a"), atV2(4, 5), atV2(5, 6))
	q.add(name("a"), atV2(6, 7))
	r.v2(q.done()).is(t, 204).wrote(t, 3, 0, 0)
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprintf(`{__name__="a"} @%d %d`, i, i+1))
	}
	r.holds(append(want, `{__name__="b"} @0 5`)...)
}

func TestW24MixedSeries(t *testing.T) {
	r := newRig(t)
	q := newV2()
	mixed := q.add(name("mixed"), atV2(0, 1), atV2(1, 1))
	mixed.Histograms = []writev2.Histogram{histogramV2(2)}
	mixed.Exemplars = []writev2.Exemplar{{Timestamp: now}}
	q.add(name("good"), atV2(0, 1))
	r.v2(q.done()).is(t, 400, "mixed_samples_and_histograms: 2 samples, 1 histograms, 1 exemplars of 1 series").wrote(t, 1, 0, 0)
	r.holds(`{__name__="good"} @0 1`)
	if got := r.exemplars(); got != nil {
		t.Errorf("exemplars %q are stored", got)
	}
}

func TestW24ExemplarsOnly(t *testing.T) {
	r := newRig(t)
	q := newV2()
	q.add(name("x")).Exemplars = []writev2.Exemplar{{LabelsRefs: q.refs("trace_id", "a1"), Value: 0.5, Timestamp: now}}
	r.v2(q.done()).is(t, 204).wrote(t, 0, 0, 1)
	if got, want := r.exemplars(), []string{`{__name__="x"} {trace_id="a1"} @0 0.5`}; !slices.Equal(got, want) {
		t.Errorf("exemplars %q, want %q", got, want)
	}
	r.holds()
}

func TestW24EmptySeries(t *testing.T) {
	r := newRig(t)
	q := newV2()
	q.add(name("only_metadata")).Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE, HelpRef: q.refs("Help.")[0]}
	q.add(name("nothing"))
	q.add(name("good"), atV2(0, 1))
	r.v2(q.done()).is(t, 400, "empty_series: nothing of 2 series").wrote(t, 1, 0, 0)
	r.holds(`{__name__="good"} @0 1`)
	if diff := cmp.Diff([]metric.Metadata{{Family: "only_metadata", Type: "gauge", Help: "Help."}}, r.metadata()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestW25StartTimestamps(t *testing.T) {
	r := newRig(t)
	q := newV2()
	q.add(name("s"), writev2.Sample{Timestamp: now, Value: 1, StartTimestamp: now - 500}, writev2.Sample{Timestamp: now + 1, Value: 2})
	h := histogramV2(0)
	h.StartTimestamp = now - 700
	q.add(name("h")).Histograms = []writev2.Histogram{h}
	r.v2(q.done()).is(t, 204).wrote(t, 2, 1, 0)
	got := r.stored(team)
	if len(got) != 3 || !strings.HasSuffix(got[0], " since -700") || got[1] != `{__name__="s"} @0 1 since -500` || got[2] != `{__name__="s"} @1 2` {
		t.Errorf("stored %q", got)
	}
}

// Early senders say once for a series when it began. What a sample says itself goes before.
func TestW25LegacyStartTimestamp(t *testing.T) {
	r := newRig(t)
	symbols := "\x22\x00\x22\x08__name__\x22\x01c"
	// Labels; the start of the series, 7; a sample at 10 of start 9, one at 11 without.
	ts := "\x0a\x02\x01\x02" + "\x30\x07" + "\x12\x04\x10\x0a\x18\x09" + "\x12\x02\x10\x0b"
	r.send(snappy.Encode(nil, []byte(symbols+"\x2a"+string(rune(len(ts)))+ts)), "Content-Type", typeV2).is(t, 204).wrote(t, 2, 0, 0)
	r.holds(fmt.Sprintf(`{__name__="c"} @%d 0 since %d`, 10-now, 9-now), fmt.Sprintf(`{__name__="c"} @%d 0 since %d`, 11-now, 7-now))
}

func TestW26Window(t *testing.T) {
	r := newRig(t)
	const minute = int64(60_000)
	// Out of order, and as old as it may be without a configured window.
	r.v1(named("a", at(0, 1)), named("a", at(-60*minute, 2)), named("a", at(-60*24*365*minute, 3)), named("a", at(10*minute, 4))).is(t, 204)
	r.v1(named("a", at(10*minute+1, 5))).is(t, 400, "timestamp_too_new", "10m0s after now")
	q := newV2()
	q.add(name("a"), atV2(10*minute+1, 5), atV2(1, 6))
	r.v2(q.done()).is(t, 400, "timestamp_too_new").wrote(t, 1, 0, 0)
	if n := len(r.stored(team)); n != 5 {
		t.Errorf("%d samples are stored, want 5", n)
	}

	rules := metric.PrometheusRules(tenancy.Dimension)
	rules.MaxAge = 60 * 60 * 1e9
	r = newRig(t, func(o *remotewrite.Options) { o.Rules = &rules })
	r.v1(named("a", at(-60*minute, 1))).is(t, 204)
	r.v1(named("a", at(-60*minute-1, 1))).is(t, 400, "timestamp_too_old", "1h0m0s before now")
}

func TestW28Exemplars(t *testing.T) {
	r := newRig(t)
	q := newV2()
	s := q.add(name("a"), atV2(0, 1))
	s.Exemplars = []writev2.Exemplar{
		{LabelsRefs: q.refs("trace_id", "1"), Value: 1, Timestamp: now - 5},
		{LabelsRefs: q.refs("trace_id", "1"), Value: 1, Timestamp: now - 5},
		{Value: 2, Timestamp: now - 4},
		{LabelsRefs: q.refs("trace_id", "no time"), Value: 3},
		{LabelsRefs: q.refs("trace_id", strings.Repeat("x", 200)), Timestamp: now},
		{LabelsRefs: q.refs("a", "1", "a", "2"), Timestamp: now},
	}
	r.v2(q.done()).is(t, 400, "invalid_exemplar: 3 exemplars").wrote(t, 1, 0, 3)
	if got, want := r.exemplars(), []string{`{__name__="a"} {trace_id="1"} @-5 1`, `{__name__="a"} {} @-4 2`}; !slices.Equal(got, want) {
		t.Errorf("exemplars %q, want %q", got, want)
	}
	ts := named("b", at(0, 1))
	ts.Exemplars = []prompb.Exemplar{{Value: 1}, {Value: 2, Timestamp: now}}
	r.v1(ts).is(t, 400, "stored 1 samples, 1 exemplars; refused for good 1 exemplars")
}

func TestW29Metadata(t *testing.T) {
	r := newRig(t)
	q := newV2()
	add := func(series, help string, typ writev2.Metadata_MetricType) {
		q.add(name(series), atV2(0, 1)).Metadata = writev2.Metadata{Type: typ, HelpRef: q.refs(help)[0], UnitRef: q.refs("s")[0]}
	}
	add("requests_total", "Requests.", writev2.Metadata_METRIC_TYPE_COUNTER)
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		add("latency"+suffix, "Latency.", writev2.Metadata_METRIC_TYPE_HISTOGRAM)
	}
	add("native", "Native.", writev2.Metadata_METRIC_TYPE_HISTOGRAM)
	for _, suffix := range []string{"", "_sum", "_count"} {
		add("rpc"+suffix, "RPC.", writev2.Metadata_METRIC_TYPE_SUMMARY)
	}
	add("queue_gcount", "Queue.", writev2.Metadata_METRIC_TYPE_GAUGEHISTOGRAM)
	add("a_sum", "A gauge.", writev2.Metadata_METRIC_TYPE_GAUGE)
	add("build_info", "Build.", writev2.Metadata_METRIC_TYPE_INFO)
	add("_sum", "No family is left.", writev2.Metadata_METRIC_TYPE_SUMMARY)
	q.add(name("no_metadata"), atV2(0, 1))
	r.v2(q.done()).is(t, 204)
	want := []metric.Metadata{
		{Family: "_sum", Type: "summary", Help: "No family is left."},
		{Family: "a_sum", Type: "gauge", Help: "A gauge."},
		{Family: "build_info", Type: "info", Help: "Build."},
		{Family: "latency", Type: "histogram", Help: "Latency."},
		{Family: "native", Type: "histogram", Help: "Native."},
		{Family: "queue", Type: "gaugehistogram", Help: "Queue."},
		{Family: "requests_total", Type: "counter", Help: "Requests."},
		{Family: "rpc", Type: "summary", Help: "RPC."},
	}
	for i := range want {
		want[i].Unit = "s"
	}
	if diff := cmp.Diff(want, r.metadata()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	// The last one wins, within a request and between two.
	q = newV2()
	add("latency_bucket", "A", writev2.Metadata_METRIC_TYPE_HISTOGRAM)
	add("latency_sum", "B", writev2.Metadata_METRIC_TYPE_HISTOGRAM)
	add("latency_bucket", "A", writev2.Metadata_METRIC_TYPE_HISTOGRAM)
	r.v2(q.done()).is(t, 204)
	if got := r.metadata()[3]; got.Family != "latency" || got.Help != "A" {
		t.Errorf("metadata %+v, want the help A", got)
	}
	r.send(pack(t, &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{
		{Type: prompb.MetricMetadata_GAUGE, MetricFamilyName: "rpc", Help: "first"},
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "rpc", Help: "second"},
	}})).is(t, 204)
	md := r.metadata()
	if got, want := md[len(md)-1], (metric.Metadata{Family: "rpc", Type: "counter", Help: "second"}); got != want {
		t.Errorf("metadata %+v, want %+v", got, want)
	}
}

func TestW29BadMetadata(t *testing.T) {
	r := newRig(t)
	r.send(pack(t, &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{
		{Help: "no name"},
		{MetricFamilyName: "bad\xff"},
		{MetricFamilyName: "good", Help: "yes"},
		{MetricFamilyName: "x", Help: "\xff"},
		{MetricFamilyName: strings.Repeat("n", 1025)},
		{MetricFamilyName: "long", Help: strings.Repeat("h", 16385)},
	}})).is(t, 400, "stored 1 metadata; refused for good 5 metadata", "invalid_name: 3 metadata", "invalid_label_value: 2 metadata")
	if diff := cmp.Diff([]metric.Metadata{{Family: "good", Type: "unknown", Help: "yes"}}, r.metadata()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestW30TenantFromAuthentication(t *testing.T) {
	r := newRig(t)
	r.v1(series([]string{"__name__", "up", "_tenant_id", "other"}, at(0, 1)), named("up", at(0, 2))).is(t, 400, "reserved_dimension")
	q := newV2()
	q.add([]string{"__name__", "up", "_tenant_id", "team"}, atV2(1, 1))
	r.v2(q.done()).is(t, 400, "reserved_dimension").wrote(t, 0, 0, 0)
	r.holds(`{__name__="up"} @0 2`)
	if got := r.stored("other"); len(got) != 0 {
		t.Errorf("tenant other got %q", got)
	}
}

func TestW31TenantHeader(t *testing.T) {
	r := newRig(t)
	for contentType, body := range map[string][]byte{typeV1: body1(t), typeV2: body2(t)} {
		r.send(body, "Content-Type", contentType).is(t, 204)
		r.send(body, "Content-Type", contentType, "X-Scope-OrgID", "other").is(t, 204)
	}
	for _, id := range []tenancy.ID{team, "other"} {
		if diff := cmp.Diff([]string{`{__name__="up"} @0 1`}, r.stored(id)); diff != "" {
			t.Errorf("tenant %s (-want +got):\n%s", id, diff)
		}
	}
}
