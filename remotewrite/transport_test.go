package remotewrite_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/remotewrite"
)

func body1(t *testing.T) []byte {
	t.Helper()
	return pack(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{named("up", at(0, 1))}})
}

func body2(t *testing.T) []byte {
	t.Helper()
	q := newV2()
	q.add(name("up"), atV2(0, 1))
	return pack(t, q.done())
}

func TestW01PostOnly(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/api/v1/write", "/api/v1/push", "/api/v1/receive", "/api/v1/prom/remote/write"} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			if a := r.do(method, path, body1(t)).is(t, 405); !strings.Contains(a.header.Get("Allow"), http.MethodPost) {
				t.Errorf("%s %s: Allow is %q", method, path, a.header.Get("Allow"))
			}
		}
		r.do(http.MethodPost, path, body1(t)).is(t, 204)
	}
	r.holds(`{__name__="up"} @0 1`)
}

func TestW02ContentType(t *testing.T) {
	r := newRig(t)
	for _, header := range []string{
		"", "application/x-protobuf", "application/x-protobuf;proto=prometheus.WriteRequest",
		"Application/X-Protobuf; Proto=prometheus.WriteRequest", ` application/x-protobuf ; proto="prometheus.WriteRequest"`,
		"application/x-protobuf; charset=utf-8",
	} {
		r.send(body1(t), "Content-Type", header).is(t, 204).wroteNothingSaid(t)
	}
	for _, header := range []string{typeV2, "application/x-protobuf; proto=io.prometheus.write.v2.Request"} {
		r.send(body2(t), "Content-Type", header).is(t, 204).wrote(t, 1, 0, 0)
	}
	for _, header := range []string{
		"application/json", "image/png", "text/plain", "application/x-protobuf;proto=io.prometheus.write.v3.Request",
		"application/x-protobuf;proto=", "application/x-protobuf;proto", "application/x-protobufs", ";",
	} {
		// Even when the body is corrupt, compressed in another way, or nothing at all.
		for _, body := range [][]byte{body1(t), body2(t), []byte("\xff\xffrubbish"), nil} {
			r.send(body, "Content-Type", header).is(t, 415, "proto=io.prometheus.write.v2.Request")
			r.send(body, "Content-Type", header, "Content-Encoding", "gzip").is(t, 415, "Content-Type")
		}
	}
	r.holds(`{__name__="up"} @0 1`)
}

// A body of one version that is declared as the other is never a success.
func TestW02MistakenVersion(t *testing.T) {
	r := newRig(t)
	r.send(body2(t), "Content-Type", typeV1).is(t, 400, "seems to be a io.prometheus.write.v2.Request")
	r.send(body1(t), "Content-Type", typeV2).is(t, 400, "seems to be a prometheus.WriteRequest").wrote(t, 0, 0, 0)
	r.holds()
}

func TestW03ContentEncoding(t *testing.T) {
	r := newRig(t)
	r.send(body1(t), "Content-Encoding", "").is(t, 204)
	r.send(body1(t), "Content-Encoding", "Snappy").is(t, 204)
	for _, enc := range []string{"gzip", "deflate", "zstd", "identity", "snappy, gzip"} {
		r.send(body1(t), "Content-Encoding", enc).is(t, 415, "snappy")
		r.send(body2(t), "Content-Encoding", enc, "Content-Type", typeV2).is(t, 415).wrote(t, 0, 0, 0)
	}
}

