package rowgroup

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// packing describes packed integers and their exceptions.
type packing struct {
	base         int64
	divisor      int64
	width        uint
	at           int // First packed byte.
	exceptions   int
	exceptionsAt int // First of them in the headers.
}

// column is the header of one column of values, timestamps or start timestamps.
type column struct {
	packing
	first      int64
	step       int64 // Of the grid, for timestamps.
	n          int
	mode       byte
	exponent   byte
	leans      bool // Its integers need those of the column before.
	leaned     bool // The column after needs its integers.
	fixed      bool // It has corrections.
	fix        int  // Index of the corrections.
	cut        uint // Low bits of split floats.
	specials   int
	specialsAt int
}

// line is what a run of members have of a timestamp column.
type line struct {
	column int
	kind   byte
	n      int
	at     int // First byte of the runs or bits.
	runs   int
}

// parser walks the headers. After a failure every number is 0 and all counts are refused.
type parser struct {
	b      []byte // The value up to the end of the headers.
	pos    int
	packed int // First packed byte that no column has taken.
	end    int // End of the packed bytes.
	bad    bool
}

func (p *parser) uvarint() uint64 {
	if p.pos < len(p.b) && p.b[p.pos] < 0x80 {
		p.pos++
		return uint64(p.b[p.pos-1])
	}
	return p.long()
}

func (p *parser) long() uint64 {
	x, n := binary.Uvarint(p.b[p.pos:])
	if n <= 0 {
		p.fail()
		return 0
	}
	p.pos += n
	return x
}

func (p *parser) varint() int64 { return unzigzag(p.uvarint()) }

// count takes a number that may not be above limit.
func (p *parser) count(limit int) int {
	x := p.uvarint()
	if x > uint64(limit) {
		p.fail()
		return 0
	}
	return int(x)
}

func (p *parser) byte() byte {
	if p.pos >= len(p.b) {
		p.fail()
		return 0
	}
	p.pos++
	return p.b[p.pos-1]
}

func (p *parser) skip(n int) {
	if n > len(p.b)-p.pos {
		p.fail()
		return
	}
	p.pos += n
}

// take reserves n packed bytes and returns the place of the first.
func (p *parser) take(n int) int {
	if n > p.end-p.packed {
		p.fail()
		return p.packed
	}
	p.packed += n
	return p.packed - n
}

func (p *parser) fail() { p.bad, p.pos = true, len(p.b) }

// frame checks what has a fixed place, and returns a parser of the headers.
func frame(value []byte) (parser, error) {
	if len(value) < fixedBytes+1+spareBytes {
		return parser{}, fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(value))
	}
	if v := value[versionAt]; v != Version {
		return parser{}, fmt.Errorf("%w: %d, known is %d", ErrVersion, v, Version)
	}
	if f := value[flagsAt]; f&^knownFlags != 0 {
		return parser{}, fmt.Errorf("%w: unknown flags %#x", ErrCorrupt, f)
	}
	size, n := binary.Uvarint(value[fixedBytes : len(value)-spareBytes])
	if n <= 0 || size > uint64(len(value)-spareBytes-fixedBytes-n) {
		return parser{}, fmt.Errorf("%w: length of the headers", ErrCorrupt)
	}
	start := fixedBytes + n
	end := start + int(size)
	return parser{b: value[:end], pos: start, packed: end, end: len(value) - spareBytes}, nil
}

// parse reads all headers.
func (r *Reader) parse(p *parser) {
	r.first = p.varint()
	r.last = int64(uint64(r.first) + p.uvarint())
	r.parseTimes(p)
	if !p.bad {
		r.parseTimelines(p)
	}
	if !p.bad && r.value[flagsAt]&flagStarts != 0 {
		r.parseStarts(p)
	}
	before := -1
	for set := r.members; set != 0 && !p.bad; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		c := &r.columns[i]
		t := r.timelineOf[i]
		// What is not reset here the parser sets wherever it is used; clearing all of it takes a sixth of Open.
		c.n, c.leans, c.leaned, c.fixed, c.specials = r.timelines[t].n, false, false, false, 0
		var lean *column
		if before >= 0 && r.timelineOf[before] == t {
			lean = &r.columns[before]
		}
		r.parseValues(p, c, lean)
		before = i
	}
	if p.pos != len(p.b) || p.packed != p.end {
		p.fail()
	}
}

