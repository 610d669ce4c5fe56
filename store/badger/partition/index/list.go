package index

import (
	"encoding/binary"
	"math/bits"

	"github.com/luminate-metrics/luminate/store/badger/codec"
)

// A list of series begins with a varint: the lowest two bits are its form, the rest is the series where there is one, else
// the number of bytes that follow.
const (
	listDeltas = 0 // The first series, then for each other one its distance to the one before, less one.
	listRuns   = 1 // For each run of neighbours its distance to the end of the one before, and its length less one.
	listBitmap = 2 // Eight times the first byte's number, then a bit for each series from there on.
	listSingle = 3
)

// appendList appends an ascending list that is not empty. The scratch is returned for reuse.
func appendList(dst, scratch []byte, ids []uint32) (_, _ []byte) {
	if len(ids) == 1 {
		return binary.AppendUvarint(dst, uint64(ids[0])<<2|listSingle), scratch
	}
	deltas, runs, runBytes := 0, 0, 0
	from, next := 0, uint32(0) // Of the run.
	for i, id := range ids {
		if i == 0 || id != next {
			if i > 0 {
				runBytes += varintLen(uint64(i - from - 1))
			}
			gap := varintLen(uint64(id - next))
			runBytes += gap
			deltas += gap
			from, runs = i, runs+1
		} else {
			deltas++
		}
		next = id + 1
	}
	runBytes += varintLen(uint64(len(ids) - from - 1))
	first := ids[0] / 8
	bitmap := varintLen(uint64(first)) + int(ids[len(ids)-1]/8-first) + 1
	var form uint64
	switch scratch = scratch[:0]; {
	case runBytes <= deltas && runBytes <= bitmap:
		form, scratch = listRuns, appendRuns(scratch, ids)
	case deltas <= bitmap:
		form, scratch = listDeltas, appendDeltas(scratch, ids)
	default:
		form = listBitmap
		scratch = binary.AppendUvarint(scratch, uint64(first))
		at := len(scratch)
		scratch = append(scratch, make([]byte, bitmap-at)...)
		for _, id := range ids {
			scratch[at+int(id/8-first)] |= 1 << (id % 8)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(scratch))<<2|form)
	return append(dst, scratch...), scratch
}

func appendDeltas(dst []byte, ids []uint32) []byte {
	next := uint32(0)
	for _, id := range ids {
		dst = binary.AppendUvarint(dst, uint64(id-next))
		next = id + 1
	}
	return dst
}

func appendRuns(dst []byte, ids []uint32) []byte {
	next := uint32(0)
	for i := 0; i < len(ids); {
		k := i + 1
		for k < len(ids) && ids[k] == ids[k-1]+1 {
			k++
		}
		dst = binary.AppendUvarint(dst, uint64(ids[i]-next))
		dst = binary.AppendUvarint(dst, uint64(k-i-1))
		next, i = ids[k-1]+1, k
	}
	return dst
}

func varintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

// skipList passes over a list.
func skipList(d *codec.Decoder) {
	if head := d.Uvarint(); head&3 != listSingle {
		d.Raw(rawLen(head >> 2))
	}
}

func rawLen(n uint64) int { return int(min(n, mostRaw)) }

// addList adds the series of a list to set. Those that the set has no place for are a failure of d.
func addList(d *codec.Decoder, set Set) { eachRun(d, set.n, set.addRange) }

// eachRun calls f with the first and the last of neighbours in a list, in order. A series that is not below n is a failure
// of d.
func eachRun(d *codec.Decoder, n int, f func(first, last uint32)) {
	head := d.Uvarint()
	if head&3 == listSingle {
		if id := head >> 2; d.Err() == nil && id < uint64(n) {
			f(uint32(id), uint32(id))
			return
		}
		d.Fail()
		return
	}
	body := codec.NewDecoder(d.Raw(rawLen(head >> 2)))
	if d.Err() != nil {
		return
	}
	if head&3 == listBitmap {
		eachOfBitmap(d, body, n, f)
		return
	}
	for next := uint64(0); body.Len() > 0; {
		gap, more := body.Uvarint(), uint64(0)
		if head&3 == listRuns {
			more = body.Uvarint()
		}
		if room := uint64(n) - next; body.Err() != nil || gap >= room || more >= room-gap {
			d.Fail()
			return
		}
		f(uint32(next+gap), uint32(next+gap+more))
		next += gap + more + 1
	}
}

func eachOfBitmap(d, body *codec.Decoder, n int, f func(first, last uint32)) {
	at := body.Uvarint()
	raw := body.Raw(body.Len())
	if body.Err() != nil || len(raw) == 0 || at > uint64(n)/8 || (at+uint64(len(raw))-1)*8+uint64(bits.Len8(raw[len(raw)-1])) > uint64(n) {
		d.Fail()
		return
	}
	for i, b := range raw {
		for ; b != 0; b &= b - 1 {
			id := (uint32(at)+uint32(i))*8 + uint32(bits.TrailingZeros8(b))
			f(id, id)
		}
	}
}

// A Set is a set of the series of a segment.
type Set struct {
	words []uint64
	n     int // Series of the segment.
}

// NewSet returns an empty set of the numbers below n.
func NewSet(n int) Set { return Set{make([]uint64, (n+63)/64), n} }

func (s Set) add(i uint32) { s.words[i/64] |= 1 << (i % 64) }

// addRange adds all from first to last.
func (s Set) addRange(first, last uint32) {
	if first == last {
		s.add(first)
		return
	}
	for first <= last && first%64 != 0 {
		s.add(first)
		first++
	}
	for ; first+63 <= last; first += 64 {
		s.words[first/64] = ^uint64(0)
	}
	for ; first <= last; first++ {
		s.add(first)
	}
}

func (s Set) fill() {
	if s.n > 0 {
		s.addRange(0, uint32(s.n-1))
	}
}

// Empty reports whether nothing is in the set.
func (s Set) Empty() bool {
	for _, w := range s.words {
		if w != 0 {
			return false
		}
	}
	return true
}

// Len is how many are in the set.
func (s Set) Len() (n int) {
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// All calls f with each of the set, ascending, until it returns an error.
func (s Set) All(f func(i uint32) error) error {
	for at, w := range s.words {
		for ; w != 0; w &= w - 1 {
			if err := f(uint32(at*64 + bits.TrailingZeros64(w))); err != nil {
				return err
			}
		}
	}
	return nil
}

// and keeps what is in other, or what is not in it.
func (s Set) and(other Set, in bool) {
	for i := range s.words {
		if in {
			s.words[i] &= other.words[i]
		} else {
			s.words[i] &^= other.words[i]
		}
	}
}
