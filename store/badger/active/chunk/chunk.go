// Package chunk is the open form of a series' floats: one opcode a sample, appended in place, bit exact for every float
// and every order-preserving sequence of 64-bit timestamps.
//
//	start     exponent, timestamp, value
//	0xxxxxxx  same interval, 7 bits of difference of the decimal mantissas
//	10xxxxxx  14 bits     110xxxxx  21 bits     1111xxxx  36 bits
//	e0        n times the same value after the same interval; n is raised in place
//	e1        interval and mantissa by differences of any size
//	e2        difference of the interval; another decimal exponent and the mantissa, or a float that is no decimal
//	e3        the start timestamp of what follows
//	e4        end of the chunk
//	e8-ef     same interval, 1 to 8 low bytes of a float against the one before
//
// All numbers are zigzag varints; differences of timestamps wrap around.
package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Tail is the number of newest bytes that a caller holds beside a State.
const Tail = 60

const (
	opRepeat   = 0xe0
	opAny      = 0xe1
	opExponent = 0xe2
	opStart    = 0xe3
	opEnd      = 0xe4
	opFloat    = 0xe8 // And the number of bytes less one.

	// raw in place of an exponent says that mantissas are the bits of floats.
	raw         = 15
	maxExponent = 9
)

// powers are the divisors of the exponents; a division by them is exact where a multiplication by the inverse is not.
var powers = [maxExponent + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// A State is what an appender must know of a chunk besides its newest bytes. The zero value is that of an empty chunk.
//
// What belongs to the caller fills the place that alignment would waste: a State takes 32 bytes.
type State struct {
	LastTimestamp int64  // Of the newest sample; it stays when a chunk is ended.
	last          uint64 // Its mantissa, or the bits of its float.
	interval      uint32
	Block         uint32 // The caller's: where the bytes before the tail are.
	N             uint16 // Samples of the chunk; it stops at the largest number.
	Used          uint8  // Bytes in the tail.
	exponent      uint8
	repeat        uint8 // Place of a counter in the tail that may be raised, and one more.
	Blocks        uint8 // The caller's.
	Limit         uint8 // The caller's.
	Flags         uint8 // The caller's.
}

// Last returns the bits of the newest float of a chunk that is not empty.
func (s *State) Last() uint64 {
	if s.exponent == raw {
		return s.last
	}
	return math.Float64bits(float64(int64(s.last)) / powers[s.exponent])
}

// An op is the bytes of one opcode on their way into the tail.
type op struct {
	b [40]byte
	n int
}

func (o *op) byte(b byte) {
	o.b[o.n] = b
	o.n++
}

func (o *op) uvarint(v uint64) { o.n += binary.PutUvarint(o.b[o.n:], v) }

func zigzag(x int64) uint64   { return uint64(x<<1) ^ uint64(x>>63) }
func unzigzag(x uint64) int64 { return int64(x>>1) ^ -int64(x&1) }

// mantissa returns the integer that divided by 10^e is v, bit for bit.
func mantissa(v float64, e uint8) (m int64, ok bool) {
	const limit = 1 << 53
	if e == 0 {
		m = int64(v)
	} else {
		x := v * powers[e]
		if !(x < limit && x > -limit) {
			return 0, false
		}
		m = int64(math.Round(x))
	}
	return m, m < limit && m > -limit && math.Float64bits(float64(m)/powers[e]) == math.Float64bits(v)
}

// decimal returns the smallest exponent from the given one at which v is a decimal, or raw and the bits of v.
func decimal(v float64, from uint8) (e uint8, m uint64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		for e = from; e <= maxExponent; e++ {
			if m, ok := mantissa(v, e); ok {
				return e, uint64(m)
			}
		}
	}
	return raw, math.Float64bits(v)
}

// special tells the bits of floats that no decimal stands for, though those around them may be decimals.
func special(b uint64) bool {
	return b&(0x7ff<<52) == 0x7ff<<52 || b == 1<<63
}

// Append adds a sample to a chunk whose newest bytes are tail. Its timestamp must be after that of the newest sample if
// there is one. If the tail overflows, spilled is true and spill holds what it held, all Tail bytes of it; the tail goes
// on with the rest.
func (s *State) Append(tail, spill *[Tail]byte, timestamp int64, v float64) (spilled bool) {
	if s.N == 0 {
		s.first(tail, timestamp, v)
		return false
	}
	interval := uint64(timestamp) - uint64(s.LastTimestamp)
	change := int64(interval - uint64(s.interval))
	if s.exponent != raw {
		if m, ok := mantissa(v, s.exponent); ok {
			return s.appendMantissa(tail, spill, timestamp, change, m)
		}
	}
	return s.appendOther(tail, spill, timestamp, change, v)
}

func (s *State) first(tail *[Tail]byte, timestamp int64, v float64) {
	s.exponent, s.last = decimal(v, 0)
	// A start timestamp may stand before.
	n := int(s.Used)
	tail[n] = s.exponent
	n++
	n += binary.PutUvarint(tail[n:], zigzag(timestamp))
	n += binary.PutUvarint(tail[n:], zigzag(int64(s.last)))
	s.Used, s.repeat, s.interval, s.N, s.LastTimestamp = uint8(n), 0, 0, 1, timestamp
}

