package badger

import (
	"context"
	"sort"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
)

// noID stands where the id of a series is not known. Partitions do not give it.
const noID = partition.ID(1<<32 - 1)

// places are the ids in a partition of the series of the head, by group: so a flush need not look for series by their
// labels.
type places map[uint32]*[active.GroupSize]partition.ID

func (p places) of(group uint32) *[active.GroupSize]partition.ID {
	ids := p[group]
	if ids == nil {
		ids = new([active.GroupSize]partition.ID)
		for i := range ids {
			ids[i] = noID
		}
		p[group] = ids
	}
	return ids
}

func (p places) forget(ref uint32) {
	if ids := p[ref/active.GroupSize]; ids != nil {
		ids[ref%active.GroupSize] = noID
	}
}

// keepPlaces forgets those of references that are no series any more, and all of partitions that hardly get samples.
func (s *Store) keepPlaces(gone []uint32) {
	list := s.listed()
	for i, h := range list {
		if i < len(list)-2 {
			clear(h.places)
			continue
		}
		for _, ref := range gone {
			h.places.forget(ref)
		}
	}
}

// placing writes what is frozen in the head into a partition.
type placing struct {
	ctx    context.Context //nolint:containedctx // It lives as long as a flush.
	from   *active.Head
	to     *partition.Writer
	in     store.Range
	places places

	reader *active.Reader
	frozen active.Frozen
	labels []byte
}

func (p *placing) groups(list []group) error {
	p.reader = p.from.NewReader()
	defer p.reader.Close()
	for _, g := range list {
		if err := p.group(g); err != nil {
			return err
		}
	}
	return nil
}

func (p *placing) group(g group) error {
	if err := p.from.Frozen(g.number, &p.frozen); err != nil {
		return err
	}
	ids := p.places.of(g.number)
	for i := range p.frozen.Members {
		floats, histograms := part(&p.frozen.Members[i], p.in)
		if len(floats.Timestamps)+len(histograms) == 0 {
			continue
		}
		if ids[i] == noID {
			p.labels = p.reader.AppendLabels(p.labels[:0], g.number*active.GroupSize+uint32(i))
			id, err := p.to.Resolve(p.ctx, g.tenant, p.labels)
			if err != nil {
				return err
			}
			ids[i] = id
		}
		if err := p.to.Add(p.ctx, g.tenant, ids[i], floats, histograms); err != nil {
			return err
		}
	}
	return nil
}

// part returns the samples that lie in a range.
func part(s *active.Samples, in store.Range) (floats rowgroup.Column, histograms series.Run) {
	ts := s.Timestamps
	from := sort.Search(len(ts), func(i int) bool { return ts[i] >= in.Min })
	to := from + sort.Search(len(ts)-from, func(i int) bool { return ts[from+i] > in.Max })
	floats = rowgroup.Column{Timestamps: ts[from:to], Values: s.Values[from:to]}
	if len(s.Starts) > 0 {
		floats.Starts = s.Starts[from:to]
	}
	return floats, s.Histograms.Between(in)
}
