package badger

import (
	"context"
	"errors"
	"fmt"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/wal"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Append makes batch durable.
func (v *view) Append(ctx context.Context, batch *metric.Batch) ([]metric.Rejection, error) {
	s := v.store
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.mayAppend(ctx); err != nil {
		return nil, err
	}
	sc := screening{batch: batch, kept: batch, floor: s.floorOf(v.id), calendar: s.calendar, last: store.Range{Min: 1}}
	sc.run()
	if len(sc.kept.Series) == 0 && len(sc.kept.Metadata) == 0 {
		return sc.rejected, nil
	}
	a := s.memory.appending()
	a.tenant, a.batch, a.rejected = v.id, sc.kept, sc.rejected
	a.resolve(s.memory)
	err := s.commit.do(ctx, a)
	rejected := a.rejected
	s.memory.done(a)
	if err != nil {
		return nil, fmt.Errorf("badger: append: %w", err)
	}
	return rejected, nil
}

// mayAppend reports why nothing may be appended now.
func (s *Store) mayAppend(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.failure(); err != nil {
		return err
	}
	if err := s.guard.mayWrite(); err != nil {
		return err
	}
	return s.checkRoom()
}

// appending is a batch on its way through the committer.
type appending struct {
	tenant   tenancy.ID
	number   uint32
	batch    *metric.Batch // Each series has something to store.
	refs     []uint32      // In the head; active.NoRef where a series was rejected.
	unknown  int           // How many series were not known at first.
	rejected []metric.Rejection
	resolver *active.Resolver

	floats, histograms int
}

// appending returns one for a batch; done takes it back.
func (m *memory) appending() *appending {
	if a, ok := m.appended.Get().(*appending); ok {
		return a
	}
	return &appending{resolver: m.head.NewResolver()}
}

func (m *memory) done(a *appending) {
	a.resolver.End()
	*a = appending{refs: a.refs, resolver: a.resolver}
	m.appended.Put(a)
}

// resolve looks up the series. That is done beside the committer, whose time is everybody's.
func (a *appending) resolve(m *memory) {
	n := len(a.batch.Series)
	if cap(a.refs) < n {
		a.refs = make([]uint32, n)
	}
	a.refs = a.refs[:n]
	a.number = m.tenants.add(a.tenant)
	a.resolver.Begin()
	a.unknown = a.resolver.Resolve(a.batch, a.number, a.refs)
}

func (a *appending) log(s *Store, g *wal.Group) error {
	m := s.memory
	if a.unknown > 0 {
		m.writer.RegisterAll(a.batch, a.number, a.refs, nil, a.refuse)
	}
	g.StartBatch(m.generation, a.tenant)
	mark := m.mark()
	for i, ref := range a.refs {
		if ref == active.NoRef {
			continue
		}
		item := &a.batch.Series[i]
		a.floats += item.Samples.Len()
		a.histograms += item.Histograms.Len()
		// The labels go into the group before anybody else can refer to the series.
		var told []byte
		if m.writer.Tell(ref, mark) {
			if told = item.Labels; told == nil {
				told = []byte{} // A series without labels is told too.
			}
		}
		g.Series(uint64(ref), told, a.batch, item)
	}
	for _, m := range a.batch.Metadata {
		g.Metadata(m)
	}
	return nil
}

// refuse rejects a series that the head can't take.
func (a *appending) refuse(i int, err error) {
	item := &a.batch.Series[i]
	reason := metric.Malformed
	if errors.Is(err, active.ErrFull) {
		reason = metric.SeriesLimit
	}
	a.rejected = append(a.rejected, metric.Rejection{Series: item.Origin, Lost: item.Counts(), Reason: reason, Detail: err.Error()})
}

func (a *appending) apply(s *Store) error {
	m := s.memory
	m.writer.Append(a.batch, a.refs, m.mark())
	m.samples.Add(int64(a.floats + a.histograms))
	if len(a.batch.Exemplars) > 0 {
		for i, ref := range a.refs {
			if item := &a.batch.Series[i]; ref != active.NoRef && item.Exemplars.Len() > 0 {
				err := s.annex.addExemplars(a.tenant, item.Labels, a.batch.Exemplars[item.Exemplars.Start:item.Exemplars.End])
				if err != nil {
					return err
				}
			}
		}
	}
	s.annex.addMetadata(a.tenant, a.batch.Metadata)
	s.metrics.took(a.floats, a.histograms)
	if s.large() {
		s.kickFlush()
	}
	return nil
}
