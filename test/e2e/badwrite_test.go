package e2e_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/test/client"
)

// A badWrite is a write that must be refused, wholly or in part.
type badWrite struct {
	name   string
	method string // POST if empty.
	path   string
	header http.Header
	body   []byte
	status int
	texts  []string // Parts of the answer.
	kept   bool     // The series good_<number> in the same request is stored.
}

// Every bad write gets the right status and a text that helps, and costs nothing but itself.
func TestBadWrites(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir())
	c := newClient(t, server.URL(), "bad")
	now := time.Now()
	before := must(t)(c.Write(t.Context(), client.RemoteWrite1, client.One(now.UnixMilli(), 42, "__name__", "before")))
	if before.Status != http.StatusNoContent {
		t.Fatal(before)
	}
	g := &goods{now: now}
	cases := append(badTransports(g), badSeries1(g)...)
	cases = append(cases, badSeries2(g)...)
	cases = append(cases, badJSON(g)...)
	kept := 0
	for _, b := range cases {
		t.Run(b.name, func(t *testing.T) {
			if b.method == "" {
				b.method = http.MethodPost
			}
			reply := must(t)(c.Do(t.Context(), b.method, b.path, b.header, b.body))
			if reply.Status != b.status {
				t.Errorf("want status %d, got %v", b.status, reply)
			}
			for _, text := range b.texts {
				if !strings.Contains(string(reply.Body), text) {
					t.Errorf("the answer does not say %q: %v", text, reply)
				}
			}
		})
		if b.kept {
			kept++
		}
	}
	reply := must(t)(c.Query(t.Context(), `{__name__=~".+"}`, now.Add(time.Second)))
	streams, err := reply.Streams()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range streams {
		got[s.Metric["__name__"]] = true
		if name := s.Metric["__name__"]; name != "before" && !strings.HasPrefix(name, "good_") {
			t.Errorf("a series of a bad write was stored: %v", s.Metric)
		}
	}
	for _, name := range append(g.names, "before") {
		if !got[name] {
			t.Errorf("%s is lost: it was in a request beside something bad, or before it", name)
		}
	}
	if len(got) != kept+1 {
		t.Errorf("%d series are stored: want %d", len(got), kept+1)
	}
}

// goods makes good series to put beside bad ones.
type goods struct {
	now   time.Time
	names []string
}

func (g *goods) ms() int64 { return g.now.UnixMilli() }

func (g *goods) name() string {
	g.names = append(g.names, fmt.Sprintf("good_%d", len(g.names)))
	return g.names[len(g.names)-1]
}

func (g *goods) series1() prompb.TimeSeries {
	return series1(g.ms(), "__name__", g.name())
}

