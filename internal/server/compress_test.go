package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/internal/server"
)

func plain(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var rd io.Reader = w.Body
	switch w.Header().Get("Content-Encoding") {
	case "gzip":
		g, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		rd = g
	case "zstd":
		z, err := zstd.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		rd = z
	}
	b, err := io.ReadAll(rd)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCompression(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	answer := func(contentType, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if contentType != "" {
				w.Header().Set("Content-Type", contentType)
			}
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(http.StatusAccepted)
			w.Write([]byte(body[:len(body)/2]))
			w.Write([]byte(body[len(body)/2:]))
		}
	}
	s := newServer(t, nil, server.Group{Fail: problem.WriteText, API: handlers{
		"/json":     answer("application/json", long, "Content-Length", fmt.Sprint(len(long))),
		"/problem":  answer("application/problem+json; charset=utf-8", long),
		"/text":     answer("text/plain; version=0.0.4", long),
		"/sniffed":  answer("", long),
		"/short":    answer("application/json", "{}"),
		"/protobuf": answer("application/x-protobuf", long),
		"/stream":   answer("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse", long),
		"/snappy":   answer("application/json", long, "Content-Encoding", "snappy"),
		"/nothing":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"/silent":   func(http.ResponseWriter, *http.Request) {},
		"/flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte("["))
			w.(http.Flusher).Flush()
			w.Write([]byte("]"))
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		},
	}})
	f := func(path, accept, encoding string, status int, want string) {
		t.Helper()
		for range 2 { // The second one gets a used encoder.
			w := do(s, "GET", path, "", "Accept-Encoding", accept)
			if got := w.Header().Get("Content-Encoding"); got != encoding || w.Code != status {
				t.Errorf("%s, %q: status %d, encoding %q, want %q", path, accept, w.Code, got, encoding)
			}
			if encoding == "snappy" {
				continue
			}
			if got := plain(t, w); got != want {
				t.Errorf("%s, %q: body of %d bytes, want %d", path, accept, len(got), len(want))
			}
			if encoding != "" && w.Header().Get("Content-Length") != "" {
				t.Errorf("%s: a length that is not that of the compressed body", path)
			}
		}
	}
	f("/json", "", "", 202, long)
	f("/json", "gzip", "gzip", 202, long)
	f("/json", "gzip, deflate, br", "gzip", 202, long)
	f("/json", "gzip, deflate, br, zstd", "zstd", 202, long)
	f("/json", "GZIP;q=0.5", "gzip", 202, long)
	f("/json", "zstd;q=0, gzip; q=0.1", "gzip", 202, long)
	f("/json", "gzip;q=0", "", 202, long)
	f("/json", "gzip;q=x", "", 202, long)
	f("/json", "snappy", "", 202, long)
	f("/json", "*", "", 202, long)
	f("/problem", "zstd", "zstd", 202, long)
	f("/text", "gzip", "gzip", 202, long)
	f("/sniffed", "gzip", "gzip", 202, long)
	f("/short", "gzip", "", 202, "{}")
	f("/protobuf", "gzip", "", 202, long)
	f("/stream", "gzip, zstd", "", 202, long)
	f("/snappy", "gzip", "snappy", 202, long)
	f("/nothing", "gzip", "", 204, "")
	f("/silent", "gzip", "", 200, "")
	f("/flushed", "zstd", "zstd", 200, "[]")
	f("/flushed", "gzip", "gzip", 200, "[]")

	got := strings.Join(do(s, "GET", "/json", "").Header().Values("Vary"), " ")
	if !strings.Contains(got, "Accept-Encoding") || !strings.Contains(got, "Origin") {
		t.Errorf("Vary: %q", got)
	}
}
