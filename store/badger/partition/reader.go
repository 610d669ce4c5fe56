package partition

import (
	"context"
	"fmt"
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Reader is a view of one tenant in a partition as it was when the Reader was opened. It may be used by any number of
// goroutines; a Cursor by one.
type Reader struct {
	dir    string
	txn    *badgerdb.Txn
	tenant tenancy.ID
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
	return &Reader{p.dir, p.db.NewTransaction(false), tenant}
}

// Close releases the view. All cursors must be closed before.
func (r *Reader) Close() { r.txn.Discard() }

func (r *Reader) corrupt(format string, args ...any) error {
	return fmt.Errorf("partition: read %s: tenant %s: %w: %s", r.dir, r.tenant, store.ErrCorrupt, fmt.Sprintf(format, args...))
}

// Select returns the series that match sel, in the order of their ids.
func (r *Reader) Select(ctx context.Context, sel store.Selection) ([]Series, error) {
	ids, all, err := r.candidates(ctx, sel)
	if err != nil {
		return nil, err
	}
	if all {
		return r.selectAll(ctx, sel)
	}
	p := picker{r: r, sel: sel}
	for i, id := range ids {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		value, err := get(r.txn, seriesKey(r.tenant, id))
		if err != nil {
			return nil, err
		}
		if value == nil {
			return nil, r.corrupt("series %d is in the index only", id)
		}
		if err := p.take(id, value); err != nil {
			return nil, err
		}
	}
	return p.out, ctx.Err()
}

func (r *Reader) selectAll(ctx context.Context, sel store.Selection) ([]Series, error) {
	p := picker{r: r, sel: sel}
	seen := uint64(0)
	err := scan(ctx, r.txn, tenantKey(kindSeries, r.tenant), func(rest, value []byte) error {
		id, ok := idIn(rest)
		if !ok {
			return r.corrupt("series key")
		}
		seen++
		return p.take(id, value)
	})
	if err != nil {
		return nil, err
	}
	value, err := get(r.txn, tenantKey(kindTenant, r.tenant))
	if err != nil || value == nil {
		return p.out, err
	}
	switch count, err := decodeCount(value); {
	case err != nil:
		return nil, r.corrupt("%v", err)
	case seen < count:
		return nil, r.corrupt("%d series are there, %d were written", seen, count)
	}
	return p.out, nil
}

// A picker takes the series that match, in ascending order of ids.
type picker struct {
	r   *Reader
	sel store.Selection
	out []Series

	group  uint32 // Of census.
	census *census
}

// take takes the series if it matches.
func (p *picker) take(id ID, value []byte) error {
	_, canonical, err := decodeSeries(value)
	if err != nil {
		return p.r.corrupt("series %d: %v", id, err)
	}
	ls, err := metric.DecodeLabels(canonical)
	if err != nil {
		return p.r.corrupt("series %d: %v", id, err)
	}
	if !p.sel.Matches(ls) {
		return nil
	}
	if p.census == nil || p.group != id.group() {
		if value, err = get(p.r.txn, censusKey(p.r.tenant, id.group())); err != nil {
			return err
		}
		if value == nil {
			return p.r.corrupt("series %s has no census", ls)
		}
		if p.census, err = decodeCensus(value); err != nil {
			return p.r.corrupt("series %s: %v", ls, err)
		}
		p.group = id.group()
	}
	c := p.census
	if c.members>>id.member()&1 == 0 {
		return p.r.corrupt("series %s is not in the census", ls)
	}
	p.out = append(p.out, Series{ID: id, Labels: ls, Range: c.ranges[id.member()], rows: c.rows, chunks: c.chunks})
	return nil
}

// candidates returns the ids of the series that may match, ascending; or all, which stands for every series.
func (r *Reader) candidates(ctx context.Context, sel store.Selection) (ids []ID, all bool, err error) {
	all = true
	narrow := func(found []ID) {
		if all {
			ids, all = found, false
		} else {
			ids = intersect(ids, found)
		}
	}
	for _, m := range sel.Matchers {
		if m.Type != labels.MatchEqual || m.Value == "" {
			continue
		}
		found, err := r.postings(ctx, nil, m.Name, m.Value)
		if err != nil {
			return nil, false, err
		}
		if narrow(found); len(ids) == 0 {
			return nil, false, nil
		}
	}
	if !all {
		return ids, false, nil
	}
	for _, m := range sel.Matchers {
		if m.Matches("") {
			continue
		}
		var found []ID
		values, err := r.LabelValues(ctx, m.Name)
		if err != nil {
			return nil, false, err
		}
		for _, v := range values {
			if !m.Matches(v) {
				continue
			}
			if found, err = r.postings(ctx, found, m.Name, v); err != nil {
				return nil, false, err
			}
		}
		slices.Sort(found)
		return found, false, nil
	}
	return nil, true, nil
}

// intersect returns what is in both ascending lists, in the memory of a.
func intersect(a, b []ID) []ID {
	out := a[:0]
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}

// postings appends the ids of the series with the given label, ascending.
func (r *Reader) postings(ctx context.Context, dst []ID, name, value string) ([]ID, error) {
	err := scan(ctx, r.txn, pairKey(kindPostings, r.tenant, name, value), func(rest, _ []byte) error {
		id, ok := idIn(rest)
		if !ok {
			return r.corrupt("postings key")
		}
		dst = append(dst, id)
		return nil
	})
	return dst, err
}

// LabelNames returns the names of all labels, in no order. Names of deleted series are among them.
func (r *Reader) LabelNames(ctx context.Context) ([]string, error) {
	return r.texts(ctx, tenantKey(kindName, r.tenant))
}

// LabelValues returns the values of a label, in no order. Values of deleted series are among them.
func (r *Reader) LabelValues(ctx context.Context, name string) ([]string, error) {
	return r.texts(ctx, pairPrefix(kindValue, r.tenant, name))
}

func (r *Reader) texts(ctx context.Context, prefix []byte) ([]string, error) {
	var out []string
	err := scan(ctx, r.txn, prefix, func(rest, value []byte) error {
		s, ok := textIn(rest, value)
		if !ok {
			return r.corrupt("index key")
		}
		out = append(out, s)
		return nil
	})
	return out, err
}
