package remoteread

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// maxPiece is how many bytes a client takes in one stretch of patience.
const maxPiece = 1 << 20

// patience is how long a client may let the server wait.
type patience struct {
	connection *http.ResponseController
	now        func() time.Time // Of the system: the connection compares with that.
	stall      time.Duration    // For one piece.
	until      time.Time        // For the whole answer; zero means no limit.
}

// patience begins with an answer to w.
func (a *API) patience(w http.ResponseWriter) patience {
	p := patience{connection: http.NewResponseController(w), now: a.opts.Now, stall: a.opts.MaxStall}
	if a.opts.MaxAnswer > 0 {
		p.until = p.now().Add(a.opts.MaxAnswer)
	}
	return p
}

// write sends b.
func (p *patience) write(w io.Writer, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), maxPiece)
		p.renew()
		if _, err := w.Write(b[:n]); err != nil {
			return p.lost(err)
		}
		b = b[n:]
	}
	return nil
}

// flush sends what was written.
func (p *patience) flush() error {
	p.renew()
	// A writer that can't flush does it when the handler returns.
	if err := p.connection.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return p.lost(err)
	}
	return nil
}

// done sends what is left. What comes after this answer has its own time.
func (p *patience) done() error {
	err := p.flush()
	p.set(p.until)
	return err
}

// renew gives the client the time for another piece.
func (p *patience) renew() {
	at := p.now().Add(p.stall)
	if !p.until.IsZero() && at.After(p.until) {
		at = p.until
	}
	p.set(at)
}

// set sets the time at which writing fails. Where there is no connection, as in a test, nobody is slow.
func (p *patience) set(at time.Time) { _ = p.connection.SetWriteDeadline(at) }

// lost is the error for a client that does not take its answer.
func (p *patience) lost(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem.Wrap(problem.Timeout, err, fmt.Sprintf(
			"the client was too slow: it may take %v for each MiB of its answer, the limit set by remote_read.max_stall, and for all of it as long as server.write_timeout says", p.stall))
	}
	return problem.Wrap(problem.Canceled, err, "the client went away")
}
