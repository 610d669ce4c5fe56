package metric_test

import (
	"bytes"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/internal/metric"
)

func TestLabelsRoundTrip(t *testing.T) {
	f := func(pairs ...string) {
		t.Helper()
		want := labels.FromStrings(pairs...)
		got, err := metric.DecodeLabels(metric.EncodeLabels(nil, want))
		if err != nil || !labels.Equal(got, want) {
			t.Errorf("round trip of %s = %s, %v", want, got, err)
		}
	}
	f()
	f("__name__", "up")
	f("__name__", "up", "instance", "a:9090", "job", "x")
	f("__name__", "m", "x", "zero \x00 byte", "y", "\xff")
	f("__name__", "m", "long", string(bytes.Repeat([]byte("v"), 300)))
	f("__name__", "温度", "a b", "🎉")
}

func TestCanonicalBytesAreThoseOfRemoteWrite(t *testing.T) {
	ls := labels.FromStrings("__name__", "up", "job", "node", "path", string(bytes.Repeat([]byte("/a"), 100)))
	wire, err := (&prompb.TimeSeries{Labels: prompb.FromLabels(ls, nil)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got := metric.EncodeLabels(nil, ls); !bytes.Equal(got, wire) {
		t.Errorf("canonical encoding\n%q, remote write\n%q", got, wire)
	}
}

func TestMalformedLabelsAreAnError(t *testing.T) {
	good := metric.EncodeLabels(nil, labels.FromStrings("__name__", "up", "job", "node"))
	for i := 1; i < len(good); i++ {
		ls, err := metric.DecodeLabels(good[:i])
		if err == nil && ls.Len() != 1 {
			t.Errorf("%d of %d bytes decode to %s", i, len(good), ls)
		}
	}
	for _, in := range []string{"\x0a", "\x0b\x00", "\x0a\x02\x0a\x00", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x0a\x05\x0a\x00\x12\x00\x00"} {
		if _, err := metric.DecodeLabels([]byte(in)); err == nil {
			t.Errorf("%q decodes", in)
		}
	}
}

func TestMetricName(t *testing.T) {
	if got := metric.MetricName(metric.EncodeLabels(nil, labels.FromStrings("A", "1", "__name__", "up"))); string(got) != "up" {
		t.Errorf("MetricName = %q", got)
	}
	if got := metric.MetricName(nil); got != nil {
		t.Errorf("MetricName of no labels = %q", got)
	}
}

func TestLabelBuilder(t *testing.T) {
	b := metric.NewBatch(metric.NewHasher(1))
	var lb metric.LabelBuilder
	encode := func(pairs ...string) ([]byte, []byte, bool) {
		lb.Reset()
		for i := 0; i < len(pairs); i += 2 {
			lb.Add([]byte(pairs[i]), []byte(pairs[i+1]))
		}
		return lb.Encode(b)
	}
	want := metric.EncodeLabels(nil, labels.FromStrings("__name__", "up", "job", "x"))
	for _, pairs := range [][]string{
		{"__name__", "up", "job", "x"},
		{"job", "x", "__name__", "up"},
		{"job", "x", "gone", "", "__name__", "up"},
	} {
		if got, _, ok := encode(pairs...); !ok || !bytes.Equal(got, want) {
			t.Errorf("%q encode to %q, %v; want %q", pairs, got, ok, want)
		}
	}
	if _, dup, ok := encode("job", "x", "a", "1", "job", "y"); ok || string(dup) != "job" {
		t.Errorf("duplicate name: %q, %v", dup, ok)
	}
	if _, dup, ok := encode("job", "", "job", ""); ok || string(dup) != "job" {
		t.Errorf("duplicate name with empty values: %q, %v", dup, ok)
	}
	if got, _, ok := encode("", "x"); !ok || len(got) == 0 {
		t.Error("an empty name must be left for the rules to refuse")
	}
}

func TestHasher(t *testing.T) {
	a, b := []byte("a"), []byte("b")
	h := metric.NewHasher(7)
	if h.Sum(a) != h.Sum(a) || h.Sum(a) == h.Sum(b) {
		t.Error("the hash does not identify labels")
	}
	if h.Sum(a) == metric.NewHasher(8).Sum(a) {
		t.Error("the seed has no effect")
	}
}

// FuzzLabels checks that whatever decodes is encoded back to labels that are equal.
func FuzzLabels(f *testing.F) {
	f.Add(metric.EncodeLabels(nil, labels.FromStrings("__name__", "up", "job", "node")))
	f.Add([]byte{0x0a, 0x02, 0x0a, 0x00})
	f.Add([]byte{0x0a, 0x80, 0x80, 0x00})
	f.Fuzz(func(t *testing.T, in []byte) {
		it := metric.Labels(in)
		var out []byte
		n := 0
		for it.Next() {
			out = metric.AppendLabel(out, it.Name(), it.Value())
			n++
		}
		if it.Err() != nil {
			return
		}
		again := metric.Labels(out)
		for again.Next() {
			n--
		}
		if again.Err() != nil || n != 0 {
			t.Errorf("%q is encoded as %q: %v, %d labels differ", in, out, again.Err(), n)
		}
	})
}
