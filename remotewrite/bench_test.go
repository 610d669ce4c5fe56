package remotewrite

import (
	"fmt"
	"testing"

	"github.com/gogo/protobuf/proto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// scrape is what Prometheus sends in one request: a few series for each of many targets, 11 labels, sorted.
func scrape(series int) []labels.Labels {
	out := make([]labels.Labels, series)
	for i := range out {
		out[i] = labels.FromStrings("__name__", fmt.Sprintf("http_request_duration_seconds_%d", i%40), "cluster", "eu-west-1",
			"code", "200", "container", "api", "endpoint", "http", "handler", "/api/v1/query", "instance", fmt.Sprintf("10.0.%d.7:9090", i/40),
			"job", "api-server", "method", "GET", "namespace", "production", "pod", fmt.Sprintf("api-server-6d4cf56db6-%05d", i/40))
	}
	return out
}

func bodyV1(tb testing.TB, series int) []byte {
	tb.Helper()
	req := &prompb.WriteRequest{}
	for i, ls := range scrape(series) {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  prompb.FromLabels(ls, nil),
			Samples: []prompb.Sample{{Timestamp: 1_700_000_000_000 + int64(i%7), Value: float64(i) + 0.5}},
		})
	}
	body, err := proto.Marshal(req)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func bodyV2(tb testing.TB, series int, start int64, metadata bool) []byte {
	tb.Helper()
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for i, ls := range scrape(series) {
		ts := writev2.TimeSeries{
			LabelsRefs: symbols.SymbolizeLabels(ls, nil),
			Samples:    []writev2.Sample{{Timestamp: 1_700_000_000_000 + int64(i%7), Value: float64(i) + 0.5, StartTimestamp: start}},
			Exemplars:  []writev2.Exemplar{{LabelsRefs: []uint32{1, 2}, Value: 1, Timestamp: 1_700_000_000_000}},
		}
		if metadata {
			ts.Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM, HelpRef: symbols.Symbolize("How long requests take.")}
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = symbols.Symbols()
	body, err := proto.Marshal(req)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func decodeAgain(tb testing.TB, d *decoder, decode func(*decoder, []byte) error, body []byte) {
	tb.Helper()
	d.batch.Reset()
	d.reset(d.batch, d.rules, DefaultMaxItems, DefaultMaxLabels)
	if err := decode(d, body); err != nil {
		tb.Fatal(err)
	}
}

// In steady state decoding allocates nothing, however many series a request has.
func TestDecodeDoesNotAllocate(t *testing.T) {
	check := func(name string, body []byte, decode func(*decoder, []byte) error) {
		t.Run(name, func(t *testing.T) {
			d := newDecoder()
			decodeAgain(t, d, decode, body)
			if n := len(d.batch.Series); n != 500 {
				t.Fatalf("decoded %d series, want 500", n)
			}
			for range 3 { // The arena of a batch grows to its size.
				decodeAgain(t, d, decode, body)
			}
			if n := testing.AllocsPerRun(20, func() { decodeAgain(t, d, decode, body) }); n != 0 {
				t.Errorf("decoding 500 series allocates %v times, want 0", n)
			}
		})
	}
	v1, v2 := (*decoder).decodeV1, (*decoder).decodeV2
	check("1.0", bodyV1(t, 500), v1)
	check("2.0", bodyV2(t, 500, 0, false), v2)
	check("2.0 with start timestamps", bodyV2(t, 500, 1_600_000_000_000, false), v2)
	check("2.0 with metadata", bodyV2(t, 500, 0, true), v2)
}

func BenchmarkDecodeV1(b *testing.B) {
	benchmarkDecode(b, newDecoder(), (*decoder).decodeV1, bodyV1(b, 2000))
}

func BenchmarkDecodeV2(b *testing.B) {
	benchmarkDecode(b, newDecoder(), (*decoder).decodeV2, bodyV2(b, 2000, 1_600_000_000_000, false))
}

func BenchmarkDecodeV2Metadata(b *testing.B) {
	benchmarkDecode(b, newDecoder(), (*decoder).decodeV2, bodyV2(b, 2000, 1_600_000_000_000, true))
}

func benchmarkDecode(b *testing.B, d *decoder, decode func(*decoder, []byte) error, body []byte) {
	b.Helper()
	b.ReportAllocs()
	for range 4 {
		decodeAgain(b, d, decode, body)
	}
	for b.Loop() {
		decodeAgain(b, d, decode, body)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/sample")
}
