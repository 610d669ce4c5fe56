package native_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/tenancy"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t *testing.T, text string, opts ...zstd.EOption) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, append(opts, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const oneMetric = `{"name":"a","value":1}`

func TestBodyEncodings(t *testing.T) {
	ok := func(encoding, body string) {
		t.Helper()
		newFixture(t).write(body, 200, `{"accepted":1,"rejected":[]}`, "Content-Encoding: "+encoding)
	}
	ok("identity", oneMetric)
	ok("", oneMetric)
	ok("gzip", gzipped(t, oneMetric))
	ok(" GZip ", gzipped(t, oneMetric))
	ok("x-gzip", gzipped(t, oneMetric[:7])+gzipped(t, oneMetric[7:])) // Members follow each other.
	ok("zstd", zstandard(t, oneMetric))
	ok("zstd", zstandard(t, oneMetric[:7])+zstandard(t, oneMetric[7:]))
	ok("zstd", zstandard(t, oneMetric, zstd.WithWindowSize(8<<20)))
}

func TestBodyBadEncodings(t *testing.T) {
	bad := func(encoding, body string, status int, detail string) {
		t.Helper()
		f := newFixture(t)
		want := fmt.Sprintf(`{"detail":%q}`, detail)
		if status == 400 {
			want = fmt.Sprintf(`{"detail":%q,"accepted":0,"rejected":[]}`, detail)
		}
		f.write(body, status, want, "Content-Encoding: "+encoding)
		if got := f.stored(tenancy.Default); got != "" {
			t.Errorf("stored %s", got)
		}
	}
	zipped, z := gzipped(t, oneMetric), zstandard(t, oneMetric)
	bad("gzip", oneMetric, 400, "the body is not valid gzip data, as its Content-Encoding says")
	bad("gzip", "", 400, "the body ends within its gzip data")
	bad("gzip", zipped[:len(zipped)-3], 400, "the body ends within its gzip data")
	bad("gzip", zipped[:len(zipped)-6]+"xxxxxx", 400, "the body is not valid gzip data, as its Content-Encoding says")
	bad("gzip", zipped+"garbage that follows", 400, "the body is not valid gzip data, as its Content-Encoding says")
	bad("zstd", oneMetric, 400, "the body is not valid zstd data, as its Content-Encoding says")
	bad("zstd", z[:len(z)-3], 400, "the body ends within its zstd data")
	// Nine bytes that declare a window of 512 MiB.
	bad("zstd", "\x28\xb5\x2f\xfd\x00\x98\x01\x00\x00", 413,
		"the zstd frame asks for a window above 8388608 bytes: compress with a smaller window")
	bad("snappy", oneMetric, 415, `Content-Encoding "snappy" is not understood: use one of zstd, gzip, identity`)
	bad("gzip, gzip", oneMetric, 415, `Content-Encoding "gzip, gzip" is not understood: use one of zstd, gzip, identity`)

	w := newFixture(t).do(http.MethodPost, "/luminate/v1/metrics", oneMetric, "Content-Encoding: br")
	if got := w.Header().Get("Accept-Encoding"); w.Code != 415 || got != "zstd, gzip, identity" {
		t.Errorf("status %d, Accept-Encoding %q", w.Code, got)
	}
}

func TestBodyContentTypes(t *testing.T) {
	bad := func(contentType, detail string) {
		t.Helper()
		newFixture(t).write(oneMetric, 415, fmt.Sprintf(`{"detail":%q}`, detail), "Content-Type: "+contentType)
	}
	bad("text/xml", `Content-Type "text/xml" is not understood: use application/json, or application/x-ndjson for one metric a line`)
	bad("application/x-protobuf", `Content-Type "application/x-protobuf" is not understood: use application/json, or application/x-ndjson for one metric a line`)
	bad("a/b/c", `Content-Type "a/b/c" can't be understood: use application/json`)
	bad("application/json; charset=latin1", `charset "latin1" is not understood: JSON is sent as UTF-8`)
}

// endless is a body without an end, which counts what is read of it.
type endless struct {
	unit string
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e.unit) <= len(p) {
		n += copy(p[n:], e.unit)
	}
	if n == 0 {
		n = copy(p, e.unit)
	}
	e.read += int64(n)
	return n, nil
}

