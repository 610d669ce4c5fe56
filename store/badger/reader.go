package badger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/head"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A snapshot is what a call reads: the generations in memory and the partitions, taken at one moment, so that a sample on
// its way from one to the other is in at least one of them.
type snapshot struct {
	heads   []*head.Head // The oldest first.
	handles []*handle    // Retained.
}

func (s *Store) snapshot(r store.Range) snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var snap snapshot
	if s.frozen != nil {
		snap.heads = append(snap.heads, s.frozen)
	}
	snap.heads = append(snap.heads, s.active)
	for _, h := range s.live {
		if h.in.Overlaps(r) {
			h.retain()
			snap.handles = append(snap.handles, h)
		}
	}
	return snap
}

func (s *snapshot) release() error {
	var errs []error
	for _, h := range s.handles {
		errs = append(errs, h.release())
	}
	return errors.Join(errs...)
}

// Reader opens a view of the samples in r.
func (v *view) Reader(r store.Range) (store.Reader, error) {
	return v.reader(r)
}

func (v *view) reader(r store.Range) (*reader, error) {
	if err := v.store.enter(); err != nil {
		return nil, err
	}
	out := &reader{view: v, in: r, open: map[*handle]*partitionReader{}}
	r, ok := v.store.visible(v.id, r)
	if !ok {
		return out, nil // With nothing to read from.
	}
	// The deletions first: a compaction that ends in between has put its partitions in place already.
	out.in, out.deletions = r, v.store.annex.deletionsOf(v.id, r)
	out.snap = v.store.snapshot(r)
	return out, nil
}

// reader is a view of one range of a tenant.
type reader struct {
	view      *view
	in        store.Range
	snap      snapshot
	deletions []catalog.Deletion

	mu     sync.Mutex
	open   map[*handle]*partitionReader // Those that were needed so far.
	closed bool
}

// partition returns the open part of the view in one partition.
func (r *reader) partition(h *handle) (*partitionReader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("badger: the reader is closed")
	}
	if p := r.open[h]; p != nil {
		return p, nil
	}
	part, err := h.pin()
	if err != nil {
		return nil, err
	}
	p := openPartitionReader(part, h, r.view.id, r.in, r.deletions)
	r.open[h] = p
	return p, nil
}

// Close releases the view.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("badger: the reader is closed already")
	}
	r.closed = true
	for h, p := range r.open {
		p.close()
		h.unpin()
	}
	err := r.snap.release()
	r.view.store.leave()
	return err
}

// partitionReader is the part of a view that lies in one partition.
type partitionReader struct {
	reader    *partition.Reader
	in        store.Range
	deletions []catalog.Deletion

	mu     sync.Mutex
	cursor *partition.Cursor
}

func openPartitionReader(part *partition.Partition, h *handle, id tenancy.ID, in store.Range, deletions []catalog.Deletion) *partitionReader {
	p := &partitionReader{reader: part.NewReader(id), in: in}
	for _, d := range deletions {
		if d.Range.Overlaps(h.in) {
			p.deletions = append(p.deletions, d)
		}
	}
	return p
}

func (p *partitionReader) close() {
	if p.cursor != nil {
		p.cursor.Close()
	}
	p.reader.Close()
}

// load returns the samples of a series that the view sees, and some before it.
func (p *partitionReader) load(s *partition.Series, pass *partition.Pass) (series.Run, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cursor == nil {
		p.cursor = p.reader.NewCursor(p.in)
	}
	return p.cursor.Load(s, pass, masksFor(p.deletions, s))
}

// selectSeries returns the series that match sel and may have samples in the view; deleted ones are left out.
func (p *partitionReader) selectSeries(ctx context.Context, sel store.Selection) ([]partition.Series, error) {
	found, err := p.reader.Select(ctx, sel)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(s partition.Series) bool { return !s.Range.Overlaps(p.in) })
	if len(p.deletions) == 0 {
		return found, ctx.Err()
	}
	pass := partition.NewPass()
	masked := func(s *partition.Series) bool { return len(masksFor(p.deletions, s)) > 0 }
	for i := range found {
		if masked(&found[i]) {
			pass.Expect(&found[i])
		}
	}
	kept := found[:0]
	for i := range found {
		s := &found[i]
		if masked(s) {
			run, err := p.load(s, pass)
			if err != nil {
				return nil, err
			}
			if len(run.Between(p.in)) == 0 {
				continue
			}
		}
		kept = append(kept, *s)
	}
	return kept, ctx.Err()
}

