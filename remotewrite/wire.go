package remotewrite

import (
	"encoding/binary"
	"math"
)

// The wire types of protobuf that a known field may have.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireGroup   = 3
	wireEnd     = 4
	wireFixed32 = 5
)

// A reader walks over the fields of one protobuf message without copying. It refuses what the generated code of
// Prometheus refuses, and besides that lengths inside packed fields that point outside of them.
type reader struct {
	b   []byte
	pos int

	num  int32  // Number of the current field.
	typ  uint8  // Its wire type.
	u    uint64 // Its content, for wireVarint and wireFixed64.
	body []byte // Its content, for wireBytes.

	bad bool // The message is malformed.
}

// next moves to the next field; false means the end or malformed bytes, which bad tells apart.
func (r *reader) next() bool {
	if r.bad || r.pos >= len(r.b) {
		return false
	}
	if r.nextShort() {
		return true
	}
	tag, pos := uvarint(r.b, r.pos)
	// Generated code cuts field numbers to 32 bits, too.
	r.num, r.typ = int32(tag>>3), uint8(tag&7)
	if pos < 0 || r.num <= 0 {
		return r.fail()
	}
	switch r.typ {
	case wireVarint:
		r.u, pos = uvarint(r.b, pos)
	case wireFixed64:
		if len(r.b)-pos < 8 {
			return r.fail()
		}
		r.u = binary.LittleEndian.Uint64(r.b[pos:])
		pos += 8
	case wireBytes:
		var n uint64
		n, pos = uvarint(r.b, pos)
		if pos < 0 || n > uint64(len(r.b)-pos) {
			return r.fail()
		}
		r.body = r.b[pos : pos+int(n) : pos+int(n)]
		pos += int(n)
	case wireGroup:
		pos = skipGroup(r.b, pos)
	case wireFixed32:
		pos += 4
	default:
		return r.fail()
	}
	if pos < 0 || pos > len(r.b) {
		return r.fail()
	}
	r.pos = pos
	return true
}

// nextShort is next for almost all messages and strings: a tag of one byte and a length of one or two.
func (r *reader) nextShort() bool {
	if len(r.b)-r.pos < 3 {
		return false
	}
	head := r.b[r.pos:]
	n, width := int(head[1]), 2
	if n >= 0x80 {
		n, width = n&0x7f|int(head[2])<<7, 3
	}
	if head[0] < 1<<3 || head[0]&0x87 != wireBytes || width == 3 && head[2] >= 0x80 || n > len(head)-width {
		return false
	}
	r.num, r.typ = int32(head[0]>>3), wireBytes
	r.body = head[width : width+n : width+n]
	r.pos += width + n
	return true
}

func (r *reader) fail() bool {
	r.bad = true
	return false
}

// is reports whether the current field has the wire type that its number asks for; if not, the message is malformed.
func (r *reader) is(typ uint8) bool {
	if r.typ != typ {
		r.bad = true
	}
	return r.typ == typ
}

// double is the content of a double field.
func (r *reader) double() float64 {
	r.is(wireFixed64)
	return math.Float64frombits(r.u)
}

// int64 is the content of an int64 or uint64 field.
func (r *reader) int64() int64 {
	r.is(wireVarint)
	return int64(r.u)
}

// uint32 is the content of a uint32 or enumeration field.
func (r *reader) uint32() uint32 {
	r.is(wireVarint)
	return uint32(r.u)
}

// sint32 is the content of a sint32 field.
func (r *reader) sint32() int32 {
	v := r.uint32()
	return int32(v>>1) ^ -int32(v&1)
}

// uvarint decodes the varint of b at pos and returns the position after it, or a negative one if it is malformed.
func uvarint(b []byte, pos int) (uint64, int) {
	if pos < len(b) && b[pos] < 0x80 {
		return uint64(b[pos]), pos + 1
	}
	return longUvarint(b, pos)
}

func longUvarint(b []byte, pos int) (uint64, int) {
	var v uint64
	for shift := uint(0); shift < 64 && pos < len(b); shift += 7 {
		c := b[pos]
		pos++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, pos
		}
	}
	return 0, -1
}

// skipGroup returns the position after the group whose start tag ends at pos, or a negative one if it is malformed.
func skipGroup(b []byte, pos int) int {
	for depth := 1; depth > 0; {
		var tag, n uint64
		if tag, pos = uvarint(b, pos); pos < 0 {
			return -1
		}
		switch tag & 7 {
		case wireVarint:
			_, pos = uvarint(b, pos)
		case wireFixed64:
			pos += 8
		case wireBytes:
			if n, pos = uvarint(b, pos); pos < 0 || n > uint64(len(b)-pos) {
				return -1
			}
			pos += int(n)
		case wireGroup:
			depth++
		case wireEnd:
			depth--
		case wireFixed32:
			pos += 4
		default:
			return -1
		}
		if pos < 0 || pos > len(b) {
			return -1
		}
	}
	return pos
}

// packedVarints appends the current field, one varint or a packed list of them, to dst after passing each through conv.
func packedVarints[T any](r *reader, dst []T, conv func(uint64) T) []T {
	if r.typ == wireVarint {
		return append(dst, conv(r.u))
	}
	if !r.is(wireBytes) {
		return dst
	}
	for pos := 0; pos < len(r.body); {
		var u uint64
		if u, pos = uvarint(r.body, pos); pos < 0 {
			r.bad = true
			return dst
		}
		dst = append(dst, conv(u))
	}
	return dst
}

// packedDoubles appends the current field, one double or a packed list of them, to dst.
func packedDoubles(r *reader, dst []float64) []float64 {
	if r.typ == wireFixed64 {
		return append(dst, math.Float64frombits(r.u))
	}
	if !r.is(wireBytes) {
		return dst
	}
	b := r.body
	for ; len(b) >= 8; b = b[8:] {
		dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	if len(b) != 0 {
		r.bad = true
	}
	return dst
}

func toUint32(u uint64) uint32 { return uint32(u) }

// toSint64 undoes the zigzag of a sint64.
func toSint64(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
