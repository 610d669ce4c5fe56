package rowgroup

// An integerEncoder chooses modes for columns of integers, each of which may lean on the one before.
type integerEncoder struct {
	m, before []int64 // This column and the one before.
	diff      []int64
	other     []int64
	bits      []uint64

	length   int // Of the column before; 0 if no column may lean on it.
	exponent int // Of the column before.
	timeline int // Of the column before, or any number that is equal for columns that may lean on each other.
	chain    int // Columns that one has to decode for the column before, itself included.

	pendingLength, pendingTimeline int // Of this column.
}

// A choice is the mode of a column and the plan of its residuals.
type choice struct {
	plan
	mode      int
	exponent  int
	residuals []int64
}

func (c *integerEncoder) reserve() {
	c.m = make([]int64, MaxSamples)
	c.before = make([]int64, MaxSamples)
	c.diff = make([]int64, MaxSamples)
	c.other = make([]int64, MaxSamples)
	c.bits = make([]uint64, MaxSamples)
}

// restart makes the next column lean on none.
func (c *integerEncoder) restart() { c.length = 0 }

// next returns the place for the integers of the next column.
func (c *integerEncoder) next(n int) []int64 {
	c.m, c.before = c.before, c.m
	return c.m[:n]
}

// differences returns what each integer adds to the one before it.
func (c *integerEncoder) differences(m []int64) []int64 {
	d := c.diff[:max(len(m)-1, 0)]
	for i := range d {
		d[i] = m[i+1] - m[i]
	}
	return d
}

// choose returns the cheapest mode for m, which next has returned. Its width is noWidth if there is none. Only columns
// of one timeline may lean on each other.
func (c *integerEncoder) choose(m []int64, exponent, timeline int) choice {
	c.pendingLength, c.pendingTimeline = len(m), timeline
	d := c.differences(m)
	best := choice{plan: planFor(d, true), mode: modeDelta, exponent: exponent, residuals: d}
	if best.cost == 0 {
		best.mode = modeProgression
		if best.base == 0 {
			best.mode = modeConstant
		}
		return best
	}
	cost := best.cost + varintBytes(best.base) + varintBytes(m[0])
	if p := planFor(m, true); p.cost+varintBytes(p.base) < cost {
		best.plan, best.mode, best.residuals = p, modeBase, m
		return best
	}
	leans := c.length == len(m) && c.exponent == exponent && c.timeline == timeline && c.chain < maxChain
	if !leans {
		return best
	}
	rest := c.other[:len(d)]
	before := c.before[:len(m)]
	for i, v := range d {
		rest[i] = v - (before[i+1] - before[i])
	}
	if p := planFor(rest, true); p.cost+2+varintBytes(p.base) < best.cost+varintBytes(best.base) {
		best.plan, best.mode, best.residuals = p, modeBefore, rest
	}
	return best
}

// wrote notes that the column was written as chosen.
func (c *integerEncoder) wrote(p choice) {
	if p.mode == modeBefore {
		c.chain++
	} else {
		c.chain = 1
	}
	c.length, c.exponent, c.timeline = c.pendingLength, p.exponent, c.pendingTimeline
}
