package chunk

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrMalformed reports bytes that are no chunk.
var ErrMalformed = errors.New("chunk: malformed")

// Columns is samples of one series in parts.
type Columns struct {
	Timestamps []int64   // Milliseconds since the Unix epoch.
	Values     []float64 // As many.
	Starts     []int64   // As many, or none if no start timestamp is known.
}

// Reset empties c and keeps its memory.
func (c *Columns) Reset() {
	c.Timestamps, c.Values, c.Starts = c.Timestamps[:0], c.Values[:0], c.Starts[:0]
}

// Add appends a sample.
func (c *Columns) Add(timestamp, start int64, v float64) {
	if start != 0 || len(c.Starts) > 0 {
		for len(c.Starts) < len(c.Timestamps) {
			c.Starts = append(c.Starts, 0)
		}
		c.Starts = append(c.Starts, start)
	}
	c.Timestamps = append(c.Timestamps, timestamp)
	c.Values = append(c.Values, v)
}

// decoder is the state of Decode, as State is that of an appender.
type decoder struct {
	b         []byte
	timestamp int64
	last      uint64
	interval  uint32
	exponent  uint8
	start     int64
	failed    bool
}

// Decode appends the samples of a chunk to c. An error wraps ErrMalformed; the samples before the damage are there then.
func (c *Columns) Decode(b []byte) error {
	d := decoder{b: b}
	for len(d.b) > 0 && d.b[0] == opStart {
		d.take(1)
		d.start = d.varint()
	}
	if len(d.b) == 0 && !d.failed {
		return nil
	}
	d.exponent = d.byte()
	d.timestamp = d.varint()
	d.last = uint64(d.varint())
	if d.failed || !known(d.exponent) {
		return ErrMalformed
	}
	c.Add(d.timestamp, d.start, d.value())
	for len(d.b) > 0 && !d.failed {
		if d.b[0] == opEnd {
			return nil
		}
		d.next(c)
	}
	if d.failed {
		return ErrMalformed
	}
	return nil
}

func known(exponent uint8) bool { return exponent <= maxExponent || exponent == raw }

func (d *decoder) value() float64 {
	if d.exponent == raw {
		return math.Float64frombits(d.last)
	}
	return float64(int64(d.last)) / powers[d.exponent]
}

// next decodes one opcode.
func (d *decoder) next(c *Columns) {
	code := d.b[0]
	switch {
	case code < 0x80:
		d.take(1)
		d.step(c, uint64(code))
	case code < 0xc0:
		if b := d.take(2); b != nil {
			d.step(c, uint64(code&0x3f)<<8|uint64(b[1]))
		}
	case code < 0xe0:
		if b := d.take(3); b != nil {
			d.step(c, uint64(code&0x1f)<<16|uint64(b[1])<<8|uint64(b[2]))
		}
	case code >= 0xf0:
		if b := d.take(5); b != nil {
			d.step(c, uint64(code&0xf)<<32|uint64(binary.BigEndian.Uint32(b[1:])))
		}
	case code >= opFloat:
		d.take(1)
		d.last ^= d.low(int(code-opFloat) + 1)
		d.failed = d.failed || d.exponent != raw
		d.add(c, uint64(d.interval))
	default:
		d.take(1)
		d.long(c, code)
	}
}

// long decodes the opcodes of variable length.
func (d *decoder) long(c *Columns, code byte) {
	switch code {
	case opRepeat:
		v := d.value()
		for range d.byte() {
			d.timestamp += int64(d.interval)
			c.Add(d.timestamp, d.start, v)
		}
	case opAny:
		interval := uint64(d.interval) + uint64(d.varint())
		d.last += uint64(d.varint())
		d.add(c, interval)
	case opExponent:
		interval := uint64(d.interval) + uint64(d.varint())
		e := d.byte()
		switch {
		case e <= maxExponent:
			d.last = uint64(d.varint())
		case e == raw:
			before := math.Float64bits(d.value())
			shape := d.byte()
			d.last = before ^ d.low(int(shape&15))<<(8*(shape>>4))
		default:
			d.failed = true
			return
		}
		d.exponent = e
		d.add(c, interval)
	case opStart:
		d.start = d.varint()
	default:
		d.failed = true
	}
}

// step adds a sample after the same interval whose mantissa differs by z.
func (d *decoder) step(c *Columns, z uint64) {
	d.last += uint64(unzigzag(z))
	d.timestamp += int64(d.interval)
	c.Add(d.timestamp, d.start, d.value())
}

func (d *decoder) add(c *Columns, interval uint64) {
	if d.failed {
		return
	}
	d.timestamp += int64(interval)
	d.interval = intervalOf(interval)
	c.Add(d.timestamp, d.start, d.value())
}

// take returns the next n bytes and moves past them, or fails.
func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.failed = true
		d.b = nil
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) varint() int64 {
	u, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.failed = true
		return 0
	}
	d.b = d.b[n:]
	return unzigzag(u)
}

func (d *decoder) low(n int) (x uint64) {
	for i, b := range d.take(n) {
		x |= uint64(b) << (8 * i)
	}
	return x
}
