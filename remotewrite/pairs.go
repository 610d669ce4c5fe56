package remotewrite

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// In a request of version 2.0 almost every symbol is the value of one label name only. The canonical encoding of a name and a
// value is made, and checked against the rules, when they are first seen together; the labels of a series are copies of such
// encodings.

const (
	// maxPairBytes is what the encodings of a request may take before they are made anew.
	maxPairBytes = 1 << 20

	// maxLinePairs bounds the labels of a series that is taken in this way.
	maxLinePairs = 128

	// copied is how many bytes are copied at least, whatever the length of a label, so that short labels need no branches.
	copied = 32
)

// A pair is a symbol as the value of the name that it came with the last time.
type pair struct {
	key   uint64 // Of the name: metric.NameKey.
	piece piece
	name  uint32 // Reference of the name, plus 1; 0 if there is none.
	claim uint32 // What the label counts for decoder.claim.
	taken bool   // The rules take the label.
	named bool   // The name is __name__.
}

// A piece is where the encoding of a label stands in pairs.encoded.
type piece struct{ at, size uint32 }

// pairs are those of a request.
type pairs struct {
	of      []pair // By the reference of the value.
	encoded []byte // There is room behind it for a copy that takes too much.
	line    [maxLinePairs]label
}

// A label is that of a series at some place, or of the series before that had so many. Neighbours have most of them in common.
type label struct {
	pair
	value uint32
	width uint32 // Of the packed references in bytes; 0 if there is no label.
	wire  uint64 // The packed references.
	mask  uint64 // Which bits of eight bytes they are.
}

// reset prepares p for a request with so many symbols.
func (p *pairs) reset(symbols int) {
	if cap(p.of) < symbols {
		p.of = make([]pair, symbols)
	}
	p.of = p.of[:symbols]
	clear(p.of)
	clear(p.line[:])
	p.encoded = p.encoded[:0]
}

// A line is the labels of a series, which stand in pairs.line.
type line struct {
	labels int
	size   int    // Of the encodings together.
	claim  int    // What they count for decoder.claim.
	name   uint32 // Reference of the metric name; 0 if there is none.
	vetted bool   // The rules take all labels.
}

// readLine resolves the packed references of a series. It is false unless they are labels in canonical order with values.
// Eight bytes more must follow packed in memory.
func (d *decoder) readLine(packed []byte) (l line, ok bool) {
	l.vetted = true
	var last uint64
	var lastName uint32
	around := packed[:len(packed)+8]
	pos := 0
	for ; pos < len(packed); l.labels++ {
		if l.labels == maxLinePairs {
			return l, false
		}
		at := &d.pairs.line[l.labels]
		wire := binary.LittleEndian.Uint64(around[pos:])
		if (wire^at.wire)&at.mask != 0 || at.mask == 0 {
			if !d.readLabel(at, packed, pos) {
				return l, false
			}
			at.mask = 1<<(8*at.width) - 1
			at.wire = wire & at.mask
		}
		pos += int(at.width)
		if at.key <= last && !d.ordered(lastName, at.name, l.labels) {
			return l, false
		}
		last, lastName = at.key, at.name
		l.size += int(at.piece.size)
		l.claim += int(at.claim)
		l.vetted = l.vetted && at.taken
		if at.named {
			l.name = at.value
		}
	}
	// The metric name is no dimension.
	l.vetted = l.vetted && l.name > 0 && (d.rules.MaxDimensions <= 0 || l.labels-1 <= d.rules.MaxDimensions)
	// What looks like the last label again may go on behind the references.
	return l, l.labels > 0 && pos == len(packed)
}

// readLabel resolves the packed references of a label.
func (d *decoder) readLabel(into *label, packed []byte, pos int) bool {
	name, next := reference(packed, pos)
	value, end := reference(packed, next)
	if end < 0 || int(value) >= len(d.pairs.of) {
		return false
	}
	p := &d.pairs.of[value]
	if p.name != name+1 && !d.encodePair(p, name, value) {
		return false
	}
	into.pair, into.value, into.width = *p, value, uint32(end-pos)
	return true
}

// ordered reports whether the names of two neighbours, each as in pair.name, are in order although their keys don't tell.
func (d *decoder) ordered(first, second uint32, at int) bool {
	return at == 0 || bytes.Compare(d.symbols[first-1], d.symbols[second-1]) < 0
}

// encodePair makes p the pair of two symbols. It is false if there is no such pair.
func (d *decoder) encodePair(p *pair, nameRef, valueRef uint32) bool {
	if int(nameRef) >= len(d.symbols) {
		return false
	}
	if len(d.pairs.encoded) > maxPairBytes {
		d.pairs.reset(len(d.pairs.of))
		return false // Those of the current line are lost.
	}
	name, value := d.symbols[nameRef], d.symbols[valueRef]
	if len(name) == 0 || len(value) == 0 || len(name)+len(value) > maxPairBytes {
		return false
	}
	at := len(d.pairs.encoded)
	d.pairs.encoded = slices.Grow(metric.AppendLabel(d.pairs.encoded, name, value), copied)
	*p = pair{
		key: metric.NameKey(name), name: nameRef + 1, piece: piece{uint32(at), uint32(len(d.pairs.encoded) - at)},
		claim: uint32(labelClaim(name, value)), taken: d.rules.TakesLabel(name, value), named: isMetricName(name),
	}
	return true
}

// writeLine puts the labels of l into the batch.
func (d *decoder) writeLine(l line) []byte {
	out := d.batch.Reserve(l.size + copied)
	encoded := d.pairs.encoded[:len(d.pairs.encoded)+copied]
	for i := range d.pairs.line[:l.labels] {
		p := d.pairs.line[i].piece
		from := encoded[p.at:]
		*(*[16]byte)(out) = *(*[16]byte)(from)
		*(*[16]byte)(out[16:]) = *(*[16]byte)(from[16:])
		if p.size > copied {
			copy(out[copied:p.size], from[copied:])
		}
		out = out[p.size:]
	}
	return d.batch.Take(l.size)
}

// labelClaim is what a label counts for decoder.claim: a length takes at most ten bytes.
func labelClaim(name, value []byte) int { return 1 + 10 + metric.LabelSize(len(name), len(value)) }

// reference decodes the varint of a reference at b[pos:] and returns the position after it; it is negative for what is not
// there, and for more than three bytes, which no honest request needs.
func reference(b []byte, pos int) (ref uint32, next int) {
	if pos < 0 || pos >= len(b) {
		return 0, -1
	}
	if c := b[pos]; c < 0x80 {
		return uint32(c), pos + 1
	}
	return longReference(b, pos)
}

func longReference(b []byte, pos int) (ref uint32, next int) {
	for shift := 0; shift < 21 && pos < len(b); shift += 7 {
		c := b[pos]
		pos++
		ref |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return ref, pos
		}
	}
	return 0, -1
}
