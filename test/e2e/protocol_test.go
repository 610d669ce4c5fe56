package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/test/answer"
	"github.com/luminate-metrics/luminate/test/client"
)

// The first question that a newcomer asks has an answer: the server writes its own metrics into its own store.
func TestFreshStart(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "")
	for _, expr := range []string{`up{job="luminate"} == 1`, `process_resident_memory_bytes{job="luminate"} > 0`} {
		eventually(t, 5*time.Second, func(ctx context.Context) error {
			reply, err := c.Query(ctx, expr, time.Now())
			if err != nil {
				return err
			}
			streams, err := reply.Streams()
			if err == nil && len(streams) != 1 {
				err = fmt.Errorf("%s: %v", expr, reply)
			}
			return err
		})
	}
}

// everything2 is a 2.0 request with a sample, a histogram, and exemplars in a series of their own, as Prometheus sends
// them.
func everything2(ts int64) *writev2.Request {
	return &writev2.Request{
		Symbols: []string{"", "__name__", "a_total", "h_seconds", "trace", "x"},
		Timeseries: []writev2.TimeSeries{
			{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: ts, Value: 1}, {Timestamp: ts + 1, Value: 2}}},
			{LabelsRefs: []uint32{1, 2}, Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{4, 5}, Timestamp: ts, Value: 1}}},
			{LabelsRefs: []uint32{1, 3}, Histograms: []writev2.Histogram{{
				Timestamp: ts, Sum: 3, Schema: 0, Count: &writev2.Histogram_CountInt{CountInt: 1},
				PositiveSpans: []writev2.BucketSpan{{Offset: 0, Length: 1}}, PositiveDeltas: []int64{1},
				ZeroCount: &writev2.Histogram_ZeroCountInt{ZeroCountInt: 0},
			}}},
		},
	}
}

// Metadata that comes with the series of 2.0 is kept by metric family.
func TestMetadata2(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "team-a")
	request := everything2(time.Now().UnixMilli())
	request.Symbols = append(request.Symbols, "Counts things.", "seconds")
	request.Timeseries[0].Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: 6}
	request.Timeseries[2].Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM, UnitRef: 7}
	if r := must(t)(c.Do(t.Context(), http.MethodPost, writePath, headers2(), encoded(request))); !r.OK() {
		t.Fatal(r)
	}
	want := `{"status":"success","data":{"a_total":[{"type":"counter","help":"Counts things.","unit":""}],"h_seconds":[{"type":"histogram","help":"","unit":"seconds"}]}}`
	got := must(t)(c.Get(t.Context(), "/api/v1/metadata", nil))
	if d := answer.Diff([]byte(want), got.Body, answer.Options{}); d != "" {
		t.Error(d)
	}
}

// checkWritten compares the counts that a sender of 2.0 goes by.
func checkWritten(t *testing.T, r *client.Reply, status, samples, histograms, exemplars int) {
	t.Helper()
	if r.Status != status {
		t.Errorf("want status %d, got %v", status, r)
	}
	for name, want := range map[string]int{"Samples": samples, "Histograms": histograms, "Exemplars": exemplars} {
		header := "X-Prometheus-Remote-Write-" + name + "-Written"
		if got := r.Header.Get(header); got != strconv.Itoa(want) {
			t.Errorf("%s: want %d, got %q", header, want, got)
		}
	}
}

// A sender of 2.0 learns exactly what was written, also when it sends the same once more.
func TestWrittenCounts(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "")
	ts := time.Now().UnixMilli()
	request := everything2(ts)
	for range 2 {
		checkWritten(t, must(t)(c.Do(t.Context(), http.MethodPost, writePath, headers2(), encoded(request))), http.StatusNoContent, 2, 1, 1)
	}
	request.Timeseries = append(request.Timeseries, writev2.TimeSeries{LabelsRefs: []uint32{1, 99}, Samples: []writev2.Sample{{Timestamp: ts, Value: 1}}})
	checkWritten(t, must(t)(c.Do(t.Context(), http.MethodPost, writePath, headers2(), encoded(request))), http.StatusBadRequest, 2, 1, 1)
	garbled := must(t)(c.Do(t.Context(), http.MethodPost, writePath, headers2(), []byte("no snappy")))
	checkWritten(t, garbled, http.StatusBadRequest, 0, 0, 0)
}

