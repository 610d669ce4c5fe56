package head

import (
	"context"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Tenant is the series of one tenant in a head.
type Tenant struct {
	head *Head
	id   tenancy.ID

	mu       sync.RWMutex
	byHash   map[metric.Hash]*Series
	list     []*Series
	postings map[string]map[string][]uint32 // By label name and value: indices into list, ascending.
}

// A Found is a series with those of its samples that were asked for, and the one before.
type Found struct {
	Labels labels.Labels
	Run    series.Run // In time order; shared, not to be changed.
	Inside bool       // Whether a sample lies in the range, not only before it.
}

// ID is the tenant.
func (t *Tenant) ID() tenancy.ID { return t.id }

// Lookup returns the series with the given hash, or nil. For the writer only.
func (t *Tenant) Lookup(hash metric.Hash) *Series {
	return t.byHash[hash] // Only the writer changes the map.
}

// Register adds a series, which must not be there yet. For the writer only.
func (t *Tenant) Register(hash metric.Hash, canonical []byte) (*Series, error) {
	ls, err := metric.DecodeLabels(canonical)
	if err != nil {
		return nil, err
	}
	s := &Series{labels: ls}
	t.head.series.Add(1)

	t.mu.Lock()
	defer t.mu.Unlock()
	at := uint32(len(t.list))
	t.byHash[hash] = s
	t.list = append(t.list, s)
	ls.Range(func(l labels.Label) {
		values := t.postings[l.Name]
		if values == nil {
			values = map[string][]uint32{}
			t.postings[l.Name] = values
		}
		values[l.Value] = append(values[l.Value], at)
	})
	return s, nil
}

// Append adds samples to a series of t in the order of their arrival: of those with equal timestamps the last one stays.
// t keeps their histograms, not the slice. For the writer only.
func (t *Tenant) Append(s *Series, arrived []series.Sample) {
	s.entry.append(arrived)
	t.head.samples.Add(int64(len(arrived)))
}

// Delete removes the samples in r of the series that match sel. For the writer only.
func (t *Tenant) Delete(r store.Range, sel store.Selection) {
	for _, l := range t.candidates(sel) {
		if sel.Matches(l.labels) {
			l.entry.delete(r)
		}
	}
}

// Select returns the series that match sel and have samples in r or before it, in no order.
func (t *Tenant) Select(ctx context.Context, r store.Range, sel store.Selection) ([]Found, error) {
	if t == nil {
		return nil, ctx.Err()
	}
	var out []Found
	for i, l := range t.candidates(sel) {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !sel.Matches(l.labels) {
			continue
		}
		if run := l.entry.snapshot().Around(r); len(run) > 0 {
			out = append(out, Found{l.labels, run, run[len(run)-1].Timestamp >= r.Min})
		}
	}
	return out, ctx.Err()
}

// Any reports whether t, which may be nil, holds a sample.
func (t *Tenant) Any() bool {
	if t == nil {
		return false
	}
	for _, s := range t.candidates(store.Selection{}) {
		if len(s.entry.snapshot()) > 0 {
			return true
		}
	}
	return false
}

// candidates returns the series that may match sel.
func (t *Tenant) candidates(sel store.Selection) []*Series {
	t.mu.RLock()
	defer t.mu.RUnlock()
	best := -1
	var list []uint32
	for _, m := range sel.Matchers {
		if m.Type != labels.MatchEqual || m.Value == "" {
			continue
		}
		if p := t.postings[m.Name][m.Value]; best < 0 || len(p) < best {
			best, list = len(p), p
		}
	}
	if best < 0 {
		if list, best = t.union(sel); best < 0 {
			return slices.Clip(t.list)
		}
	}
	out := make([]*Series, len(list))
	for i, at := range list {
		out[i] = t.list[at]
	}
	return out
}

// union returns the series of the values of one label that a matcher selects, if there is a matcher that the empty value
// does not satisfy; else found is -1.
func (t *Tenant) union(sel store.Selection) (list []uint32, found int) {
	found = -1
	for _, m := range sel.Matchers {
		if m.Matches("") {
			continue
		}
		list = list[:0]
		for value, p := range t.postings[m.Name] {
			if m.Matches(value) {
				list = append(list, p...)
			}
		}
		slices.Sort(list)
		return list, len(list)
	}
	return nil, found
}
