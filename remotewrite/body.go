package remotewrite

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/golang/snappy"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
)

// A request is the memory that serving one takes. It is for reuse.
type request struct {
	compressed []byte
	body       []byte
	batch      *metric.Batch
	hold       ingest.Hold
	decoder    decoder
}

// maxKept bounds the memory of one kind that an idle request holds on to.
const maxKept = 4 << 20

// shrink lets go of unusually large memory, so that one huge request does not cost for ever.
func (q *request) shrink() {
	if cap(q.compressed) > maxKept {
		q.compressed = nil
	}
	if cap(q.body) > maxKept {
		// What the decoder keeps may be as large, and may point into the body.
		q.body, q.decoder = nil, decoder{}
	}
	if cap(q.decoder.symbols) > maxKept/24 || cap(q.decoder.rejected) > maxKept/64 || len(q.decoder.families) > maxKept/64 {
		q.decoder = decoder{}
	}
}

// sendLess is the way out of all limits on the size of a request.
const sendLess = "send smaller requests (max_samples_per_send in the sender's queue_config); nothing was stored"

const mediaType = "application/x-protobuf"

// negotiate checks method, Content-Type and Content-Encoding, in this order and before the body is looked at.
func negotiate(r *http.Request) (version, error) {
	if r.Method != http.MethodPost {
		return unknown, problem.New(problem.MethodNotAllowed, "remote write takes POST only, not %s", clip([]byte(r.Method)))
	}
	v, err := contentType(r.Header.Get("Content-Type"))
	if err != nil {
		return unknown, err
	}
	if enc := strings.TrimSpace(r.Header.Get("Content-Encoding")); enc != "" && !strings.EqualFold(enc, "snappy") {
		return v, problem.New(problem.UnsupportedMedia, "Content-Encoding %q is not supported: remote write is compressed with snappy (block format)", clip([]byte(enc)))
	}
	return v, nil
}

// contentType returns the protocol version that a Content-Type asks for.
func contentType(header string) (version, error) {
	switch strings.TrimSpace(header) {
	case "", mediaType: // All that senders of version 1.0 say.
		return v1, nil
	case mediaType + ";proto=" + messageV2: // And those of version 2.0.
		return v2, nil
	}
	typ, params, err := mime.ParseMediaType(header)
	if err == nil && typ == mediaType {
		proto, ok := params["proto"]
		switch {
		case !ok, strings.EqualFold(proto, messageV1):
			return v1, nil
		case strings.EqualFold(proto, messageV2):
			return v2, nil
		}
	}
	return unknown, problem.New(problem.UnsupportedMedia, "Content-Type %q is not supported: use %s;proto=%s or %s;proto=%s",
		clip([]byte(header)), mediaType, messageV1, mediaType, messageV2)
}

// body reads and decompresses the body. The result belongs to req.
func (a *API) body(r *http.Request, req *request) ([]byte, error) {
	if err := a.read(r, req); err != nil {
		return nil, err
	}
	n, err := snappy.DecodedLen(req.compressed)
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.Invalid, err, "the body is not in snappy's block format; nothing was stored")
	case n > a.opts.MaxDecoded:
		return nil, &problem.Error{
			Of:     problem.Invalid,
			Detail: fmt.Sprintf("the body is %d bytes long after decompression, the limit is %d (remote_write.max_decoded_bytes): %s", n, a.opts.MaxDecoded, sendLess),
			Limit:  &problem.Limit{Name: "decoded body", Max: int64(a.opts.MaxDecoded), Observed: int64(n), Setting: "remote_write.max_decoded_bytes"},
		}
	}
	if err := req.hold.Grow(int64(len(req.compressed)) + ingest.Weight*int64(n)); err != nil {
		return nil, err
	}
	if cap(req.body) < n {
		req.body = make([]byte, n)
	}
	body, err := snappy.Decode(req.body[:cap(req.body)], req.compressed)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the body is not in snappy's block format; nothing was stored")
	}
	a.metrics.bytes.WithLabelValues("compressed").Add(float64(len(req.compressed)))
	a.metrics.bytes.WithLabelValues("decoded").Add(float64(len(body)))
	return body, nil
}

// read fills req.compressed.
func (a *API) read(r *http.Request, req *request) error {
	limit := a.opts.MaxCompressed
	if r.ContentLength > int64(limit) {
		return tooLarge(limit, r.ContentLength)
	}
	buf := req.compressed[:0]
	// One byte more than needed lets the last read see the end without growing. A sender that promises much and sends
	// nothing gets little.
	if want := int(min(max(r.ContentLength+1, 512), 1<<20)); cap(buf) < want {
		buf = make([]byte, 0, want)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):min(cap(buf), limit+1)])
		buf = buf[:len(buf)+n]
		req.compressed = buf
		// What came, not what is promised: a sender that promises much and sends nothing takes nothing from others.
		if err := req.hold.Grow(int64(len(buf))); err != nil {
			return err
		}
		switch {
		case len(buf) > limit:
			return tooLarge(limit, max(r.ContentLength, int64(len(buf))))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return readError(r, err)
		}
	}
}

// readError says what a failure to read the body is. Nobody hears it if the sender is gone; a sender that was only slow
// must not drop its data.
func readError(r *http.Request, err error) error {
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return tooLarge(int(tooBig.Limit), max(r.ContentLength, tooBig.Limit+1))
	case errors.Is(err, os.ErrDeadlineExceeded): // Before the context, which net/http ends for this reason, too.
		return problem.Wrap(problem.Unavailable, err, "the body did not arrive in time: send it again")
	case r.Context().Err() != nil:
		return fmt.Errorf("remotewrite: read body: %w", r.Context().Err())
	default:
		return problem.Wrap(problem.Invalid, err, "the body could not be read to its end; nothing was stored")
	}
}

func tooLarge(limit int, observed int64) error {
	return &problem.Error{
		Of:     problem.TooLarge,
		Detail: fmt.Sprintf("the body is longer than %d bytes, the limit before decompression (remote_write.max_body_bytes): %s", limit, sendLess),
		Limit:  &problem.Limit{Name: "compressed body", Max: int64(limit), Observed: observed, Setting: "remote_write.max_body_bytes"},
	}
}