func TestW04BlockFormat(t *testing.T) {
	r := newRig(t)
	var framed bytes.Buffer
	w := snappy.NewBufferedWriter(&framed)
	if _, err := w.Write([]byte("\x0a\x00")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	good := body1(t)
	for _, body := range [][]byte{
		nil, []byte("not snappy at all"), framed.Bytes(), good[:len(good)-1], append([]byte{good[0] + 1}, good[1:]...),
		snappy.Encode(nil, []byte("not protobuf at all")), snappy.Encode(nil, []byte("\x0a\x05")), snappy.Encode(nil, []byte("\x08\x01\x28\x01")),
	} {
		r.send(body).is(t, 400, "nothing was stored")
		r.send(body, "Content-Type", typeV2).is(t, 400, "nothing was stored").wrote(t, 0, 0, 0)
	}
	r.holds()
}

// Of a body that is malformed anywhere nothing is stored, whatever stands before that place.
func TestW04MalformedStoresNothing(t *testing.T) {
	r := newRig(t)
	for contentType, body := range map[string][]byte{typeV1: body1(t), typeV2: body2(t)} {
		raw, err := snappy.Decode(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		for _, tail := range []string{"\x0a", "\x0a\x01\x0a", "\x2a\x03\x12\x01\x09", "\x1c"} {
			if contentType == typeV2 && strings.HasPrefix(tail, "\x0a\x01") {
				continue // Field 1 has no meaning there.
			}
			if contentType == typeV1 && strings.HasPrefix(tail, "\x2a") {
				continue
			}
			r.send(snappy.Encode(nil, append(slices.Clip(raw), tail...)), "Content-Type", contentType).is(t, 400, "malformed")
		}
	}
	r.holds()
}

func TestW05BodyLimits(t *testing.T) {
	r := newRig(t, func(o *remotewrite.Options) { o.MaxCompressed, o.MaxDecoded = 300, 600 })
	r.send(body1(t)).is(t, 204)
	r.send(make([]byte, 301)).is(t, 413, "300 bytes", "max_samples_per_send")
	r.send(make([]byte, 301), "Content-Type", typeV2).is(t, 413).wrote(t, 0, 0, 0)
	r.send(snappy.Encode(nil, make([]byte, 601))).is(t, 400, "601 bytes", "the limit is 600")
	// What is declared counts: these bytes would have to be decompressed to find the lie.
	r.send([]byte("\xff\xff\xff\xff\x0f\x00")).is(t, 400, "the limit is 600")

	// Without a Content-Length the limit holds as well.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.base+"/api/v1/write", io.MultiReader(bytes.NewReader(make([]byte, 5000))))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", resp.StatusCode)
	}
	r.holds(`{__name__="up"} @0 1`)
}

// A small body can't claim much memory by thousands of empty messages.
func TestW05ItemLimit(t *testing.T) {
	r := newRig(t, func(o *remotewrite.Options) { o.MaxItems = 1000 })
	for _, unit := range []string{"\x0a\x00", "\x0a\x02\x12\x00", "\x0a\x02\x1a\x00", "\x0a\x02\x22\x00", "\x1a\x00"} {
		r.send(snappy.Encode(nil, []byte(strings.Repeat(unit, 1001)))).is(t, 400, "more than 1000", "max_samples_per_send")
	}
	for _, unit := range []string{"\x22\x00", "\x2a\x00", "\x2a\x02\x12\x00", "\x2a\x02\x22\x00"} {
		r.send(snappy.Encode(nil, []byte(strings.Repeat(unit, 1001))), "Content-Type", typeV2).is(t, 400, "more than 1000").wrote(t, 0, 0, 0)
	}
	r.holds()
}

func TestW06VersionHeader(t *testing.T) {
	r := newRig(t)
	for _, version := range []string{"", "0.1.0", "2.0.0", "99"} {
		// The schema is chosen by the Content-Type alone.
		r.send(body1(t), "Content-Type", typeV1, "X-Prometheus-Remote-Write-Version", version, "User-Agent", "").is(t, 204).wroteNothingSaid(t)
		r.send(body2(t), "Content-Type", typeV2, "X-Prometheus-Remote-Write-Version", version, "User-Agent", "").is(t, 204).wrote(t, 1, 0, 0)
	}
}

func TestW07RetryAttempt(t *testing.T) {
	r := newRig(t)
	r.send(body1(t)).is(t, 204)
	r.send(body1(t), "Retry-Attempt", "1").is(t, 204)
	r.send(body1(t), "Retry-Attempt", "12").is(t, 204)
	r.send(body2(t), "Retry-Attempt", "3", "Content-Type", typeV2).is(t, 204)
	r.send(body1(t), "Retry-Attempt", "many").is(t, 204)
	for version, want := range map[string]float64{"1.0": 2, "2.0": 1} {
		if got := r.counter("luminate_remote_write_retried_requests_total", "version", version); got != want {
			t.Errorf("retries of version %s: %v, want %v", version, got, want)
		}
	}
	if got := r.counter("luminate_remote_write_requests_total", "code", "204", "version", "1.0"); got != 4 {
		t.Errorf("requests of version 1.0: %v, want 4", got)
	}
	if got := r.counter("luminate_remote_write_received_bytes_total", "form", "compressed"); got != float64(4*len(body1(t))+len(body2(t))) {
		t.Errorf("received bytes: %v", got)
	}
}

// W1-W3 stand in this order: the first thing that is wrong decides.
func TestW02OrderOfChecks(t *testing.T) {
	r := newRig(t, func(o *remotewrite.Options) { o.MaxCompressed = 10 })
	long := make([]byte, 100)
	r.do(http.MethodPut, "/api/v1/write", long, "Content-Type", "image/png").is(t, 405)
	r.send(long, "Content-Type", "image/png", "Content-Encoding", "gzip").is(t, 415, "Content-Type")
	r.send(long, "Content-Encoding", "gzip").is(t, 415, "Content-Encoding")
	r.send(long).is(t, 413)
	r.send(long[:9]).is(t, 400)
	if got := r.counter("luminate_rejected_items_total", "protocol", "remote_write_v1", "reason", string(metric.Malformed)); got != 0 {
		t.Errorf("%v items counted as rejected, want 0: none was known", got)
	}
}
