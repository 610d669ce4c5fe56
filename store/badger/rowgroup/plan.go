package rowgroup

import (
	"math/bits"
	"slices"
)

// maxBelow is the number of exceptions below the base that a plan looks for. Counter resets lie there.
const maxBelow = 11

// A plan says how a column of integers is packed.
type plan struct {
	base    int64  // Smallest integer that is packed.
	divisor uint64 // Of all that is packed, less the base; 1 if there is none.
	width   uint   // Bits; noWidth if maxWidth and as many exceptions as allowed won't do.
	cost    int    // Bytes of packed bits and exceptions.
}

// lengths counts integers by their bit length.
type lengths [65]uint16

// planFor chooses base, width, exceptions and, if divide is set, the divisor of d.
func planFor(d []int64, divide bool) plan {
	if len(d) == 0 {
		return plan{divisor: 1}
	}
	lo, hi := d[0], d[0]
	for _, v := range d {
		lo, hi = min(lo, v), max(hi, v)
	}
	if lo == hi {
		return plan{base: lo, divisor: 1}
	}
	var counts lengths
	for _, v := range d {
		counts[bits.Len64(uint64(v)-uint64(lo))]++
	}
	best := counts.plan(len(d), uint64(hi)-uint64(lo), 0, 0)
	best.base = lo
	// Few integers far below all others keep the rest in the two highest lengths: try a base above them.
	few := min(maxBelow, len(d)/8+1)
	low := 0
	for l := 0; l+2 <= int(best.width) && low <= few; l++ {
		low += int(counts[l])
	}
	if low <= few {
		best = planAbove(d, hi, few, best)
	}
	if divide && best.width > 1 && best.width <= maxWidth {
		best = best.divided(d)
	}
	return best
}

// plan returns the cheapest width for n integers of which the largest, less the base, is span, when below of them are
// exceptions already and cost belowCost bytes.
func (c *lengths) plan(n int, span uint64, below, belowCost int) plan {
	best := plan{divisor: 1, width: noWidth, cost: 8 * n}
	exceptions, cost := below, belowCost
	limit := n/8 + 1
	top := bits.Len64(span)
	for w := top; ; w-- {
		if w < top { // What has w+1 bits becomes an exception: a gap, and a zigzag varint of w+2 bits.
			exceptions += int(c[w+1])
			cost += int(c[w+1]) * (1 + (w+8)/7)
		}
		if exceptions > limit {
			return best
		}
		if w <= maxWidth {
			total := packedBytes(n, uint(w)) + cost
			if exceptions > 0 {
				total++
			}
			if total < best.cost {
				best.width, best.cost = uint(w), total
			}
		}
		if w == 0 {
			return best
		}
	}
}

// planAbove looks for a better plan whose base leaves out up to few of the smallest integers of d, the largest of which
// is hi.
func planAbove(d []int64, hi int64, few int, best plan) plan {
	var smallest [maxBelow + 1]int64
	s := smallest[:0]
	for _, v := range d {
		if len(s) == few+1 {
			if v >= s[few] {
				continue
			}
			s = s[:few]
		}
		i := len(s)
		s = append(s, v)
		for ; i > 0 && s[i-1] > v; i-- {
			s[i] = s[i-1]
		}
		s[i] = v
	}
	// The widest gap parts the exceptions from the rest; behind it there may be another.
	for from, tries := 1, 0; from < len(s) && tries < 2; tries++ {
		k, widest := 0, uint64(0)
		for i := from; i < len(s); i++ {
			if gap := uint64(s[i]) - uint64(s[i-1]); gap > widest {
				k, widest = i, gap
			}
		}
		if k == 0 {
			break
		}
		base := s[k]
		belowCost := 0
		for _, v := range s[:k] {
			belowCost += 1 + varintBytes(v-base)
		}
		var counts lengths
		for _, v := range d {
			if v >= base {
				counts[bits.Len64(uint64(v)-uint64(base))]++
			}
		}
		if p := counts.plan(len(d), uint64(hi)-uint64(base), k, belowCost); p.cost < best.cost {
			best = p
			best.base = base
		}
		from = k + 1
	}
	return best
}

// divided returns the plan with the common divisor of what it packs, if that saves bytes.
func (p plan) divided(d []int64) plan {
	limit := uint64(1) << p.width
	var g, largest uint64
	for _, v := range d {
		u := uint64(v) - uint64(p.base)
		if u >= limit || v < p.base {
			continue
		}
		largest = max(largest, u)
		if g = gcd(u, g); g == 1 {
			return p
		}
	}
	width := uint(bits.Len64(largest / max(g, 1)))
	cost := p.cost - packedBytes(len(d), p.width) + packedBytes(len(d), width) + (bits.Len64(g)+6)/7
	if g < 2 || cost >= p.cost {
		return p
	}
	p.divisor, p.width, p.cost = g, width, cost
	return p
}

// pack appends the residuals of d to packed, each from exception on to list as (gap, value less base), and returns the
// number of exceptions. x is scratch of the length of d.
func (p plan) pack(list, packed []byte, d []int64, x []uint64) (newList, newPacked []byte, exceptions int) {
	limit := uint64(1) << p.width
	last := 0
	for i, v := range d {
		u := uint64(v) - uint64(p.base)
		fits := v >= p.base
		if p.divisor > 1 {
			fits = fits && u%p.divisor == 0
			u /= p.divisor
		}
		if fits && u < limit {
			x[i] = u
			continue
		}
		x[i] = 0
		list = appendUvarint(list, uint64(i-last))
		list = appendUvarint(list, zigzag(v-p.base))
		last = i
		exceptions++
	}
	packed = slices.Grow(packed, packedBytes(len(d), p.width)+spareBytes)
	return list, appendPacked(packed, x[:len(d)], p.width), exceptions
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// varintBytes is the length of the zigzag varint of x.
func varintBytes(x int64) int { return (bits.Len64(zigzag(x)|1) + 6) / 7 }

// appendUvarint is binary.AppendUvarint, small enough to be inlined for numbers of one byte.
func appendUvarint(dst []byte, x uint64) []byte {
	if x < 0x80 {
		return append(dst, byte(x))
	}
	return appendLong(dst, x)
}

func appendLong(dst []byte, x uint64) []byte {
	for ; x >= 0x80; x >>= 7 {
		dst = append(dst, byte(x)|0x80)
	}
	return append(dst, byte(x))
}
