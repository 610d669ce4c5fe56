// Package archive is the portable backup stream: versioned, checksummed and the same for all backends, so that a backup of
// one restores into another. The page docs/architecture/formats/archive.md draws it.
package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Errors of reading and restoring. Test with errors.Is.
var (
	// ErrDamaged reports bytes that are not what was written: changed, missing or too many. The text says where.
	ErrDamaged = errors.New("archive: damaged")

	// ErrVersion reports an archive that this program is too old for.
	ErrVersion = errors.New("archive: unknown version")

	// ErrNotEmpty reports that a store to restore into holds data already.
	ErrNotEmpty = errors.New("archive: the store is not empty")

	// ErrChain reports archives that are not a full one and the increments upon it.
	ErrChain = errors.New("archive: not a chain")

	// ErrRefused reports that a store did not take what an archive holds.
	ErrRefused = errors.New("archive: refused by the store")
)

// A Source is what Write reads. Every store.Store is one.
type Source interface {
	Tenants(ctx context.Context) ([]tenancy.ID, error)
	Tenant(id tenancy.ID) store.Tenant
}

// A Destination is what Restore writes to. Every store.Store is one.
type Destination interface {
	Source
	Flush(ctx context.Context) error
}

// A Header is what an archive says about itself at its beginning.
type Header struct {
	Format  string       `json:"format"`           // formatName.
	Version int          `json:"version"`          // Of the format.
	Kind    string       `json:"kind"`             // Full or Incremental.
	Parent  string       `json:"parent,omitempty"` // SHA-256 of the archive that an increment is to.
	Created time.Time    `json:"created"`          // When the backup began: what was acknowledged before is in it.
	Writer  string       `json:"writer,omitempty"` // The program and its version.
	Only    []tenancy.ID `json:"only,omitempty"`   // What was asked for; none means all tenants.
	Tenants []tenancy.ID `json:"tenants"`          // All that had data, in ascending order.
}

// whole returns an error if the archive needs another one.
func (h *Header) whole() error {
	if h.Kind == Full {
		return nil
	}
	return fmt.Errorf("%w: an increment can't be restored without what it is to, the archive with SHA-256 %s and those before", ErrChain, h.Parent)
}

// The kinds of archives.
const (
	Full        = "full"        // Everything of its tenants.
	Incremental = "incremental" // What changed since its parent, which it needs.
)

// Counts numbers what an archive holds.
type Counts struct {
	Tenants    int64 `json:"tenants"`
	Series     int64 `json:"series"`
	Samples    int64 `json:"samples"` // Floats.
	Histograms int64 `json:"histograms"`
	Exemplars  int64 `json:"exemplars"`
	Metadata   int64 `json:"metadata"` // Metric families.
}

// String lists the counts.
func (c Counts) String() string {
	return fmt.Sprintf("%d tenants, %d series, %d samples, %d histograms, %d exemplars, %d metadata",
		c.Tenants, c.Series, c.Samples, c.Histograms, c.Exemplars, c.Metadata)
}

// A Summary describes a whole archive.
type Summary struct {
	Header Header
	Counts Counts
	Bytes  int64
	SHA256 string // Over everything before the trailer, in hexadecimal digits.
}

// A trailer ends an archive. Without it the archive was cut.
type trailer struct {
	Counts

	Blocks int64  `json:"blocks"`
	SHA256 string `json:"sha256"`
}

// damaged returns an error that says where and why bytes are not an archive.
func damaged(offset int64, format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrDamaged, offset, fmt.Sprintf(format, args...))
}
