package native

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may be nested.
const maxDepth = 10_000

// A syntaxError says where a text stops being JSON.
type syntaxError struct {
	offset int // Bytes before the offending one.
	what   string
}

func (e *syntaxError) Error() string { return e.what }

// position returns the line and the column, in bytes, of an offset into data; both count from 1.
func position(data []byte, offset int) (line, column int) {
	before := data[:min(offset, len(data))]
	return bytes.Count(before, []byte{'\n'}) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// A scanner reads one JSON text (RFC 8259) from left to right. It accepts exactly what encoding/json does; what strings
// and numbers mean is left to its user.
type scanner struct {
	data  []byte
	pos   int
	stack []byte // Open brackets of skip, kept for reuse.
}

func (s *scanner) fail(format string, args ...any) error {
	return &syntaxError{s.pos, fmt.Sprintf(format, args...)}
}

// peek moves over white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
		case 0:
			return 1 // A byte that is not JSON, but not the end either.
		default:
			return c
		}
	}
	return 0
}

// unexpected is the error for the byte at the current position.
func (s *scanner) unexpected(wanted string) error {
	rest := s.data[min(s.pos, len(s.data)):]
	switch {
	case len(rest) == 0:
		return s.fail("the text ends where %s should be", wanted)
	case bytes.HasPrefix(rest, []byte("\xef\xbb\xbf")):
		return s.fail("byte-order mark where %s should be: send UTF-8 without one", wanted)
	case bytes.HasPrefix(rest, []byte("NaN")) || bytes.HasPrefix(rest, []byte("Inf")):
		return s.fail("%s is not a JSON value", rest[:3])
	case rest[0] == '\'':
		return s.fail("single quote where %s should be: JSON strings take double quotes", wanted)
	}
	r, n := utf8.DecodeRune(rest)
	if r == utf8.RuneError && n == 1 {
		return s.fail("unexpected byte 0x%02x where %s should be", rest[0], wanted)
	}
	return s.fail("unexpected %q where %s should be", r, wanted)
}

// expect moves over c.
func (s *scanner) expect(c byte, wanted string) error {
	if s.peek() != c {
		return s.unexpected(wanted)
	}
	s.pos++
	return nil
}

// end makes sure that nothing but white space is left.
func (s *scanner) end() error {
	if s.peek() != 0 {
		return s.unexpected("the end of the text")
	}
	return nil
}

// str reads a string and returns what is between its quotes.
func (s *scanner) str(wanted string) (raw []byte, escaped bool, err error) {
	if err := s.expect('"', wanted); err != nil {
		return nil, false, err
	}
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start : s.pos-1], escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case c < 0x20:
			return nil, false, s.fail("control character 0x%02x in a string: write it as \\u%04x", c, c)
		default:
			s.pos++
		}
	}
	return nil, false, s.fail("the text ends inside a string")
}

// escape moves over an escape sequence.
func (s *scanner) escape() error {
	s.pos++
	if s.pos == len(s.data) {
		return s.fail("the text ends inside a string")
	}
	c := s.data[s.pos]
	s.pos++
	if bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0 {
		return nil
	}
	if c != 'u' {
		s.pos--
		return s.unexpected("the rest of an escape sequence")
	}
	for range 4 {
		if s.pos == len(s.data) || unhex(s.data[s.pos]) < 0 {
			return s.unexpected("a hexadecimal digit of \\uXXXX")
		}
		s.pos++
	}
	return nil
}