func (s *State) appendMantissa(tail, spill *[Tail]byte, timestamp, change, m int64) (spilled bool) {
	z := zigzag(m - int64(s.last))
	if z == 0 && change == 0 {
		return s.appendRepeat(tail, spill, timestamp)
	}
	var o op
	switch {
	case change != 0 || z >= 1<<36:
		o.byte(opAny)
		o.uvarint(zigzag(change))
		o.uvarint(z)
	case z < 1<<7:
		o.b[0], o.n = byte(z), 1
	case z < 1<<14:
		o.b[0], o.b[1], o.n = 0x80|byte(z>>8), byte(z), 2
	case z < 1<<21:
		o.b[0], o.b[1], o.b[2], o.n = 0xc0|byte(z>>16), byte(z>>8), byte(z), 3
	default:
		o.b[0], o.n = 0xf0|byte(z>>32), 5
		binary.BigEndian.PutUint32(o.b[1:], uint32(z))
	}
	s.took(timestamp, uint64(m))
	s.repeat = 0
	return s.put(tail, spill, &o)
}

func (s *State) appendRepeat(tail, spill *[Tail]byte, timestamp int64) (spilled bool) {
	s.took(timestamp, s.last)
	if s.repeat > 0 && tail[s.repeat-1] < math.MaxUint8 {
		tail[s.repeat-1]++
		return false
	}
	spilled = s.put(tail, spill, &op{b: [40]byte{opRepeat, 1}, n: 2})
	s.repeat = s.Used // The counter is the newest byte.
	return spilled
}

// appendOther adds a float for which the exponent does not do.
func (s *State) appendOther(tail, spill *[Tail]byte, timestamp, change int64, v float64) (spilled bool) {
	var o op
	before, b := s.Last(), math.Float64bits(v)
	e, m := uint8(raw), b
	switch {
	case s.exponent != raw:
		e, m = decimal(v, s.exponent+1)
		if e == raw {
			// Too large for the exponent, perhaps.
			e, m = decimal(v, 0)
		}
	case change == 0 && b == s.last:
		return s.appendRepeat(tail, spill, timestamp)
	case special(s.last) && !special(b):
		e, m = decimal(v, 0)
	}
	x := b ^ before
	zeroes := bits.TrailingZeros64(x|1<<63) / 8
	switch {
	case e != raw:
		o.byte(opExponent)
		o.uvarint(zigzag(change))
		o.byte(e)
		o.uvarint(zigzag(int64(m)))
	case s.exponent == raw && change == 0 && zeroes == 0:
		n := (bits.Len64(x) + 7) / 8
		o.byte(byte(opFloat + n - 1))
		o.low(x, n)
	default:
		x >>= zeroes * 8
		n := (bits.Len64(x) + 7) / 8
		o.byte(opExponent)
		o.uvarint(zigzag(change))
		o.byte(raw)
		o.byte(byte(zeroes<<4 | n))
		o.low(x, n)
	}
	s.took(timestamp, m)
	s.exponent, s.repeat = e, 0
	return s.put(tail, spill, &o)
}

// low appends the n low bytes of x.
func (o *op) low(x uint64, n int) {
	for range n {
		o.byte(byte(x))
		x >>= 8
	}
}

// AppendStart says that the start timestamp of the samples that follow is t; at the beginning of a chunk it is 0.
func (s *State) AppendStart(tail, spill *[Tail]byte, t int64) (spilled bool) {
	var o op
	o.byte(opStart)
	o.uvarint(zigzag(t))
	s.repeat = 0
	return s.put(tail, spill, &o)
}

// took notes the newest sample. An interval that is too long is forgotten, by the decoder as well.
func (s *State) took(timestamp int64, last uint64) {
	s.interval = intervalOf(uint64(timestamp) - uint64(s.LastTimestamp))
	s.LastTimestamp, s.last = timestamp, last
	if s.N < math.MaxUint16 {
		s.N++
	}
}

func intervalOf(d uint64) uint32 {
	if d > math.MaxUint32 {
		return 0
	}
	return uint32(d)
}

func (s *State) put(tail, spill *[Tail]byte, o *op) (spilled bool) {
	n := copy(tail[s.Used:], o.b[:o.n])
	if n == o.n {
		s.Used += uint8(n)
		return false
	}
	*spill = *tail
	s.Used = uint8(copy(tail[:], o.b[n:o.n]))
	return true
}

// End ends a chunk that is not empty and whose newest bytes are tail: all Tail bytes belong to it then. Afterwards the
// state is that of an empty chunk, but for LastTimestamp and what belongs to the caller.
func (s *State) End(tail *[Tail]byte) {
	if s.Used < Tail {
		tail[s.Used] = opEnd
	}
	s.Clear()
}

// Clear forgets the samples, as End does.
func (s *State) Clear() {
	s.last, s.interval, s.N, s.Used, s.exponent, s.repeat = 0, 0, 0, 0, 0, 0
}
