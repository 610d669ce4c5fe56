package remoteread_test

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/remoteread"
	"github.com/luminate-metrics/luminate/store"
)

func TestR1BadRequests(t *testing.T) {
	r := newRig(t, func(o *remoteread.Options) { o.MaxRequest = 1000 })
	r.fill()
	r.post(nil).is(t, 400, "snappy")
	r.post([]byte("rubbish")).is(t, 400, "snappy")
	r.post(snappy.Encode(nil, []byte("rubbish"))).is(t, 400, "prometheus.ReadRequest")
	r.post(make([]byte, 1001)).is(t, 400, "longer than 1000 bytes")
	r.post(snappy.Encode(nil, make([]byte, 1001))).is(t, 400, "longer than 1000 bytes")
	r.post([]byte("\xff\xff\xff\xff\x0f\x00")).is(t, 400, "longer than 1000 bytes")
	r.ask(nil, query(0, 1, &prompb.LabelMatcher{Type: prompb.LabelMatcher_RE, Name: "a", Value: "("})).is(t, 400, "query 0: the matcher on \"a\"")
	r.ask(nil, query(0, 1), query(0, 1, &prompb.LabelMatcher{Type: 9, Name: "a"})).is(t, 400, "query 1: the matcher on \"a\" has the unknown type 9")
	if remoteread.DefaultMaxRequest != 32<<20 {
		t.Errorf("requests are limited to %d bytes, want 32 MiB", remoteread.DefaultMaxRequest)
	}
}

func TestR1PostOnly(t *testing.T) {
	r := newRig(t)
	resp, err := r.http.Get(r.base + "/api/v1/read")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d, want 405", resp.StatusCode)
	}
}