func unhex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// unescape appends the meaning of a string that str accepted to dst. It is false for half of a surrogate pair, which
// means no character; bytes that are not UTF-8 are kept.
func unescape(dst, raw []byte) ([]byte, bool) {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
			continue
		}
		switch c := raw[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := codeUnit(raw[i+2:])
			i += 4
			if utf16.IsSurrogate(r) {
				if len(raw) < i+8 || raw[i+2] != '\\' || raw[i+3] != 'u' {
					return dst, false
				}
				if r = utf16.DecodeRune(r, codeUnit(raw[i+4:])); r == utf8.RuneError {
					return dst, false
				}
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return dst, true
}

// codeUnit returns the value of four hexadecimal digits.
func codeUnit(digits []byte) rune {
	var r rune
	for _, c := range digits[:4] {
		r = r<<4 | unhex(c)
	}
	return r
}

// number reads a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.at() == '-' {
		s.pos++
	}
	switch {
	case s.at() == '0':
		s.pos++
	case s.digits() == 0:
		return nil, s.unexpected("a digit")
	}
	if s.at() == '.' {
		s.pos++
		if s.digits() == 0 {
			return nil, s.unexpected("a digit after the decimal point")
		}
	}
	if c := s.at(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.at(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return nil, s.unexpected("a digit of the exponent")
		}
	}
	return s.data[start:s.pos], nil
}

// at returns the byte at the current position, 0 at the end.
func (s *scanner) at() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

func (s *scanner) literal() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
			s.pos += len(word)
			return nil
		}
	}
	return s.unexpected("a value")
}

// skip moves over one value, whatever it is, without recursion.
func (s *scanner) skip() error {
	s.stack = s.stack[:0]
	for {
		opened, err := s.skipStart()
		if err != nil {
			return err
		}
		for !opened {
			if len(s.stack) == 0 {
				return nil
			}
			top := s.stack[len(s.stack)-1]
			switch c := s.peek(); {
			case c == top: // Closed.
				s.pos++
				s.stack = s.stack[:len(s.stack)-1]
				continue
			case c != ',':
				return s.unexpected(fmt.Sprintf("',' or '%c'", top))
			}
			s.pos++
			if top == '}' {
				if err := s.skipKey("a field name"); err != nil {
					return err
				}
			}
			break
		}
	}
}

// skipStart moves over a scalar, or into an array or object; opened says that a value of it comes next.
func (s *scanner) skipStart() (opened bool, err error) {
	c := s.peek()
	switch {
	case c == '"':
		_, _, err = s.str("a value")
	case c == '-' || '0' <= c && c <= '9':
		_, err = s.number()
	case c == '[' || c == '{':
		if len(s.stack) == maxDepth {
			return false, s.fail("values are nested deeper than %d", maxDepth)
		}
		s.stack = append(s.stack, c+2) // ']' and '}' stand two after their opening brackets.
		s.pos++
		if s.peek() == c+2 {
			return false, nil
		}
		if c == '{' {
			err = s.skipKey("a field name or '}'")
		}
		return true, err
	default:
		err = s.literal()
	}
	return false, err
}

func (s *scanner) skipKey(wanted string) error {
	if _, _, err := s.str(wanted); err != nil {
		return err
	}
	return s.expect(':', "':'")
}

// raw moves over one value and returns its text.
func (s *scanner) raw() ([]byte, error) {
	s.peek()
	start := s.pos
	if err := s.skip(); err != nil {
		return nil, err
	}
	return s.data[start:s.pos], nil
}

// elements calls each at the start of every element of the array that comes next. each must move over it.
func (s *scanner) elements(each func() error) error {
	if err := s.expect('[', "'['"); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.unexpected("',' or ']'")
		}
	}
}

// fields calls each at the start of the value of every field of the object that comes next, with the field's name as it
// stands between the quotes. each must move over the value.
func (s *scanner) fields(each func(raw []byte, escaped bool) error) error {
	if err := s.expect('{', "'{'"); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	wanted := "a field name or '}'"
	for {
		raw, escaped, err := s.str(wanted)
		if err != nil {
			return err
		}
		if err := s.expect(':', "':'"); err != nil {
			return err
		}
		if err := each(raw, escaped); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
			wanted = "a field name"
		case '}':
			s.pos++
			return nil
		default:
			return s.unexpected("',' or '}'")
		}
	}
}

// kindOf names the JSON type of a value that starts with c.
func kindOf(c byte) string {
	switch c {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
