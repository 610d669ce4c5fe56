package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// WriteOptions say what to write. The zero value writes everything.
type WriteOptions struct {
	Tenants []tenancy.ID     // Only these; nil means all.
	Program string           // Name and version of the program, for the header.
	Now     func() time.Time // nil means time.Now.
}

// Write writes a full backup of src to w. Writes to src may go on meanwhile: what was acknowledged before the call is in
// the backup, later items may or may not be. It holds the labels of one tenant and the samples of one series in memory.
// After an error what was written is no archive, and reading it says so.
func Write(ctx context.Context, w io.Writer, src Source, o WriteOptions) (Summary, error) {
	h, err := o.header(ctx, src)
	if err != nil {
		return Summary{}, err
	}
	return writeFrames(w, h, func(out *writer) error {
		for _, id := range h.Tenants {
			if err := out.tenant(ctx, id, src.Tenant(id)); err != nil {
				return fmt.Errorf("archive: tenant %s: %w", id, err)
			}
		}
		return nil
	})
}

// header describes a full backup that begins now.
func (o *WriteOptions) header(ctx context.Context, src Source) (Header, error) {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	h := Header{
		Format: formatName, Version: version, Kind: Full, Created: now().UTC(), Writer: o.Program,
		Only: slices.Compact(slices.Sorted(slices.Values(o.Tenants))), Tenants: []tenancy.ID{},
	}
	held, err := src.Tenants(ctx)
	if err != nil {
		return h, fmt.Errorf("archive: list tenants: %w", err)
	}
	for _, id := range held {
		if o.Tenants == nil || slices.Contains(o.Tenants, id) {
			h.Tenants = append(h.Tenants, id)
		}
	}
	return h, nil
}

// writeFrames writes an archive whose entries come from f.
func writeFrames(w io.Writer, h Header, f func(*writer) error) (Summary, error) {
	frames, err := newFrameWriter(w)
	if err != nil {
		return Summary{}, err
	}
	if err := frames.json(headerFrame, h); err != nil {
		return Summary{}, err
	}
	out := &writer{frames: frames}
	if err := f(out); err != nil {
		return Summary{}, err
	}
	if err := out.finish(); err != nil {
		return Summary{}, err
	}
	sum, err := frames.trailer(out.counts)
	return Summary{Header: h, Counts: out.counts, Bytes: frames.bytes, SHA256: sum}, err
}

// A writer gathers entries into blocks.
type writer struct {
	frames  *frameWriter
	block   []byte
	scratch []byte
	floats  []metric.Sample
	counts  Counts // Of all tenants.
	now     Counts // Of the current one.
}

// entry ends an entry that begins at start.
func (w *writer) entry(start int) error {
	if n := len(w.block) - start; n > maxPlain {
		return fmt.Errorf("an entry has %d bytes: an archive holds at most %d", n, maxPlain)
	}
	if len(w.block) > maxPlain { // Both fit, but not together.
		if err := w.frames.block(w.block[:start]); err != nil {
			return err
		}
		w.block = append(w.block[:0], w.block[start:]...)
	}
	if len(w.block) >= blockSize {
		return w.finish()
	}
	return nil
}

// finish writes what was gathered.
func (w *writer) finish() error {
	if len(w.block) == 0 {
		return nil
	}
	err := w.frames.block(w.block)
	w.block = w.block[:0]
	return err
}

func (w *writer) tenant(ctx context.Context, id tenancy.ID, from store.Tenant) (err error) {
	r, err := from.Reader(store.AllTime())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := w.beginTenant(id, nil); err != nil {
		return err
	}
	err = eachExtra(ctx, from, func(entry []byte, c Counts) error {
		w.now.add(c)
		return w.put(entry)
	})
	if err != nil {
		return err
	}
	set := r.Select(ctx, store.Selection{Sorted: true})
	var it chunkenc.Iterator
	for set.Next() {
		if it, err = w.series(set.At(), it); err != nil {
			return err
		}
	}
	if err := set.Err(); err != nil {
		return err
	}
	return w.endTenant()
}

// put writes an entry that was encoded elsewhere.
func (w *writer) put(entry []byte) error {
	start := len(w.block)
	w.block = append(w.block, entry...)
	return w.entry(start)
}

