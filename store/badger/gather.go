package badger

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/series"
)

// gather finds the matching series everywhere, in several places at a time.
func (r *reader) gather(ctx context.Context, sel store.Selection) ([]merged, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	turn := make(chan struct{}, runtime.GOMAXPROCS(0))
	search := func(in searching) {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			if err := series.Guard(func() error { return in.search(ctx, sel) }); err != nil {
				cancel(err)
			}
		})
	}
	parts := make([]partitionSearch, len(r.snap.handles))
	for i, h := range r.snap.handles {
		parts[i] = partitionSearch{reader: r, handle: h}
		search(&parts[i])
	}
	memory := memorySearch{reader: r}
	search(&memory)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var g gathering
	for i := range parts {
		parts[i].give(&g)
	}
	memory.give(&g)
	return slices.DeleteFunc(g.list, func(m merged) bool { return !m.inside }), nil
}

// searching is finding series in one place.
type searching interface {
	search(ctx context.Context, sel store.Selection) error
}

// partitionSearch finds series in a partition.
type partitionSearch struct {
	reader *reader
	handle *handle
	in     *partitionReader
	found  []partition.Series
}

func (p *partitionSearch) search(ctx context.Context, sel store.Selection) (err error) {
	if p.in, err = p.reader.partition(p.handle); err == nil {
		p.found, err = p.in.reader.SelectIn(ctx, sel, store.Range{Min: store.AllTime().Min, Max: p.reader.in.Max})
	}
	return err
}

func (p *partitionSearch) give(g *gathering) {
	from := &source{in: p.in, pass: partition.NewPass(), expected: p.found}
	in := p.reader.in
	g.begin(len(p.found))
	for i := range p.found {
		s := &p.found[i]
		if s.Range.Min > in.Max {
			continue
		}
		from.pass.Expect(s)
		m := g.at(s.Labels)
		m.parts = append(m.parts, located{from, *s})
		m.inside = m.inside || s.Range.Max >= in.Min
		m.sure = m.sure || len(p.in.deletions) == 0 && (in.Contains(s.Range.Min) || in.Contains(s.Range.Max))
	}
}

// memorySearch finds series in memory that have samples there.
type memorySearch struct {
	reader *reader
	bare   bool // Without labels.
	refs   []uint32
	found  []foundInMemory // By place in refs.
}

type foundInMemory struct {
	labels       labels.Labels
	inside, some bool
}

// shareRefs is how many series are worth a goroutine.
const shareRefs = 4096

func (m *memorySearch) search(ctx context.Context, sel store.Selection) (err error) {
	r := m.reader
	if r.memory == nil {
		return nil
	}
	if m.refs, err = r.memory.Select(ctx, r.tenant, sel.Matchers, nil); err != nil {
		return err
	}
	m.found = make([]foundInMemory, len(m.refs))
	return share(len(m.refs), func(from, to int) error { return m.look(ctx, from, to) })
}

// share calls f for parts of n things at a time, and for all of them.
func share(n int, f func(from, to int) error) error {
	shares := min(runtime.GOMAXPROCS(0), n/shareRefs+1)
	errs := make([]error, shares)
	var wg sync.WaitGroup
	for i := range shares {
		wg.Go(func() {
			errs[i] = series.Guard(func() error { return f(n*i/shares, n*(i+1)/shares) })
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// strings calls f on parts of the series with samples in the range, each time with another reader, and returns what all
// calls returned, sorted, each string once.
func (m *memorySearch) strings(f func(in *active.Reader, refs []uint32) []string) (out []string, err error) {
	if len(m.refs) == 0 {
		return nil, nil
	}
	inside := m.refs[:0]
	for i, ref := range m.refs {
		if m.found[i].inside {
			inside = append(inside, ref)
		}
	}
	var mu sync.Mutex
	err = share(len(inside), func(from, to int) error {
		in := m.reader.view.store.memory.head.NewReader()
		defer in.Close()
		list := f(in, inside[from:to])
		mu.Lock()
		defer mu.Unlock()
		out = mergeSorted(out, list)
		return nil
	})
	return out, err
}

// look finds out about a part of the series.
func (m *memorySearch) look(ctx context.Context, from, to int) (err error) {
	in := m.reader.view.store.memory.head.NewReader()
	defer in.Close()
	for i := from; i < to; i++ {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		f := &m.found[i]
		if f.inside, f.some, err = in.Overlaps(m.refs[i], m.reader.in); err != nil {
			return err
		}
		if f.some && !m.bare {
			f.labels = in.Labels(m.refs[i])
		}
	}
	return nil
}

func (m *memorySearch) give(g *gathering) {
	g.begin(len(m.found))
	for i := range m.found {
		f := &m.found[i]
		if !f.some {
			continue
		}
		// What has nothing inside may still have the histogram before the range.
		s := g.at(f.labels)
		s.ref, s.inside, s.sure = m.refs[i], s.inside || f.inside, s.sure || f.inside
	}
}

// gathering brings together what several places have of series.
type gathering struct {
	list   []merged
	known  map[uint64]int // Places in list by the hash of labels, of what was there when the current place began.
	also   map[uint64][]int
	before int
}

// begin starts a place with up to n series. Each series is in it once.
func (g *gathering) begin(n int) {
	if g.list == nil {
		g.list = make([]merged, 0, n)
	}
	if n == 0 || len(g.list) == g.before {
		return
	}
	if g.known == nil {
		g.known = make(map[uint64]int, len(g.list))
	}
	for i := g.before; i < len(g.list); i++ {
		hash := g.list[i].labels.Hash()
		if _, ok := g.known[hash]; !ok {
			g.known[hash] = i
			continue
		}
		if g.also == nil {
			g.also = map[uint64][]int{}
		}
		g.also[hash] = append(g.also[hash], i)
	}
	g.before = len(g.list)
}

// at returns the series with the given labels. It is valid until the next call.
func (g *gathering) at(ls labels.Labels) *merged {
	if g.known != nil {
		hash := ls.Hash()
		if i, ok := g.known[hash]; ok {
			if labels.Equal(g.list[i].labels, ls) {
				return &g.list[i]
			}
			for _, i := range g.also[hash] {
				if labels.Equal(g.list[i].labels, ls) {
					return &g.list[i]
				}
			}
		}
	}
	g.list = append(g.list, merged{labels: ls, ref: active.NoRef})
	return &g.list[len(g.list)-1]
}