// Senders of 1.0 get 204, no counts, and may send metadata alone; the aliases of the path answer alike.
func TestRemoteWrite1(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "")
	metadata := &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{MetricFamilyName: "m", Type: prompb.MetricMetadata_GAUGE, Help: "h"}}}
	if r := must(t)(c.Do(t.Context(), http.MethodPost, writePath, headers1(), encoded(metadata))); !r.OK() {
		t.Errorf("metadata alone: %v", r)
	}
	for i, path := range []string{writePath, "/api/v1/push", "/api/v1/receive", "/prometheus" + writePath} {
		body := request1(series1(time.Now().UnixMilli(), "__name__", fmt.Sprint("by_path_", i)))
		r := must(t)(c.Do(t.Context(), http.MethodPost, path, headers1(), body))
		if r.Status != http.StatusNoContent || len(r.Body) > 0 || r.Header.Get("X-Prometheus-Remote-Write-Samples-Written") != "" {
			t.Errorf("%s: want a bare 204, got %v %v", path, r, r.Header)
		}
	}
	// Without headers that older senders leave out.
	bare := http.Header{"Content-Type": nil}
	if r := must(t)(c.Do(t.Context(), http.MethodPost, writePath, bare, request1(series1(time.Now().UnixMilli(), "__name__", "bare")))); r.Status != http.StatusNoContent {
		t.Errorf("without headers: %v", r)
	}
}

// What was acknowledged can be read by the next request, in each protocol.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "")
	now := time.Now()
	for i := range 30 {
		p := client.Protocols()[i%3]
		name := fmt.Sprint("written_", i)
		if r := must(t)(c.Write(t.Context(), p, client.One(now.UnixMilli(), float64(i), "__name__", name))); !r.OK() {
			t.Fatal(r)
		}
		streams, err := must(t)(c.Query(t.Context(), name, now)).Streams()
		if err != nil || len(streams) != 1 || streams[0].Value.V != float64(i) {
			t.Fatalf("%v: %s: got %+v, %v", p, name, streams, err)
		}
	}
}

// The requests that Grafana's Prometheus data source sends, from "Save & test" to the query editor, are answered.
func TestGrafanaRequests(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "team-a")
	now := time.Now()
	if r := must(t)(c.Write(t.Context(), client.RemoteWrite2, client.One(now.UnixMilli(), 1, "__name__", "seen", "job", "j"))); !r.OK() {
		t.Fatal(r)
	}
	seconds := []string{"start", strconv.FormatInt(now.Unix()-1800, 10), "end", strconv.FormatInt(now.Unix()+60, 10)}
	millis := []string{"start", strconv.FormatInt(now.UnixMilli()-1_800_000, 10), "end", strconv.FormatInt(now.UnixMilli(), 10)}
	with := func(base []string, more ...string) url.Values { return params(append(more, base...)...) }
	for _, g := range []struct {
		method, path string
		params       url.Values
		want         string
	}{
		{"POST", "/api/v1/query", params("query", "1+1", "time", "4"), `{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}`},
		{"GET", "/api/v1/status/buildinfo", nil, `"version":"`},
		{"GET", "/api/v1/rules", nil, `{"status":"success","data":{"groups":[]}}`},
		{"GET", "/api/v1/alerts", nil, `"alerts":[]`},
		{"GET", "/api/v1/query_exemplars", with(millis, "query", "test"), `{"status":"success","data":[]}`},
		{"GET", "/api/v1/label/__name__/values", with(seconds, "limit", "40000"), `"seen"`},
		{"POST", "/api/v1/labels", with(seconds, "limit", "40000"), `"job"`},
		{"GET", "/api/v1/metadata", params("limit", "40000"), `"status":"success"`},
		{"GET", "/api/v1/label/job/values", with(seconds, "match[]", `{__name__=~"s.*"}`), `["j"]`},
		{"POST", "/api/v1/label/job/values", with(seconds, "match[]", `seen`, "match[]", `other`), `["j"]`},
		{"POST", "/api/v1/series", with(seconds, "match[]", `{__name__!=""}`), `[{"__name__":"seen","job":"j"}]`},
		{"POST", "/api/v1/labels", with(seconds, "match[]", `{__name__=~".+",}`), `"job"`},
		{"POST", "/api/v1/query_range", with(seconds, "query", "seen", "step", "15"), `"resultType":"matrix"`},
		{"POST", "/api/v1/query?stats=all", params("query", "seen"), `"totalQueryableSamples":1`},
	} {
		for _, prefix := range []string{"", "/prometheus"} {
			send := c.Get
			if g.method == http.MethodPost {
				send = c.PostForm
			}
			r := must(t)(send(t.Context(), prefix+g.path, g.params))
			if err := answers(r, g.want); err != nil {
				t.Errorf("%s %s%s %v: %v", g.method, prefix, g.path, g.params, err)
			}
		}
	}
}

func answers(r *client.Reply, want string) error {
	if r.Status != http.StatusOK || !strings.Contains(string(r.Body), want) {
		return errors.New("want 200 with " + want + ", got " + r.String())
	}
	return nil
}
