package store

import (
	"errors"
	"fmt"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// Errors that every backend reports the same way. Test with errors.Is.
var (
	// ErrUnavailable reports that retrying later may help; nothing is known about a write.
	ErrUnavailable = &problem.Error{Of: problem.Unavailable, Detail: "the store is not available now: try again later"}

	// ErrClosed reports a call after Close.
	ErrClosed = &problem.Error{Of: problem.Unavailable, Detail: "the store is closed: the server is shutting down"}

	// ErrReadOnly reports that the store takes no writes now, while reads go on: the disk is full. It ends by itself.
	ErrReadOnly = &problem.Error{Of: problem.Unavailable, Detail: "the disk is full: the store takes no writes until there is space, reads go on"}

	// ErrCorrupt reports stored data that can't be read back. It stops the call that met it.
	ErrCorrupt = errors.New("store: corrupt data")

	// ErrDeclined reports that a backend leaves a rollup to its caller.
	ErrDeclined = errors.New("store: rollup declined")
)

// A LimitError reports a query that was stopped because it would cost too much.
type LimitError struct {
	Limit   string // What is limited: "series", "samples" or "groups".
	Max     int64
	Setting string // Configuration key that raises the limit.
}

// Error names the limit and the way out.
func (e *LimitError) Error() string {
	return fmt.Sprintf("the query needs more than %d %s, the limit set by %s: select fewer series or a shorter range", e.Max, e.Limit, e.Setting)
}

// Kind makes a LimitError a query that can't be answered.
func (e *LimitError) Kind() problem.Kind { return problem.Execution }
