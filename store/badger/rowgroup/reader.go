package rowgroup

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// A Reader reads row groups, one after the other. The zero value is ready for Open; it keeps its buffers from one value
// to the next, so that reading allocates nothing in the long run. It serves one caller at a time.
type Reader struct {
	value       []byte
	members     uint64
	first, last int64

	columns    [MaxMembers]column
	times      []column
	timelines  []line
	timelineOf [MaxMembers]uint8
	starts     []column
	startOf    [MaxMembers]int8
	fixes      []packing

	ints, before []int64 // Integers of the column that was decoded last, and of the one before it.
	corrections  []int64
	floats       []float64

	wanted, needed uint64 // Of the pass: members that the caller wants, and members that are still to be decoded.
	member         int    // That the pass is at.

	// What was decoded of timestamps, with the index of it or -1.
	columnTimes, lineTimes, startTimes []int64
	heldColumn, heldLine, heldStart    int
}

// Open makes r a reader of a value that Encode has made. It verifies the checksum and everything that decoding relies
// on, so that no other method can fail. The value must not change until the next Open. An error wraps ErrCorrupt or
// ErrVersion and leaves a reader of nothing.
func (r *Reader) Open(value []byte) error {
	r.members, r.first, r.last = 0, 0, 0
	r.times, r.timelines, r.starts, r.fixes = r.times[:0], r.timelines[:0], r.starts[:0], r.fixes[:0]
	r.heldColumn, r.heldLine, r.heldStart = -1, -1, -1
	r.value, r.wanted, r.needed = nil, 0, 0
	p, err := frame(value)
	if err != nil {
		return err
	}
	if err := verify(value); err != nil {
		return err
	}
	if r.ints == nil {
		r.ints, r.before = make([]int64, MaxSamples), make([]int64, MaxSamples)
		r.corrections, r.floats = make([]int64, MaxSamples), make([]float64, MaxSamples)
	}
	r.value = value
	r.members = binary.LittleEndian.Uint64(value[membersAt:])
	if r.parse(&p); p.bad {
		r.members, r.first, r.last, r.value = 0, 0, 0, nil
		return fmt.Errorf("%w: headers", ErrCorrupt)
	}
	return nil
}

// Members is the set of present members: bit i is set if member i has samples.
func (r *Reader) Members() uint64 { return r.members }

// Bounds returns the timestamps of the first and the last sample of all members; both are 0 if there are none.
func (r *Reader) Bounds() (first, last int64) { return r.first, r.last }

// Samples is the number of samples of a member; 0 if it is absent.
func (r *Reader) Samples(member int) int {
	if r.members>>member&1 == 0 {
		return 0
	}
	return r.timelines[r.timelineOf[member]].n
}

// Timeline is a small number that is the same for neighbouring members with the same timestamps, so that a caller may
// keep one copy of them; -1 if the member is absent.
func (r *Reader) Timeline(member int) int {
	if r.members>>member&1 == 0 {
		return -1
	}
	return int(r.timelineOf[member])
}

// Timestamps appends the timestamps of a member to dst.
func (r *Reader) Timestamps(dst []int64, member int) []int64 {
	if r.members>>member&1 == 0 {
		return dst
	}
	return append(dst, r.timeline(int(r.timelineOf[member]))...)
}

// Values appends the values of a member to dst. It decodes the columns that the member leans on, 16 at most.
func (r *Reader) Values(dst []float64, member int) []float64 {
	if r.members>>member&1 == 0 {
		return dst
	}
	root := member
	for r.columns[root].leans {
		root = r.previous(root)
	}
	for i := root; i != member; i = r.following(i) {
		r.decode(&r.columns[i])
	}
	c := &r.columns[member]
	at := len(dst)
	dst = slices.Grow(dst, c.n)[:at+c.n]
	r.decodeFloats(dst[at:], c)
	return dst
}

// Starts appends the start timestamps of a member to dst; nothing if it has none.
func (r *Reader) Starts(dst []int64, member int) []int64 { return append(dst, r.startsOf(member)...) }

// Column returns the samples of a member in dst's memory, which is grown as needed.
func (r *Reader) Column(dst Column, member int) Column {
	dst.Timestamps = r.Timestamps(dst.Timestamps[:0], member)
	dst.Values = r.Values(dst.Values[:0], member)
	dst.Starts = r.Starts(dst.Starts[:0], member)
	return dst
}

// Select begins a pass over the members of a set, in ascending order; absent members are left out. Next steps through it:
//
//	for r.Select(members); r.Next(); {
//		member, column := r.At()
//	}
//
// A pass decodes each column once, also those that only others lean on. No other method that decodes may be called before
// it ends.
func (r *Reader) Select(members uint64) {
	r.wanted = members & r.members
	r.needed = r.wanted
	for set := r.wanted; set != 0; {
		i := bits.Len64(set) - 1
		set &^= 1 << i
		if r.columns[i].leans {
			k := r.previous(i)
			r.needed |= 1 << k
			set |= 1 << k
		}
	}
}

// Next decodes the next member of the pass. It returns false at the end.
func (r *Reader) Next() bool {
	for r.needed != 0 {
		i := bits.TrailingZeros64(r.needed)
		r.needed &= r.needed - 1
		c := &r.columns[i]
		if r.wanted>>i&1 == 0 {
			r.decode(c)
			continue
		}
		r.decodeFloats(r.floats[:c.n], c)
		r.member = i
		return true
	}
	return false
}

// At returns the member that Next has decoded. The column's memory is the reader's and good until the next step; members
// of one timeline share their timestamps.
func (r *Reader) At() (member int, c Column) {
	i := r.member
	c.Timestamps = r.timeline(int(r.timelineOf[i]))
	c.Values = r.floats[:r.columns[i].n]
	c.Starts = r.startsOf(i)
	return i, c
}

// previous is the present member before i.
func (r *Reader) previous(i int) int { return bits.Len64(r.members&(1<<i-1)) - 1 }

// following is the present member after i.
func (r *Reader) following(i int) int { return bits.TrailingZeros64(r.members &^ (2<<i - 1)) }

// An Info is what the head of a value says of itself.
type Info struct {
	Members     uint64 // As Reader.Members.
	First, Last int64  // As Reader.Bounds.
}

// Peek reads the head of a value without verifying its checksum: enough to pass over groups that a query has no use for.
func Peek(value []byte) (Info, error) {
	p, err := frame(value)
	if err != nil {
		return Info{}, err
	}
	info := Info{Members: binary.LittleEndian.Uint64(value[membersAt:]), First: p.varint()}
	info.Last = int64(uint64(info.First) + p.uvarint())
	if p.bad {
		return Info{}, fmt.Errorf("%w: bounds", ErrCorrupt)
	}
	return info, nil
}

// Verify verifies the checksum of a value and nothing else: what makes it safe to pass over one for what Peek said.
func Verify(value []byte) error {
	if _, err := frame(value); err != nil {
		return err
	}
	return verify(value)
}

func verify(value []byte) error {
	if got, want := checksum(value), binary.LittleEndian.Uint32(value); got != want {
		return fmt.Errorf("%w: checksum is %08x, should be %08x", ErrCorrupt, got, want)
	}
	return nil
}
