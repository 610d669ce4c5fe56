package server

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// minCompressed is the size of an answer in bytes from which on compressing it is worth while.
const minCompressed = 1024

// A compressor compresses answers of text and JSON for clients that accept it.
type compressor struct{ pools map[string]*sync.Pool }

// An encoder compresses one answer at a time.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// encodings lists the content encodings, the preferred first.
var encodings = [...]string{"zstd", "gzip"}

func newCompressor() *compressor {
	return &compressor{map[string]*sync.Pool{
		"gzip": {New: func() any {
			w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // The level is valid.
			return w
		}},
		"zstd": {New: func() any {
			// One goroutine, the caller's; the window bounds the memory of an idle encoder.
			w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
			return w
		}},
	}}
}

func (c *compressor) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		encoding := accepted(r.Header.Values("Accept-Encoding"))
		if encoding == "" {
			next.ServeHTTP(w, r)
			return
		}
		cw := &compressWriter{ResponseWriter: w, pool: c.pools[encoding], encoding: encoding}
		next.ServeHTTP(cw, r)
		// Not deferred: after a panic nothing of the answer may look complete.
		cw.close()
	})
}

// accepted returns the encoding to use, or "".
func accepted(headers []string) string {
	refused := map[string]bool{}
	for part := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		name = strings.ToLower(strings.TrimSpace(name))
		q := 1.0
		if v, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				q = 0
			}
		}
		refused[name] = q <= 0
	}
	for _, e := range encodings {
		if no, named := refused[e]; named && !no {
			return e
		}
	}
	return ""
}

// A compressWriter holds back the beginning of an answer until it is known whether compressing it is worth while.
type compressWriter struct {
	http.ResponseWriter
	pool     *sync.Pool
	encoding string

	status  int
	held    []byte
	decided bool
	enc     encoder // nil while nothing is compressed.
}

// Unwrap lets http.ResponseController reach the connection.
func (w *compressWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader holds the status back.
func (w *compressWriter) WriteHeader(status int) {
	switch {
	case status < http.StatusOK:
		w.ResponseWriter.WriteHeader(status)
	case w.status == 0:
		w.status = status
	}
}

// Write compresses p, holds it back or passes it on.
func (w *compressWriter) Write(p []byte) (int, error) {
	if !w.decided {
		if len(w.held)+len(p) < minCompressed {
			w.held = append(w.held, p...)
			return len(p), nil
		}
		if err := w.decide(true, p); err != nil {
			return 0, err
		}
	}
	if w.enc != nil {
		return w.enc.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// Flush sends what was written so far.
func (w *compressWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *compressWriter) FlushError() error {
	if !w.decided {
		if err := w.decide(true, nil); err != nil {
			return err
		}
	}
	if w.enc != nil {
		if err := w.enc.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// decide sends the header, and what was held back. next is what will be written after it.
func (w *compressWriter) decide(worthWhile bool, next []byte) error {
	w.decided = true
	if w.status == 0 {
		w.status = http.StatusOK
	}
	h := w.Header()
	if len(h["Content-Type"]) == 0 && len(w.held)+len(next) > 0 {
		h.Set("Content-Type", http.DetectContentType(append(w.held, next...)))
	}
	if worthWhile && compressible(h, w.status) {
		h.Set("Content-Encoding", w.encoding)
		h.Del("Content-Length")
		w.enc = w.pool.Get().(encoder)
		w.enc.Reset(w.ResponseWriter)
	}
	w.ResponseWriter.WriteHeader(w.status)
	held := w.held
	w.held = nil
	if len(held) == 0 {
		return nil
	}
	var err error
	if w.enc != nil {
		_, err = w.enc.Write(held)
	} else {
		_, err = w.ResponseWriter.Write(held)
	}
	return err
}

func compressible(h http.Header, status int) bool {
	if len(h["Content-Encoding"]) > 0 || status == http.StatusNoContent || status == http.StatusNotModified {
		return false
	}
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return false
	}
	switch t {
	case "application/json", "application/problem+json", "application/x-ndjson", "application/yaml", "application/openmetrics-text":
		return true
	}
	return strings.HasPrefix(t, "text/")
}

// close ends the answer. A client that has gone away is no failure of ours.
func (w *compressWriter) close() {
	if !w.decided {
		if w.status == 0 && len(w.held) == 0 {
			return // The handler said nothing: net/http will.
		}
		_ = w.decide(false, nil)
	}
	if w.enc != nil {
		_ = w.enc.Close()
		w.enc.Reset(nil)
		w.pool.Put(w.enc)
	}
}
