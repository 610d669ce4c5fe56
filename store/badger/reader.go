package badger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

var errClosed = errors.New("badger: the reader is closed")

// A snapshot is the partitions that a call reads, and the promise that what is in none of them is in memory: a sample on
// its way from there to a partition is in at least one of both.
type snapshot struct {
	window  *window
	handles []*handle // Retained.
}

func (s *Store) snapshot(r store.Range) snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	snap := snapshot{window: s.memory.windows.enter()}
	for _, h := range s.live {
		if h.in.Overlaps(r) {
			h.retain()
			snap.handles = append(snap.handles, h)
		}
	}
	return snap
}

func (s *Store) release(snap snapshot) error {
	var errs []error
	for _, h := range snap.handles {
		errs = append(errs, h.release())
	}
	if snap.window != nil {
		s.memory.windows.leave(snap.window)
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
	asked := r
	r, ok := v.store.visible(v.id, r)
	out.narrowed = r != asked
	if !ok {
		return out, nil // With nothing to read from.
	}
	// The deletions first: a compaction that ends in between has put its partitions in place already.
	out.in, out.deletions = r, v.store.annex.deletionsOf(v.id, r)
	out.snap = v.store.snapshot(r)
	if out.tenant, ok = v.store.memory.tenants.number(v.id); ok {
		out.memory = v.store.memory.head.NewReader()
	}
	return out, nil
}

// reader is a view of one range of a tenant.
type reader struct {
	view      *view
	in        store.Range
	narrowed  bool // Whether retention hides a part of what was asked for.
	snap      snapshot
	deletions []catalog.Deletion
	tenant    uint32
	memory    *active.Reader // nil if the tenant has nothing in memory.

	mu     sync.Mutex
	open   map[*handle]*partitionReader // Those that were needed so far.
	others []*active.Reader             // Of sets, which may be used side by side.
	closed bool
}

// another returns a reader of what is in memory for somebody else's use.
func (r *reader) another() (*active.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	m := r.view.store.memory.head.NewReader()
	r.others = append(r.others, m)
	return m, nil
}

// partition returns the open part of the view in one partition.
func (r *reader) partition(h *handle) (*partitionReader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	if p := r.open[h]; p != nil {
		return p, nil
	}
	part, err := h.pin()
	if err != nil {
		return nil, err
	}
	p := openPartitionReader(part, h, r.view.id, r.in, r.deletions)
	p.narrowed = r.narrowed && h.in.Contains(r.in.Min)
	r.open[h] = p
	return p, nil
}

// Close releases the view.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	r.closed = true
	for h, p := range r.open {
		p.close()
		h.unpin()
	}
	for _, m := range r.others {
		m.Close()
	}
	if r.memory != nil {
		r.memory.Close()
	}
	err := r.view.store.release(r.snap)
	r.view.store.leave()
	return err
}

// partitionReader is the part of a view that lies in one partition.
type partitionReader struct {
	reader    *partition.Reader
	in        store.Range
	narrowed  bool // Whether retention hides a part of the partition, which not even names may tell of.
	deletions []catalog.Deletion

	mu     sync.Mutex
	cursor *partition.Cursor
	others []*partition.Cursor // Of sets.
}

// newCursor returns a cursor that is closed with p.
func (p *partitionReader) newCursor() *partition.Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.reader.NewCursor(p.in)
	p.others = append(p.others, c)
	return c
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
	for _, c := range p.others {
		c.Close()
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
	memory := memorySearch{reader: r}
	if err := memory.search(ctx, sel); err != nil {
		return nil, err
	}
	out := make([]labels.Labels, 0, len(memory.refs))
	for i := range memory.found {
		if memory.found[i].inside {
			out = append(out, memory.found[i].labels)
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
