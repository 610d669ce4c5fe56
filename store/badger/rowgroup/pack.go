package rowgroup

import (
	"encoding/binary"
	"math"
)

// packedBytes is the length of n integers of width bits.
func packedBytes(n int, width uint) int { return (n*int(width) + 7) / 8 }

// appendPacked appends the integers of x, each of width bits or less, without gaps, the lowest bit first.
func appendPacked(dst []byte, x []uint64, width uint) []byte {
	if width == 0 {
		return dst
	}
	var acc uint64
	var have uint
	for _, v := range x {
		acc |= v << have
		have += width
		if have >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			have -= 64
			acc = v >> (width - have) // 0 if v is used up: a shift by 64 or more, or by its whole width.
		}
	}
	for ; have > 8; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	if have > 0 {
		dst = append(dst, byte(acc))
	}
	return dst
}

// fourWidth is the widest packed integer of which one load of eight bytes holds four.
const fourWidth = (64 - 7) / 4

// unpackSums fills m with running sums that begin at acc and returns the last one. The integers begin at a bit of src,
// which has eight bytes to spare after the last.
func unpackSums(m []int64, src []byte, bit uint, c *packing, acc int64) int64 {
	width, base, divisor := c.width, c.base, c.divisor
	mask := uint64(1)<<width - 1
	if width <= fourWidth {
		for len(m) >= 4 {
			x := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7)
			bit += 4 * width
			acc += int64(x&mask)*divisor + base
			m[0] = acc
			x >>= width & 63
			acc += int64(x&mask)*divisor + base
			m[1] = acc
			x >>= width & 63
			acc += int64(x&mask)*divisor + base
			m[2] = acc
			x >>= width & 63
			acc += int64(x&mask)*divisor + base
			m[3] = acc
			m = m[4:]
		}
	}
	for i := range m {
		x := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask
		bit += width
		acc += int64(x)*divisor + base
		m[i] = acc
	}
	return acc
}

// unpack fills m with base + divisor*packed.
func unpack(m []int64, src []byte, c *packing) {
	width, base, divisor := c.width, c.base, c.divisor
	mask := uint64(1)<<width - 1
	bit := uint(0)
	for i := range m {
		x := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask
		bit += width
		m[i] = int64(x)*divisor + base
	}
}

// unpackGrid fills m with start, start+step, ... each with divisor*packed on top.
func unpackGrid(m []int64, src []byte, c *packing, start, step int64) {
	width, divisor := c.width, c.divisor
	mask := uint64(1)<<width - 1
	bit := uint(0)
	for i := range m {
		x := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask
		bit += width
		m[i] = start + int64(x)*divisor
		start += step
	}
}

// unpackSplit fills dst with floats whose bits are (base + packed high) << cut | packed low.
func unpackSplit(dst []float64, high, low []byte, width, cut uint, base uint64) {
	highMask, lowMask := uint64(1)<<width-1, uint64(1)<<cut-1
	var a, b uint
	for i := range dst {
		x := binary.LittleEndian.Uint64(high[a>>3:])>>(a&7)&highMask + base
		y := binary.LittleEndian.Uint64(low[b>>3:]) >> (b & 7) & lowMask
		a += width
		b += cut
		dst[i] = math.Float64frombits(x<<cut | y)
	}
}

// progression fills m with first, first+step, ...
func progression(m []int64, first, step int64) {
	for i := range m {
		m[i] = first
		first += step
	}
}
