package rowgroup

import (
	"math"
	"math/bits"
)

const (
	// rawMark is the mark of a special float without a code of its own.
	rawMark = 1
	// tentativeMark is the mark of a number that is special because it is no decimal among decimals.
	tentativeMark = 255
)

// writeValues writes a column for each member.
func (e *Encoder) writeValues(g *Group, members uint64) {
	e.ints.restart()
	for set := members; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		e.writeFloats(g[i].Values, int(e.layout.timelineOf[i]))
	}
}

// writeFloats writes one column of values.
func (e *Encoder) writeFloats(vals []float64, timeline int) {
	m := e.ints.next(len(vals))
	if integers(vals, m) {
		if p := e.ints.choose(m, 0, timeline); p.width <= maxWidth {
			e.writeIntegers(p, m)
			return
		}
	}
	at := len(e.head)
	clean, specials := e.replaceSpecials(vals)
	exponent, ok := e.decimals(clean, m, &specials)
	if ok {
		e.writeIntegers(e.ints.choose(m, exponent, timeline), m) // Below 2^53, so that any mode will do.
	} else {
		e.writeFull(clean, m, timeline)
	}
	if specials > 0 {
		e.head[at] |= flagSpecials
		e.writeSpecials(vals)
	}
}

// integers fills m with vals if they all are integers and far from an overflow.
func integers(vals []float64, m []int64) bool {
	const limit = 1 << 62
	m = m[:len(vals)]
	for i, v := range vals {
		x := int64(v)
		if math.Float64bits(float64(x)) != math.Float64bits(v) || uint64(x+limit) >= 2*limit {
			return false
		}
		m[i] = x
	}
	return true
}

// replaceSpecials returns vals with each NaN, infinity and -0 replaced by the number before it, and marks them. If there
// are many that take all their bytes it replaces none.
func (e *Encoder) replaceSpecials(vals []float64) (clean []float64, specials int) {
	clean, marks := e.clean[:len(vals)], e.marks[:len(vals)]
	copy(clean, vals)
	clear(marks)
	raw := 0
	firstNumber := -1
	last := 0.0
	for i, v := range vals {
		b := math.Float64bits(v)
		if b<<1 < 0x7ff<<53 && b != 1<<63 {
			if last = v; firstNumber < 0 {
				firstNumber = i
			}
			continue
		}
		marks[i] = specialMark(b)
		if marks[i] == rawMark {
			raw++
		}
		clean[i] = last
		specials++
	}
	if raw > specialLimit(len(vals)) {
		copy(clean, vals)
		clear(marks)
		return clean, 0
	}
	for i := range clean[:max(firstNumber, 0)] {
		clean[i] = clean[firstNumber]
	}
	return clean, specials
}

// specialLimit is the number of floats of a column that may be stored apart with all their bytes.
func specialLimit(n int) int { return 1 + n/16 }

func specialMark(b uint64) byte {
	for code := 1; code < len(specialCodes); code++ {
		if specialCodes[code] == b {
			return byte(code) + rawMark
		}
	}
	return rawMark
}

// decimal returns m with v = m / 10^e, if there is one.
func decimal(v float64, e int) (int64, bool) {
	r := math.RoundToEven(v * powers[e])
	if !(r < 1<<53 && r > -(1<<53)) {
		return 0, false
	}
	m := int64(r)
	return m, math.Float64bits(float64(m)/powers[e]) == math.Float64bits(v)
}

// exponentOf returns the smallest exponent from e on that makes v a decimal.
func exponentOf(v float64, e int) (int, bool) {
	for ; e < bitsExponent; e++ {
		if r := v * powers[e]; !(r < 1<<53 && r > -(1<<53)) {
			return 0, false
		}
		if _, ok := decimal(v, e); ok {
			return e, true
		}
	}
	return 0, false
}

// decimals fills m with vals as decimals with one exponent. What is none it marks and counts as special, within limits.
func (e *Encoder) decimals(vals []float64, m []int64, specials *int) (exponent int, ok bool) {
	n := len(vals)
	limit := specialLimit(n)
	// A look at a few values finds most exponents at once, and most columns that have none.
	const looks = 8
	failed := 0
	for k := range min(n, looks) {
		x, ok := exponentOf(vals[k*n/min(n, looks)], exponent)
		if !ok {
			failed++
			continue
		}
		exponent = x
	}
	if failed > limit || failed > looks*2/3 {
		return 0, false
	}
	raw := 0
restart:
	last, lead := int64(0), -1
	p := powers[exponent]
	for i, v := range vals {
		r := math.RoundToEven(v * p)
		if x := int64(r); r < 1<<53 && r > -(1<<53) && math.Float64bits(float64(x)/p) == math.Float64bits(v) {
			m[i], last = x, x
			continue
		}
		if e.marks[i] == 0 {
			if higher, ok := exponentOf(v, exponent+1); ok {
				exponent = higher
				goto restart
			}
			if raw++; raw > limit {
				*specials -= e.unmark(vals)
				return 0, false
			}
			e.marks[i] = tentativeMark
			*specials++
		}
		m[i] = last
		if lead == i-1 {
			lead = i
		}
	}
	if lead+1 < len(vals) { // Specials in front must not look like a jump.
		for i := range m[:lead+1] {
			m[i] = m[lead+1]
		}
	}
	return exponent, true
}
