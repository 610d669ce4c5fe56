package memory

import (
	"context"
	"fmt"
	"strings"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/series"
)

func (v *view) Append(ctx context.Context, batch *metric.Batch) ([]metric.Rejection, error) {
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	if err := v.store.check(ctx); err != nil {
		return nil, err
	}
	if batch.Counts().Total() == 0 {
		return nil, nil
	}
	a := appending{tenant: v.store.tenantFor(v.id), batch: batch}
	for i := range batch.Series {
		s := &batch.Series[i]
		hash := s.Hash
		if batch.Hasher() != v.store.hasher {
			hash = v.store.hasher.Sum(s.Labels)
		}
		a.series(s, hash)
	}
	for _, m := range batch.Metadata {
		a.tenant.metadata[strings.Clone(m.Family)] = metric.Metadata{
			Family: strings.Clone(m.Family), Type: strings.Clone(m.Type), Help: strings.Clone(m.Help), Unit: strings.Clone(m.Unit),
		}
	}
	v.store.forgetIfEmpty(v.id, a.tenant)
	return a.rejected, nil
}

// appending is the state of one Append.
type appending struct {
	tenant   *tenant
	batch    *metric.Batch
	rejected []metric.Rejection
}

func (a *appending) series(s *metric.Series, hash metric.Hash) {
	e := a.tenant.series[hash]
	if e == nil {
		ls, err := metric.DecodeLabels(s.Labels)
		if err != nil {
			a.reject(s, s.Counts(), metric.Malformed, err.Error())
			return
		}
		e = &entry{labels: ls}
	}
	if arrived := a.samples(s); len(arrived) > 0 {
		e.run = grow(e.run, series.Sort(arrived))
		a.tenant.series[hash] = e
	}
	for _, x := range a.batch.Exemplars[s.Exemplars.Start:s.Exemplars.End] {
		if err := a.tenant.exemplars.Add(s.Labels, x); err != nil {
			a.reject(s, metric.Counts{Exemplars: 1}, metric.InvalidExemplar, err.Error())
		}
	}
}

// samples returns what s brings, in the order of arrival, without histograms that have no content.
func (a *appending) samples(s *metric.Series) []series.Sample {
	arrived := series.AppendBatch(nil, a.batch, s)
	kept := arrived[:s.Samples.Len()]
	for _, h := range arrived[s.Samples.Len():] {
		if h.Int == nil && h.Float == nil {
			a.reject(s, metric.Counts{Histograms: 1}, metric.InvalidHistogram, fmt.Sprintf("histogram at %d has no content", h.Timestamp))
			continue
		}
		kept = append(kept, h)
	}
	return kept
}

func (a *appending) reject(s *metric.Series, lost metric.Counts, reason metric.Reason, detail string) {
	a.rejected = append(a.rejected, metric.Rejection{Series: s.Origin, Lost: lost, Reason: reason, Detail: detail})
}

// grow merges late into old. Readers of old see no change: memory behind its end is theirs to ignore.
func grow(old, late series.Run) series.Run {
	if len(old) > 0 && old[len(old)-1].Timestamp < late[0].Timestamp {
		return append(old, late...)
	}
	return series.Merge(old, late)
}