func series1(ts int64, pairs ...string) prompb.TimeSeries {
	s := prompb.TimeSeries{Samples: []prompb.Sample{{Timestamp: ts, Value: 1}}}
	for i := 0; i < len(pairs); i += 2 {
		s.Labels = append(s.Labels, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return s
}

func headers1() http.Header {
	return http.Header{
		"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"},
		"X-Prometheus-Remote-Write-Version": {"0.1.0"},
	}
}

func headers2() http.Header {
	return http.Header{
		"Content-Type":     {"application/x-protobuf;proto=io.prometheus.write.v2.Request"},
		"Content-Encoding": {"snappy"}, "X-Prometheus-Remote-Write-Version": {"2.0.0"},
	}
}

func with(h http.Header, name, value string) http.Header {
	h = maps.Clone(h)
	h.Set(name, value)
	return h
}

func encoded(m interface{ Marshal() ([]byte, error) }) []byte {
	b, err := client.Compress(m)
	if err != nil {
		panic(err) // Only a message built wrongly here can do that.
	}
	return b
}

func request1(series ...prompb.TimeSeries) []byte {
	return encoded(&prompb.WriteRequest{Timeseries: series})
}

const writePath = "/api/v1/write"

func badTransports(g *goods) []badWrite {
	good := request1(series1(g.ms(), "__name__", "never_stored"))
	claims := binary.AppendUvarint(nil, 1<<30) // A snappy block that says it holds 1 GiB.
	h := headers1()
	return []badWrite{
		{name: "GET", method: http.MethodGet, path: writePath, header: h, status: 405},
		{name: "PUT", method: http.MethodPut, path: writePath, header: h, body: good, status: 405},
		{name: "JSON", path: writePath, header: with(h, "Content-Type", "application/json"), body: good, status: 415, texts: []string{"application/json", "application/x-protobuf"}},
		{name: "image", path: writePath, header: with(h, "Content-Type", "image/png"), body: []byte("png"), status: 415},
		{name: "unknown message", path: writePath, header: with(h, "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v9.Request"), body: []byte("corrupt"), status: 415, texts: []string{"v9"}},
		{name: "gzip", path: writePath, header: with(h, "Content-Encoding", "gzip"), body: good, status: 415, texts: []string{"gzip", "snappy"}},
		{name: "zstd", path: writePath, header: with(h, "Content-Encoding", "zstd"), body: good, status: 415},
		{name: "no snappy", path: writePath, header: h, body: []byte("no snappy at all"), status: 400, texts: []string{"snappy"}},
		{name: "snappy frames", path: writePath, header: h, body: []byte("\xff\x06\x00\x00sNaPpY"), status: 400},
		{name: "cut off", path: writePath, header: h, body: good[:len(good)/2], status: 400},
		{name: "no protobuf", path: writePath, header: h, body: snappy.Encode(nil, []byte("no protobuf at all")), status: 400},
		{name: "no protobuf 2.0", path: writePath, header: headers2(), body: snappy.Encode(nil, []byte("no protobuf at all")), status: 400},
		{name: "bomb", path: writePath, header: h, body: append(claims, 0), status: 400, texts: []string{"limit"}},
		{name: "tenant with a slash", path: writePath, header: with(h, "X-Scope-OrgID", "../etc"), body: good, status: 400, texts: []string{"tenant id"}},
		{name: "tenant too long", path: writePath, header: with(h, "X-Scope-OrgID", strings.Repeat("a", 65)), body: good, status: 400, texts: []string{"64"}},
		{name: "empty tenant", path: writePath, header: with(h, "X-Scope-OrgID", ""), body: good, status: 400},
		{name: "unknown path", path: "/api/v1/nosuch", header: h, body: good, status: 404},
	}
}

func badSeries1(g *goods) []badWrite {
	day := 24 * time.Hour.Milliseconds()
	bad := func(name string, series prompb.TimeSeries, texts ...string) badWrite {
		return badWrite{
			name: "1.0 " + name, path: writePath, header: headers1(), body: request1(series, g.series1()),
			status: 400, texts: texts, kept: true,
		}
	}
	histogram := prompb.TimeSeries{
		Labels: []prompb.Label{{Name: "__name__", Value: "bad_histogram"}},
		Histograms: []prompb.Histogram{{
			Timestamp: g.ms(), Schema: 0, Sum: 3, Count: &prompb.Histogram_CountInt{CountInt: 99},
			PositiveSpans: []prompb.BucketSpan{{Offset: 0, Length: 1}}, PositiveDeltas: []int64{1},
		}},
	}
	return []badWrite{
		bad("no name", series1(g.ms(), "job", "x"), "metric name"),
		bad("empty name", series1(g.ms(), "__name__", ""), "metric name"),
		bad("name not UTF-8", series1(g.ms(), "__name__", "bad_\xff"), "UTF-8"),
		bad("label name not UTF-8", series1(g.ms(), "__name__", "bad", "l\xff", "v"), "UTF-8"),
		bad("label value not UTF-8", series1(g.ms(), "__name__", "bad", "l", "v\xff"), "UTF-8"),
		bad("label twice", series1(g.ms(), "__name__", "bad", "a", "1", "a", "2"), `"a"`),
		bad("empty label name", series1(g.ms(), "__name__", "bad", "", "v"), "empty"),
		bad("reserved label", series1(g.ms(), "__name__", "bad", "_tenant_id", "other"), "_tenant_id"),
		bad("future", series1(g.ms()+day, "__name__", "bad"), "10m"),
		bad("far future", series1(1<<62, "__name__", "bad"), "10m"),
		bad("name too long", series1(g.ms(), "__name__", strings.Repeat("n", 2000)), "1024"),
		bad("value too long", series1(g.ms(), "__name__", "bad", "l", strings.Repeat("v", 20000)), "16384"),
		bad("histogram count", histogram, "histogram"),
	}
}

func badSeries2(g *goods) []badWrite {
	symbols := []string{"", "__name__", "bad", "a", "b"}
	sample := []writev2.Sample{{Timestamp: g.ms(), Value: 1}}
	bad := func(name string, series writev2.TimeSeries, texts ...string) badWrite {
		good := writev2.TimeSeries{LabelsRefs: []uint32{1, uint32(len(symbols))}, Samples: sample}
		r := &writev2.Request{Symbols: append(slices.Clip(symbols), g.name()), Timeseries: []writev2.TimeSeries{series, good}}
		return badWrite{
			name: "2.0 " + name, path: writePath, header: headers2(), body: encoded(r), status: 400, texts: texts, kept: true,
		}
	}
	histogram := []writev2.Histogram{{Timestamp: g.ms(), Count: &writev2.Histogram_CountInt{CountInt: 0}}}
	return []badWrite{
		bad("symbol out of range", writev2.TimeSeries{LabelsRefs: []uint32{1, 77}, Samples: sample}, "77"),
		bad("odd references", writev2.TimeSeries{LabelsRefs: []uint32{1, 2, 3}, Samples: sample}),
		bad("samples and histograms", writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: sample, Histograms: histogram}, "histogram"),
		bad("nothing in it", writev2.TimeSeries{LabelsRefs: []uint32{1, 2}}),
		bad("no labels", writev2.TimeSeries{Samples: sample}, "metric name"),
		bad("label twice", writev2.TimeSeries{LabelsRefs: []uint32{1, 2, 3, 4, 3, 4}, Samples: sample}, `"a"`),
	}
}

