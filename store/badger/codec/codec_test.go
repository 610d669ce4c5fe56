package codec_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/store/badger/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHistogram(t *testing.T) {
	spans := []histogram.Span{{Offset: -7, Length: 2}, {Offset: 1 << 20, Length: 1}}
	ints := &histogram.Histogram{
		CounterResetHint: histogram.GaugeType, Schema: -4, ZeroThreshold: 0.5, ZeroCount: math.MaxUint64, Count: 9, Sum: -1,
		PositiveSpans: spans, NegativeSpans: spans[:1], PositiveBuckets: []int64{1, math.MinInt64, 3}, NegativeBuckets: []int64{0, 1},
	}
	floats := &histogram.FloatHistogram{
		CounterResetHint: histogram.CounterReset, Schema: histogram.CustomBucketsSchema, Count: 0.1, Sum: math.Inf(-1),
		PositiveSpans: spans, PositiveBuckets: []float64{1, math.Copysign(0, -1), 2}, CustomValues: []float64{1, 2, 3},
	}
	b := codec.AppendHistogram(codec.AppendHistogram(nil, ints, nil), nil, floats)
	d := codec.NewDecoder(b)
	h, none := d.Histogram()
	if diff := cmp.Diff(ints, h); diff != "" || none != nil {
		t.Fatal(diff, none)
	}
	empty, fh := d.Histogram()
	if diff := cmp.Diff(floats, fh); diff != "" || empty != nil || d.Err() != nil || d.Len() != 0 {
		t.Fatal(diff, empty, d.Err())
	}
	for i := range b {
		d.Reset(b[:i])
		d.Histogram()
		d.Histogram()
		if !errors.Is(d.Err(), codec.ErrMalformed) {
			t.Fatalf("cut at %d: %v", i, d.Err())
		}
	}
}

func TestMatchers(t *testing.T) {
	want := []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "a", ""), labels.MustNewMatcher(labels.MatchNotEqual, "", "b"),
		labels.MustNewMatcher(labels.MatchRegexp, "a", "x|y"), labels.MustNewMatcher(labels.MatchNotRegexp, "a", ".*"),
	}
	b := codec.AppendMatchers(nil, want)
	got := codec.NewDecoder(b).Matchers()
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if got[i].String() != want[i].String() || got[i].Matches("x") != want[i].Matches("x") {
			t.Fatal(got[i])
		}
	}
	bad := codec.AppendMatchers(nil, want[2:3])
	bad[len(bad)-1] = '('
	d := codec.NewDecoder(bad)
	if d.Matchers() != nil || d.Err() == nil {
		t.Fatal("an invalid expression was taken")
	}
}

// TestLengthsAreNotTrusted has counts that would take all memory.
func TestLengthsAreNotTrusted(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3}
	for name, f := range map[string]func(*codec.Decoder){
		"bytes":    func(d *codec.Decoder) { d.Bytes() },
		"count":    func(d *codec.Decoder) { d.Count(1) },
		"matchers": func(d *codec.Decoder) { d.Matchers() },
		"raw":      func(d *codec.Decoder) { d.Raw(-1) },
	} {
		d := codec.NewDecoder(huge)
		if f(d); d.Err() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
