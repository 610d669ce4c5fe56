package partition

import (
	"slices"
	"sort"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
)

// A Cursor loads samples, one group of series after the other. It is cheapest in the order of ids. It is for one goroutine.
type Cursor struct {
	r      *Reader
	in     store.Range
	it     *badgerdb.Iterator
	groups rowgroup.Reader
	held   held
	wanted map[uint32]uint64 // By group: members that Columns will be asked for. nil means all.
}

// NewCursor returns a cursor over the samples of r in a range.
func (r *Reader) NewCursor(in store.Range) *Cursor {
	return &Cursor{r: r, in: in, it: r.txn.NewIterator(badgerdb.IteratorOptions{Prefix: tenantKey(kindData, r.tenant)})}
}

// Close releases the cursor.
func (c *Cursor) Close() { c.it.Close() }

// Load returns the samples of s that lie in the cursor's range and no mask hides. There may be more before the range, and
// if there are histograms the one before it is among them. A value that is missing or damaged is an error that wraps
// store.ErrCorrupt. The caller owns the run. The pass, which may be nil, has what was decoded together with other series.
func (c *Cursor) Load(s *Series, pass *Pass, masks []Mask) (series.Run, error) {
	group, member := s.ID.group(), s.ID.member()
	pieces, ok := pass.take(group, member)
	if !ok {
		d, err := c.decode(s, pass.claim(group)|1<<member)
		if err != nil {
			return nil, err
		}
		pieces = d.pieces[member]
		d.forget(member)
		pass.keep(group, d)
	}
	return join(pieces, masks).Around(c.in), nil
}

// A piece is what one value has of a series.
type piece struct {
	sequence uint64
	run      series.Run
}

// decoded is what a group has of some of its members.
type decoded struct {
	members uint64
	pieces  [rowgroup.MaxMembers][]piece
	samples int
}

func (d *decoded) add(member int, p piece) {
	d.pieces[member] = append(d.pieces[member], p)
	d.samples += len(p.run)
}

func (d *decoded) forget(member int) {
	for _, p := range d.pieces[member] {
		d.samples -= len(p.run)
	}
	d.members &^= 1 << member
	d.pieces[member] = nil
}

// decode reads the given members of the group of s.
func (c *Cursor) decode(s *Series, members uint64) (*decoded, error) {
	d := &decoded{members: members}
	err := c.each(s, func(p place, value []byte) error {
		if p.kind == dataRows {
			// A histogram is compared with the sample before it, even if that is a float before the range.
			return c.rows(d, p, value, s.chunks > 0)
		}
		if members>>p.member&1 > 0 {
			return d.chunk(p, value)
		}
		return nil
	})
	return d, err
}

// each calls f with the chunks of the group of s, and its row groups that do not begin after the range. Their order is that
// of keys. The value is valid during the call.
func (c *Cursor) each(s *Series, f func(p place, value []byte) error) error {
	prefix := groupKey(c.r.tenant, s.ID.group())
	rows, chunks := uint64(0), uint64(0)
	for c.it.Seek(append(slices.Clip(prefix), dataRows)); c.it.ValidForPrefix(prefix); c.it.Next() {
		item := c.it.Item()
		p, ok := placeIn(item.Key()[len(prefix):])
		if !ok {
			return c.r.corrupt("%s: key of samples", s)
		}
		if p.kind == dataChunk {
			chunks++
		} else if rows++; p.first > c.in.Max {
			continue
		}
		if err := item.Value(func(value []byte) error { return f(p, value) }); err != nil {
			return c.r.corrupt("%s: samples of flush %d: %v", s, p.sequence, err)
		}
	}
	if rows < s.rows || chunks < s.chunks {
		return c.r.corrupt("%s: %d row groups and %d chunks are there, %d and %d were written", s, rows, chunks, s.rows, s.chunks)
	}
	return nil
}

func (d *decoded) chunk(p place, value []byte) error {
	run, err := decodeChunk(value)
	if err == nil && len(run) > 0 {
		d.add(p.member, piece{p.sequence, run})
	}
	return err
}

// rows adds what a row group has of the members; without anything before the range unless all is wanted.
func (c *Cursor) rows(d *decoded, p place, value []byte, all bool) error {
	ok, err := c.open(p, value, d.members, all)
	if !ok || err != nil {
		return err
	}
	for c.groups.Select(d.members); c.groups.Next(); {
		member, column := c.groups.At()
		run := runOf(column, c.in, all)
		if len(run) > 0 {
			d.add(member, piece{p.sequence, run})
		}
	}
	return nil
}

// open opens a row group, unless it has nothing of the members, or nothing but what lies before the range and not all is
// wanted.
func (c *Cursor) open(p place, value []byte, members uint64, all bool) (bool, error) {
	info, err := rowgroup.Peek(value)
	switch {
	case err != nil:
		return false, err
	case info.Members&members == 0, !all && info.Last < c.in.Min:
		return false, rowgroup.Verify(value) // What led here may be damaged.
	}
	if err := c.groups.Open(value); err != nil {
		return false, err
	}
	if first, _ := c.groups.Bounds(); first != p.first {
		return false, rowgroup.ErrCorrupt
	}
	return true, nil
}

