package partition

import (
	"encoding/binary"
	"math/bits"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// census counts what a partition holds of a group. It is written together with the values that it counts.
type census struct {
	rows    uint64                           // Row groups.
	chunks  uint64                           // Chunks of histograms.
	members uint64                           // Bit i: member i is there.
	ranges  [rowgroup.MaxMembers]store.Range // Of the samples of each member, replaced and deleted ones included.
}

// include says that a member has samples in the range.
func (c *census) include(member int, in store.Range) {
	if c.members>>member&1 == 0 {
		c.members |= 1 << member
		c.ranges[member] = in
		return
	}
	r := &c.ranges[member]
	r.Min, r.Max = min(r.Min, in.Min), max(r.Max, in.Max)
}

// encode writes each range less the one before, and equal ones in a row once: the series of a target have one range.
func (c *census) encode() []byte {
	b := binary.AppendUvarint([]byte{Version}, c.rows)
	b = binary.AppendUvarint(b, c.chunks)
	b = binary.LittleEndian.AppendUint64(b, c.members)
	var last store.Range
	for set := c.members; set != 0; {
		now := c.ranges[bits.TrailingZeros64(set)]
		n := uint64(0)
		for set != 0 && c.ranges[bits.TrailingZeros64(set)] == now {
			n++
			set &= set - 1
		}
		b = binary.AppendUvarint(b, n)
		b = binary.AppendVarint(b, now.Min-last.Min)
		b = binary.AppendVarint(b, now.Max-last.Max)
		last = now
	}
	return seal(b)
}

func decodeCensus(value []byte) (*census, error) {
	d, err := opened(value)
	if err != nil {
		return nil, err
	}
	c := &census{rows: d.Uvarint(), chunks: d.Uvarint()}
	if raw := d.Raw(8); d.Err() == nil {
		c.members = binary.LittleEndian.Uint64(raw)
	}
	var last store.Range
	for set := c.members; set != 0 && d.Err() == nil; {
		n := d.Uvarint()
		last.Min += d.Varint()
		last.Max += d.Varint()
		if n == 0 || n > uint64(bits.OnesCount64(set)) {
			d.Fail()
		}
		for ; n > 0 && d.Err() == nil; n-- {
			c.ranges[bits.TrailingZeros64(set)] = last
			set &= set - 1
		}
	}
	return c, complete(d)
}