func TestBodyTooLong(t *testing.T) {
	limits := func(o *native.Options) { o.Limits.BodyBytes, o.Limits.DecodedBytes = 100, 1<<20 }
	const tooLong = `{
		"detail":"the body is longer than 100 bytes, the limit set by native.max_body_bytes: send smaller requests",
		"limit":{"name":"body_bytes","max":100,"observed":%d,"setting":"native.max_body_bytes"}}`
	fits := oneMetric + strings.Repeat(" ", 100-len(oneMetric))
	f := newFixture(t, limits)
	f.write(fits, 200, `{"accepted":1,"rejected":[]}`)

	// The declared length is enough to refuse.
	e := &endless{unit: "x"}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/luminate/v1/metrics", e)
	r.ContentLength = 1 << 40
	f.want(f.send(r), 413, fmt.Sprintf(tooLong, int64(1)<<40))
	if e.read != 0 {
		t.Errorf("%d bytes were read of a body that declares too much", e.read)
	}

	// Without one it is read up to the limit.
	r = httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/luminate/v1/metrics", e)
	f.want(f.send(r), 413, fmt.Sprintf(tooLong, 101))
	if e.read > 101 {
		t.Errorf("%d bytes were read with a limit of 100", e.read)
	}

	for encoding, body := range map[string]string{"gzip": gzipped(t, longText(2000)), "zstd": zstandard(t, longText(2000))} {
		if len(body) <= 100 {
			t.Fatalf("%s body of %d bytes is no test", encoding, len(body))
		}
		r = httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/luminate/v1/metrics", io.MultiReader(strings.NewReader(body)))
		f.want(f.send(r, "Content-Encoding: "+encoding), 413, fmt.Sprintf(tooLong, 101))
	}
}

// longText returns text that does not compress well.
func longText(n int) string {
	var b strings.Builder
	x := uint32(1)
	for range n {
		x = x*1664525 + 1013904223
		b.WriteByte(byte(33 + x>>24%90))
	}
	return b.String()
}

func TestBodyBombs(t *testing.T) {
	const limit = 1 << 20
	bomb := strings.Repeat(" ", 64<<20) + oneMetric
	for encoding, body := range map[string]string{"gzip": gzipped(t, bomb), "zstd": zstandard(t, bomb)} {
		f := newFixture(t, func(o *native.Options) { o.Limits.DecodedBytes = limit })
		counted := &counter{r: strings.NewReader(body)}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/luminate/v1/metrics", counted)
		f.want(f.send(r, "Content-Encoding: "+encoding), 413, `{
			"detail":"the decompressed body is longer than 1048576 bytes, the limit set by native.max_decoded_bytes: send smaller requests",
			"limit":{"name":"decompressed_body_bytes","max":1048576,"observed":1048577,"setting":"native.max_decoded_bytes"}}`)
		if counted.n > len(body)/2 && encoding == "gzip" {
			t.Errorf("%s: %d of %d bytes were read", encoding, counted.n, len(body))
		}
	}
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// failing is a body that ends with an error.
type failing struct {
	text io.Reader
	err  error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.text.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

func TestBodyReadErrors(t *testing.T) {
	fails := func(cause error, encoding string, status int, detail string) {
		t.Helper()
		f := newFixture(t)
		body := failing{strings.NewReader("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), cause}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/luminate/v1/metrics", body)
		w := f.send(r, "Content-Encoding: "+encoding)
		if w.Code != status || !strings.Contains(w.Body.String(), detail) {
			t.Errorf("%v: status %d: %s", cause, w.Code, w.Body)
		}
	}
	for _, encoding := range []string{"identity", "gzip"} {
		fails(os.ErrDeadlineExceeded, encoding, 503, "the body did not arrive in time")
		fails(&http.MaxBytesError{Limit: 7}, encoding, 413, "the body is longer than 7 bytes")
	}
	fails(io.ErrUnexpectedEOF, "identity", 400, "the body ends before its declared length")
	fails(io.ErrUnexpectedEOF, "gzip", 400, "the body ends within its gzip data")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/luminate/v1/metrics", failing{strings.NewReader(""), context.Canceled})
	if w := newFixture(t).send(r); w.Code != 499 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}