// beginTenant begins a tenant with its metadata and exemplars.
func (w *writer) beginTenant(id tenancy.ID, extras [][]byte) error {
	w.now = Counts{Tenants: 1}
	if err := w.put(appendText([]byte{tenantEntry}, string(id))); err != nil {
		return err
	}
	for _, e := range extras {
		if e[0] == metadataEntry {
			w.now.Metadata++
		} else {
			w.now.Exemplars++
		}
		if err := w.put(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) beginSeries(canonical []byte) error {
	start := len(w.block)
	w.block = appendText(append(w.block, seriesEntry), canonical)
	w.now.Series++
	return w.entry(start)
}

// samples writes an encoded entry of samples.
func (w *writer) samples(entry []byte) error {
	n, _ := binary.Uvarint(entry[1:])
	if entry[0] == floatsEntry {
		w.now.Samples += int64(n)
	} else {
		w.now.Histograms += int64(n)
	}
	return w.put(entry)
}

func (w *writer) endTenant() error {
	w.counts.add(w.now)
	return w.put(appendEnd(nil, w.now))
}

func (c *Counts) add(d Counts) {
	c.Tenants += d.Tenants
	c.Series += d.Series
	c.Samples += d.Samples
	c.Histograms += d.Histograms
	c.Exemplars += d.Exemplars
	c.Metadata += d.Metadata
}

// eachExtra calls f with the metadata of a tenant and then its exemplars, encoded, those in the order of time, because a
// store that holds too many forgets those that came first.
func eachExtra(ctx context.Context, from store.Tenant, f func(entry []byte, c Counts) error) error {
	families, err := from.Metadata(ctx, store.MetadataQuery{})
	if err != nil {
		return err
	}
	for _, m := range families {
		if err := f(appendMetadata(nil, m), Counts{Metadata: 1}); err != nil {
			return err
		}
	}
	list, err := from.Exemplars(ctx, store.AllTime(), []store.Selection{{}})
	if err != nil {
		return err
	}
	type located struct {
		series []byte
		metric.Exemplar
	}
	var all []located
	for _, s := range list {
		canonical := metric.EncodeLabels(nil, s.SeriesLabels)
		for _, x := range s.Exemplars {
			all = append(all, located{canonical, metric.Exemplar{Timestamp: x.Ts, Value: x.Value, Labels: metric.EncodeLabels(nil, x.Labels)}})
		}
	}
	slices.SortStableFunc(all, func(a, b located) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	for _, x := range all {
		if err := f(appendExemplar(nil, x.series, x.Exemplar), Counts{Exemplars: 1}); err != nil {
			return err
		}
	}
	return nil
}

// series writes one series with all its samples.
func (w *writer) series(s storage.Series, reuse chunkenc.Iterator) (chunkenc.Iterator, error) {
	w.scratch = metric.EncodeLabels(w.scratch[:0], s.Labels())
	if err := w.beginSeries(w.scratch); err != nil {
		return nil, err
	}
	it := s.Iterator(reuse)
	for kind := it.Next(); kind != chunkenc.ValNone; {
		var err error
		if kind == chunkenc.ValFloat {
			kind, err = w.floatRun(it)
		} else {
			kind, err = w.histogramRun(it, kind)
		}
		if err != nil {
			return nil, err
		}
	}
	return it, it.Err()
}

// floatRun writes the floats from the current sample on, up to another kind or to a full entry, and returns what follows.
func (w *writer) floatRun(it chunkenc.Iterator) (chunkenc.ValueType, error) {
	kind := chunkenc.ValFloat
	for w.floats = w.floats[:0]; kind == chunkenc.ValFloat && len(w.floats) < maxFloats; kind = it.Next() {
		t, v := it.At()
		w.floats = append(w.floats, metric.Sample{Timestamp: t, Start: it.AtST(), Value: v})
	}
	start := len(w.block)
	w.block = appendFloats(w.block, w.floats)
	w.now.Samples += int64(len(w.floats))
	return kind, w.entry(start)
}

// histogramRun is floatRun for histograms.
func (w *writer) histogramRun(it chunkenc.Iterator, kind chunkenc.ValueType) (chunkenc.ValueType, error) {
	n := 0
	w.scratch = w.scratch[:0]
	for ; (kind == chunkenc.ValHistogram || kind == chunkenc.ValFloatHistogram) && len(w.scratch) < maxHistogramBytes; kind = it.Next() {
		w.scratch = appendHistogram(w.scratch, currentHistogram(it, kind))
		n++
	}
	start := len(w.block)
	w.block = binary.AppendUvarint(append(w.block, histogramsEntry), uint64(n))
	w.block = append(w.block, w.scratch...)
	w.now.Histograms += int64(n)
	return kind, w.entry(start)
}

func currentHistogram(it chunkenc.Iterator, kind chunkenc.ValueType) metric.Histogram {
	h := metric.Histogram{Start: it.AtST()}
	if kind == chunkenc.ValHistogram {
		h.Timestamp, h.Int = it.AtHistogram(nil)
	} else {
		h.Timestamp, h.Float = it.AtFloatHistogram(nil)
	}
	return h
}
