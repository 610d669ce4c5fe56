// Package codec is the binary form of the small things that the log, the partitions and the checkpoint have in common:
// integers, strings, histograms and matchers. Decoding never trusts a length.
package codec

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrMalformed reports bytes that don't hold what they should.
var ErrMalformed = errors.New("codec: malformed data")

// A Decoder takes values off a byte slice. After the first failure all values are zero and Err says so, so that callers
// may check once.
type Decoder struct {
	rest   []byte
	failed bool
}

// NewDecoder returns a decoder of b. Byte slices that it returns point into b.
func NewDecoder(b []byte) *Decoder { return &Decoder{rest: b} }

// Reset makes d a decoder of b.
func (d *Decoder) Reset(b []byte) { d.rest, d.failed = b, false }

// Err returns ErrMalformed after a failure, else nil.
func (d *Decoder) Err() error {
	if d.failed {
		return ErrMalformed
	}
	return nil
}

// Len is the number of bytes left; 0 after a failure.
func (d *Decoder) Len() int { return len(d.rest) }

// Fail makes d fail.
func (d *Decoder) Fail() { d.rest, d.failed = nil, true }

// Uvarint takes an unsigned varint.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// Varint takes a zigzag varint.
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// Count takes a number of elements, each of which takes at least size bytes of what is left.
func (d *Decoder) Count(size int) int {
	n := d.Uvarint()
	if n > uint64(len(d.rest)/size) {
		d.Fail()
		return 0
	}
	return int(n)
}

// Byte takes one byte.
func (d *Decoder) Byte() byte {
	if len(d.rest) == 0 {
		d.Fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

// Raw takes n bytes.
func (d *Decoder) Raw(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.Fail()
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// Bytes takes bytes with their length before them.
func (d *Decoder) Bytes() []byte { return d.Raw(d.Count(1)) }

// String takes a string with its length before it.
func (d *Decoder) String() string { return string(d.Bytes()) }

// Float takes the eight bytes of a float.
func (d *Decoder) Float() float64 {
	if len(d.rest) < 8 {
		d.Fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.rest))
	d.rest = d.rest[8:]
	return v
}

// AppendBytes appends b with its length before it.
func AppendBytes[S string | []byte](dst []byte, b S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// AppendFloat appends the eight bytes of v.
func AppendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}
