package partition

import (
	"fmt"
	"math"
	"math/bits"
	"sort"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
)

// unitBytes is how much of a group is written at once.
const unitBytes = 256 << 10

// A batch is what a flush brings for a group: at each place the samples of a member, with its labels if it is new.
type batch struct {
	runs    [rowgroup.MaxMembers]series.Run
	arrived uint64 // Bit i: member i is there.
}

// A cutter cuts the floats of a group into row groups whose spans are the same for all members.
type cutter struct {
	encoder rowgroup.Encoder
	group   rowgroup.Group
	columns [rowgroup.MaxMembers]rowgroup.Column // Memory of the columns in group.
	rest    [rowgroup.MaxMembers]series.Run
}

// begin takes the floats of a batch, which it does not change. It returns what else there is.
func (c *cutter) begin(b *batch) (histograms [rowgroup.MaxMembers]series.Run) {
	for set := b.arrived; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		c.rest[i], histograms[i] = divide(b.runs[i])
	}
	return histograms
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
		run := c.rest[i]
		n := len(run)
		if end != nil {
			n = sort.Search(n, func(k int) bool { return run[k].Timestamp >= *end })
		}
		if n == 0 {
			c.group[i] = rowgroup.Column{}
			continue
		}
		c.columns[i] = fill(c.columns[i], run[:n])
		c.group[i] = c.columns[i]
		if !anyStart(run[:n]) {
			c.group[i].Starts = nil
		}
		r.members++
		r.longest = max(r.longest, n)
		r.first = min(r.first, run[0].Timestamp)
		c.rest[i] = run[n:]
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

// end returns the time before which the next span ends, or nil if it takes all that is left. Spans are of about equal
// length, so that none is a small rest.
func (c *cutter) end() *int64 {
	var end *int64
	for i := range c.rest {
		run := c.rest[i]
		if len(run) <= rowgroup.MaxSamples {
			continue
		}
		spans := (len(run) + rowgroup.MaxSamples - 1) / rowgroup.MaxSamples
		if at := run[(len(run)+spans-1)/spans].Timestamp; end == nil || at < *end {
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

func anyStart(run series.Run) bool {
	for i := range run {
		if run[i].Start != 0 {
			return true
		}
	}
	return false
}

// writeGroup writes the samples of a group, the census always together with the values that it counts, and before them
// the labels of new series.
func (w *Writer) writeGroup(group uint32, b *batch) error {
	c, err := w.census(group)
	if err != nil {
		return err
	}
	for set := b.arrived; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		c.include(i, store.Range{Min: b.runs[i][0].Timestamp, Max: b.runs[i][len(b.runs[i])-1].Timestamp})
		if s, ok := w.unwritten[idAt(group, i)]; ok && s.isNew {
			w.add(seriesKey(w.tenant, idAt(group, i)), encodeSeries(w.sequence, s.canonical))
			w.fresh++
			// All labels of a group may be too large for one transaction.
			if w.waiting += len(s.canonical); w.waiting > unitBytes {
				if err := w.groupUnit(c, group); err != nil {
					return err
				}
			}
		}
	}
	histograms := w.cutter.begin(b)
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
		if err := w.addData(c, group, rowsKey(w.tenant, group, r.first, w.sequence), r.value); err != nil {
			return err
		}
	}
	for i := range histograms {
		run := histograms[i]
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
	if err := w.groupUnit(c, group); err != nil {
		return err
	}
	return w.indexGroup(group, b)
}

func idAt(group uint32, member int) ID { return ID(group*rowgroup.MaxMembers + uint32(member)) }

// addData adds a value that the census counts already.
func (w *Writer) addData(c *census, group uint32, key, value []byte) error {
	w.info.Chunks++
	w.add(key, value)
	if w.waiting += len(value); w.waiting > unitBytes {
		return w.groupUnit(c, group)
	}
	return nil
}

// groupUnit writes what is pending with the census.
func (w *Writer) groupUnit(c *census, group uint32) error {
	if len(w.pending) == 0 {
		return nil
	}
	w.waiting = 0
	w.add(censusKey(w.tenant, group), c.encode())
	if err := w.unit(); err != nil {
		return err
	}
	if w.fresh > 0 { // Now that they are in the transaction: the count is never too high.
		w.series += w.fresh
		w.info.Series += w.fresh
		w.fresh, w.counted = 0, true
	}
	return nil
}

func (w *Writer) indexGroup(group uint32, b *batch) error {
	for set := b.arrived; set != 0; set &= set - 1 {
		id := idAt(group, bits.TrailingZeros64(set))
		s, ok := w.unwritten[id]
		if !ok {
			continue
		}
		// The index comes last: a series that is in it exists. What an interrupted flush began gets it now.
		if err := w.index(id, s.labels); err != nil {
			return err
		}
		delete(w.unwritten, id)
	}
	return nil
}
