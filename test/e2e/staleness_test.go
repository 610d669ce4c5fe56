package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/test/client"
)

// compareStale checks that a series which its exporter no longer shows vanishes at once, though it has samples within
// the lookback.
func (w *world) compareStale(t *testing.T, l *client.Client) {
	t.Helper()
	count := func(expr string) int {
		t.Helper()
		streams, err := must(t)(l.Query(t.Context(), expr, w.at)).Streams()
		if err != nil {
			t.Fatal(err)
		}
		return len(streams)
	}
	if n := count(`count_over_time(exporter_goes_away{job="exporter"}[2m])`); n != 1 {
		t.Errorf("the series that went away has samples in %d series: want 1", n)
	}
	if n := count(`exporter_goes_away{job="exporter"}`); n != 0 {
		t.Errorf("the series that went away is still there, %d times", n)
	}
}

// compareMarker checks that remote read hands out the marker itself, bit by bit, as the last sample of the series.
func (w *world) compareMarker(t *testing.T, l *client.Client) {
	t.Helper()
	request := &prompb.ReadRequest{Queries: []*prompb.Query{{
		StartTimestampMs: w.at.Add(-2 * time.Minute).UnixMilli(), EndTimestampMs: w.at.UnixMilli(),
		Matchers: []*prompb.LabelMatcher{
			{Type: prompb.LabelMatcher_EQ, Name: "__name__", Value: "exporter_goes_away"},
			{Type: prompb.LabelMatcher_EQ, Name: "job", Value: "exporter"},
		},
	}}}
	reply := must(t)(l.Do(t.Context(), http.MethodPost, "/api/v1/read", headers1(), encoded(request)))
	raw, err := snappy.Decode(nil, reply.Body)
	if err != nil || !reply.OK() {
		t.Fatalf("%v: %v", reply, err)
	}
	var response prompb.ReadResponse
	if err := response.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	if len(response.Results) != 1 || len(response.Results[0].Timeseries) != 1 {
		t.Fatalf("want one series, got %+v", response)
	}
	samples := response.Results[0].Timeseries[0].Samples
	if last := samples[len(samples)-1]; math.Float64bits(last.Value) != value.StaleNaN {
		t.Errorf("the last of %d samples is %x: want the stale marker %x", len(samples), math.Float64bits(last.Value), value.StaleNaN)
	}
}

// compareMetadata checks type and help of the exporter's metrics. Prometheus 3.15 sends them with 1.0 only, whatever its
// flags say.
func (w *world) compareMetadata(t *testing.T, l *client.Client) {
	t.Helper()
	type entry struct{ Type, Help, Unit string }
	read := func(c *client.Client) map[string][]entry {
		var m struct{ Data map[string][]entry }
		r := must(t)(c.Get(t.Context(), "/api/v1/metadata", nil))
		if err := json.Unmarshal(r.Body, &m); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		return m.Data
	}
	want := read(w.prometheus)
	eventually(t, 10*time.Second, func(context.Context) error {
		got := read(l)
		for name, entries := range want {
			if strings.HasPrefix(name, "exporter_") && (len(got[name]) == 0 || got[name][0] != entries[0]) {
				return fmt.Errorf("metadata of %s: want %+v, got %+v", name, entries, got[name])
			}
		}
		return nil
	})
}