func (r *Reader) parseTimes(p *parser) {
	longest := int(binary.LittleEndian.Uint16(r.value[longestAt:]))
	if longest > MaxSamples {
		p.fail()
	}
	r.times = r.times[:0]
	for k := p.count(bits.OnesCount64(r.members)); k > 0 && !p.bad; k-- {
		flags, width := p.byte(), p.byte()
		c := column{mode: flags & modeMask}
		c.n = longest - p.count(max(longest-1, 0))
		if c.n < 1 {
			p.fail()
			return
		}
		c.first = int64(uint64(r.first) + p.uvarint())
		residuals := c.n - 1
		switch c.mode {
		case modeConstant:
			if c.n != 1 {
				p.fail()
			}
		case modeProgression:
			c.base = p.varint()
		case modeBase:
			c.step = p.varint()
			residuals = c.n
			fallthrough
		case modeDelta:
			c.parse(p, flags, width, residuals)
		case modeRaw:
			c.at = p.take(8 * c.n)
		default:
			p.fail()
		}
		r.times = append(r.times, c)
	}
}

// parse reads how n integers are packed.
func (c *packing) parse(p *parser, flags, width byte, n int) {
	c.width = uint(width)
	if c.width > maxWidth {
		p.fail()
	}
	c.base = p.varint()
	c.divisor = 1
	if flags&flagDivisor != 0 {
		c.divisor = int64(p.uvarint())
	}
	c.exceptions = 0
	if flags&flagExceptions != 0 {
		c.exceptions = p.count(n)
		c.exceptionsAt = p.pos
		at := -1
		for k := range c.exceptions {
			gap := p.count(n)
			if k == 0 {
				at = gap
			} else {
				at += gap
			}
			if at >= n || k > 0 && gap == 0 {
				p.fail()
			}
			p.uvarint()
			if p.bad {
				return
			}
		}
	}
	if !p.bad {
		c.at = p.take(packedBytes(n, c.width))
	}
}

func (r *Reader) parseTimelines(p *parser) {
	r.timelines = r.timelines[:0]
	next := 0
	left := 0 // Members that the present timeline still has.
	for set := r.members; set != 0 && !p.bad; set &= set - 1 {
		if left == 0 {
			head := p.byte()
			left = int(head&runMask) + 1
			t := line{kind: head & kindMask, column: next}
			if t.kind != wholeNext {
				t.column = p.count(len(r.times))
			}
			if t.column >= len(r.times) {
				p.fail()
				return
			}
			next = max(next, t.column+1)
			t.parse(p, r.times[t.column].n)
			r.timelines = append(r.timelines, t)
		}
		left--
		r.timelineOf[bits.TrailingZeros64(set)] = uint8(len(r.timelines) - 1)
	}
	if left != 0 {
		p.fail()
	}
}

// parse reads which part a timeline has of a column of n timestamps.
func (t *line) parse(p *parser, n int) {
	switch t.kind {
	case someRuns:
		t.runs = p.count(n)
		t.at = p.pos
		at := 0
		for range t.runs {
			skipped, taken := p.count(n), p.count(n)
			if at += skipped + taken; at > n || taken == 0 {
				p.fail()
			}
			if p.bad {
				return
			}
			t.n += taken
		}
	case someBits:
		t.at = p.pos
		p.skip((n + 7) / 8)
		if p.bad {
			return
		}
		for _, b := range p.b[t.at:p.pos] {
			t.n += bits.OnesCount8(b)
		}
		if n%8 != 0 && p.b[p.pos-1]>>(n%8) != 0 {
			p.fail()
		}
	default:
		t.n = n
	}
	if t.n < 1 {
		p.fail()
	}
}