// runOf copies the part of a column that lies in a range, or all of it.
func runOf(column rowgroup.Column, in store.Range, all bool) series.Run {
	ts := column.Timestamps
	start, end := 0, len(ts)
	if !all {
		start, end = within(ts, in)
	}
	if start >= end {
		return nil
	}
	run := make(series.Run, end-start)
	for i := range run {
		run[i].Timestamp, run[i].Value = ts[start+i], column.Values[start+i]
	}
	if column.Starts != nil {
		for i := range run {
			run[i].Start = column.Starts[start+i]
		}
	}
	return run
}

// within returns where the part of ascending timestamps that lies in a range begins and ends.
func within(ts []int64, in store.Range) (start, end int) {
	end = len(ts)
	if end > 0 && (ts[0] < in.Min || ts[end-1] > in.Max) {
		end = sort.Search(end, func(i int) bool { return ts[i] > in.Max })
		start = sort.Search(end, func(i int) bool { return ts[i] >= in.Min })
	}
	return start, end
}

// join returns what no mask hides. Where two pieces have a sample for the same time, that of the later flush counts.
func join(pieces []piece, masks []Mask) series.Run {
	kept := pieces[:0]
	total, ordered := 0, true
	for _, p := range pieces {
		for _, m := range masks {
			if p.sequence <= m.Sequence && len(p.run.Between(m.Range)) > 0 {
				p.run = p.run.Without(m.Range)
			}
		}
		if len(p.run) == 0 {
			continue
		}
		if n := len(kept); n > 0 {
			last := kept[n-1].run
			ordered = ordered && last[len(last)-1].Timestamp < p.run[0].Timestamp
		}
		total += len(p.run)
		kept = append(kept, p)
	}
	if len(kept) == 1 {
		return kept[0].run
	}
	if !ordered {
		sort.SliceStable(kept, func(i, j int) bool { return kept[i].sequence < kept[j].sequence })
	}
	out := make(series.Run, 0, total)
	for _, p := range kept {
		out = Join(out, p.run)
	}
	return out
}

// Join returns the samples of both runs, those of late where both have one. It may grow into old's memory.
func Join(old, late series.Run) series.Run {
	if len(late) > 0 && (len(old) == 0 && cap(old) >= len(late) || len(old) > 0 && old[len(old)-1].Timestamp < late[0].Timestamp) {
		return append(old, late...)
	}
	return series.Merge(old, late)
}

// mostHeld is how many decoded samples a pass keeps for series that come later, if these are in another order than the
// groups.
const mostHeld = 1 << 20

// A Pass is a way through some series, each of which is loaded once: what they have in one group is decoded at once. It is
// quickest in the order of ids; in any other order it keeps a bounded number of samples.
type Pass struct {
	wanted map[uint32]uint64   // By group: members that nobody has decoded yet.
	held   map[uint32]*decoded // By group.
	order  []uint32            // Groups in the order in which they were decoded, some of which are not held any more.
	count  int                 // Samples held.
	most   int                 // How many of them there may be.
}

// NewPass returns a pass without series.
func NewPass() *Pass {
	return &Pass{wanted: map[uint32]uint64{}, held: map[uint32]*decoded{}, most: mostHeld}
}

// Expect adds a series that will be loaded.
func (p *Pass) Expect(s *Series) { p.wanted[s.ID.group()] |= 1 << s.ID.member() }

// take returns what was decoded of a series before.
func (p *Pass) take(group uint32, member int) ([]piece, bool) {
	if p == nil {
		return nil, false
	}
	d := p.held[group]
	if d == nil || d.members>>member&1 == 0 {
		return nil, false
	}
	pieces := d.pieces[member]
	before := d.samples
	d.forget(member)
	p.count -= before - d.samples
	if d.members == 0 {
		delete(p.held, group)
	}
	return pieces, true
}

// claim returns which members of a group to decode now.
func (p *Pass) claim(group uint32) uint64 {
	if p == nil {
		return 0
	}
	members := p.wanted[group]
	delete(p.wanted, group)
	return members
}

// keep holds what was decoded. Beyond the bound the oldest groups give way: their series are then decoded one by one.
func (p *Pass) keep(group uint32, d *decoded) {
	if p == nil || d.members == 0 || p.held[group] != nil {
		return
	}
	p.held[group], p.order = d, append(p.order, group)
	p.count += d.samples
	for p.count > p.most && len(p.order) > 1 {
		if old := p.held[p.order[0]]; old != nil {
			p.count -= old.samples
			delete(p.held, p.order[0])
		}
		p.order = p.order[1:]
	}
}
