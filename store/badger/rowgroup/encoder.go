package rowgroup

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// An Encoder writes row groups. The zero value is ready; it keeps its buffers from one group to the next, so that
// encoding allocates nothing in the long run. It serves one caller at a time.
type Encoder struct {
	head   []byte // Headers.
	packed []byte // Packed columns.
	list   []byte // Exceptions of one column, until their number is known.

	layout layout
	ints   integerEncoder

	clean []float64 // A column whose special floats are replaced by a neighbour.
	marks []byte    // Which float of a column is special: its code and one more.
	fixes []int64   // Corrections in units of the last place.
}

// Encode appends the row group of g to dst. It fails only for columns that break what Column asks for; the error wraps
// ErrInvalid and names the member. g may be reused when Encode returns.
func (e *Encoder) Encode(dst []byte, g *Group) ([]byte, error) {
	members, err := validate(g)
	if err != nil {
		return dst, err
	}
	e.head, e.packed = e.head[:0], e.packed[:0]
	e.reserve()
	e.layout.arrange(g, members, e.ints.diff)
	starts := e.writeTimes(g, members)
	var flags byte
	if starts {
		flags |= flagStarts
		e.writeStarts(g, members)
	}
	e.writeValues(g, members)

	at := len(dst)
	dst = slices.Grow(dst, fixedBytes+binary.MaxVarintLen32+len(e.head)+len(e.packed)+spareBytes)
	dst = append(dst, 0, 0, 0, 0, Version, flags)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(e.layout.longest))
	dst = binary.LittleEndian.AppendUint64(dst, members)
	dst = binary.AppendUvarint(dst, uint64(len(e.head)))
	dst = append(dst, e.head...)
	dst = append(dst, e.packed...)
	dst = append(dst, make([]byte, spareBytes)...)
	binary.LittleEndian.PutUint32(dst[at:], checksum(dst[at:]))
	return dst, nil
}

// reserve makes the scratch of a column as long as the longest column may be.
func (e *Encoder) reserve() {
	if e.clean != nil {
		return
	}
	e.clean = make([]float64, MaxSamples)
	e.marks = make([]byte, MaxSamples)
	e.fixes = make([]int64, MaxSamples)
	e.ints.reserve()
}

// validate returns the set of members that are present.
func validate(g *Group) (members uint64, err error) {
	var checked []int64
	for i := range g {
		c := &g[i]
		n := len(c.Timestamps)
		if len(c.Values) != n || c.Starts != nil && len(c.Starts) != n {
			return 0, fmt.Errorf("%w: member %d has %d timestamps, %d values and %d start timestamps", ErrInvalid,
				i, n, len(c.Values), len(c.Starts))
		}
		if n == 0 {
			continue
		}
		if n > MaxSamples {
			return 0, fmt.Errorf("%w: member %d has %d samples, the limit is %d", ErrInvalid, i, n, MaxSamples)
		}
		members |= 1 << i
		if same(c.Timestamps, checked) {
			continue
		}
		for k := 1; k < n; k++ {
			if c.Timestamps[k] <= c.Timestamps[k-1] {
				return 0, fmt.Errorf("%w: timestamp %d of member %d follows %d", ErrInvalid,
					c.Timestamps[k], i, c.Timestamps[k-1])
			}
		}
		checked = c.Timestamps
	}
	return members, nil
}

// writeTimes writes the bounds, the timestamp columns and the timelines, and returns whether there are start timestamps.
func (e *Encoder) writeTimes(g *Group, members uint64) (starts bool) {
	l := &e.layout
	e.head = binary.AppendUvarint(e.head, zigzag(l.first))
	e.head = binary.AppendUvarint(e.head, uint64(l.last)-uint64(l.first))
	e.head = appendUvarint(e.head, uint64(len(l.columns)))
	for _, c := range l.columns {
		e.writeTimestamps(c.times)
	}
	l.plan(g, members)
	for i := range l.timelines {
		e.head = l.timelines[i].append(e.head, l)
	}
	for set := members; set != 0 && !starts; set &= set - 1 {
		starts = g[bits.TrailingZeros64(set)].Starts != nil
	}
	return starts
}

