package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// requestSize bounds the body of a query or deletion.
func requestSize() size { return size{sent: 1 << 20, decoded: 1 << 20} }

// An object is a JSON object of a request, one field at a time. What is wrong with it goes to its complaints.
type object struct {
	path   string // Before the names of fields in complaints; "" for the request itself.
	fields map[string]json.RawMessage
	wrong  *complaints
}

// parseObject reads the body of a request that is one JSON object with the given fields.
func parseObject(body []byte, wrong *complaints, known ...string) (object, error) {
	s := scanner{data: body}
	switch c := s.peek(); c {
	case 0:
		return object{}, problem.New(problem.Invalid, "the body is empty: it must be a JSON object")
	case '{':
	default:
		if err := s.skip(); err != nil {
			return object{}, syntaxProblem(body, err)
		}
		return object{}, problem.New(problem.Invalid, "the body is %s: it must be a JSON object", kindOf(c))
	}
	o := object{wrong: wrong}
	if err := o.read(&s, known); err != nil {
		return object{}, syntaxProblem(body, err)
	}
	if err := s.end(); err != nil {
		return object{}, syntaxProblem(body, err)
	}
	return o, nil
}

func syntaxProblem(body []byte, err error) error {
	var syntax *syntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	line, column := position(body, syntax.offset)
	return &detailedError{
		error: problem.New(problem.Invalid, "line %d, column %d: %s", line, column, syntax.what),
		extra: map[string]any{"position": map[string]int{"offset": syntax.offset, "line": line, "column": column}},
	}
}

// read takes the fields of the object that comes next.
func (o *object) read(s *scanner, known []string) error {
	o.fields = map[string]json.RawMessage{}
	return s.fields(func(raw []byte, _ bool) error {
		name, ok := unescape(nil, raw)
		value, err := s.raw()
		if err != nil {
			return err
		}
		field := string(name)
		switch {
		case !ok || !slices.Contains(known, field):
			o.complain(clip(field), "unknown field: the fields are %s", strings.Join(known, ", "))
		case o.has(field):
			o.complain(field, "the field occurs twice")
		default:
			o.fields[field] = value
		}
		return nil
	})
}

func (o *object) complain(field, format string, args ...any) {
	o.wrong.add(o.path+field, format, args...)
}

func (o *object) has(field string) bool {
	_, ok := o.fields[field]
	return ok
}

// typed returns the text of a field whose value must be of one of the kinds: a string of first bytes, where 0 stands for
// any number.
func (o *object) typed(field, kinds, wanted string) (raw []byte, kind byte, ok bool) {
	raw, ok = o.fields[field]
	if !ok {
		return nil, 0, false
	}
	if kind = raw[0]; kind == '-' {
		kind = '0'
	} else if '0' <= kind && kind <= '9' {
		kind = '0'
	}
	if strings.IndexByte(kinds, kind) < 0 {
		o.complain(field, "is %s: it must be %s", kindOf(raw[0]), wanted)
		return nil, 0, false
	}
	return raw, kind, true
}

// text returns the value of a field that must be a string.
func (o *object) text(field string) (s string, ok bool) {
	raw, _, ok := o.typed(field, `"`, "a string")
	if !ok {
		return "", false
	}
	return o.decode(field, raw)
}

// decode returns the meaning of a JSON string, which must be UTF-8.
func (o *object) decode(field string, raw []byte) (string, bool) {
	s, ok := unescape(nil, raw[1:len(raw)-1])
	if !ok || !utf8.Valid(s) {
		o.complain(field, "is not valid UTF-8")
		return "", false
	}
	return string(s), true
}

// list returns the values of a field that must be an array.
func (o *object) list(field string) (raw [][]byte, ok bool) {
	text, _, ok := o.typed(field, "[", "an array")
	if !ok {
		return nil, false
	}
	s := scanner{data: text}
	// The text was scanned before: it is an array.
	_ = s.elements(func() error {
		element, err := s.raw()
		raw = append(raw, element)
		return err
	})
	return raw, true
}

// An element is a string of an array and where it stands.
type element struct{ at, text string }

// texts returns the strings of a field that must be an array of nothing else.
func (o *object) texts(field string) ([]element, bool) {
	raw, ok := o.list(field)
	if !ok {
		return nil, false
	}
	out := make([]element, 0, len(raw))
	for i, r := range raw {
		at := fmt.Sprintf("%s[%d]", field, i)
		if r[0] != '"' {
			o.complain(at, "is %s: it must be a string", kindOf(r[0]))
			ok = false
		} else if s, valid := o.decode(at, r); valid {
			out = append(out, element{at, s})
		} else {
			ok = false
		}
	}
	return out, ok
}

// time returns the value of a field that must be a time.
func (o *object) time(field string, now time.Time) (int64, bool) {
	raw, kind, ok := o.typed(field, `"0`, "milliseconds since the Unix epoch, or a string: RFC 3339, now, or now-1h")
	if !ok {
		return 0, false
	}
	if kind == '"' {
		s, ok := o.decode(field, raw)
		if !ok {
			return 0, false
		}
		t, err := parseTime(s, now)
		if err != nil {
			o.complain(field, "%v", err)
		}
		return t, err == nil
	}
	t, ok := wholeNumber(raw)
	if !ok {
		o.complain(field, "%s is not a whole number of milliseconds", clip(raw))
		return 0, false
	}
	if _, err := checkTime(t); err != nil {
		o.complain(field, "%v", err)
		return 0, false
	}
	return t, true
}

// duration returns the value of a field that must be a duration above 0; 0 if the field is not there.
func (o *object) duration(field string) time.Duration {
	raw, kind, ok := o.typed(field, `"0`, "a duration such as \"5m\", or a number of milliseconds")
	if !ok {
		return 0
	}
	var d time.Duration
	var err error
	if kind == '"' {
		s, valid := o.decode(field, raw)
		if !valid {
			return 0
		}
		d, err = parseDuration(s)
	} else if ms, whole := wholeNumber(raw); whole {
		d, err = millis(ms)
	} else {
		err = fmt.Errorf("%s is not a whole number of milliseconds", clip(raw))
	}
	if err != nil {
		o.complain(field, "%v", err)
	}
	return d
}

// count returns the value of a field that must be a whole number from 1; 0 if the field is not there.
func (o *object) count(field string) int64 {
	raw, _, ok := o.typed(field, "0", "a number")
	if !ok {
		return 0
	}
	n, whole := wholeNumber(bytes.TrimSpace(raw))
	if !whole || n < 1 {
		o.complain(field, "%s is not a whole number from 1", clip(raw))
		return 0
	}
	return n
}
