package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// windowWidth is the length in milliseconds of the spans of time by which increments tell what changed.
const windowWidth = 24 * 60 * 60 * 1000

// windowOf returns which span holds a time: its number since the epoch.
func windowOf(t int64) int64 {
	w := t / windowWidth
	if t%windowWidth < 0 {
		w--
	}
	return w
}

// A unit is what an increment replaces as a whole: the samples of one series in one window, or, at the beginning of each
// tenant, its metadata and exemplars. Equal contents have equal entries. It is valid until the next one is asked for.
type unit struct {
	tenant  tenancy.ID
	extras  bool
	series  []byte // Canonical labels.
	labels  labels.Labels
	window  int64
	entries [][]byte // None: the window is empty.
}

// compare orders units as archives do.
func (u *unit) compare(o *unit) int {
	if c := cmp.Compare(u.tenant, o.tenant); c != 0 {
		return c
	}
	switch {
	case u.extras && o.extras:
		return 0
	case u.extras:
		return -1
	case o.extras:
		return 1
	}
	return cmp.Or(labels.Compare(u.labels, o.labels), cmp.Compare(u.window, o.window))
}

// errStopped ends a producer whose consumer has enough.
var errStopped = errors.New("archive: stopped")

// A unitBuilder cuts the samples of series into units.
type unitBuilder struct {
	yield func(*unit) bool

	now     unit
	open    bool // Whether a window was begun.
	floats  []metric.Sample
	scratch []byte // Histograms.
	count   int    // Of them.
}

func (b *unitBuilder) begin(series []byte, ls labels.Labels) error {
	err := b.end()
	b.now.extras, b.now.labels = false, ls
	b.now.series = append([]byte(nil), series...)
	return err
}

// at makes the window the current one.
func (b *unitBuilder) at(window int64) error {
	if b.open && b.now.window == window {
		return nil
	}
	err := b.end()
	b.now.window, b.open = window, true
	return err
}

func (b *unitBuilder) float(s metric.Sample) error {
	if err := b.at(windowOf(s.Timestamp)); err != nil {
		return err
	}
	if b.count > 0 || len(b.floats) == maxFloats {
		b.seal()
	}
	b.floats = append(b.floats, s)
	return nil
}

func (b *unitBuilder) histogram(h metric.Histogram) error {
	if err := b.at(windowOf(h.Timestamp)); err != nil {
		return err
	}
	if len(b.floats) > 0 || len(b.scratch) >= maxHistogramBytes {
		b.seal()
	}
	b.scratch = appendHistogram(b.scratch, h)
	b.count++
	return nil
}

// seal turns what was gathered into an entry.
func (b *unitBuilder) seal() {
	switch {
	case len(b.floats) > 0:
		b.now.entries = append(b.now.entries, appendFloats(nil, b.floats))
	case b.count > 0:
		e := binary.AppendUvarint([]byte{histogramsEntry}, uint64(b.count))
		b.now.entries = append(b.now.entries, append(e, b.scratch...))
	}
	b.floats, b.scratch, b.count = b.floats[:0], b.scratch[:0], 0
}

// end hands out the current unit, if there is one.
func (b *unitBuilder) end() error {
	if !b.open {
		return nil
	}
	b.seal()
	b.open = false
	ok := b.yield(&b.now)
	b.now.entries = nil
	if !ok {
		return errStopped
	}
	return nil
}

// beginTenant is followed by extra for each of its metadata and exemplars.
func (b *unitBuilder) beginTenant(id tenancy.ID) {
	b.now = unit{tenant: id, extras: true}
	b.open = true
}

func (b *unitBuilder) extra(entry []byte) { b.now.entries = append(b.now.entries, entry) }

// A stream is units in their order. After the last one err says whether that was the end.
type stream struct {
	next func() (*unit, bool)
	stop func()
	head *unit // The current unit; nil at the end.
	err  error
}

func newStream(produce func(*unitBuilder) error) *stream {
	s := &stream{}
	s.next, s.stop = iter.Pull(func(yield func(*unit) bool) {
		if err := produce(&unitBuilder{yield: yield}); err != nil && !errors.Is(err, errStopped) {
			s.err = err
		}
	})
	return s
}

func (s *stream) advance() error {
	var ok bool
	if s.head, ok = s.next(); !ok {
		s.head = nil
	}
	return s.err
}

// archiveUnits produces the units of an archive of either kind.
func archiveUnits(r io.Reader) func(*unitBuilder) error {
	return func(b *unitBuilder) error {
		_, err := scan(r, func(s *scanner) error { return b.entry(s) })
		return err
	}
}

func (b *unitBuilder) entry(s *scanner) error {
	switch s.kind {
	case tenantEntry:
		b.beginTenant(s.tenant)
	case metadataEntry:
		b.extra(appendMetadata(nil, s.metadata))
	case exemplarEntry:
		b.extra(appendExemplar(nil, s.entry.labels, s.exemplar))
	case seriesEntry:
		return b.begin(s.series, s.labels)
	case windowEntry:
		return b.at(s.window)
	case floatsEntry:
		for _, v := range s.floats {
			if err := b.float(v); err != nil {
				return err
			}
		}
	case histogramsEntry:
		for _, h := range s.histograms {
			if err := b.histogram(h); err != nil {
				return err
			}
		}
	case endEntry:
		return b.end()
	}
	return nil
}

// storeUnits produces the units of tenants of a store.
func storeUnits(ctx context.Context, src Source, tenants []tenancy.ID) func(*unitBuilder) error {
	return func(b *unitBuilder) error {
		for _, id := range tenants {
			if err := b.fromTenant(ctx, id, src.Tenant(id)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (b *unitBuilder) fromTenant(ctx context.Context, id tenancy.ID, from store.Tenant) (err error) {
	r, err := from.Reader(store.AllTime())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b.beginTenant(id)
	if err := eachExtra(ctx, from, func(entry []byte, _ Counts) error {
		b.extra(entry)
		return nil
	}); err != nil {
		return err
	}
	set := r.Select(ctx, store.Selection{Sorted: true})
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		if err := b.begin(metric.EncodeLabels(nil, s.Labels()), s.Labels()); err != nil {
			return err
		}
		it = s.Iterator(it)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if err := b.sample(it, kind); err != nil {
				return err
			}
		}
		if err := it.Err(); err != nil {
			return err
		}
	}
	if err := set.Err(); err != nil {
		return err
	}
	return b.end()
}

func (b *unitBuilder) sample(it chunkenc.Iterator, kind chunkenc.ValueType) error {
	if kind == chunkenc.ValFloat {
		t, v := it.At()
		return b.float(metric.Sample{Timestamp: t, Start: it.AtST(), Value: v})
	}
	return b.histogram(currentHistogram(it, kind))
}
