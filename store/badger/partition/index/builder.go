package index

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// manySeries is how many series have a value of a label on average, from which on label sets hold the value's number, and
// not the value: labels are then read from few pages, and a label of which each series has another value does not lead
// from one page to as many others.
const manySeries = 8

// A Builder collects the series of a segment. It is for one goroutine.
type Builder struct {
	opts    Options
	encoder *zstd.Encoder
	names   map[string]int
	columns []*column
	count   int
	pairs   int
	hashes  []uint32
	last    []place // Labels of the series before: most are those of the next, too.

	scratch []byte
	ids     []uint32
}

// column is one label name.
type column struct {
	name   string
	values map[string]uint32
	texts  []string
	refs   []uint32 // By series: number of the value in texts, and one more; 0 where the series lacks the label.

	order []uint32 // Values in the order of their texts.
	rank  []uint32 // The inverse of it.
	first int      // Number of the first value in the segment.
}

// place is one label of the series before.
type place struct {
	column *column
	ref    uint32
}

// NewBuilder returns a builder without series.
func NewBuilder(opts Options) (*Builder, error) {
	level := zstd.SpeedDefault
	if opts.Smaller {
		level = zstd.SpeedBetterCompression
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(64<<10), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return &Builder{opts: opts, encoder: encoder, names: map[string]int{}}, nil
}

// Reset removes all series.
func (b *Builder) Reset() {
	clear(b.names)
	b.columns, b.last, b.hashes, b.count, b.pairs = nil, nil, b.hashes[:0], 0, 0
}

// Len is the number of series.
func (b *Builder) Len() int { return b.count }

// Pairs is the number of different labels that the series have.
func (b *Builder) Pairs() int { return b.pairs }

// Add adds a series by its canonical labels, which are copied, and their hash. It gets the next number.
func (b *Builder) Add(canonical []byte, hash uint32) error {
	it := metric.Labels(canonical)
	n := 0
	for it.Next() {
		if n < len(b.last) && b.last[n].is(it.Name(), it.Value()) {
			p := b.last[n]
			p.column.put(b.count, p.ref)
			n++
			continue
		}
		p := b.intern(n, it.Name(), it.Value())
		p.column.put(b.count, p.ref)
		if n < len(b.last) {
			b.last[n] = p
		} else {
			b.last = append(b.last, p)
		}
		n++
	}
	if it.Err() != nil {
		return fmt.Errorf("index: series %d: %w", b.count, it.Err())
	}
	b.last = b.last[:n]
	b.hashes = append(b.hashes, hash)
	b.count++
	return nil
}

func (p place) is(name, value []byte) bool {
	return p.column.name == string(name) && p.column.texts[p.ref-1] == string(value)
}

// intern returns the label at place n of a series.
func (b *Builder) intern(n int, name, value []byte) place {
	var c *column
	if n < len(b.last) && b.last[n].column.name == string(name) {
		c = b.last[n].column
	} else {
		at, ok := b.names[string(name)]
		if !ok {
			at = len(b.columns)
			b.names[string(name)] = at
			b.columns = append(b.columns, &column{name: string(name), values: map[string]uint32{}})
		}
		c = b.columns[at]
	}
	ref, ok := c.values[string(value)]
	if !ok {
		text := string(value)
		c.texts = append(c.texts, text)
		ref = uint32(len(c.texts))
		c.values[text] = ref
		b.pairs++
	}
	return place{c, ref}
}

func (c *column) put(series int, ref uint32) {
	for len(c.refs) < series {
		c.refs = append(c.refs, 0)
	}
	if len(c.refs) == series { // A name that comes twice counts once.
		c.refs = append(c.refs, ref)
	}
}

func (c *column) at(series int) uint32 {
	if series >= len(c.refs) {
		return 0
	}
	return c.refs[series]
}

// shared reports whether label sets hold the numbers of the values.
func (c *column) shared() bool { return len(c.texts)*manySeries <= len(c.refs) }

func (c *column) sort() {
	c.order = make([]uint32, len(c.texts))
	for i := range c.order {
		c.order[i] = uint32(i)
	}
	slices.SortFunc(c.order, func(x, y uint32) int { return strings.Compare(c.texts[x], c.texts[y]) })
	c.rank = make([]uint32, len(c.texts))
	for i, k := range c.order {
		c.rank[k] = uint32(i)
	}
}

// Options says what a segment is for.
type Options struct {
	Hashes  bool // Whether series will be looked up by their labels.
	Smaller bool // Whether to compress well rather than quickly.
}

// Build gives the pages of the segment to emit, the head last.
func (b *Builder) Build(prefix []byte, emit func(key, value []byte) error) error {
	sort.Slice(b.columns, func(i, k int) bool { return b.columns[i].name < b.columns[k].name })
	at := 0
	for _, c := range b.columns {
		c.sort()
		c.first = at
		at += len(c.texts)
	}
	pages, err := b.buildPairs(prefix, emit)
	if err == nil {
		err = b.buildLabels(prefix, emit)
	}
	if b.opts.Hashes && err == nil {
		err = b.buildHashes(prefix, emit)
	}
	if err != nil {
		return err
	}
	key := pageKey(prefix, kindHead, 0)
	return emit(key, seal(key, b.head(pages), b.encoder))
}

// directoryPage is what the head says of a page of values.
type directoryPage struct {
	pairs     int
	separator []byte // Above the value before the page, and not above its first one.
}

func (b *Builder) head(pages []directoryPage) []byte {
	flags := uint64(0)
	if b.opts.Hashes {
		flags |= flagHashes
	}
	raw := binary.AppendUvarint(nil, flags)
	raw = binary.AppendUvarint(raw, uint64(b.count))
	raw = binary.AppendUvarint(raw, uint64(len(b.columns)))
	for _, c := range b.columns {
		n := uint64(len(c.texts)) << 1
		if c.shared() {
			n |= 1
		}
		raw = binary.AppendUvarint(raw, uint64(len(c.name)))
		raw = append(raw, c.name...)
		raw = binary.AppendUvarint(raw, n)
	}
	raw = binary.AppendUvarint(raw, uint64(len(pages)))
	for _, p := range pages {
		raw = binary.AppendUvarint(raw, uint64(p.pairs))
		raw = binary.AppendUvarint(raw, uint64(len(p.separator)))
		raw = append(raw, p.separator...)
	}
	return raw
}

// pairPages writes pages of values and postings.
type pairPages struct {
	b                *Builder
	prefix           []byte
	emit             func(key, value []byte) error
	values, postings []byte
	before           string // The value before, if it is of the same name and page.
	pages            []directoryPage
}

func (b *Builder) buildPairs(prefix []byte, emit func(key, value []byte) error) ([]directoryPage, error) {
	w := &pairPages{b: b, prefix: prefix, emit: emit}
	for _, c := range b.columns {
		ids, ends := b.postings(c)
		last := "" // Of the name.
		w.before = ""
		for i, k := range c.order {
			text := c.texts[k]
			from := uint32(0)
			if k > 0 {
				from = ends[k-1]
			}
			if len(w.values) == 0 {
				w.pages = append(w.pages, directoryPage{separator: separator(last, text, i == 0)})
			}
			w.add(text, ids[from:ends[k]])
			last = text
			if len(w.values) >= valuesBytes || len(w.postings) >= postingsBytes {
				if err := w.end(); err != nil {
					return nil, err
				}
			}
		}
	}
	err := w.end()
	return w.pages, err
}

// separator returns the shortest text that is above before and not above text.
func separator(before, text string, first bool) []byte {
	if first {
		return nil
	}
	return []byte(text[:common(before, text)+1])
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func (w *pairPages) add(text string, ids []uint32) {
	n := common(w.before, text)
	w.values = binary.AppendUvarint(w.values, uint64(n))
	w.values = binary.AppendUvarint(w.values, uint64(len(text)-n))
	w.values = append(w.values, text[n:]...)
	w.postings, w.b.scratch = appendList(w.postings, w.b.scratch, ids)
	w.before = text
	w.pages[len(w.pages)-1].pairs++
}

func (w *pairPages) end() error {
	if len(w.values) == 0 {
		return nil
	}
	number := len(w.pages) - 1
	key := pageKey(w.prefix, kindValues, number)
	if err := w.emit(key, seal(key, w.values, w.b.encoder)); err != nil {
		return err
	}
	key = pageKey(w.prefix, kindPostings, number)
	err := w.emit(key, seal(key, w.postings, w.b.encoder))
	w.values, w.postings, w.before = w.values[:0], w.postings[:0], ""
	return err
}

// postings returns the series of a name by value, and where those of each value end.
func (b *Builder) postings(c *column) (ids, ends []uint32) {
	ends = make([]uint32, len(c.texts)+1)
	total := uint32(0)
	for _, ref := range c.refs {
		if ref > 0 {
			ends[ref]++
			total++
		}
	}
	b.ids = slices.Grow(b.ids[:0], int(total))[:total]
	at := uint32(0)
	for i, n := range ends {
		ends[i] = at // Where the series of value i-1 begin: it moves to their end.
		at += n
	}
	for i, ref := range c.refs {
		if ref > 0 {
			b.ids[ends[ref]] = uint32(i)
			ends[ref]++
		}
	}
	return b.ids, ends[1:]
}

func (b *Builder) buildLabels(prefix []byte, emit func(key, value []byte) error) error {
	var raw []byte
	locals := map[uint32]uint64{}
	for from := 0; from < b.count; from += pageSeries {
		to := min(from+pageSeries, b.count)
		raw = raw[:0]
		for i, c := range b.columns {
			raw = c.appendLabels(raw, i, from, to, locals)
		}
		key := pageKey(prefix, kindLabels, from/pageSeries)
		if err := emit(key, seal(key, raw, b.encoder)); err != nil {
			return err
		}
	}
	return nil
}

// appendLabels appends the values that series have of a name; nothing if none has it.
func (c *column) appendLabels(raw []byte, number, from, to int, locals map[uint32]uint64) []byte {
	i := from
	for i < to && c.at(i) == 0 {
		i++
	}
	if i == to {
		return raw
	}
	raw = binary.AppendUvarint(raw, uint64(number))
	changes := len(raw)
	raw = append(raw, make([]byte, (to-from+7)/8)...)
	shared, before, text := c.shared(), uint32(0), ""
	clear(locals)
	for i := from; i < to; i++ {
		ref := c.at(i)
		if ref == before {
			continue
		}
		before = ref
		raw[changes+(i-from)/8] |= 1 << ((i - from) % 8)
		switch {
		case ref == 0:
			raw = append(raw, 0)
		case shared:
			raw = binary.AppendUvarint(raw, uint64(c.rank[ref-1])+1)
		case locals[ref] > 0:
			raw = binary.AppendUvarint(raw, locals[ref])
		default:
			raw = append(raw, 1)
			now := c.texts[ref-1]
			n := common(text, now)
			raw = binary.AppendUvarint(raw, uint64(n))
			raw = binary.AppendUvarint(raw, uint64(len(now)-n))
			raw = append(raw, now[n:]...)
			text = now
			locals[ref] = uint64(len(locals)) + 2
		}
	}
	return raw
}

func (b *Builder) buildHashes(prefix []byte, emit func(key, value []byte) error) error {
	for from := 0; from < b.count; from += pageHashes {
		var raw []byte
		for _, h := range b.hashes[from:min(from+pageHashes, b.count)] {
			raw = binary.LittleEndian.AppendUint32(raw, h)
		}
		key := pageKey(prefix, kindHashes, from/pageHashes)
		if err := emit(key, seal(key, raw, nil)); err != nil {
			return err
		}
	}
	return nil
}

// HashOf is the hash by which a series is looked up. Series of equal hash must be compared; it takes a sender billions of
// attempts to find some.
func HashOf(canonical []byte) uint32 {
	sum := sha256.Sum256(canonical)
	return binary.LittleEndian.Uint32(sum[:])
}
