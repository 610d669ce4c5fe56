package metric_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// profiles are rules that differ in everything that labels are checked for.
func profiles() []metric.Rules {
	short := metric.PrometheusRules("le")
	short.MaxNameLength, short.MaxValueLength, short.MaxDimensions = 9, 6, 3
	return []metric.Rules{metric.StrictRules("_tenant_id"), metric.PrometheusRules("_tenant_id"), short, {}, {UTF8Names: true, MaxDimensions: 1}}
}

// randomLabels is an encoding of labels that is canonical more often than not.
func randomLabels(rng *rand.Rand) []byte {
	one := func(from ...string) string { return from[rng.IntN(len(from))] }
	var names []string
	if rng.IntN(8) > 0 {
		names = append(names, "__name__")
	}
	for range rng.IntN(6) {
		names = append(names, one("a", "b", "job", "le", "instance", "instance_id", "instancf", "__name__x", "_tenant_id", "0", "a-b", "ä", "\xff",
			"", "abcdefgh", "abcdefgh\x00", "abcdefg", "\x00", "a\x00", strings.Repeat("n", rng.IntN(300))))
	}
	if rng.IntN(8) > 0 {
		slices.Sort(names)
	}
	if rng.IntN(8) > 0 {
		names = slices.Compact(names)
	}
	var b []byte
	for _, n := range names {
		b = metric.AppendLabel(b, n, one("x", "api", "value", "10.0.0.1:9090", "ü", "\xc3", strings.Repeat("v", rng.IntN(140)), "up", "up:rate", ""))
	}
	if len(b) > 0 && rng.IntN(4) == 0 {
		switch i := rng.IntN(len(b)); rng.IntN(3) {
		case 0:
			b[i] = byte(rng.IntN(256))
		case 1:
			b = b[:i]
		default:
			b = slices.Insert(b, i, byte(rng.IntN(16)))
		}
	}
	return b
}

func compareTakes(t *testing.T, r *metric.Rules, b []byte) (taken, short bool) {
	t.Helper()
	want := r.TakesSlowly(b)
	if got := r.Takes(b); got != want {
		t.Fatalf("%+v takes %q: %v, want %v", r, b, got, want)
	}
	short = r.TakesASCII(b)
	if short && !want {
		t.Fatalf("%+v takes %q by the short way", r, b)
	}
	return want, short
}

func TestTakesLikeTheSlowWay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	all := profiles()
	taken, short := 0, 0
	const rounds = 30_000
	for i := range rounds {
		is, s := compareTakes(t, &all[i%len(all)], randomLabels(rng))
		if is {
			taken++
		}
		if s {
			short++
		}
	}
	if taken < rounds/10 || taken > rounds*9/10 || short < taken/2 {
		t.Errorf("of %d labels %d are taken, %d by the short way: the test is one-sided", rounds, taken, short)
	}
}

func FuzzTakes(f *testing.F) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 50 {
		f.Add(randomLabels(rng))
	}
	all := profiles()
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := range all {
			compareTakes(t, &all[i], b)
		}
	})
}

// Whatever Takes takes is what EncodeLabels makes of the labels.
func TestTakenLabelsAreCanonical(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	all := profiles()
	for i := range 20_000 {
		b := randomLabels(rng)
		if !all[i%len(all)].Takes(b) {
			continue
		}
		ls, err := metric.DecodeLabels(b)
		if err != nil || !bytes.Equal(metric.EncodeLabels(nil, ls), b) {
			t.Fatalf("%q: %v %v", b, ls, err)
		}
	}
}

func fleetOf(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = metric.EncodeLabels(nil, labels.FromStrings("__name__", "http_request_duration_seconds_bucket", "cluster", "eu-west-1a", "env", "production",
			"instance", fmt.Sprintf("10.0.%d.7:8080", i/250), "job", "service-07", "le", "0.25", "namespace", "team-17",
			"path", fmt.Sprintf("/api/v1/%d", i%250), "pod", fmt.Sprintf("service-07-9e3779b9-%05d", i/250)))
	}
	return out
}

func BenchmarkTakes(b *testing.B) {
	all := fleetOf(2000)
	r := metric.PrometheusRules("_tenant_id")
	f := func(name string, takes func([]byte) bool) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, canonical := range all {
					if !takes(canonical) {
						b.Fatal("refused")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/series")
		})
	}
	f("short", r.Takes)
	f("slow", r.TakesSlowly)
}

func BenchmarkSum(b *testing.B) {
	all := fleetOf(2000)
	h := metric.NewHasher(1)
	var sink metric.Hash
	for b.Loop() {
		for _, canonical := range all {
			sink = h.Sum(canonical)
		}
	}
	_ = sink
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/series")
}
