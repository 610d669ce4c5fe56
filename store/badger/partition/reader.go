package partition

import (
	"context"
	"fmt"
	"slices"
	"sync"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition/index"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Reader is a view of one tenant in a partition as it was when the Reader was opened. It may be used by any number of
// goroutines; a Cursor by one.
type Reader struct {
	part   *Partition
	txn    *badgerdb.Txn
	tenant tenancy.ID

	once     sync.Once // For what follows.
	entry    tenantEntry
	segments []*index.Directory
	err      error
}

// A Series is a series of a partition.
type Series struct {
	ID     ID
	Labels labels.Labels
	Range  store.Range // Of its samples; deleted ones are counted.

	rows, chunks uint64 // Of its group.
}

// A Mask hides the samples in a range that flushes up to a sequence wrote.
type Mask struct {
	Range    store.Range
	Sequence uint64
}

// NewReader opens a view.
func (p *Partition) NewReader(tenant tenancy.ID) *Reader {
	return &Reader{part: p, txn: p.db.NewTransaction(false), tenant: tenant}
}

// Close releases the view. All cursors must be closed before.
func (r *Reader) Close() { r.txn.Discard() }

func (r *Reader) corrupt(format string, args ...any) error {
	return fmt.Errorf("partition: read %s: tenant %s: %w: %s", r.part.dir, r.tenant, store.ErrCorrupt, fmt.Sprintf(format, args...))
}

// failed says where an error comes from.
func (r *Reader) failed(err error) error {
	return fmt.Errorf("partition: read %s: tenant %s: %w", r.part.dir, r.tenant, err)
}

// index returns readers of all segments, for one goroutine.
func (r *Reader) index() ([]*index.Segment, error) {
	r.once.Do(func() {
		if r.entry, r.err = readTenant(r.txn, r.tenant); r.err != nil {
			return
		}
		for _, s := range r.entry.segments {
			d, err := r.part.directory(r.txn, r.tenant, s)
			if err != nil {
				r.err = err
				return
			}
			r.segments = append(r.segments, d)
		}
	})
	if r.err != nil {
		return nil, r.failed(r.err)
	}
	out := make([]*index.Segment, len(r.segments))
	for i, d := range r.segments {
		out[i] = index.NewSegment(d, fetchFrom(r.txn), r.part.decoder)
	}
	return out, nil
}

// Select returns the series that match sel, in the order of their ids.
func (r *Reader) Select(ctx context.Context, sel store.Selection) ([]Series, error) {
	segments, err := r.index()
	if err != nil {
		return nil, err
	}
	p := picker{r: r, ctx: ctx}
	for i, s := range segments {
		set, err := s.Match(ctx, sel.Matchers)
		if err != nil {
			return nil, r.failed(err)
		}
		first := r.entry.segments[i].first
		if err := set.All(func(n uint32) error { return p.take(s, first, n) }); err != nil {
			return nil, r.failed(err)
		}
	}
	return p.out, ctx.Err()
}

// A picker takes series in ascending order of ids.
type picker struct {
	r   *Reader
	ctx context.Context
	out []Series

	group  uint32 // Of census.
	census *census
}

// take takes series n of a segment.
func (p *picker) take(s *index.Segment, first, n uint32) error {
	if n%256 == 0 && p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	ls, err := s.Labels(n)
	if err != nil {
		return err
	}
	id := ID(first + n)
	if p.census == nil || p.group != id.group() {
		value, err := get(p.r.txn, censusKey(p.r.tenant, id.group()))
		if err != nil {
			return err
		}
		if value == nil {
			return fmt.Errorf("%w: series %s has no census", store.ErrCorrupt, ls)
		}
		if p.census, err = decodeCensus(value); err != nil {
			return fmt.Errorf("series %s: %w", ls, err)
		}
		p.group = id.group()
	}
	c := p.census
	if c.members>>id.member()&1 == 0 {
		return fmt.Errorf("%w: series %s is not in the census", store.ErrCorrupt, ls)
	}
	p.out = append(p.out, Series{ID: id, Labels: ls, Range: c.ranges[id.member()], rows: c.rows, chunks: c.chunks})
	return nil
}

// LabelNames returns the names of all labels, in order. Names of deleted series are among them.
func (r *Reader) LabelNames(ctx context.Context) ([]string, error) {
	segments, err := r.index()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range segments {
		s.Names(func(name string) { out = append(out, name) })
	}
	return distinct(out, len(segments)), ctx.Err()
}

// LabelValues returns the values of a label, in order. Values of deleted series are among them.
func (r *Reader) LabelValues(ctx context.Context, name string) ([]string, error) {
	segments, err := r.index()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range segments {
		err := s.Values(name, func(value string) error {
			out = append(out, value)
			return nil
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, r.failed(err)
		}
	}
	return distinct(out, len(segments)), nil
}

// distinct sorts what came from a number of sorted lists.
func distinct(list []string, lists int) []string {
	if lists > 1 {
		slices.Sort(list)
		list = slices.Compact(list)
	}
	return list
}
