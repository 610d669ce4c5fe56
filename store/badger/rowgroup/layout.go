package rowgroup

import (
	"math/bits"
	"slices"
)

// A layout says which members have timestamps in common. The scrapes of one target are one timestamp column; a member
// that misses some of them has a part of the column.
type layout struct {
	first, last int64 // Over all columns.
	longest     int   // Timestamps of the longest column.
	columns     []timeColumn
	timelines   []timeline
	columnOf    [MaxMembers]uint8
	timelineOf  [MaxMembers]uint8
	next        int // The column that a timeline of kind wholeNext would take.
}

type timeColumn struct {
	times  []int64
	uses   int     // Runs of members that have all or some of it.
	buffer []int64 // Own memory, kept for later groups.
}

// A timeline is what a run of neighbouring members have of one column.
type timeline struct {
	times   []int64
	column  int
	members int
}

// nearColumns is the number of columns that a member's timestamps are compared with in search of a part in common.
const nearColumns = 4

// arrange finds the timestamp columns. scratch has MaxSamples integers.
func (l *layout) arrange(g *Group, members uint64, scratch []int64) {
	l.columns = l.columns[:0]
	var before []int64
	var k int
	for set := members; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		if ts := g[i].Timestamps; before == nil || !same(ts, before) {
			before = ts
			k = l.place(ts, scratch)
			l.columns[k].uses++
		}
		l.columnOf[i] = uint8(k)
	}
	l.first, l.last, l.longest = 0, 0, 0
	for k, c := range l.columns {
		first, last := c.times[0], c.times[len(c.times)-1]
		if k == 0 {
			l.first, l.last = first, last
		}
		l.first, l.last, l.longest = min(l.first, first), max(l.last, last), max(l.longest, len(c.times))
	}
}

// place returns the column for ts: one that has them all, one that is widened, or a new one.
func (l *layout) place(ts, scratch []int64) int {
	for k, c := range slices.Backward(l.columns) {
		if same(ts, c.times) {
			return k
		}
	}
	for k := len(l.columns) - 1; k >= max(0, len(l.columns)-nearColumns); k-- {
		if l.join(&l.columns[k], ts, scratch) {
			return k
		}
	}
	if len(l.columns) == cap(l.columns) {
		l.columns = slices.Grow(l.columns, 1)
	}
	l.columns = l.columns[:len(l.columns)+1]
	c := &l.columns[len(l.columns)-1]
	c.times, c.uses = ts, 0
	return len(l.columns) - 1
}

// join adds ts to the column if the parts of the column that its users then have cost less than a column of their own.
func (l *layout) join(c *timeColumn, ts, scratch []int64) bool {
	if !overlap(c.times, ts) {
		return false
	}
	union, oldRuns, newRuns := merge(c.times, ts)
	if union > MaxSamples {
		return false
	}
	cost := partBytes(union, newRuns)
	saved := timesBytes(ts, scratch)
	if union > len(c.times) {
		cost += c.uses * partBytes(union, oldRuns)
		saved = min(saved, timesBytes(c.times, scratch))
	}
	if cost >= saved {
		return false
	}
	if union > len(c.times) {
		c.widen(ts)
	}
	return true
}

// overlap samples whether the shorter of two columns seems to have timestamps in common with the other.
func overlap(a, b []int64) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	for _, i := range [...]int{len(a) / 2, len(a) / 4, len(a) * 3 / 4} {
		if _, found := slices.BinarySearch(b, a[i]); found {
			return true
		}
	}
	return false
}

// merge returns the size of the union of two columns and the number of runs that each makes in it.
func merge(a, b []int64) (union, runsA, runsB int) {
	i, k := 0, 0
	inA, inB := false, false
	for ; i < len(a) || k < len(b); union++ {
		hasA := i < len(a) && (k == len(b) || a[i] <= b[k])
		hasB := k < len(b) && (i == len(a) || b[k] <= a[i])
		if hasA {
			i++
		}
		if hasB {
			k++
		}
		if hasA && !inA {
			runsA++
		}
		if hasB && !inB {
			runsB++
		}
		inA, inB = hasA, hasB
	}
	return union, runsA, runsB
}

// widen makes the column the union of itself and ts.
func (c *timeColumn) widen(ts []int64) {
	c.buffer = append(append(c.buffer[:0], c.times...), ts...) // The first copies onto itself or from a member.
	slices.Sort(c.buffer)
	c.buffer = slices.Compact(c.buffer)
	c.times = c.buffer
}

// partBytes is what it costs to name a part of a column.
func partBytes(column, runs int) int { return 3 + min((column+7)/8, 2*runs) }

// timesBytes is about what a timestamp column costs.
func timesBytes(ts, scratch []int64) int {
	d := scratch[:len(ts)-1]
	for i := range d {
		d[i] = ts[i+1] - ts[i]
	}
	return 8 + planFor(d, true).cost
}

// plan finds the timelines, in the order of the members.
func (l *layout) plan(g *Group, members uint64) {
	l.timelines, l.next = l.timelines[:0], 0
	for set := members; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		ts, column := g[i].Timestamps, int(l.columnOf[i])
		if n := len(l.timelines); n > 0 && l.timelines[n-1].column == column && same(ts, l.timelines[n-1].times) {
			l.timelines[n-1].members++
		} else {
			l.timelines = append(l.timelines, timeline{times: ts, column: column, members: 1})
		}
		l.timelineOf[i] = uint8(len(l.timelines) - 1)
	}
}

// append appends the header of a timeline.
func (t *timeline) append(head []byte, l *layout) []byte {
	times := l.columns[t.column].times
	whole := len(times) == len(t.times)
	if whole && t.column == l.next {
		l.next++
		return append(head, wholeNext|byte(t.members-1))
	}
	l.next = max(l.next, t.column+1)
	at := len(head)
	head = append(head, wholeEarlier|byte(t.members-1), byte(t.column))
	if whole {
		return head
	}
	head[at] = someRuns | byte(t.members-1)
	countAt := len(head)
	head = append(head, 0)
	runs, next := 0, 0
	for i := 0; i < len(t.times); runs++ {
		skipped := next
		for times[next] != t.times[i] {
			next++
		}
		taken := next
		for i < len(t.times) && times[next] == t.times[i] {
			next++
			i++
			if next == len(times) {
				break
			}
		}
		head = appendUvarint(head, uint64(taken-skipped))
		head = appendUvarint(head, uint64(next-taken))
	}
	if len(head)-countAt <= (len(times)+7)/8 && runs < 0x80 {
		head[countAt] = byte(runs)
		return head
	}
	head[at] = someBits | byte(t.members-1)
	head = append(head[:countAt], make([]byte, (len(times)+7)/8)...)
	i := 0
	for k, at := range times {
		if i < len(t.times) && t.times[i] == at {
			head[countAt+k/8] |= 1 << (k % 8)
			i++
		}
	}
	return head
}
