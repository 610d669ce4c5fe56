package series

import (
	"cmp"
	"container/list"
	"slices"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// DefaultMaxExemplars is how many exemplars of a tenant are kept if nothing else is said.
const DefaultMaxExemplars = 100_000

// Exemplars is a bounded number of exemplars of one tenant. Those with the same series, timestamp and labels replace
// each other; beyond the bound the one that arrived first gives way. It is not safe for concurrent use.
type Exemplars struct {
	most     int
	arrivals *list.List // Of *heldExemplar, the oldest first.
	bySeries map[string]*exemplarSeries
}

type exemplarSeries struct {
	canonical string
	labels    labels.Labels
	held      map[exemplarKey]*list.Element
}

type exemplarKey struct {
	timestamp int64
	labels    string // Canonical encoding.
}

type heldExemplar struct {
	series *exemplarSeries
	key    exemplarKey
	exemplar.Exemplar
}

// NewExemplars returns an empty collection that holds at most so many exemplars; 0 means DefaultMaxExemplars.
func NewExemplars(most int) *Exemplars {
	if most <= 0 {
		most = DefaultMaxExemplars
	}
	return &Exemplars{most: most, arrivals: list.New(), bySeries: map[string]*exemplarSeries{}}
}

// Len is the number of exemplars that are held.
func (e *Exemplars) Len() int { return e.arrivals.Len() }

// Add takes an exemplar of the series with the given canonical labels. It keeps no memory of either. Malformed labels
// are an error; nothing is added then.
func (e *Exemplars) Add(canonical []byte, x metric.Exemplar) error {
	ls, err := metric.DecodeLabels(x.Labels)
	if err != nil {
		return err
	}
	s := e.bySeries[string(canonical)]
	if s == nil {
		s = &exemplarSeries{canonical: string(canonical), held: map[exemplarKey]*list.Element{}}
		if s.labels, err = metric.DecodeLabels(canonical); err != nil {
			return err
		}
		e.bySeries[s.canonical] = s
	}
	key := exemplarKey{x.Timestamp, string(x.Labels)}
	if old := s.held[key]; old != nil {
		old.Value.(*heldExemplar).Value = x.Value
		return nil
	}
	s.held[key] = e.arrivals.PushBack(&heldExemplar{
		s, key, exemplar.Exemplar{Labels: ls, Value: x.Value, Ts: x.Timestamp, HasTs: true},
	})
	if e.arrivals.Len() > e.most {
		e.remove(e.arrivals.Front())
	}
	return nil
}

func (e *Exemplars) remove(at *list.Element) {
	x := e.arrivals.Remove(at).(*heldExemplar)
	delete(x.series.held, x.key)
	if len(x.series.held) == 0 {
		delete(e.bySeries, x.series.canonical)
	}
}

// Select returns the exemplars in r of the series that match any of the selections, ordered by series labels, time and
// exemplar labels. Without selections there are none.
func (e *Exemplars) Select(r store.Range, anyOf []store.Selection) []exemplar.QueryResult {
	var out []exemplar.QueryResult
	for _, s := range e.bySeries {
		if !slices.ContainsFunc(anyOf, func(sel store.Selection) bool { return sel.Matches(s.labels) }) {
			continue
		}
		var found []exemplar.Exemplar
		for key, at := range s.held {
			if r.Contains(key.timestamp) {
				found = append(found, at.Value.(*heldExemplar).Exemplar)
			}
		}
		if len(found) == 0 {
			continue
		}
		slices.SortFunc(found, func(a, b exemplar.Exemplar) int {
			return cmp.Or(cmp.Compare(a.Ts, b.Ts), labels.Compare(a.Labels, b.Labels))
		})
		out = append(out, exemplar.QueryResult{SeriesLabels: s.labels, Exemplars: found})
	}
	slices.SortFunc(out, func(a, b exemplar.QueryResult) int { return labels.Compare(a.SeriesLabels, b.SeriesLabels) })
	return out
}

// Delete removes the exemplars in r of the series that match sel.
func (e *Exemplars) Delete(r store.Range, sel store.Selection) {
	e.deleteFunc(func(x *heldExemplar) bool { return r.Contains(x.Ts) && sel.Matches(x.series.labels) })
}

// Expire removes the exemplars before the given time.
func (e *Exemplars) Expire(before int64) {
	e.deleteFunc(func(x *heldExemplar) bool { return x.Ts < before })
}

func (e *Exemplars) deleteFunc(gone func(*heldExemplar) bool) {
	for at := e.arrivals.Front(); at != nil; {
		next := at.Next()
		if gone(at.Value.(*heldExemplar)) {
			e.remove(at)
		}
		at = next
	}
}

// All calls f with each exemplar in the order of arrival, so that adding them in that order to another collection makes
// an equal one.
func (e *Exemplars) All(f func(canonical []byte, x metric.Exemplar) error) error {
	for at := e.arrivals.Front(); at != nil; at = at.Next() {
		x := at.Value.(*heldExemplar)
		item := metric.Exemplar{Timestamp: x.Ts, Value: x.Value, Labels: []byte(x.key.labels)}
		if err := f([]byte(x.series.canonical), item); err != nil {
			return err
		}
	}
	return nil
}
