package rowgroup

import (
	"encoding/binary"
	"math"
)

// decode makes r.ints the integers of a column, whose predecessor was decoded just before if it leans on it.
func (r *Reader) decode(c *column) {
	r.ints, r.before = r.before, r.ints
	if c.mode <= modeBefore {
		r.decodeIntegers(r.ints[:c.n], c)
	}
}

// decodeIntegers fills m with the integers of a column of the modes 0 to 4.
func (r *Reader) decodeIntegers(m []int64, c *column) {
	switch c.mode {
	case modeConstant:
		for i := range m {
			m[i] = c.first
		}
	case modeProgression:
		progression(m, c.first, c.base)
	case modeBase:
		r.decodePacked(m, &c.packing)
	default:
		r.decodeSums(m, c)
		if c.mode == modeBefore {
			before := r.before[:len(m)]
			zero := before[0]
			for i := range m {
				m[i] += before[i] - zero
			}
		}
	}
}

// decodePacked fills m with base + divisor*packed and the exceptions.
func (r *Reader) decodePacked(m []int64, c *packing) {
	unpack(m, r.value[c.at:], c)
	e := exceptions{b: r.value, pos: c.exceptionsAt}
	for range c.exceptions {
		at, v := e.next()
		m[at] = v + c.base
	}
}

// decodeSums fills m with running sums. Exceptions cut the loop into pieces.
func (r *Reader) decodeSums(m []int64, c *column) {
	src := r.value[c.at:]
	acc := c.first
	m[0] = acc
	from := 1
	e := exceptions{b: r.value, pos: c.exceptionsAt}
	for range c.exceptions {
		at, v := e.next()
		acc = unpackSums(m[from:at+1], src, uint(from-1)*c.width, &c.packing, acc)
		acc += v + c.base
		m[at+1] = acc
		from = at + 2
	}
	unpackSums(m[from:], src, uint(from-1)*c.width, &c.packing, acc)
}

// exceptions walks a list of (gap, value) that has been checked.
type exceptions struct {
	b       []byte
	pos, at int
}

func (e *exceptions) next() (at int, v int64) {
	gap, n := binary.Uvarint(e.b[e.pos:])
	e.pos += n
	x, n := binary.Uvarint(e.b[e.pos:])
	e.pos += n
	e.at += int(gap)
	return e.at, unzigzag(x)
}

// decodeFloats is decode, and fills dst with the values of the column.
func (r *Reader) decodeFloats(dst []float64, c *column) {
	switch c.mode {
	case modeSplit:
		low := c.at + packedBytes(c.n, c.width)
		unpackSplit(dst, r.value[c.at:], r.value[low:], c.width, c.cut, uint64(c.base))
	case modeRaw:
		src := r.value[c.at:]
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		}
	case modeConstant:
		if c.leaned {
			r.decode(c)
		}
		v := floatOf(c.first, c.exponent)
		for i := range dst {
			dst[i] = v
		}
	default:
		r.decode(c)
		toFloats(dst, r.ints[:c.n], c.exponent)
	}
	if c.fixed {
		fixes := r.corrections[:c.n]
		r.decodePacked(fixes, &r.fixes[c.fix])
		for i, x := range fixes {
			dst[i] = math.Float64frombits(math.Float64bits(dst[i]) + uint64(x))
		}
	}
	if c.specials > 0 {
		r.decodeSpecials(dst, c)
	}
}

func floatOf(m int64, exponent byte) float64 {
	if exponent == bitsExponent {
		return math.Float64frombits(uint64(m))
	}
	return float64(m) / powers[exponent]
}

func toFloats(dst []float64, m []int64, exponent byte) {
	m = m[:len(dst)]
	switch exponent {
	case 0:
		for i := range dst {
			dst[i] = float64(m[i])
		}
	case bitsExponent:
		for i := range dst {
			dst[i] = math.Float64frombits(uint64(m[i]))
		}
	default:
		p := powers[exponent]
		for i := range dst {
			dst[i] = float64(m[i]) / p
		}
	}
}

