package archive

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A chain is a full archive and the increments upon it, each to the one before, merged into the state that the last one
// stands for. In any unit the newest archive that has it counts.
type chain struct {
	links   []Summary // Verified, the full archive first.
	streams []*stream
	since   map[tenancy.ID]int // From which link on a tenant counts: it was away before.
}

// verifyChain checks each archive to its end, and that each follows the one before. It rewinds all of them.
func verifyChain(files []io.ReadSeeker) ([]Summary, error) {
	var links []Summary
	for i, f := range files {
		sum, err := Verify(f)
		if err != nil {
			return nil, fmt.Errorf("archive %d of %d: %w", i+1, len(files), err)
		}
		switch {
		case i == 0 && sum.Header.Kind != Full:
			return nil, fmt.Errorf("%w: the first archive is an increment to the one with SHA-256 %s, which has to come before it", ErrChain, sum.Header.Parent)
		case i > 0 && sum.Header.Parent != links[i-1].SHA256:
			return nil, fmt.Errorf("%w: archive %d of %d is no increment to the one before, whose SHA-256 is %s", ErrChain, i+1, len(files), links[i-1].SHA256)
		case i > 0 && !slices.Equal(sum.Header.Only, links[0].Header.Only):
			return nil, fmt.Errorf("%w: archive %d of %d is of other tenants than the first", ErrChain, i+1, len(files))
		}
		links = append(links, sum)
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("archive: rewind: %w", err)
		}
	}
	return links, nil
}

// openChain begins the merge. The caller must close it.
func openChain(files []io.ReadSeeker) (*chain, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: there is no archive", ErrChain)
	}
	links, err := verifyChain(files)
	if err != nil {
		return nil, err
	}
	c := &chain{links: links, since: map[tenancy.ID]int{}}
	for i, l := range links {
		for _, id := range l.Header.Tenants {
			if i > 0 && !slices.Contains(links[i-1].Header.Tenants, id) {
				c.since[id] = i
			}
		}
	}
	for _, f := range files {
		s := newStream(archiveUnits(f))
		c.streams = append(c.streams, s)
		if err := s.advance(); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *chain) close() {
	for _, s := range c.streams {
		s.stop()
	}
}

func (c *chain) last() Summary { return c.links[len(c.links)-1] }

// produce gives the units of the merged state; it is what newStream wants.
func (c *chain) produce(b *unitBuilder) error {
	for {
		var first *unit
		newest := 0
		for i, s := range c.streams {
			if s.head != nil && (first == nil || s.head.compare(first) <= 0) {
				first, newest = s.head, i
			}
		}
		if first == nil {
			return nil
		}
		held := slices.Contains(c.last().Header.Tenants, first.tenant) && newest >= c.since[first.tenant]
		if held && (first.extras || len(first.entries) > 0) && !b.yield(first) {
			return errStopped
		}
		same := *first // The unit itself goes when its stream advances.
		for _, s := range c.streams {
			if s.head != nil && s.head.compare(&same) == 0 {
				if err := s.advance(); err != nil {
					return err
				}
			}
		}
	}
}

// RestoreChain is Restore of a full archive and its increments, in their order. All of them are verified before anything is
// stored. What increments say was deleted or replaced never reaches the store.
func RestoreChain(ctx context.Context, dst Destination, files []io.ReadSeeker, o RestoreOptions) (Restored, error) {
	if err := empty(ctx, dst, o.Merge); err != nil {
		return Restored{}, err
	}
	c, err := openChain(files)
	if err != nil {
		return Restored{}, fmt.Errorf("nothing was restored: %w", err)
	}
	defer c.close()
	to := &restoring{ctx: ctx, dst: dst, batch: metric.NewBatch(o.Hasher)}
	merged := newStream(c.produce)
	defer merged.stop()
	s := &scanner{}
	var counts Counts
	for {
		if err := merged.advance(); err != nil {
			return Restored{}, fmt.Errorf("the restore stopped after %s: %w", to.done, err)
		}
		u := merged.head
		if s.tenant != "" && (u == nil || u.tenant != s.tenant) {
			if err := to.flush(s.tenant); err != nil {
				return Restored{}, fmt.Errorf("the restore stopped after %s: %w", to.done, err)
			}
		}
		if u == nil {
			break
		}
		if err := to.unit(s, u, &counts); err != nil {
			return Restored{}, fmt.Errorf("the restore stopped after %s: %w", to.done, err)
		}
	}
	sum := c.last()
	sum.Counts = counts
	return Restored{Archive: sum, PastRetention: to.past}, nil
}

// unit stores a unit; s keeps what is current between them.
func (r *restoring) unit(s *scanner, u *unit, counts *Counts) error {
	if u.extras {
		s.tenant, s.series = u.tenant, nil
		counts.Tenants++
	} else if s.series == nil || string(s.series) != string(u.series) {
		s.series = append([]byte{}, u.series...)
		r.open = false
		counts.Series++
	}
	for _, e := range u.entries {
		d := &decoder{rest: e}
		if s.decode(d); d.failed {
			return fmt.Errorf("%w: an entry can't be read again", ErrDamaged)
		}
		switch s.kind {
		case metadataEntry:
			counts.Metadata++
		case exemplarEntry:
			counts.Exemplars++
		case floatsEntry:
			counts.Samples += int64(len(s.floats))
		case histogramsEntry:
			counts.Histograms += int64(len(s.histograms))
		}
		if err := r.visit(s); err != nil {
			return err
		}
	}
	return nil
}
