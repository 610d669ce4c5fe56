package metric

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/zeebo/xxh3"
)

// The canonical encoding of labels is that of remote write 1.0: for each label, in the order of names, the tag 0x0a, the
// length, and a message of name (tag 0x0a) and value (tag 0x12). A sorted remote-write 1.0 series thus brings its own
// canonical bytes.
const (
	tagLabel = 0x0a
	tagName  = 0x0a
	tagValue = 0x12
)

// errLabels reports bytes that are not the canonical encoding of labels.
var errLabels = errors.New("metric: malformed label encoding")

// A Hash identifies labels, as long as the hasher's seed is not known to those who choose them.
type Hash struct{ Hi, Lo uint64 }

// A Hasher hashes canonical labels. Its seed is random for each process: hashes are never stored or shown.
type Hasher struct{ seed uint64 }

// NewHasher returns the hasher with the given seed.
func NewHasher(seed uint64) Hasher { return Hasher{seed} }

// Sum returns the hash of canonical labels.
//
// It is xxh3-128 over pieces of 240 bytes, each with what came before in its seed: beyond that length xxh3 derives 192 bytes
// from the seed at each call, which takes longer than to hash the labels of a series.
func (h Hasher) Sum(labels []byte) Hash {
	const piece = 240
	if len(labels) <= piece {
		u := xxh3.Hash128Seed(labels, h.seed)
		return Hash{u.Hi, u.Lo}
	}
	return h.long(labels, piece)
}

func (h Hasher) long(labels []byte, piece int) Hash {
	const odd = 0x9e3779b97f4a7c15
	u := xxh3.Hash128Seed(labels[:piece], h.seed)
	for labels = labels[piece:]; len(labels) > 0; {
		n := min(len(labels), piece)
		next := xxh3.Hash128Seed(labels[:n], h.seed^u.Lo)
		// Two prefixes of equal Lo differ in Hi, and go on to do so.
		u.Hi, u.Lo = u.Hi*odd+next.Hi, next.Lo
		labels = labels[n:]
	}
	return Hash{u.Hi, u.Lo}
}

// AppendLabel appends the canonical encoding of one label to dst. The caller appends labels in the order of names.
func AppendLabel[S string | []byte](dst []byte, name, value S) []byte {
	dst = append(dst, tagLabel)
	dst = binary.AppendUvarint(dst, uint64(LabelSize(len(name), len(value))))
	dst = append(dst, tagName)
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = append(dst, tagValue)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// LabelSize is the length of the inner message of a label whose name and value have the given lengths.
func LabelSize(name, value int) int { return 2 + uvarintLen(name) + name + uvarintLen(value) + value }

func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

// EncodeLabels appends the canonical encoding of ls to dst.
func EncodeLabels(dst []byte, ls labels.Labels) []byte {
	ls.Range(func(l labels.Label) { dst = AppendLabel(dst, l.Name, l.Value) })
	return dst
}

// DecodeLabels builds labels from their canonical encoding. The result does not share memory with b.
func DecodeLabels(b []byte) (labels.Labels, error) {
	sb := labels.NewScratchBuilder(8)
	it := Labels(b)
	for it.Next() {
		sb.Add(string(it.Name()), string(it.Value()))
	}
	if it.Err() != nil {
		return labels.EmptyLabels(), it.Err()
	}
	return sb.Labels(), nil
}

// A LabelIterator walks over canonical labels without allocating.
type LabelIterator struct {
	rest, name, value []byte
	err               error
}

// Labels returns an iterator over the canonical encoding b. Names and values point into b.
func Labels(b []byte) LabelIterator { return LabelIterator{rest: b} }

// Next moves to the next label; false means the end or malformed bytes, which Err tells apart.
func (it *LabelIterator) Next() bool {
	if len(it.rest) == 0 || it.err != nil {
		return false
	}
	msg, rest, ok := field(it.rest, tagLabel)
	if !ok {
		it.err = errLabels
		return false
	}
	it.rest = rest
	var tail []byte
	if it.name, tail, ok = field(msg, tagName); !ok {
		it.err = errLabels
		return false
	}
	if it.value, tail, ok = field(tail, tagValue); !ok || len(tail) != 0 {
		it.err = errLabels
		return false
	}
	return true
}

// field splits off a length-delimited field with the given tag.
func field(b []byte, tag byte) (body, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, w := binary.Uvarint(b[1:])
	if w <= 0 || n > uint64(len(b)-1-w) {
		return nil, nil, false
	}
	b = b[1+w:]
	return b[:n:n], b[n:], true
}

// Name returns the name of the current label.
func (it *LabelIterator) Name() []byte { return it.name }

// Value returns the value of the current label.
func (it *LabelIterator) Value() []byte { return it.value }

// Err returns why the iterator stopped early, or nil.
func (it *LabelIterator) Err() error { return it.err }

// MetricName returns the value of __name__ in canonical labels, pointing into b; nil if there is none.
func MetricName(b []byte) []byte {
	it := Labels(b)
	for it.Next() {
		if string(it.Name()) == labels.MetricName {
			return it.Value()
		}
	}
	return nil
}

// A LabelBuilder collects the labels of one series in any order and turns them into canonical form. It is for reuse.
type LabelBuilder struct {
	pairs []pair
}

type pair struct{ name, value []byte }

// Reset forgets all labels.
func (lb *LabelBuilder) Reset() { lb.pairs = lb.pairs[:0] }

// Add adds a label. Both slices must stay as they are until Encode.
func (lb *LabelBuilder) Add(name, value []byte) { lb.pairs = append(lb.pairs, pair{name, value}) }

// Encode writes the labels, sorted and without those of empty value, into b's arena. If a name occurs twice, dup is that
// name; a name that is empty counts as the label with the name "".
func (lb *LabelBuilder) Encode(b *Batch) (canonical, dup []byte, ok bool) {
	less := func(x, y pair) int { return slices.Compare(x.name, y.name) }
	if !slices.IsSortedFunc(lb.pairs, less) {
		slices.SortStableFunc(lb.pairs, less)
	}
	size := 0
	for i, p := range lb.pairs {
		if i > 0 && slices.Equal(p.name, lb.pairs[i-1].name) {
			return nil, p.name, false
		}
		if len(p.value) > 0 {
			n := LabelSize(len(p.name), len(p.value))
			size += 1 + uvarintLen(n) + n
		}
	}
	out := b.Alloc(size)[:0]
	for _, p := range lb.pairs {
		if len(p.value) > 0 {
			out = AppendLabel(out, p.name, p.value)
		}
	}
	return out, nil, true
}