func TestR2Negotiation(t *testing.T) {
	r := newRig(t)
	const s, c = prompb.ReadRequest_SAMPLES, prompb.ReadRequest_STREAMED_XOR_CHUNKS
	for _, test := range []struct {
		accepted []prompb.ReadRequest_ResponseType
		want     string
	}{
		{nil, "application/x-protobuf"},
		{[]prompb.ReadRequest_ResponseType{s}, "application/x-protobuf"},
		{[]prompb.ReadRequest_ResponseType{s, c}, "application/x-protobuf"},
		{[]prompb.ReadRequest_ResponseType{c, s}, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"},
		{[]prompb.ReadRequest_ResponseType{9, c}, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"},
	} {
		a := r.ask(test.accepted)
		if got := a.header.Get("Content-Type"); a.status != http.StatusOK || got != test.want {
			t.Errorf("%v: status %d, Content-Type %q, want %q", test.accepted, a.status, got, test.want)
		}
	}
	r.ask([]prompb.ReadRequest_ResponseType{9, 8}).is(t, 400, "response types")
}

func TestR3Samples(t *testing.T) {
	r := newRig(t)
	r.fill()
	got := r.ask(inSamples, query(0, 9999, eq("__name__", "special")), query(0, 9999, eq("__name__", "nothing")), query(0, 9999, eq("__name__", "latency"))).samples(t)
	want := [][]string{nil, nil, {
		`__name__=latency 4000 4`,
		"__name__=latency 1000 int " + histogramText(integerHistogram()),
		`__name__=latency 2000 int {count:0, sum:NaN} 0x7ff0000000000002`,
		"__name__=latency 3000 float " + customHistogram().String(),
	}}
	for i, v := range special() {
		want[0] = append(want[0], fmt.Sprintf("__name__=special %d %s", (i+1)*1000, valueText(v)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if !slices.Contains(got[0], "__name__=special 2000 0x7ff0000000000002") {
		t.Error("the stale marker did not come back")
	}
	// No query, no result.
	if got := r.ask(inSamples).samples(t); len(got) != 0 {
		t.Errorf("results %q without a query", got)
	}
}

func TestR3SampleLimit(t *testing.T) {
	r := newRig(t, func(o *remoteread.Options) { o.MaxSamples = 5 })
	r.fill()
	if got := r.ask(inSamples, query(0, 9999, eq("__name__", "up"))).samples(t); len(got[0]) != 5 {
		t.Errorf("%d samples, want the 5 of the limit", len(got[0]))
	}
	r.ask(inSamples, query(0, 9999, eq("__name__", "up")), query(0, 9999, eq("job", "a"))).is(t, 400, "exceeded sample limit (5)")
	r.ask(inSamples, query(0, 9999, eq("__name__", "special"))).is(t, 400, "exceeded sample limit (5)")
	if remoteread.DefaultMaxSamples != 5e7 {
		t.Errorf("the default limit is %d", remoteread.DefaultMaxSamples)
	}
}

func TestR6Matchers(t *testing.T) {
	r := newRig(t)
	r.fill()
	series := func(matchers ...*prompb.LabelMatcher) (out []string) {
		t.Helper()
		for _, line := range r.ask(inSamples, query(0, 9999, matchers...)).samples(t)[0] {
			out = append(out, strings.Fields(line)[0])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	m := func(typ prompb.LabelMatcher_Type, name, value string) *prompb.LabelMatcher {
		return &prompb.LabelMatcher{Type: typ, Name: name, Value: value}
	}
	a, b, latency, special := "__name__=up,job=a", "__name__=up,job=b", "__name__=latency", "__name__=special"
	for _, test := range []struct {
		matcher *prompb.LabelMatcher
		want    []string
	}{
		{m(prompb.LabelMatcher_EQ, "job", "a"), []string{a}},
		{m(prompb.LabelMatcher_EQ, "job", ""), []string{latency, special}}, // A missing label is the empty one.
		{m(prompb.LabelMatcher_NEQ, "job", ""), []string{a, b}},
		{m(prompb.LabelMatcher_NEQ, "job", "a"), []string{latency, special, b}},
		{m(prompb.LabelMatcher_RE, "__name__", "p"), nil}, // Anchored.
		{m(prompb.LabelMatcher_RE, "__name__", "u.|spec"), []string{a, b}},
		{m(prompb.LabelMatcher_RE, "job", "a?"), []string{latency, special, a}},
		{m(prompb.LabelMatcher_NRE, "job", "a|"), []string{b}},
	} {
		if diff := cmp.Diff(test.want, series(test.matcher)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.matcher, diff)
		}
	}
	if got := series(); len(got) != 4 {
		t.Errorf("without matchers: %q", got)
	}
	if got := series(eq("job", "a"), eq("job", "b")); got != nil {
		t.Errorf("all matchers must match: %q", got)
	}
}

func TestR6Range(t *testing.T) {
	for _, types := range [][]prompb.ReadRequest_ResponseType{inSamples, inChunks} {
		r := newRig(t)
		r.fill()
		ask := func(from, to int64, hints *prompb.ReadHints) (out []string) {
			t.Helper()
			q := query(from, to, eq("job", "b"))
			q.Hints = hints
			a := r.ask(types, q)
			if types[0] == prompb.ReadRequest_SAMPLES {
				return a.samples(t)[0]
			}
			for _, f := range a.frames(t) {
				out = append(out, f.samples(t)...)
			}
			return out
		}
		line := func(n int) string { return fmt.Sprintf("__name__=up,job=b %d000 %d", n, n) }
		for _, test := range []struct {
			from, to int64
			want     []string
		}{
			{1000, 3000, []string{line(1), line(2), line(3)}}, // Both ends belong to it.
			{1001, 2999, []string{line(2)}},
			{2000, 2000, []string{line(2)}},
			{3001, 9999, nil},
			{3000, 1000, nil},
			{math.MinInt64, math.MaxInt64, []string{line(1), line(2), line(3)}},
		} {
			if diff := cmp.Diff(test.want, ask(test.from, test.to, nil)); diff != "" {
				t.Errorf("%v [%d, %d] (-want +got):\n%s", types, test.from, test.to, diff)
			}
		}
		// Hints change no result, also if they lie.
		for _, hints := range []*prompb.ReadHints{
			{Func: "rate", StepMs: 1000, RangeMs: 1000, StartMs: 1000, EndMs: 3000}, {Func: "series"}, {StartMs: 2000, EndMs: 2000}, {Grouping: []string{"x"}, By: true},
		} {
			if got := ask(1000, 3000, hints); len(got) != 3 {
				t.Errorf("%v, hints %v: %q, want all 3 samples", types, hints, got)
			}
		}
	}
}

// A label that only the asking Prometheus knows matches nothing here, unless it filters its external labels itself.
func TestR7ExternalLabels(t *testing.T) {
	r := newRig(t)
	r.fill()
	if got := r.ask(inSamples, query(0, 9999, eq("__name__", "up"), eq("cluster", "eu"))).samples(t); got[0] != nil {
		t.Errorf("results %q for a label that is unknown here", got)
	}
	if got := r.ask(inSamples, query(0, 9999, eq("__name__", "up"), eq("cluster", ""))).samples(t); len(got[0]) != 5 {
		t.Errorf("results %q, want 5", got)
	}
}

// No matcher reaches into another tenant.
func TestR7Tenants(t *testing.T) {
	r := newRig(t)
	r.fill()
	if got := r.ask(inSamples, query(0, 9999, eq("job", "secret"))).samples(t); got[0] != nil {
		t.Errorf("samples of another tenant: %q", got)
	}
	for _, types := range [][]prompb.ReadRequest_ResponseType{inSamples, inChunks} {
		r.ask(types, query(0, 9999, eq("_tenant_id", "other"))).is(t, 400, `its tenant is "team"`)
	}
	if got := r.ask(inSamples, query(0, 9999, eq("_tenant_id", "team"), eq("__name__", "up"))).samples(t); len(got[0]) != 5 {
		t.Errorf("results %q, want 5", got)
	}
}

func TestStatusOfFailures(t *testing.T) {
	for _, types := range [][]prompb.ReadRequest_ResponseType{inSamples, inChunks} {
		r := newRig(t, func(o *remoteread.Options) { o.Source = broken{o.Source, store.ErrUnavailable} })
		r.ask(types, query(0, 1)).is(t, 503, "try again later")
		r = newRig(t, func(o *remoteread.Options) {
			o.Source = broken{o.Source, &store.LimitError{Limit: "series", Max: 7, Setting: "x"}}
		})
		r.ask(types, query(0, 1)).is(t, 422, "more than 7 series")
		r = newRig(t, func(o *remoteread.Options) { o.Source = broken{o.Source, store.ErrCorrupt} })
		r.ask(types, query(0, 1)).is(t, 500, "internal error")
	}
}

// Empty messages take a hundred times their bytes in memory, so that they are counted before they are made.
func TestR1TooManyMatchers(t *testing.T) {
	r := newRig(t, func(o *remoteread.Options) { o.MaxMatchers = 10 })
	for _, message := range []string{
		strings.Repeat("\x0a\x00", 11), "\x0a\x14" + strings.Repeat("\x1a\x00", 10), strings.Repeat("\x0a\x02\x22\x00", 6)[:23] + "\x00",
	} {
		r.post(snappy.Encode(nil, []byte(message))).is(t, 400, "queries and matchers, the limit is 10 (remote_read.max_matchers)")
	}
	if a := r.post(snappy.Encode(nil, []byte(strings.Repeat("\x0a\x00", 10)))); a.status != http.StatusOK {
		t.Errorf("ten queries: status %d", a.status)
	}
	r.post(snappy.Encode(nil, []byte(strings.Repeat("\x0a\x00", 9)+"\x0a\x05"))).is(t, 400, "not a valid prometheus.ReadRequest")
}

func TestR1TooMuchRegexp(t *testing.T) {
	r := newRig(t, func(o *remoteread.Options) { o.MaxRegexp = 10 })
	for _, typ := range []prompb.LabelMatcher_Type{prompb.LabelMatcher_RE, prompb.LabelMatcher_NRE} {
		half := query(0, 1, &prompb.LabelMatcher{Type: typ, Name: "a", Value: "123456"})
		r.ask(nil, half, half).is(t, 400, "more than 10 bytes, the limit (remote_read.max_regexp_bytes)")
	}
}

// TestOverload has other reads hold the samples that all may hold.
func TestOverload(t *testing.T) {
	budget := reading.NewBudget(10, prometheus.NewRegistry())
	r := newRig(t, func(o *remoteread.Options) { o.Reading = budget })
	r.put([]string{"__name__", "up"}, 1, 2, 3)
	other := budget.Hold()
	if err := other.Add(8); err != nil {
		t.Fatal(err)
	}
	refused := r.ask(inSamples, query(0, 9999, all()))
	refused.is(t, http.StatusServiceUnavailable, "the queries that are running hold 8 samples in memory, this one needs 3 more, and the limit set by query.max_samples_total is 10")
	if refused.header.Get("Retry-After") == "" {
		t.Error("the answer does not say when to come again")
	}
	r.ask(inChunks, query(0, 9999, all())).frames(t) // It holds nothing.
	other.Release()
	r.ask(inSamples, query(0, 9999, all())).samples(t)
	a, b := budget.Hold(), budget.Hold()
	if a.Add(5) != nil || b.Add(5) != nil {
		t.Error("reads that are done hold something")
	}
}
