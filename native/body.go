package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/problem"
)

// maxWindow is the largest zstd window: what every decoder must offer (RFC 8878, section 3.1.1.1.2). A frame of nine
// bytes may declare far more, to be allocated by us.
const maxWindow = 8 << 20

// acceptEncoding is the answer to an encoding that is not spoken here (RFC 9110, section 15.5.16).
const acceptEncoding = "zstd, gzip, identity"

// A size bounds a request body.
type size struct {
	sent, decoded               int64
	sentSetting, decodedSetting string // Configuration keys that raise the bounds; empty if there are none.

	hold *ingest.Hold // Grows with the body; nil if its memory is not counted.
}

// body reads the request's body and undoes its compression. The result is valid until the next call with buf.
func body(w http.ResponseWriter, r *http.Request, most size, buf *[]byte) ([]byte, error) {
	if r.ContentLength > most.sent {
		return nil, tooLarge("body", most.sent, r.ContentLength, most.sentSetting)
	}
	sent := &capped{r: r.Body, left: most.sent, over: tooLarge("body", most.sent, most.sent+1, most.sentSetting)}
	plain, done, err := decompress(r.Header.Values("Content-Encoding"), sent)
	if err != nil {
		if problem.KindOf(err) == problem.UnsupportedMedia {
			w.Header().Set("Accept-Encoding", acceptEncoding)
		}
		return nil, readError(r.Context(), err)
	}
	defer done()
	out, err := fill((*buf)[:0], plain, most.decoded+1, most.hold)
	*buf = out
	switch {
	case err != nil:
		return nil, readError(r.Context(), err)
	case int64(len(out)) > most.decoded:
		return nil, tooLarge("decompressed body", most.decoded, most.decoded+1, most.decodedSetting)
	}
	return out, nil
}

func tooLarge(what string, most, observed int64, setting string) error {
	limit := ", the limit"
	if setting != "" {
		limit += " set by " + setting
	}
	return &problem.Error{
		Of:     problem.TooLarge,
		Detail: fmt.Sprintf("the %s is longer than %d bytes%s: send smaller requests", what, most, limit),
		Limit:  &problem.Limit{Name: strings.ReplaceAll(what, " ", "_") + "_bytes", Max: most, Observed: observed, Setting: setting},
	}
}

// decompress returns what reads the content of r, and a function that frees it.
func decompress(encodings []string, r io.Reader) (io.Reader, func(), error) {
	switch encoding := strings.ToLower(strings.TrimSpace(strings.Join(encodings, ","))); encoding {
	case "", "identity":
		return r, func() {}, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, encodingError("gzip", err)
		}
		return wrapped{z, "gzip"}, func() { _ = z.Close() }, nil
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, encodingError("zstd", err)
		}
		return wrapped{z, "zstd"}, z.Close, nil
	default:
		return nil, nil, problem.New(problem.UnsupportedMedia,
			"Content-Encoding %q is not understood: use one of %s", clip(encoding), acceptEncoding)
	}
}

// wrapped names the encoding in what goes wrong.
type wrapped struct {
	io.Reader
	encoding string
}

func (w wrapped) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = encodingError(w.encoding, err)
	}
	return n, err
}

func encodingError(encoding string, err error) error {
	var own *problem.Error
	switch {
	case errors.As(err, &own) || isTransport(err):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return problem.Wrap(problem.TooLarge, err,
			fmt.Sprintf("the zstd frame asks for a window above %d bytes: compress with a smaller window", maxWindow))
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return problem.Wrap(problem.Invalid, err, "the body ends within its "+encoding+" data")
	default:
		return problem.Wrap(problem.Invalid, err, "the body is not valid "+encoding+" data, as its Content-Encoding says")
	}
}

// isTransport reports whether err comes from the connection, not from what was sent over it.
func isTransport(err error) bool {
	var tooBig *http.MaxBytesError
	return errors.As(err, &tooBig) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// readError gives an error of reading a body its kind.
func readError(ctx context.Context, err error) error {
	var own *problem.Error
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return err
	case errors.As(err, &tooBig):
		return tooLarge("body", tooBig.Limit, tooBig.Limit+1, settingBody)
	case errors.Is(err, os.ErrDeadlineExceeded): // Before the context, which net/http ends for this reason, too.
		return problem.Wrap(problem.Timeout, err, "the body did not arrive in time")
	case ctx.Err() != nil:
		return problem.Wrap(problem.Canceled, err, "the request was canceled while its body was read")
	default:
		return problem.Wrap(problem.Invalid, err, "the body ends before its declared length")
	}
}

// capped is a reader that fails when there is more to read than it may.
type capped struct {
	r    io.Reader
	left int64
	over error
}

func (c *capped) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	// One byte more than allowed tells a body that is too long from one that just fits.
	n, err := c.r.Read(p[:min(int64(len(p)), c.left+1)])
	if int64(n) > c.left {
		return int(c.left), c.over
	}
	c.left -= int64(n)
	return n, err
}

// fill appends r to buf until it ends or buf holds most bytes. It never allocates more than that. The hold, which may be
// nil, grows with what was read.
func fill(buf []byte, r io.Reader, most int64, hold *ingest.Hold) ([]byte, error) {
	for int64(len(buf)) < most {
		if len(buf) == cap(buf) {
			bigger := make([]byte, len(buf), min(max(2*int64(cap(buf)), 4096), most))
			copy(bigger, buf)
			buf = bigger
		}
		n, err := r.Read(buf[len(buf):min(int64(cap(buf)), most)])
		buf = buf[:len(buf)+n]
		if hold != nil {
			if over := hold.Grow(ingest.Weight * int64(len(buf))); over != nil {
				return buf, over
			}
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// contentType checks the media type of a body; lines says that it declares one JSON text a line. What common clients
// send without being told, application/x-www-form-urlencoded and text/plain, passes unless strict.
func contentType(r *http.Request, strict bool) (lines bool, err error) {
	declared := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(declared)
	if declared != "" && err != nil {
		return false, problem.New(problem.UnsupportedMedia, "Content-Type %q can't be understood: use application/json", clip(declared))
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return false, problem.New(problem.UnsupportedMedia, "charset %q is not understood: JSON is sent as UTF-8", clip(charset))
	}
	switch {
	case media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"):
		return false, nil
	case strict:
		return false, problem.New(problem.UnsupportedMedia,
			"Content-Type %q is not taken here: use application/json", clip(declared))
	case media == "application/x-ndjson" || media == "application/ndjson" || media == "application/jsonl":
		return true, nil
	case media == "" || media == "text/plain" || media == "application/x-www-form-urlencoded":
		return false, nil
	default:
		return false, problem.New(problem.UnsupportedMedia,
			"Content-Type %q is not understood: use application/json, or application/x-ndjson for one metric a line", clip(declared))
	}
}
