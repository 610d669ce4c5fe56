package load_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/load"
)

func fleet(churn float64) load.Fleet {
	return load.Fleet{
		Series: 620, Interval: 15 * time.Second, Churn: churn, Connections: 3, Batch: 100, Protocol: client.RemoteWrite1,
	}
}

func next(t *testing.T, g *load.Generator, samples int, end time.Time) *load.Window {
	t.Helper()
	w, err := g.Next(samples, end)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// samples decodes a window: the times and values of each series.
func samples(t *testing.T, w *load.Window) map[string][]prompb.Sample {
	t.Helper()
	out := map[string][]prompb.Sample{}
	for _, bodies := range w.Requests {
		for _, b := range bodies {
			raw, err := snappy.Decode(nil, b.Data)
			if err != nil {
				t.Fatal(err)
			}
			var req prompb.WriteRequest
			if err := req.Unmarshal(raw); err != nil {
				t.Fatal(err)
			}
			if len(req.Timeseries) != b.Samples {
				t.Errorf("a request of %d samples says that it has %d", len(req.Timeseries), b.Samples)
			}
			for _, ts := range req.Timeseries {
				var key strings.Builder
				for _, l := range ts.Labels {
					key.WriteString(l.Name + "=" + l.Value + ";")
				}
				out[key.String()] = append(out[key.String()], ts.Samples...)
			}
		}
	}
	return out
}

func TestFleet(t *testing.T) {
	end := time.UnixMilli(1_700_000_000_000)
	g := load.NewGenerator(fleet(0))
	first, second := next(t, g, 4, end), next(t, g, 4, end.Add(time.Minute))
	if first.Samples != 620*4+3 || first.Number != 0 || second.Number != 1 {
		t.Errorf("window %d of %d samples, then window %d", first.Number, first.Samples, second.Number)
	}
	a, b := samples(t, first), samples(t, second)
	if len(a) != 623 || len(b) != 623 {
		t.Errorf("%d and %d series", len(a), len(b))
	}
	for name, before := range a {
		all := slices.Concat(before, b[name])
		counter := strings.Contains(name, "_total;") || strings.Contains(name, "_bucket;") || strings.Contains(name, "_count;") || strings.Contains(name, "_sum;")
		if strings.Contains(name, load.Sentinel) {
			if len(all) != 2 || all[0].Value != 0 || all[1].Value != 1 || all[0].Timestamp != end.UnixMilli() {
				t.Errorf("%s: %v", name, all)
			}
			continue
		}
		if len(all) != 8 {
			t.Fatalf("%s: %d samples", name, len(all))
		}
		for i := 1; i < len(all); i++ {
			if all[i].Timestamp-all[i-1].Timestamp != 15_000 || counter && all[i].Value < all[i-1].Value {
				t.Errorf("%s: %v after %v", name, all[i], all[i-1])
			}
		}
	}
	if diff := cmp.Diff(a, samples(t, next(t, load.NewGenerator(fleet(0)), 4, end))); diff != "" {
		t.Errorf("another generator makes another window:\n%s", diff)
	}
}

// With a tenth of churn every series lives for ten rounds, and a tenth of them ends in each.
func TestFleetChurns(t *testing.T) {
	w := next(t, load.NewGenerator(fleet(0.1)), 20, time.UnixMilli(1_700_000_000_000))
	all := samples(t, w)
	longest := 0
	for _, s := range all {
		longest = max(longest, len(s))
	}
	if got := len(all) - 3; got < 620*28/10 || got > 620*3 || longest != 10 || w.Samples != 620*20+3 {
		t.Errorf("%d series, the longest of %d samples, %d samples", got, longest, w.Samples)
	}
}

func TestPlay(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Scope-OrgID") != "load" || r.URL.Path != "/api/v1/write":
			w.WriteHeader(http.StatusNotFound)
		case calls.Add(1)%3 == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	w := next(t, load.NewGenerator(fleet(0)), 1, time.UnixMilli(1_700_000_000_000))
	p, err := load.Play(t.Context(), server.URL, "load", w)
	if err != nil || p.Samples != w.Samples || p.Refusals == 0 || len(p.Latencies) != 9 || !slices.IsSorted(p.Latencies) || p.Elapsed <= 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = load.Play(t.Context(), server.URL, "other", w); err == nil || p.Samples != 0 || p.Refusals != 9 {
		t.Errorf("what is refused for good: %+v, %v", p, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err = load.Play(gone, server.URL, "load", w); err == nil || p.Samples != 0 {
		t.Errorf("after the end: %+v, %v", p, err)
	}
}