// writeTimestamps writes one timestamp column: a progression, what is left of it (jitter), differences or raw numbers.
func (e *Encoder) writeTimestamps(ts []int64) {
	n := len(ts)
	at := len(e.head)
	e.head = append(e.head, 0, 0)
	e.head = appendUvarint(e.head, uint64(e.layout.longest-n))
	e.head = binary.AppendUvarint(e.head, uint64(ts[0])-uint64(e.layout.first))
	if n == 1 {
		e.head[at] = modeConstant
		return
	}
	d := e.ints.differences(ts)
	delta := planFor(d, true)
	if delta.cost == 0 {
		e.head[at] = modeProgression
		e.head = binary.AppendUvarint(e.head, zigzag(delta.base))
		return
	}
	// Jitter around a grid needs a bit less than the differences of neighbours; a gap spoils the grid.
	step := (ts[n-1] - ts[0]) / int64(n-1)
	grid := e.ints.other[:n]
	line := ts[0]
	for i, t := range ts {
		grid[i] = t - line
		line += step
	}
	around := planFor(grid, true)
	mode, least := modeRaw, 8*n
	if delta.width <= maxWidth && delta.cost < least {
		mode, least = modeDelta, delta.cost
	}
	if around.width <= maxWidth && around.cost+varintBytes(step) < least {
		mode = modeBase
	}
	e.head[at] = byte(mode)
	switch mode {
	case modeBase:
		e.head = binary.AppendUvarint(e.head, zigzag(step))
		e.writePacked(at, around, grid)
	case modeDelta:
		e.writePacked(at, delta, d)
	default:
		for _, t := range ts {
			e.packed = binary.LittleEndian.AppendUint64(e.packed, uint64(t))
		}
	}
}

// writePacked completes the header that begins at a place of the headers and packs the residuals of d.
func (e *Encoder) writePacked(at int, p plan, d []int64) {
	e.head[at+1] |= byte(p.width)
	e.head = binary.AppendUvarint(e.head, zigzag(p.base))
	if p.divisor > 1 {
		e.head[at] |= flagDivisor
		e.head = binary.AppendUvarint(e.head, p.divisor)
	}
	var exceptions int
	e.list, e.packed, exceptions = p.pack(e.list[:0], e.packed, d, e.ints.bits)
	if exceptions > 0 {
		e.head[at] |= flagExceptions
		e.head = appendUvarint(e.head, uint64(exceptions))
		e.head = append(e.head, e.list...)
	}
}

// writeStarts writes the start timestamps: runs of members that have the same ones, then a column for each run that has
// any. They count from the first timestamp of the group.
func (e *Encoder) writeStarts(g *Group, members uint64) {
	var firsts [MaxMembers]int
	runs := 0
	var before []int64
	at := -1
	for set := members; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		s := g[i].Starts
		if at >= 0 && (s == nil) == (before == nil) && same(s, before) {
			e.head[at]++
			continue
		}
		at = len(e.head)
		before = s
		if s == nil {
			e.head = append(e.head, startsNone)
			continue
		}
		e.head = append(e.head, startsColumn)
		firsts[runs] = i
		runs++
	}
	e.ints.restart()
	for _, i := range firsts[:runs] {
		m := e.ints.next(len(g[i].Starts))
		for k, s := range g[i].Starts {
			m[k] = s - e.layout.first
		}
		p := e.ints.choose(m, bitsExponent, 0)
		if p.width > maxWidth {
			e.head = append(e.head, modeRaw, 0)
			for _, x := range m {
				e.packed = binary.LittleEndian.AppendUint64(e.packed, uint64(x))
			}
			e.ints.restart()
			continue
		}
		e.writeIntegers(p, m)
	}
}

// writeIntegers writes a column of the modes 0 to 4.
func (e *Encoder) writeIntegers(p choice, m []int64) {
	at := len(e.head)
	e.head = append(e.head, byte(p.mode)|byte(p.exponent&3)<<6, byte(p.exponent>>2)<<6)
	if p.mode != modeBase {
		e.head = binary.AppendUvarint(e.head, zigzag(m[0]))
	}
	switch p.mode {
	case modeConstant:
	case modeProgression:
		e.head = binary.AppendUvarint(e.head, zigzag(p.base))
	default:
		e.writePacked(at, p.plan, p.residuals)
	}
	e.ints.wrote(p)
}

func same(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || a[len(a)-1] == b[len(b)-1] && slices.Equal(a, b)
}
