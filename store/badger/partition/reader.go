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

// String returns the labels, or the id of a series that was walked over.
func (s *Series) String() string {
	if s.Labels.IsEmpty() {
		return fmt.Sprintf("series %d", s.ID)
	}
	return "series " + s.Labels.String()
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
	return r.SelectIn(ctx, sel, store.AllTime())
}

// SelectIn is Select of those series whose samples, deleted ones included, touch a range: nothing is spent on the labels
// of others.
func (r *Reader) SelectIn(ctx context.Context, sel store.Selection, in store.Range) ([]Series, error) {
	return r.find(ctx, sel, in, func(s *Series, segment *index.Segment, n uint32) (err error) {
		s.Labels, err = segment.Labels(n)
		return err
	})
}

// Find is SelectIn without labels, which cost as much as everything else.
func (r *Reader) Find(ctx context.Context, sel store.Selection, in store.Range) ([]Series, error) {
	return r.find(ctx, sel, in, func(*Series, *index.Segment, uint32) error { return nil })
}

// find calls f with each series that it found, and its place in the index.
func (r *Reader) find(ctx context.Context, sel store.Selection, in store.Range, f func(s *Series, segment *index.Segment, n uint32) error) ([]Series, error) {
	segments, err := r.index()
	if err != nil {
		return nil, err
	}
	c := censuses{r: r}
	var out []Series
	for i, segment := range segments {
		set, err := segment.Match(ctx, sel.Matchers)
		if err != nil {
			return nil, r.failed(err)
		}
		first := r.entry.segments[i].first
		err = set.All(func(n uint32) error {
			if n%256 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			s, err := c.series(ID(first + n))
			if err == nil && s.Range.Overlaps(in) {
				err = f(&s, segment, n)
				out = append(out, s)
			}
			return err
		})
		if err != nil {
			return nil, r.failed(err)
		}
	}
	return out, ctx.Err()
}

// censuses reads the census of one group after the other.
type censuses struct {
	r      *Reader
	group  uint32
	census *census
}

// series returns what the census of its group says of a series.
func (c *censuses) series(id ID) (s Series, err error) {
	s.ID = id
	if c.census == nil || c.group != id.group() {
		value, err := get(c.r.txn, censusKey(c.r.tenant, id.group()))
		if err != nil {
			return s, err
		}
		if value == nil {
			return s, fmt.Errorf("%w: series %d has no census", store.ErrCorrupt, id)
		}
		if c.census, err = decodeCensus(value); err != nil {
			return s, fmt.Errorf("series %d: %w", id, err)
		}
		c.group = id.group()
	}
	if c.census.members>>id.member()&1 == 0 {
		return s, fmt.Errorf("%w: series %d is not in the census", store.ErrCorrupt, id)
	}
	s.Range, s.rows, s.chunks = c.census.ranges[id.member()], c.census.rows, c.census.chunks
	return s, nil
}

// Walk calls f with each series, without its labels, and their canonical form, in the order of ids. Both are valid during
// the call.
func (r *Reader) Walk(ctx context.Context, f func(s *Series, canonical []byte) error) error {
	segments, err := r.index()
	if err != nil {
		return err
	}
	c := censuses{r: r}
	var canonical []byte
	for i, segment := range segments {
		of := r.entry.segments[i]
		for n := range of.series {
			if n%256 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if canonical, err = segment.AppendCanonical(canonical[:0], n); err != nil {
				return r.failed(err)
			}
			s, err := c.series(ID(of.first + n))
			if err != nil {
				return r.failed(err)
			}
			if err := f(&s, canonical); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// LabelNames returns the label names of the series that match, in order. Deleted series are among them.
func (r *Reader) LabelNames(ctx context.Context, matchers []*labels.Matcher) ([]string, error) {
	return r.texts(ctx, matchers, func(s *index.Segment, all bool, in index.Set, f func(string)) error {
		if all {
			s.Names(f)
			return nil
		}
		return s.NamesIn(ctx, in, f)
	})
}

// LabelValues returns the values of a label in the series that match, in order. Deleted series are among them.
func (r *Reader) LabelValues(ctx context.Context, name string, matchers []*labels.Matcher) ([]string, error) {
	return r.texts(ctx, matchers, func(s *index.Segment, all bool, in index.Set, f func(string)) error {
		add := func(value string) error {
			f(value)
			return nil
		}
		if all {
			return s.Values(name, add)
		}
		return s.ValuesIn(ctx, name, in, add)
	})
}

// texts returns what of finds in the matching series of all segments.
func (r *Reader) texts(ctx context.Context, matchers []*labels.Matcher, of func(s *index.Segment, all bool, in index.Set, f func(string)) error) ([]string, error) {
	segments, err := r.index()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range segments {
		var in index.Set
		if len(matchers) > 0 {
			if in, err = s.Match(ctx, matchers); err != nil {
				return nil, r.failed(err)
			}
			if in.Empty() {
				continue
			}
		}
		err := of(s, len(matchers) == 0, in, func(text string) { out = append(out, text) })
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