// Select returns the series with their samples.
func (r *reader) Select(ctx context.Context, sel store.Selection) storage.SeriesSet {
	return r.newSet(ctx, sel)
}

// SelectChunks returns the series with their samples in chunks.
func (r *reader) SelectChunks(ctx context.Context, sel store.Selection) storage.ChunkSeriesSet {
	return series.Chunks(r.Select(ctx, sel))
}

// Series returns the labels of the matching series.
func (r *reader) Series(ctx context.Context, sel store.Selection) (store.List[labels.Labels], error) {
	list, err := r.labelSets(ctx, sel)
	if err != nil {
		return store.List[labels.Labels]{}, fmt.Errorf("badger: series: %w", err)
	}
	slices.SortFunc(list, labels.Compare)
	list = slices.CompactFunc(list, labels.Equal)
	return series.Truncate(list, sel.Limit), nil
}

// labelSets returns the labels of the matching series, some of them more than once.
func (r *reader) labelSets(ctx context.Context, sel store.Selection) ([]labels.Labels, error) {
	var out []labels.Labels
	for _, h := range r.snap.heads {
		found, err := h.Tenant(r.view.id).Select(ctx, r.in, sel)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if f.Inside {
				out = append(out, f.Labels)
			}
		}
	}
	for _, h := range r.snap.handles {
		p, err := r.partition(h)
		if err != nil {
			return nil, err
		}
		found, err := p.selectSeries(ctx, sel)
		if err != nil {
			return nil, err
		}
		for i := range found {
			out = append(out, found[i].Labels)
		}
	}
	return out, ctx.Err()
}

// LabelNames returns the label names of the matching series.
func (r *reader) LabelNames(ctx context.Context, sel store.Selection) (store.List[string], error) {
	list, err := r.distinct(ctx, sel, func(p *partition.Reader) ([]string, error) { return p.LabelNames(ctx) },
		func(ls labels.Labels, add func(string)) {
			ls.Range(func(l labels.Label) { add(l.Name) })
		})
	if err != nil {
		return list, fmt.Errorf("badger: label names: %w", err)
	}
	return list, nil
}

// LabelValues returns the values of a label in the matching series.
func (r *reader) LabelValues(ctx context.Context, name string, sel store.Selection) (store.List[string], error) {
	list, err := r.distinct(ctx, sel, func(p *partition.Reader) ([]string, error) { return p.LabelValues(ctx, name) },
		func(ls labels.Labels, add func(string)) {
			if v := ls.Get(name); v != "" {
				add(v)
			}
		})
	if err != nil {
		return list, fmt.Errorf("badger: label values: %w", err)
	}
	return list, nil
}

// distinct returns the different strings that of adds for the matching series. Where all series of a partition count,
// indexed returns the same from its index.
func (r *reader) distinct(ctx context.Context, sel store.Selection, indexed func(*partition.Reader) ([]string, error),
	of func(labels.Labels, func(string)),
) (store.List[string], error) {
	seen := map[string]struct{}{}
	add := func(s string) { seen[s] = struct{}{} }
	for _, h := range r.snap.heads {
		found, err := h.Tenant(r.view.id).Select(ctx, r.in, sel)
		if err != nil {
			return store.List[string]{}, err
		}
		for _, f := range found {
			if f.Inside {
				of(f.Labels, add)
			}
		}
	}
	for _, h := range r.snap.handles {
		p, err := r.partition(h)
		if err != nil {
			return store.List[string]{}, err
		}
		if len(sel.Matchers) == 0 && len(p.deletions) == 0 && r.in.Min <= h.in.Min && h.in.Max <= r.in.Max {
			list, err := indexed(p.reader)
			if err != nil {
				return store.List[string]{}, err
			}
			for _, s := range list {
				add(s)
			}
			continue
		}
		found, err := p.selectSeries(ctx, sel)
		if err != nil {
			return store.List[string]{}, err
		}
		for i := range found {
			of(found[i].Labels, add)
		}
	}
	return series.Truncate(slices.Sorted(maps.Keys(seen)), sel.Limit), ctx.Err()
}