func badJSON(g *goods) []badWrite {
	const path = "/luminate/v1/metrics"
	h := http.Header{"Content-Type": {"application/json"}}
	hour := time.Hour.Milliseconds()
	whole := func(name, body string, texts ...string) badWrite {
		return badWrite{name: "JSON " + name, path: path, header: h, body: []byte(body), status: 400, texts: texts}
	}
	part := func(name, item, reason string) badWrite {
		body := fmt.Sprintf(`[{"name":%q,"value":1,"timestamp":%d},%s]`, g.name(), g.ms(), item)
		return badWrite{
			name: "JSON " + name, path: path, header: h, body: []byte(body), status: 400, kept: true,
			texts: []string{`"accepted":1`, `"index":1`, reason},
		}
	}
	return []badWrite{
		whole("empty", "", "empty"),
		whole("not JSON", "cpu 1 2 3", "line 1"),
		whole("cut off", `[{"name":"bad","value":1`, "line 1"),
		whole("a number", "17"),
		{name: "JSON as protobuf", path: path, header: headers1(), body: []byte("{}"), status: 415},
		{name: "JSON by GET of a write", method: http.MethodPut, path: path, header: h, body: []byte("{}"), status: 405},
		part("no name", `{"value":1}`, "invalid_name"),
		part("empty name", `{"name":"","value":1}`, "invalid_name"),
		part("name with a dash", `{"name":"a-b","value":1}`, "invalid_name"),
		part("name with a digit first", `{"name":"1a","value":1}`, "invalid_name"),
		part("name too long", fmt.Sprintf(`{"name":%q,"value":1}`, strings.Repeat("n", 257)), "invalid_name"),
		part("too many dimensions", fmt.Sprintf(`{"name":"bad","value":1,"dimensions":{%s}}`, dimensions(21)), "too_many_dimensions"),
		part("dimension with a dot", `{"name":"bad","value":1,"dimensions":{"a.b":"c"}}`, "invalid_name"),
		part("dimension twice", `{"name":"bad","value":1,"dimensions":{"a":"b","a":"c"}}`, "duplicate_dimension"),
		part("reserved dimension", `{"name":"bad","value":1,"dimensions":{"_tenant_id":"other"}}`, "reserved_dimension"),
		part("too old", fmt.Sprintf(`{"name":"bad","value":1,"timestamp":%d}`, g.ms()-8*24*hour), "timestamp_too_old"),
		part("too new", fmt.Sprintf(`{"name":"bad","value":1,"timestamp":%d}`, g.ms()+2*hour), "timestamp_too_new"),
		part("infinite", `{"name":"bad","value":1e999}`, "value_not_finite"),
		part("no value", `{"name":"bad"}`, "value"),
		part("value is a word", `{"name":"bad","value":"many"}`, "value"),
		part("timestamp is a word", `{"name":"bad","value":1,"timestamp":"soon"}`, "timestamp"),
		part("dimensions is a list", `{"name":"bad","value":1,"dimensions":["a"]}`, "dimensions"),
		part("no object", `7`, "object"),
	}
}

func dimensions(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"d%d":"v"`, i))
	}
	return strings.Join(parts, ",")
}
