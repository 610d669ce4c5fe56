package partition

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
)

// unitBytes is how much of a group is written at once.
const unitBytes = 256 << 10

// spareBatches is how many batches a writer keeps for reuse.
const spareBatches = 16

// A batch is what a flush brings for a group, in memory of its own.
type batch struct {
	timestamps []int64
	values     []float64
	starts     []int64
	parts      [rowgroup.MaxMembers]part
	histograms [rowgroup.MaxMembers]series.Run
	arrived    uint64 // Bit i: member i is there.
	last       part
}

// A part is where the samples of one member are in a batch; where those of members with equal timestamps are is shared.
type part struct {
	timestamps, values, starts int // The first one; starts is -1 if there are none.
	n                          int
}

func (b *batch) reset() {
	b.timestamps, b.values, b.starts = b.timestamps[:0], b.values[:0], b.starts[:0]
	clear(b.histograms[:])
	b.arrived, b.last = 0, part{}
}

// add copies the samples of a member, which has some.
func (b *batch) add(member int, floats rowgroup.Column, histograms series.Run) {
	b.arrived |= 1 << member
	b.histograms[member] = slices.Clone(histograms)
	p := part{len(b.timestamps), len(b.values), -1, len(floats.Timestamps)}
	// The series of a target have the same timestamps, and the encoder sees that quickest in the same memory.
	if l := b.last; p.n > 0 && l.n == p.n && slices.Equal(b.timestamps[l.timestamps:l.timestamps+l.n], floats.Timestamps) {
		p.timestamps = l.timestamps
	} else {
		b.timestamps = append(b.timestamps, floats.Timestamps...)
	}
	b.values = append(b.values, floats.Values...)
	if floats.Starts != nil {
		p.starts = len(b.starts)
		b.starts = append(b.starts, floats.Starts...)
	}
	b.parts[member] = p
	if p.n > 0 {
		b.last = p
	}
}

// column returns the floats of a member.
func (b *batch) column(member int) (c rowgroup.Column) {
	p := b.parts[member]
	c.Timestamps = b.timestamps[p.timestamps : p.timestamps+p.n]
	c.Values = b.values[p.values : p.values+p.n]
	if p.starts >= 0 {
		c.Starts = b.starts[p.starts : p.starts+p.n]
	}
	return c
}

// span is the time range of all samples of a member.
func (b *batch) span(member int) store.Range {
	in := store.Range{Min: math.MaxInt64, Max: math.MinInt64}
	if p := b.parts[member]; p.n > 0 {
		in = store.Range{Min: b.timestamps[p.timestamps], Max: b.timestamps[p.timestamps+p.n-1]}
	}
	if h := b.histograms[member]; len(h) > 0 {
		in.Min, in.Max = min(in.Min, h[0].Timestamp), max(in.Max, h[len(h)-1].Timestamp)
	}
	return in
}

// A cutter cuts the floats of a group into row groups whose spans are the same for all members.
type cutter struct {
	encoder rowgroup.Encoder
	group   rowgroup.Group
	rest    rowgroup.Group
}

// begin takes the floats of a batch.
func (c *cutter) begin(b *batch) {
	c.rest = rowgroup.Group{}
	for set := b.arrived; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		c.rest[i] = b.column(i)
	}
}

// divide returns the floats and the histograms of a run.
func divide(run series.Run) (floats, histograms series.Run) {
	count := 0
	for i := range run {
		if run[i].Int != nil || run[i].Float != nil {
			count++
		}
	}
	switch count {
	case 0:
		return run, nil
	case len(run):
		return nil, run
	}
	floats, histograms = make(series.Run, 0, len(run)-count), make(series.Run, 0, count)
	for i := range run {
		if run[i].Int != nil || run[i].Float != nil {
			histograms = append(histograms, run[i])
		} else {
			floats = append(floats, run[i])
		}
	}
	return floats, histograms
}

// A row is an encoded row group.
type row struct {
	value   []byte
	first   int64 // Timestamp of its first sample.
	members int
	longest int // Samples of the member that has most.
}

// next encodes the next span. It returns a row without a value at the end.
func (c *cutter) next() (row, error) {
	end := c.end()
	r := row{first: math.MaxInt64}
	for i := range c.rest {
		rest := &c.rest[i]
		n := len(rest.Timestamps)
		if end != nil {
			n, _ = slices.BinarySearch(rest.Timestamps, *end)
		}
		if n == 0 {
			c.group[i] = rowgroup.Column{}
			continue
		}
		c.group[i] = split(rest, n)
		r.members++
		r.longest = max(r.longest, n)
		r.first = min(r.first, c.group[i].Timestamps[0])
	}
	if r.members == 0 {
		return row{}, nil
	}
	var err error
	if r.value, err = c.encoder.Encode(nil, &c.group); err != nil {
		return row{}, fmt.Errorf("partition: encode: %w", err)
	}
	return r, nil
}