// parseStarts reads which members have start timestamps, and their columns.
func (r *Reader) parseStarts(p *parser) {
	r.starts = r.starts[:0]
	left := 0
	kind := byte(startsNone)
	for set := r.members; set != 0 && !p.bad; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		n := r.timelines[r.timelineOf[i]].n
		if left == 0 {
			head := p.byte()
			left, kind = int(head&runMask)+1, head&kindMask
			switch kind {
			case startsNone:
			case startsColumn:
				r.starts = append(r.starts, column{n: n})
			default:
				p.fail()
			}
		}
		left--
		r.startOf[i] = -1
		if kind == startsColumn {
			r.startOf[i] = int8(len(r.starts) - 1)
			if n != r.starts[len(r.starts)-1].n {
				p.fail()
			}
		}
	}
	if left != 0 {
		p.fail()
	}
	for k := range r.starts {
		if p.bad {
			return
		}
		c := &r.starts[k]
		var lean *column
		if k > 0 && r.starts[k-1].n == c.n {
			lean = &r.starts[k-1]
		}
		r.parseValues(p, c, lean)
		if c.mode > modeBefore && c.mode != modeRaw || c.mode != modeRaw && c.exponent != bitsExponent || c.fixed || c.specials > 0 {
			p.fail()
		}
	}
}

// parseValues reads the header of a column that may lean on another one or none.
func (r *Reader) parseValues(p *parser, c, lean *column) {
	flags, width := p.byte(), p.byte()
	specials := flags&flagSpecials != 0
	c.mode = flags & modeMask
	switch c.mode {
	case modeSplit:
		c.width, c.cut = uint(width), uint(p.byte())
		if c.width > maxWidth || c.cut > maxWidth || c.width+c.cut > 64 {
			p.fail()
			return
		}
		c.base = int64(p.uvarint())
		c.at = p.take(packedBytes(c.n, c.width) + packedBytes(c.n, c.cut))
	case modeRaw:
		c.at = p.take(8 * c.n)
	case modeCorrected:
		var fix packing
		fix.parse(p, flags, width, c.n)
		c.fixed, c.fix = true, len(r.fixes)
		r.fixes = append(r.fixes, fix)
		c.parseIntegers(p, p.byte(), p.byte(), lean)
	default:
		c.parseIntegers(p, flags, width, lean)
	}
	if specials && !p.bad {
		c.parseSpecials(p)
	}
}

func (c *column) parseIntegers(p *parser, flags, width byte, lean *column) {
	c.mode = flags & modeMask
	c.exponent = flags>>6 | width>>6<<2
	if c.mode != modeBase {
		c.first = p.varint()
	}
	residuals := c.n - 1
	switch c.mode {
	case modeConstant:
	case modeProgression:
		c.base = p.varint()
	case modeBase:
		residuals = c.n
		fallthrough
	case modeDelta:
		c.parse(p, flags, width&63, residuals)
	case modeBefore:
		if lean == nil || lean.mode > modeBefore || lean.exponent != c.exponent {
			p.fail()
			return
		}
		c.leans, lean.leaned = true, true
		c.parse(p, flags, width&63, residuals)
	default:
		p.fail()
	}
}

func (c *column) parseSpecials(p *parser) {
	c.specials = p.count(c.n)
	c.specialsAt = p.pos
	end := 0
	for range c.specials {
		gap := p.count(c.n)
		head := p.byte()
		if end += gap + int(head>>4) + 1; end > c.n || int(head&15) >= len(specialCodes) {
			p.fail()
		}
		if head&15 == 0 {
			p.skip(8)
		}
		if p.bad {
			return
		}
	}
}
