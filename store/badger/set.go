package badger

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
)

// merged is one series with all the places where its samples are.
type merged struct {
	labels labels.Labels
	parts  []located    // In the order of time.
	runs   []series.Run // From memory: later ones win.
	inside bool         // Whether any of them may lie in the range, not only before it.

	run    series.Run     // All of it, once it was loaded.
	result storage.Series // What lies in the range.
}

type located struct {
	in     *partitionReader
	pass   *partition.Pass
	series partition.Series
}

// set loads one series after the other.
type set struct {
	ctx   context.Context
	in    store.Range
	rest  []*merged
	limit int // How many may still come; -1 means any number.
	now   *merged
	err   error
}

var _ storage.SeriesSet = (*set)(nil)

func (r *reader) newSet(ctx context.Context, sel store.Selection) *set {
	list, err := r.gather(ctx, sel)
	if err != nil {
		return &set{ctx: ctx, err: fmt.Errorf("badger: select: %w", err)}
	}
	if sel.Sorted || sel.Limit > 0 {
		slices.SortFunc(list, func(a, b *merged) int { return labels.Compare(a.labels, b.labels) })
	}
	s := &set{ctx: ctx, in: r.in, rest: list, limit: -1}
	if sel.Limit > 0 {
		s.limit = sel.Limit
	}
	return s
}

// gather finds the matching series everywhere.
func (r *reader) gather(ctx context.Context, sel store.Selection) ([]*merged, error) {
	var list []*merged
	byLabels := map[string]*merged{}
	var key []byte
	at := func(ls labels.Labels) *merged {
		key = ls.Bytes(key)
		m := byLabels[string(key)]
		if m == nil {
			m = &merged{labels: ls}
			byLabels[string(key)] = m
			list = append(list, m)
		}
		return m
	}
	for _, h := range r.snap.handles {
		p, err := r.partition(h)
		if err != nil {
			return nil, err
		}
		found, err := p.reader.Select(ctx, sel)
		if err != nil {
			return nil, err
		}
		pass := partition.NewPass()
		for _, s := range found {
			if s.Range.Min > r.in.Max {
				continue
			}
			pass.Expect(&s)
			m := at(s.Labels)
			m.parts = append(m.parts, located{p, pass, s})
			m.inside = m.inside || s.Range.Max >= r.in.Min
		}
	}
	for _, h := range r.snap.heads {
		found, err := h.Tenant(r.view.id).Select(ctx, r.in, sel)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			m := at(f.Labels)
			m.runs = append(m.runs, f.Run)
			m.inside = m.inside || f.Inside
		}
	}
	return slices.DeleteFunc(list, func(m *merged) bool { return !m.inside }), ctx.Err()
}

// load reads the samples. Those in memory are later than those in partitions.
func (m *merged) load() error {
	var out series.Run
	for i := range m.parts {
		run, err := m.parts[i].in.load(&m.parts[i].series, m.parts[i].pass)
		if err != nil {
			return err
		}
		out = partition.Join(out, run)
	}
	for _, run := range m.runs {
		if len(out) == 0 {
			out = slices.Clip(run) // Growing it must not write into what others read.
			continue
		}
		out = partition.Join(out, run)
	}
	m.run = out
	return nil
}

func (s *set) Next() bool {
	for s.err == nil && len(s.rest) > 0 && s.limit != 0 {
		if s.err = s.ctx.Err(); s.err != nil {
			break
		}
		next := s.rest[0]
		s.rest = s.rest[1:]
		if err := next.load(); err != nil {
			s.err = fmt.Errorf("badger: select: %w", err)
			break
		}
		var ok bool
		if next.result, ok = series.NewIn(next.labels, next.run, s.in); ok {
			s.now, s.limit = next, max(s.limit-1, -1)
			return true
		}
	}
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	return false
}

func (s *set) At() storage.Series                { return s.now.result }
func (s *set) Err() error                        { return s.err }
func (s *set) Warnings() annotations.Annotations { return nil }