// split takes the first n samples off c.
func split(c *rowgroup.Column, n int) rowgroup.Column {
	first := rowgroup.Column{Timestamps: c.Timestamps[:n], Values: c.Values[:n]}
	c.Timestamps, c.Values = c.Timestamps[n:], c.Values[n:]
	if c.Starts != nil {
		if slices.ContainsFunc(c.Starts[:n], func(t int64) bool { return t != 0 }) {
			first.Starts = c.Starts[:n]
		}
		c.Starts = c.Starts[n:]
	}
	return first
}

// end returns the time before which the next span ends, or nil if it takes all that is left. Spans are of about equal
// length, so that none is a small rest.
func (c *cutter) end() *int64 {
	var end *int64
	for i := range c.rest {
		ts := c.rest[i].Timestamps
		if len(ts) <= rowgroup.MaxSamples {
			continue
		}
		spans := (len(ts) + rowgroup.MaxSamples - 1) / rowgroup.MaxSamples
		if at := ts[(len(ts)+spans-1)/spans]; end == nil || at < *end {
			end = &at
		}
	}
	return end
}

func fill(c rowgroup.Column, run series.Run) rowgroup.Column {
	c.Timestamps, c.Values, c.Starts = c.Timestamps[:0], c.Values[:0], c.Starts[:0]
	for i := range run {
		c.Timestamps = append(c.Timestamps, run[i].Timestamp)
		c.Values = append(c.Values, run[i].Value)
		c.Starts = append(c.Starts, run[i].Start)
	}
	return c
}

// bytes is what the samples take, histograms aside.
func (b *batch) bytes() int { return 8 * (len(b.timestamps) + len(b.values) + len(b.starts)) }

// writeGroup writes the samples of a group, the census always together with the values that it counts, and lets go of the
// batch.
func (w *Writer) writeGroup(group uint32, b *batch) error {
	c, err := w.census(group)
	if err != nil {
		return err
	}
	for set := b.arrived; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		c.include(i, b.span(i))
	}
	part := w.begun[group].parts
	if err := w.addRows(c, group, part, b); err != nil {
		return err
	}
	value := c.encode()
	w.add(censusKey(w.tenant, group), value)
	if err := w.endUnit(); err != nil {
		return err
	}
	if b.arrived != math.MaxUint64 {
		w.begun[group] = begun{value, part + 1}
	}
	delete(w.batches, group)
	w.buffered -= b.bytes()
	if b.reset(); len(w.spare) < spareBatches {
		w.spare = append(w.spare, b)
	}
	return nil
}

// addRows adds the values with the samples of a group.
func (w *Writer) addRows(c *census, group uint32, part uint8, b *batch) error {
	w.cutter.begin(b)
	for {
		r, err := w.cutter.next()
		if err != nil {
			return err
		}
		if r.value == nil {
			break
		}
		if r.longest <= rowgroup.MaxSamples/2 {
			w.info.Short += uint64(r.members)
		}
		c.rows++
		if err := w.addData(c, group, rowsKey(w.tenant, group, r.first, w.sequence, part), r.value); err != nil {
			return err
		}
	}
	for i, run := range b.histograms {
		for part := 0; len(run) > 0; part++ {
			var value []byte
			value, run = encodeChunk(run)
			if len(run) == 0 {
				w.info.Short++
			}
			c.chunks++
			if err := w.addData(c, group, chunkKey(w.tenant, idAt(group, i), w.sequence, part), value); err != nil {
				return err
			}
		}
	}
	return nil
}

func idAt(group uint32, member int) ID { return ID(group*rowgroup.MaxMembers + uint32(member)) }

// addData adds a value that the census counts already.
func (w *Writer) addData(c *census, group uint32, key, value []byte) error {
	w.info.Chunks++
	w.add(key, value)
	if w.waiting += len(value); w.waiting <= unitBytes {
		return nil
	}
	w.add(censusKey(w.tenant, group), c.encode())
	return w.endUnit()
}

// endUnit writes what is pending, which a census ends.
func (w *Writer) endUnit() error {
	w.waiting = 0
	return w.unit()
}
