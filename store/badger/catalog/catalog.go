// Package catalog is the small files that say what else is in a store's directory: which partitions, with what in them,
// and from where on the write-ahead log counts.
package catalog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Name is the name of the catalog's file.
const Name = "CATALOG"

// header is the first line of the file, before the JSON object that it has the checksum of.
const header = "luminate-catalog v1 crc32c=%08x\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors that Load returns. Test with errors.Is.
var (
	// ErrMissing reports that there is no catalog.
	ErrMissing = errors.New("catalog: there is none")
	// ErrDamaged reports a catalog that can't be read.
	ErrDamaged = errors.New("catalog: damaged")
	// ErrVersion reports a catalog of a newer program.
	ErrVersion = errors.New("catalog: unknown version")
)

// The states of a partition.
const (
	Building = "building" // Being written for the first time: what is in it is elsewhere too.
	Live     = "live"
	Dropping = "dropping" // Out of all reads; its directory is being removed.
)

// A State is the content of a catalog.
type State struct {
	PartitionWidth int64       `json:"partition_width_ms"`
	NextSequence   uint64      `json:"next_sequence"`   // Of the next flush.
	NextPartition  uint64      `json:"next_partition"`  // Number of the next directory.
	NextGeneration uint64      `json:"next_generation"` // Of references in the log.
	FirstRecord    uint64      `json:"first_record"`    // Of the log that is not in partitions and checkpoint; 0 if not known.
	Checkpoint     string      `json:"checkpoint"`      // File with exemplars, metadata and deletions; "" if there is none.
	Partitions     []Partition `json:"partitions"`      // Ascending by Index, then Number.
}

// A Partition is one partition directory.
type Partition struct {
	Index    int64   `json:"index"`  // Its time range begins at Index * PartitionWidth.
	Number   uint64  `json:"number"` // Of the directory; each is used once.
	State    string  `json:"state"`
	Format   int     `json:"format"`   // Version of what is in the directory; partitions of version 1 have none here.
	Sequence uint64  `json:"sequence"` // Of the last complete flush into it.
	Series   uint64  `json:"series"`
	Chunks   uint64  `json:"chunks"`           // Values with samples.
	Short    uint64  `json:"short,omitempty"`  // How often a series has a part in a value that a rewrite may join with another.
	Sealed   uint64  `json:"sealed,omitempty"` // Of the last flush before it was written anew; 0 if it never was.
	Clean    bool    `json:"clean"`            // Whether it was closed, and Tables are its files.
	Tables   []Table `json:"tables,omitempty"` // Ascending by ID.
}

// A Table is a file of a partition.
type Table struct {
	ID   uint64 `json:"id"`
	Size int64  `json:"size"`
}

// A Catalog is an open catalog. Its methods may be called concurrently.
type Catalog struct {
	dir string

	mu    sync.Mutex
	state State
}

// Load reads the catalog in dir.
func Load(dir string) (*Catalog, error) {
	data, err := os.ReadFile(filepath.Join(dir, Name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, ErrMissing
	case err != nil:
		return nil, fmt.Errorf("catalog: %w", err)
	}
	c := &Catalog{dir: dir}
	c.state, err = Decode(data)
	return c, err
}

// Create writes a new catalog into dir.
func Create(dir string, s State) (*Catalog, error) {
	c := &Catalog{dir: dir}
	return c, c.Update(func(state *State) { *state = s })
}

// Decode returns what the file's bytes say.
func Decode(data []byte) (State, error) {
	line, body, ok := strings.Cut(string(data), "\n")
	var sum uint32
	if !ok {
		return State{}, fmt.Errorf("%w: no header", ErrDamaged)
	}
	if v, ok := strings.CutPrefix(line, "luminate-catalog "); ok && !strings.HasPrefix(v, "v1 ") {
		return State{}, fmt.Errorf("%w: %q", ErrVersion, line)
	}
	if n, err := fmt.Sscanf(line+"\n", header, &sum); n != 1 || err != nil {
		return State{}, fmt.Errorf("%w: header %q", ErrDamaged, line)
	}
	if got := crc32.Checksum([]byte(body), castagnoli); got != sum {
		return State{}, fmt.Errorf("%w: checksum %08x, expected %08x", ErrDamaged, got, sum)
	}
	var s State
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, nil
}

// Encode returns the bytes of the file.
func Encode(s State) ([]byte, error) {
	body, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	body = append(body, '\n')
	return append(fmt.Appendf(nil, header, crc32.Checksum(body, castagnoli)), body...), nil
}

// State returns a copy of the content.
func (c *Catalog) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.clone()
}

func (s State) clone() State {
	s.Partitions = slices.Clone(s.Partitions)
	for i := range s.Partitions {
		s.Partitions[i].Tables = slices.Clone(s.Partitions[i].Tables)
	}
	return s
}

// Update changes the content and makes the change durable. After an error the content is as before.
func (c *Catalog) Update(change func(*State)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.clone()
	change(&next)
	slices.SortFunc(next.Partitions, func(a, b Partition) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Number, b.Number))
	})
	data, err := Encode(next)
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(c.dir, Name), data); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	c.state = next
	return nil
}

// Partition returns the partition with the given number for changing, or nil.
func (s *State) Partition(number uint64) *Partition {
	for i := range s.Partitions {
		if s.Partitions[i].Number == number {
			return &s.Partitions[i]
		}
	}
	return nil
}

// Remove takes the partition with the given number out.
func (s *State) Remove(number uint64) {
	s.Partitions = slices.DeleteFunc(s.Partitions, func(p Partition) bool { return p.Number == number })
}

// WriteFile replaces a file at once and durably: after a power cut it is as before or as it should be.
func WriteFile(name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
