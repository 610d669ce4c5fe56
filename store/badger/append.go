package badger

import (
	"context"
	"fmt"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/head"
	"github.com/luminate-metrics/luminate/store/badger/wal"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Append makes batch durable.
func (v *view) Append(ctx context.Context, batch *metric.Batch) ([]metric.Rejection, error) {
	if err := v.store.enter(); err != nil {
		return nil, err
	}
	defer v.store.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := v.store.failure(); err != nil {
		return nil, err
	}
	if err := v.store.guard.mayWrite(); err != nil {
		return nil, err
	}
	if err := v.store.checkRoom(); err != nil {
		return nil, err
	}
	sc := screening{batch: batch, kept: batch, floor: v.store.floorOf(v.id), calendar: v.store.calendar, last: store.Range{Min: 1}}
	sc.run()
	if sc.kept.Counts().Total() == 0 {
		return sc.rejected, nil
	}
	a := &appending{tenant: v.id, batch: sc.kept, rejected: sc.rejected}
	a.hash(v.store.opts.Hasher, batch.Hasher())
	if err := v.store.commit.do(ctx, a); err != nil {
		return nil, fmt.Errorf("badger: append: %w", err)
	}
	return a.rejected, nil
}

// appending is a batch on its way through the committer.
type appending struct {
	tenant   tenancy.ID
	batch    *metric.Batch
	hashes   []metric.Hash  // One for each series if those of the batch are of another hasher.
	resolved []*head.Series // nil where a series was rejected or has nothing to store.
	into     *head.Tenant
	rejected []metric.Rejection
}

func (a *appending) hash(want, have metric.Hasher) {
	if want == have {
		return
	}
	a.hashes = make([]metric.Hash, len(a.batch.Series))
	for i := range a.batch.Series {
		a.hashes[i] = want.Sum(a.batch.Series[i].Labels)
	}
}

func (a *appending) log(s *Store, g *wal.Group) error {
	h := s.active
	a.into = h.Writable(a.tenant)
	a.resolved = make([]*head.Series, len(a.batch.Series))
	g.StartBatch(h.Generation(), a.tenant)
	for i := range a.batch.Series {
		item := &a.batch.Series[i]
		if item.Counts().Total() == 0 {
			continue
		}
		hash := item.Hash
		if a.hashes != nil {
			hash = a.hashes[i]
		}
		known := a.into.Lookup(hash)
		if known == nil {
			var err error
			if known, err = a.into.Register(hash, item.Labels); err != nil {
				a.rejected = append(a.rejected, metric.Rejection{Series: item.Origin, Lost: item.Counts(), Reason: metric.Malformed, Detail: err.Error()})
				continue
			}
		}
		a.resolved[i] = known
		// The labels go into the group before anybody else can refer to the series.
		ref, isNew := h.Reference(known)
		var told []byte
		if isNew {
			if told = item.Labels; told == nil {
				told = []byte{} // A series without labels is told too.
			}
		}
		g.Series(ref, told, a.batch, item)
	}
	for _, m := range a.batch.Metadata {
		g.Metadata(m)
	}
	return nil
}

func (a *appending) apply(s *Store) error {
	floats, histograms := 0, 0
	for i, to := range a.resolved {
		if to == nil {
			continue
		}
		item := &a.batch.Series[i]
		floats += item.Samples.Len()
		histograms += item.Histograms.Len()
		if err := s.take(a.into, to, a.batch, item); err != nil {
			return err
		}
	}
	s.annex.addMetadata(a.tenant, a.batch.Metadata)
	s.metrics.appended.WithLabelValues("float").Add(float64(floats))
	s.metrics.appended.WithLabelValues("histogram").Add(float64(histograms))
	if s.active.Samples() >= s.opts.MaxHeadSamples {
		s.kickFlush()
	}
	return nil
}

// take applies one series of a batch, live or in a replay. Only the committer calls it.
func (s *Store) take(into *head.Tenant, to *head.Series, b *metric.Batch, item *metric.Series) error {
	s.scratch = series.AppendBatch(s.scratch[:0], b, item)
	into.Append(to, s.scratch)
	clear(s.scratch) // They hold pointers.
	if item.Exemplars.Len() == 0 {
		return nil
	}
	canonical := metric.EncodeLabels(nil, to.Labels())
	return s.annex.addExemplars(into.ID(), canonical, b.Exemplars[item.Exemplars.Start:item.Exemplars.End])
}
