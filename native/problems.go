package native

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// A detailedError is an error whose problem document has members of its own.
type detailedError struct {
	error
	extra map[string]any
}

func (e *detailedError) Unwrap() error { return e.error }

func asDetailed(err error) (*detailedError, bool) {
	var e *detailedError
	ok := errors.As(err, &e)
	return e, ok
}

// A complaint says what is wrong with one part of a request.
type complaint struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// complaints gathers everything that is wrong with a request, so that a client can mend it in one go.
type complaints []complaint

func (c *complaints) add(field, format string, args ...any) {
	*c = append(*c, complaint{field, fmt.Sprintf(format, args...)})
}

// err returns nil if there is nothing to complain about. More complaints than a client can use are only counted.
func (c complaints) err() error {
	const most = 50
	if len(c) == 0 {
		return nil
	}
	shown := c[:min(len(c), most)]
	texts := make([]string, 0, len(shown)+1)
	for _, x := range shown {
		texts = append(texts, x.Field+": "+x.Detail)
	}
	if n := len(c) - len(shown); n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", n))
	}
	return &detailedError{
		error: problem.New(problem.Invalid, "%s", strings.Join(texts, "; ")),
		extra: map[string]any{"errors": shown},
	}
}

// limited completes a limit error of the store with what only the API knows.
func limited(err error, setting string) error {
	var le *store.LimitError
	if !errors.As(err, &le) {
		return err
	}
	named := *le
	named.Setting = cmp.Or(le.Setting, setting)
	return &problem.Error{
		Of: problem.Execution, Detail: named.Error(), Err: err,
		// The store stops as soon as it is over the limit.
		Limit: &problem.Limit{Name: named.Limit, Max: named.Max, Observed: named.Max + 1, Setting: named.Setting},
	}
}

// clip keeps texts for people short, whatever a client sends.
func clip[S string | []byte](s S) string {
	const most = 64
	if len(s) <= most {
		return string(s)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return string(s[:cut]) + "..."
}
