package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/luminate-metrics/luminate/tenancy"
)

// WriteIncrement writes what is different in src from the state that the archives of since stand for: a full archive and
// the increments upon it, in their order. It compares contents, so late, replaced, deleted and expired samples are told as
// well as new ones. o.Tenants must be what the full archive was made with. It reads all of src and of since, and holds a
// window of one series beside what Write holds.
func WriteIncrement(ctx context.Context, w io.Writer, src Source, since []io.ReadSeeker, o WriteOptions) (Summary, error) {
	h, err := o.header(ctx, src)
	if err != nil {
		return Summary{}, err
	}
	return increment(w, h, storeUnits(ctx, src, h.Tenants), since)
}

// Increment is WriteIncrement from a full archive, such as one that a running server gave.
func Increment(w io.Writer, full io.ReadSeeker, since []io.ReadSeeker) (Summary, error) {
	sums, err := verifyChain([]io.ReadSeeker{full})
	if err != nil {
		return Summary{}, err
	}
	return increment(w, sums[0].Header, archiveUnits(full), since)
}

func increment(w io.Writer, h Header, units func(*unitBuilder) error, since []io.ReadSeeker) (Summary, error) {
	before, err := openChain(since)
	if err != nil {
		return Summary{}, err
	}
	defer before.close()
	last := before.last()
	switch {
	case !slices.Equal(h.Only, last.Header.Only):
		return Summary{}, fmt.Errorf("%w: the archives before are of other tenants than this backup", ErrChain)
	case h.Created.Before(last.Header.Created):
		return Summary{}, fmt.Errorf("%w: the newest of the archives before was made later than this backup", ErrChain)
	}
	h.Kind, h.Parent = Incremental, last.SHA256
	d := &differ{have: newStream(units), had: newStream(before.produce)}
	defer d.have.stop()
	defer d.had.stop()
	return writeFrames(w, h, func(out *writer) error {
		d.out = out
		return d.run()
	})
}

// A differ writes the units that are not as they were.
type differ struct {
	have, had *stream
	out       *writer
	tenant    tenancy.ID // Of what was written last.
	series    []byte
}

func (d *differ) run() error {
	if err := d.have.advance(); err != nil {
		return err
	}
	if err := d.had.advance(); err != nil {
		return err
	}
	for d.have.head != nil || d.had.head != nil {
		if err := d.step(); err != nil {
			return err
		}
	}
	return d.endTenant()
}

func (d *differ) step() error {
	have, had := d.have.head, d.had.head
	order := -1 // That of have and had.
	switch {
	case have == nil:
		order = 1
	case had != nil:
		order = have.compare(had)
	}
	if order > 0 { // It is gone.
		// A tenant that is gone as a whole is not in the header. Its units come before or after those of the tenant at hand.
		if had.tenant == d.tenant {
			gone := *had
			gone.entries = nil
			if err := d.write(&gone); err != nil {
				return err
			}
		}
		return d.had.advance()
	}
	if order < 0 || have.extras || !slices.EqualFunc(have.entries, had.entries, bytes.Equal) {
		if err := d.write(have); err != nil {
			return err
		}
	}
	if order == 0 {
		if err := d.had.advance(); err != nil {
			return err
		}
	}
	return d.have.advance()
}

func (d *differ) write(u *unit) error {
	if u.extras {
		if err := d.endTenant(); err != nil {
			return err
		}
		d.tenant, d.series = u.tenant, nil
		return d.out.beginTenant(u.tenant, u.entries)
	}
	if d.series == nil || !bytes.Equal(d.series, u.series) {
		d.series = append([]byte{}, u.series...)
		if err := d.out.beginSeries(u.series); err != nil {
			return err
		}
	}
	if err := d.out.put(binary.AppendVarint([]byte{windowEntry}, u.window)); err != nil {
		return err
	}
	for _, e := range u.entries {
		if err := d.out.samples(e); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) endTenant() error {
	if d.tenant == "" {
		return nil
	}
	return d.out.endTenant()
}
