package badger

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
)

// LabelNames returns the label names of the matching series.
func (r *reader) LabelNames(ctx context.Context, sel store.Selection) (store.List[string], error) {
	list, err := r.distinct(ctx, sel, namesIn{
		memory:  func(in *active.Reader, refs []uint32) []string { return in.NamesOf(refs) },
		indexed: func(p *partition.Reader) ([]string, error) { return p.LabelNames(ctx, sel.Matchers) },
		of: func(ls labels.Labels, add func(string)) {
			ls.Range(func(l labels.Label) { add(l.Name) })
		},
	})
	if err != nil {
		return list, fmt.Errorf("badger: label names: %w", err)
	}
	return list, nil
}

// LabelValues returns the values of a label in the matching series.
func (r *reader) LabelValues(ctx context.Context, name string, sel store.Selection) (store.List[string], error) {
	list, err := r.distinct(ctx, sel, namesIn{
		memory:  func(in *active.Reader, refs []uint32) []string { return in.ValuesOf(name, refs) },
		indexed: func(p *partition.Reader) ([]string, error) { return p.LabelValues(ctx, name, sel.Matchers) },
		of: func(ls labels.Labels, add func(string)) {
			if v := ls.Get(name); v != "" {
				add(v)
			}
		},
	})
	if err != nil {
		return list, fmt.Errorf("badger: label values: %w", err)
	}
	return list, nil
}

// namesIn finds strings in the places where series are.
type namesIn struct {
	memory  func(in *active.Reader, refs []uint32) []string // Sorted, each once.
	indexed func(*partition.Reader) ([]string, error)       // Of the matching series of a partition, whenever their samples are.
	of      func(ls labels.Labels, add func(string))
}

// distinct returns the different strings of the matching series.
func (r *reader) distinct(ctx context.Context, sel store.Selection, names namesIn) (store.List[string], error) {
	memory := memorySearch{reader: r, bare: true}
	if err := memory.search(ctx, sel); err != nil {
		return store.List[string]{}, err
	}
	out, err := memory.strings(names.memory)
	if err != nil {
		return store.List[string]{}, err
	}
	for _, h := range r.snap.handles {
		p, err := r.partition(h)
		if err != nil {
			return store.List[string]{}, err
		}
		list, err := p.strings(ctx, sel, names)
		if err != nil {
			return store.List[string]{}, err
		}
		out = mergeSorted(out, list)
	}
	return series.Truncate(out, sel.Limit), ctx.Err()
}

// strings returns the different strings of the matching series, sorted.
func (p *partitionReader) strings(ctx context.Context, sel store.Selection, names namesIn) ([]string, error) {
	if len(p.deletions) == 0 && !p.narrowed {
		return names.indexed(p.reader)
	}
	found, err := p.selectSeries(ctx, sel)
	if err != nil {
		return nil, err
	}
	seen, last := map[string]struct{}{}, ""
	add := func(s string) {
		if s != last { // Neighbours have much in common.
			seen[s], last = struct{}{}, s
		}
	}
	for i := range found {
		names.of(found[i].Labels, add)
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// mergeSorted returns what is in either of two sorted lists, each string once. It may be one of them.
func mergeSorted(a, b []string) []string {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make([]string, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case a[0] > b[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}
