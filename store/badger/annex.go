package badger

import (
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/exemplar"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// annex is what is kept in memory beside the samples: exemplars, metadata and deletions. It is in the log and in
// checkpoints.
type annex struct {
	maxExemplars int

	mu        sync.RWMutex
	tenants   map[tenancy.ID]*annexed
	deletions []catalog.Deletion // Replaced, never changed.
	changed   bool               // Since the last checkpoint.
}

type annexed struct {
	exemplars *series.Exemplars
	metadata  map[string]metric.Metadata // By family.
}

func newAnnex(maxExemplars int) *annex {
	return &annex{maxExemplars: maxExemplars, tenants: map[tenancy.ID]*annexed{}}
}

// tenant returns the part of a tenant, which is new if there is none. The caller holds the write lock.
func (a *annex) tenant(id tenancy.ID) *annexed {
	t := a.tenants[id]
	if t == nil {
		t = &annexed{series.NewExemplars(a.maxExemplars), map[string]metric.Metadata{}}
		a.tenants[id] = t
	}
	return t
}

// addExemplars adds exemplars of a series. Their labels were checked before they went to the log.
func (a *annex) addExemplars(id tenancy.ID, canonical []byte, list []metric.Exemplar) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = true
	for _, x := range list {
		if err := a.tenant(id).exemplars.Add(canonical, x); err != nil {
			return err
		}
	}
	return nil
}

// addMetadata keeps copies of list.
func (a *annex) addMetadata(id tenancy.ID, list []metric.Metadata) {
	if len(list) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = true
	t := a.tenant(id)
	for _, m := range list {
		t.metadata[strings.Clone(m.Family)] = metric.Metadata{
			Family: strings.Clone(m.Family), Type: strings.Clone(m.Type), Help: strings.Clone(m.Help), Unit: strings.Clone(m.Unit),
		}
	}
}

// delete removes exemplars and remembers to hide samples in partitions.
func (a *annex) delete(d catalog.Deletion) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = true
	if t := a.tenants[d.Tenant]; t != nil {
		t.exemplars.Delete(d.Range, store.Selection{Matchers: d.Matchers})
	}
	if d.Sequence > 0 {
		a.deletions = append(slices.Clip(a.deletions), d)
	}
}

func (a *annex) expire(before int64) {
	if before == math.MinInt64 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = true
	for _, t := range a.tenants {
		t.exemplars.Expire(before)
	}
	gone := func(d catalog.Deletion) bool { return d.Range.Max < before }
	if slices.ContainsFunc(a.deletions, gone) {
		a.deletions = slices.DeleteFunc(slices.Clone(a.deletions), gone)
	}
}

// expireTenant removes exemplars of one tenant.
func (a *annex) expireTenant(id tenancy.ID, before int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tenants[id]; t != nil {
		had := t.exemplars.Len()
		t.exemplars.Expire(before)
		a.changed = a.changed || t.exemplars.Len() < had
	}
}

// touch makes the next checkpoint count as changed.
func (a *annex) touch() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = true
}

// forgetDeletions is called when partitions hold nothing any more that they hide.
func (a *annex) forgetDeletions() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed, a.deletions = true, nil
}

// hides reports whether there are deletions.
func (a *annex) hides() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.deletions) > 0
}

// deletionsOf returns what hides samples of a tenant in a range.
func (a *annex) deletionsOf(id tenancy.ID, r store.Range) []catalog.Deletion {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var out []catalog.Deletion
	for _, d := range a.deletions {
		if d.Tenant == id && d.Range.Overlaps(r) {
			out = append(out, d)
		}
	}
	return out
}

// masksFor returns what hides samples of a series.
func masksFor(deletions []catalog.Deletion, s *partition.Series) []partition.Mask {
	var out []partition.Mask
	for _, d := range deletions {
		if d.Range.Overlaps(s.Range) && (store.Selection{Matchers: d.Matchers}).Matches(s.Labels) {
			out = append(out, partition.Mask{Range: d.Range, Sequence: d.Sequence})
		}
	}
	return out
}

func (a *annex) exemplars(id tenancy.ID, r store.Range, anyOf []store.Selection) []exemplar.QueryResult {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if t := a.tenants[id]; t != nil {
		return t.exemplars.Select(r, anyOf)
	}
	return nil
}

func (a *annex) metadata(id tenancy.ID, q store.MetadataQuery) []metric.Metadata {
	a.mu.RLock()
	defer a.mu.RUnlock()
	t := a.tenants[id]
	if t == nil {
		return nil
	}
	var out []metric.Metadata
	for _, family := range slices.Sorted(maps.Keys(t.metadata)) {
		if q.Family == "" || q.Family == family {
			out = append(out, t.metadata[family])
		}
	}
	return series.Truncate(out, q.Limit).Items
}

// held lists the tenants with exemplars or metadata.
func (a *annex) held() []tenancy.ID {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var out []tenancy.ID
	for id, t := range a.tenants {
		if t.exemplars.Len() > 0 || len(t.metadata) > 0 {
			out = append(out, id)
		}
	}
	return out
}

// checkpoint returns everything, and whether it changed since the last call.
func (a *annex) checkpoint() (c *catalog.Checkpoint, changed bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c = &catalog.Checkpoint{Deletions: a.deletions}
	for _, id := range slices.Sorted(maps.Keys(a.tenants)) {
		t := a.tenants[id]
		err := t.exemplars.All(func(canonical []byte, x metric.Exemplar) error {
			c.Exemplars = append(c.Exemplars, catalog.Exemplar{Tenant: id, Series: canonical, Exemplar: x})
			return nil
		})
		if err != nil {
			return nil, false, err
		}
		for _, family := range slices.Sorted(maps.Keys(t.metadata)) {
			c.Metadata = append(c.Metadata, catalog.Metadata{Tenant: id, Metadata: t.metadata[family]})
		}
	}
	changed, a.changed = a.changed, false
	return c, changed, nil
}

// restore takes in a checkpoint.
func (a *annex) restore(c *catalog.Checkpoint) error {
	for _, x := range c.Exemplars {
		if err := a.addExemplars(x.Tenant, x.Series, []metric.Exemplar{x.Exemplar}); err != nil {
			return err
		}
	}
	for _, m := range c.Metadata {
		a.addMetadata(m.Tenant, []metric.Metadata{m.Metadata})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deletions, a.changed = c.Deletions, false
	return nil
}
