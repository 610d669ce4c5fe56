package index

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/klauspost/compress/zstd"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/codec"
)

const (
	flagHashes = 1 << 0 // There are pages of hashes.

	knownFlags = flagHashes
)

// ErrMissing is what a Fetch returns for a key that is not there.
var ErrMissing = errors.New("index: no such page")

// A Fetch calls f with the value of a key, which is valid during the call.
type Fetch func(key []byte, f func(value []byte) error) error

// A Directory is what the head of a segment says. It never changes.
type Directory struct {
	prefix []byte
	series int
	flags  uint64
	names  []name
	pages  []pageOfValues
	pairs  int
}

// name is a label name; its values have the numbers from first to end-1 in the segment.
type name struct {
	text       string
	first, end int
	shared     bool // Label sets hold numbers of values.
}

// pageOfValues holds the values from first to end-1.
type pageOfValues struct {
	first, end int
	separator  string // Not above the first value, and above the one before unless that is of another name.
}

// Series is the number of series.
func (d *Directory) Series() int { return d.series }

// Hashes reports whether series can be looked up by a hash of their labels.
func (d *Directory) Hashes() bool { return d.flags&flagHashes > 0 }

// OpenDirectory reads the head of a segment.
func OpenDirectory(prefix []byte, fetch Fetch, decoder *zstd.Decoder) (*Directory, error) {
	raw, err := page(nil, fetch, decoder, prefix, kindHead, 0)
	if err != nil {
		return nil, err
	}
	d := codec.NewDecoder(raw)
	out := &Directory{prefix: slices.Clone(prefix), flags: d.Uvarint(), series: int(min(d.Uvarint(), 1<<32-1))}
	for range d.Count(2) {
		n := name{text: d.String(), first: out.pairs}
		values := d.Uvarint()
		n.shared = values&1 > 0
		if values>>1 > uint64(out.series) {
			return nil, malformed("head of a segment")
		}
		out.pairs += int(values >> 1)
		n.end = out.pairs
		if k := len(out.names); k > 0 && out.names[k-1].text >= n.text {
			return nil, malformed("head of a segment")
		}
		out.names = append(out.names, n)
	}
	at := 0
	for range d.Count(2) {
		n := d.Uvarint()
		if n == 0 || n > uint64(out.pairs-at) {
			return nil, malformed("head of a segment")
		}
		out.pages = append(out.pages, pageOfValues{at, at + int(n), d.String()})
		at += int(n)
	}
	if d.Err() != nil || d.Len() > 0 || at != out.pairs || out.flags&^knownFlags != 0 {
		return nil, malformed("head of a segment")
	}
	return out, nil
}

// page appends what a page holds to dst.
func page(dst []byte, fetch Fetch, decoder *zstd.Decoder, prefix []byte, kind byte, number int) ([]byte, error) {
	key := pageKey(prefix, kind, number)
	err := fetch(key, func(value []byte) (err error) {
		dst, err = unseal(dst, key, value, decoder)
		return err
	})
	if errors.Is(err, ErrMissing) {
		err = fmt.Errorf("%w: a page of the index is missing", store.ErrCorrupt)
	}
	return dst, err
}

// A Segment reads the pages of a segment. It is for one goroutine.
type Segment struct {
	*Directory

	fetch   Fetch
	decoder *zstd.Decoder

	raw    []byte // Of the page at hand.
	labels labelPage
	values [][]string // Pages of values that label sets refer to; nil where one was not read.
	held   int        // Bytes in values.

	lastPage int // That text used.
}

// NewSegment returns a reader of the pages of d.
func NewSegment(d *Directory, fetch Fetch, decoder *zstd.Decoder) *Segment {
	return &Segment{Directory: d, fetch: fetch, decoder: decoder, labels: labelPage{number: -1}}
}

// load reads a page into s.raw.
func (s *Segment) load(kind byte, number int) (err error) {
	s.raw, err = page(s.raw[:0], s.fetch, s.decoder, s.prefix, kind, number)
	return err
}

// name returns the place of a name, or -1.
func (d *Directory) name(text string) int {
	i := sort.Search(len(d.names), func(i int) bool { return d.names[i].text >= text })
	if i == len(d.names) || d.names[i].text != text {
		return -1
	}
	return i
}

// pageOf is the page that holds a value.
func (d *Directory) pageOf(value int) int {
	return sort.Search(len(d.pages), func(i int) bool { return d.pages[i].end > value })
}

// pageFor is the page that holds a value of a name, if any does.
func (d *Directory) pageFor(n name, value string) int {
	first := d.pageOf(n.first)
	last := d.pageOf(n.end - 1)
	// The first one may begin with another name.
	return first + sort.Search(last-first, func(i int) bool { return d.pages[first+1+i].separator > value })
}

// Names calls f with each label name, in order.
func (d *Directory) Names(f func(name string)) {
	for _, n := range d.names {
		f(n.text)
	}
}

// Values calls f with each value of a label, in order. The strings of a page share memory.
func (s *Segment) Values(name string, f func(value string) error) error {
	i := s.name(name)
	if i < 0 {
		return nil
	}
	n := s.names[i]
	for p := s.pageOf(n.first); p < len(s.pages) && s.pages[p].first < n.end; p++ {
		texts, err := s.texts(p)
		if err != nil {
			return err
		}
		at := s.pages[p]
		for _, text := range texts[max(n.first, at.first)-at.first : min(n.end, at.end)-at.first] {
			if err := f(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts returns the values in a page, of all names.
func (s *Segment) texts(number int) ([]string, error) {
	if err := s.load(kindValues, number); err != nil {
		return nil, err
	}
	p := s.pages[number]
	d := codec.NewDecoder(s.raw)
	arena := make([]byte, 0, 2*len(s.raw))
	ends := make([]int, 0, p.end-p.first)
	before := 0 // Where the value before begins.
	next := sort.Search(len(s.names), func(i int) bool { return s.names[i].end > p.first })
	for i := p.first; i < p.end; i++ {
		length := len(arena) - before
		for next < len(s.names) && s.names[next].first <= i { // A new name, or the page begins.
			length = 0
			next++
		}
		if i == p.first {
			length = 0
		}
		n := d.Uvarint()
		rest := d.Bytes()
		if d.Err() != nil || n > uint64(length) || len(arena) > mostRaw {
			return nil, malformed("page of values")
		}
		start := len(arena)
		arena = append(arena, arena[before:before+int(n)]...)
		arena = append(arena, rest...)
		before = start
		ends = append(ends, len(arena))
	}
	if d.Len() > 0 {
		return nil, malformed("page of values")
	}
	all := string(arena)
	out := make([]string, len(ends))
	from := 0
	for i, end := range ends {
		out[i] = all[from:end]
		from = end
	}
	return out, nil
}

// Hashed calls f with the hash of each series.
func (s *Segment) Hashed(f func(i uint32, hash uint32)) error {
	for from := 0; from < s.series; from += pageHashes {
		if err := s.load(kindHashes, from/pageHashes); err != nil {
			return err
		}
		n := min(pageHashes, s.series-from)
		if len(s.raw) != 4*n {
			return malformed("page of hashes")
		}
		for i := range n {
			b := s.raw[4*i:]
			f(uint32(from+i), uint32(b[0])|uint32(b[1])<<8|uint32(b[2])<<16|uint32(b[3])<<24)
		}
	}
	return nil
}