func (r *Reader) decodeSpecials(dst []float64, c *column) {
	pos, end := c.specialsAt, 0
	for range c.specials {
		gap, n := binary.Uvarint(r.value[pos:])
		head := r.value[pos+n]
		pos += n + 1
		bits := specialCodes[head&15]
		if head&15 == 0 {
			bits = binary.LittleEndian.Uint64(r.value[pos:])
			pos += 8
		}
		at := end + int(gap)
		end = at + int(head>>4) + 1
		for i := at; i < end; i++ {
			dst[i] = math.Float64frombits(bits)
		}
	}
}

// timeline returns the timestamps of a timeline, in memory that the reader keeps.
func (r *Reader) timeline(k int) []int64 {
	t := &r.timelines[k]
	if r.heldColumn != t.column {
		r.columnTimes = r.decodeTimes(r.columnTimes, &r.times[t.column])
		r.heldColumn = t.column
		r.heldLine = -1
	}
	if t.kind == wholeNext || t.kind == wholeEarlier {
		return r.columnTimes
	}
	if r.heldLine != k {
		r.lineTimes = t.pick(r.lineTimes[:0], r.columnTimes, r.value)
		r.heldLine = k
	}
	return r.lineTimes
}

// decodeTimes returns the timestamps of a column in buffer's memory.
func (r *Reader) decodeTimes(buffer []int64, c *column) []int64 {
	if cap(buffer) < MaxSamples {
		buffer = make([]int64, MaxSamples)
	}
	ts := buffer[:c.n]
	switch c.mode {
	case modeConstant:
		ts[0] = c.first
	case modeProgression:
		progression(ts, c.first, c.base)
	case modeRaw:
		for i := range ts {
			ts[i] = int64(binary.LittleEndian.Uint64(r.value[c.at+8*i:]))
		}
	case modeBase:
		unpackGrid(ts, r.value[c.at:], &c.packing, c.first+c.base, c.step)
		e := exceptions{b: r.value, pos: c.exceptionsAt}
		for range c.exceptions {
			at, v := e.next()
			ts[at] = c.first + int64(at)*c.step + c.base + v
		}
	default:
		r.decodeSums(ts, c)
	}
	return ts
}

// pick appends the timeline's part of the timestamps of its column to dst.
func (t *line) pick(dst, times []int64, value []byte) []int64 {
	if t.kind == someBits {
		for i, at := range times {
			if value[t.at+i/8]>>(i%8)&1 != 0 {
				dst = append(dst, at)
			}
		}
		return dst
	}
	pos, next := t.at, 0
	for range t.runs {
		skipped, n := binary.Uvarint(value[pos:])
		pos += n
		taken, n := binary.Uvarint(value[pos:])
		pos += n
		next += int(skipped)
		dst = append(dst, times[next:next+int(taken)]...)
		next += int(taken)
	}
	return dst
}

// startsOf returns the start timestamps of a member, in memory that the reader keeps; nil if there are none.
func (r *Reader) startsOf(member int) []int64 {
	if len(r.starts) == 0 || r.members>>member&1 == 0 || r.startOf[member] < 0 {
		return nil
	}
	k := int(r.startOf[member])
	c := &r.starts[k]
	if r.heldStart == k {
		return r.startTimes[:c.n]
	}
	if cap(r.startTimes) < MaxSamples {
		r.startTimes = make([]int64, MaxSamples)
	}
	dst := r.startTimes[:c.n]
	r.heldStart = k
	if c.mode == modeRaw {
		for i := range dst {
			dst[i] = int64(binary.LittleEndian.Uint64(r.value[c.at+8*i:])) + r.first
		}
		return dst
	}
	// The integers of a value column may be needed for the next one: keep them apart.
	ints, before := r.ints, r.before
	r.ints, r.before = r.corrections, dst
	root := k
	for r.starts[root].leans {
		root--
	}
	for i := root; i <= k; i++ {
		r.decode(&r.starts[i])
	}
	for i, x := range r.ints[:c.n] {
		dst[i] = x + r.first
	}
	r.ints, r.before = ints, before
	return dst
}
