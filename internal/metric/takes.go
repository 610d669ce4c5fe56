package metric

import (
	"bytes"
	"encoding/binary"

	"github.com/prometheus/prometheus/model/labels"
)

// Takes reports whether b is the canonical encoding of labels that keep r. Labels in ASCII, which almost all are, cost a
// fraction of the walk that finds out what is wrong with others.
func (r *Rules) Takes(b []byte) bool {
	if r.takesASCII(b) {
		return true
	}
	if CanonicalPrefix(b) != len(b) {
		return false
	}
	reason, _ := r.checkLabels(b)
	return reason == ""
}

const highBits = 0x8080808080808080

// isASCII reports whether all bytes of b are below 0x80.
func isASCII(b []byte) bool {
	var all uint64
	for ; len(b) >= 32; b = b[32:] {
		all |= binary.LittleEndian.Uint64(b) | binary.LittleEndian.Uint64(b[8:]) |
			binary.LittleEndian.Uint64(b[16:]) | binary.LittleEndian.Uint64(b[24:])
	}
	for ; len(b) >= 8; b = b[8:] {
		all |= binary.LittleEndian.Uint64(b)
	}
	for _, c := range b {
		all |= uint64(c)
	}
	return all&highBits == 0
}

// metricNameKey is what nameKey returns for __name__, which has eight bytes.
const metricNameKey = 0x5f5f6e616d655f5f

// nameKey returns the first eight bytes of a name of n bytes at the front of b, such that smaller keys mean smaller names.
// There must be eight bytes in b.
func nameKey(b []byte, n int) uint64 {
	key := binary.BigEndian.Uint64(b)
	if n < 8 {
		key &= ^uint64(0) << (64 - 8*n)
	}
	return key
}

// takesASCII is Takes for bytes below 0x80, so that each length is one byte and everything is valid UTF-8. False means that
// somebody else must find out.
func (r *Rules) takesASCII(b []byte) bool {
	if !isASCII(b) {
		return false
	}
	maxName, maxValue := upTo127(r.MaxNameLength), upTo127(r.MaxValueLength)
	var last uint64
	var lastName []byte
	named := false
	dimensions := 0
	for len(b) > 0 {
		n, v := asciiLabel(b)
		if v == 0 {
			return false
		}
		name, value := b[4:4+n], b[6+n:6+n+v]
		key := nameKey(b[4:], n)
		if key <= last && (key < last || bytes.Compare(lastName, name) >= 0) {
			return false
		}
		last, lastName = key, name
		b = b[6+n+v:]
		if key == metricNameKey && n == 8 {
			named = true
			if v > maxName || !r.UTF8Names && !plainName(value) {
				return false
			}
			continue
		}
		dimensions++
		if n > maxName || v > maxValue || !r.UTF8Names && !plainName(name) || n == len(r.Reserved) && string(name) == r.Reserved {
			return false
		}
	}
	return named && (r.MaxDimensions <= 0 || dimensions <= r.MaxDimensions)
}

// upTo127 is a limit for lengths that are no larger anyway.
func upTo127(limit int) int {
	if limit <= 0 {
		return 127
	}
	return limit
}

// TakesLabel reports whether r takes a label that has a name and a value. It does not count dimensions.
func (r *Rules) TakesLabel(name, value []byte) bool {
	if string(name) == labels.MetricName {
		reason, _ := r.checkName("", value)
		return reason == ""
	}
	reason, _ := r.checkDimension(name, value)
	return reason == ""
}

// NameKey returns the first eight bytes of a name, such that a smaller key means a smaller name. Of names with equal keys it
// says nothing.
func NameKey(name []byte) uint64 {
	var b [8]byte
	return nameKey(b[:], copy(b[:], name))
}

// asciiLabel returns the lengths of the name and the value of the label at the front of b, whose bytes are below 0x80; zero
// if it is not in canonical form, or if too little of b follows it for nameKey.
func asciiLabel(b []byte) (name, value int) {
	if len(b) < 12 || b[0] != tagLabel || b[2] != tagName {
		return 0, 0
	}
	name = int(b[3])
	value = int(b[1]) - 4 - name
	if name == 0 || value <= 0 || 6+name+value > len(b) || b[4+name] != tagValue || int(b[5+name]) != value {
		return 0, 0
	}
	return name, value
}

// CanonicalPrefix is the length of the longest prefix of b that consists of whole labels and is their canonical encoding:
// sorted, no name twice, no empty name or value, each length in as few bytes as it needs. A TimeSeries message of remote
// write 1.0 begins with its labels.
func CanonicalPrefix(b []byte) int {
	var last []byte
	pos := 0
	for pos < len(b) && b[pos] == tagLabel {
		size, start, ok := length(b, pos+1)
		if !ok || size == 0 || b[start] != tagName {
			break
		}
		label := b[start : start+size]
		n, at, ok := length(label, 1)
		if !ok || n == 0 || at+n >= size || label[at+n] != tagValue {
			break
		}
		name := label[at : at+n]
		v, at, ok := length(label, at+n+1)
		if !ok || v == 0 || at+v != size || bytes.Compare(last, name) >= 0 {
			break
		}
		last, pos = name, start+size
	}
	return pos
}

// length decodes the length at b[pos:], which must be in its shortest form and fit what follows it.
func length(b []byte, pos int) (n, next int, ok bool) {
	if pos < len(b) && b[pos] < 0x80 {
		n = int(b[pos])
		return n, pos + 1, n <= len(b)-pos-1
	}
	if pos >= len(b) {
		return 0, 0, false
	}
	u, w := binary.Uvarint(b[pos:])
	if w <= 0 || b[pos+w-1] == 0 || u > uint64(len(b)-pos-w) {
		return 0, 0, false
	}
	return int(u), pos + w, true
}
