package rowgroup

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// writeFull writes a column of floats that are no short decimals, in the smallest of four forms: a decimal and a
// correction in units of the last place (sums of decimals), the bits of the floats as integers, split floats, raw ones.
func (e *Encoder) writeFull(vals []float64, m []int64, timeline int) {
	for i, v := range vals {
		m[i] = int64(math.Float64bits(v))
	}
	whole := e.ints.choose(m, bitsExponent, timeline)
	s := splitOf(vals)
	least := min(s.cost, 8*len(vals))
	if whole.width <= maxWidth {
		least = min(least, whole.cost+8)
	}
	if e.writeCorrected(vals, least, timeline) {
		return
	}
	switch {
	case whole.width <= maxWidth && whole.cost+8 <= least:
		// The attempt at corrections may have overwritten both integers and residuals.
		for i, v := range vals {
			m[i] = int64(math.Float64bits(v))
		}
		e.writeIntegers(e.ints.choose(m, bitsExponent, timeline), m)
	case s.cost < 8*len(vals):
		e.writeSplit(vals, s)
		e.ints.restart()
	default:
		e.head = append(e.head, modeRaw, 0)
		for _, v := range vals {
			e.packed = binary.LittleEndian.AppendUint64(e.packed, math.Float64bits(v))
		}
		e.ints.restart()
	}
}

// writeCorrected writes decimals with corrections if that takes fewer bytes than least.
func (e *Encoder) writeCorrected(vals []float64, least, timeline int) bool {
	exponent, estimate := correctedExponent(vals)
	if exponent == 0 || estimate+4 >= least {
		return false
	}
	m, fixes := e.ints.m[:len(vals)], e.fixes[:len(vals)]
	for i, v := range vals {
		r := math.RoundToEven(v * powers[exponent])
		if !(r < 1<<53 && r > -(1<<53)) {
			return false
		}
		m[i] = int64(r)
		fixes[i] = correction(v, m[i], exponent)
	}
	p := planFor(fixes, false)
	inner := e.ints.choose(m, exponent, timeline)
	if p.width > maxWidth || inner.width > maxWidth || p.cost+inner.cost+8 >= least {
		return false
	}
	at := len(e.head)
	e.head = append(e.head, modeCorrected, 0)
	e.writePacked(at, p, fixes)
	e.writeIntegers(inner, m)
	return true
}

// correction is what m / 10^exponent lacks to v, in units of the last place.
func correction(v float64, m int64, exponent int) int64 {
	return int64(math.Float64bits(v)) - int64(math.Float64bits(float64(m)/powers[exponent]))
}

// correctedExponent samples vals for the decimal exponent that leaves the fewest bits to decimals and corrections, and
// estimates their bytes. It returns 0 for none.
func correctedExponent(vals []float64) (best, estimate int) {
	const highest, looks = 9, 16
	n := len(vals)
	leastBits := 64
	stride := max(1, n/looks)
	for exponent := 1; exponent <= highest; exponent++ {
		fixLo, fixHi := int64(math.MaxInt64), int64(math.MinInt64)
		stepLo, stepHi := fixLo, fixHi
		for k := 0; k+1 < n; k += stride {
			a, b := math.RoundToEven(vals[k]*powers[exponent]), math.RoundToEven(vals[k+1]*powers[exponent])
			if !(math.Abs(a) < 1<<53 && math.Abs(b) < 1<<53) {
				return best, leastBits * n / 8
			}
			fix := correction(vals[k+1], int64(b), exponent)
			fixLo, fixHi = min(fixLo, fix), max(fixHi, fix)
			step := int64(b) - int64(a)
			stepLo, stepHi = min(stepLo, step), max(stepHi, step)
		}
		width := bits.Len64(uint64(fixHi)-uint64(fixLo)) + bits.Len64(uint64(stepHi)-uint64(stepLo))
		if width < leastBits {
			best, leastBits = exponent, width
		}
	}
	return best, leastBits * n / 8
}

// A split says where floats are cut into high bits, which are much alike, and low bits, which are noise.
type split struct {
	cut, width uint
	low        uint64 // Smallest high part.
	cost       int
}

func splitOf(vals []float64) split {
	best := split{cost: math.MaxInt}
	for _, cut := range [...]uint{40, 44, 48, 52} {
		lo, hi := uint64(math.MaxUint64), uint64(0)
		for _, v := range vals {
			b := math.Float64bits(v) >> cut
			lo, hi = min(lo, b), max(hi, b)
		}
		width := uint(bits.Len64(hi - lo))
		cost := packedBytes(len(vals), width) + packedBytes(len(vals), cut) + 3
		if cost < best.cost {
			best = split{cut: cut, width: width, low: lo, cost: cost}
		}
	}
	return best
}

func (e *Encoder) writeSplit(vals []float64, s split) {
	e.head = append(e.head, modeSplit, byte(s.width), byte(s.cut))
	e.head = binary.AppendUvarint(e.head, s.low)
	x := e.ints.bits[:len(vals)]
	for i, v := range vals {
		x[i] = math.Float64bits(v)>>s.cut - s.low
	}
	e.packed = appendPacked(e.packed, x, s.width)
	for i, v := range vals {
		x[i] = math.Float64bits(v) & (1<<s.cut - 1)
	}
	e.packed = appendPacked(e.packed, x, s.cut)
}

// unmark takes back the marks of numbers that were special only as long as the column was to be one of decimals.
func (e *Encoder) unmark(vals []float64) (taken int) {
	for i := range vals {
		if e.marks[i] == tentativeMark {
			e.marks[i] = 0
			taken++
		}
	}
	return taken
}

// writeSpecials writes what is marked: runs of equal floats, each with its distance from the end of the one before.
func (e *Encoder) writeSpecials(vals []float64) {
	const longest = 16
	e.list = e.list[:0]
	runs, end := 0, 0
	for i := 0; i < len(vals); {
		mark := e.marks[i]
		if mark == 0 {
			i++
			continue
		}
		b := math.Float64bits(vals[i])
		first := i
		for i++; i < len(vals) && i-first < longest && e.marks[i] == mark && math.Float64bits(vals[i]) == b; i++ {
		}
		code := mark - rawMark
		if mark == tentativeMark {
			code = 0
		}
		e.list = appendUvarint(e.list, uint64(first-end))
		e.list = append(e.list, code|byte(i-first-1)<<4)
		if code == 0 {
			e.list = binary.LittleEndian.AppendUint64(e.list, b)
		}
		end = i
		runs++
	}
	e.head = appendUvarint(e.head, uint64(runs))
	e.head = append(e.head, e.list...)
}
