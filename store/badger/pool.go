package badger

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A handle is one partition directory. It is opened when somebody needs it.
type handle struct {
	pool   *pool
	number uint64
	index  int64
	in     store.Range
	dir    string

	places   places              // Under maintenance.
	outlived map[tenancy.ID]bool // Tenants that keep nothing of it and were looked for. Under maintenance.
	useless  uint64              // How many series they have in it. Under maintenance.

	mu       sync.Mutex // Held while the partition is being opened or closed.
	part     *partition.Partition
	frozen   bool // Whether part takes no writes, because it was opened on a full disk.
	pins     int  // Who uses part.
	refs     int  // Who may still want to use it; being listed is one.
	verified bool // Whether all checksums were read once.
	dropped  bool // Whether the directory is removed when refs is 0.
	used     uint64
}

// pool opens partitions and closes those that were not used for the longest time.
type pool struct {
	store *Store
	most  int

	mu    sync.Mutex
	clock uint64
	open  []*handle
}

// rangeOf is the time range of a partition.
func rangeOf(index, width int64) store.Range {
	r := store.AllTime()
	if index >= math.MinInt64/width {
		r.Min = index * width
	}
	if index < math.MaxInt64/width {
		r.Max = (index+1)*width - 1
	}
	return r
}

// indexOf is the partition that holds t.
func indexOf(t, width int64) int64 {
	i := t / width
	if t%width < 0 {
		i--
	}
	return i
}

func (s *Store) newHandle(p catalog.Partition) *handle {
	return &handle{
		pool: s.pool, number: p.Number, index: p.Index, in: rangeOf(p.Index, s.width),
		dir: s.partitionPath(p.Index, p.Number), refs: 1, places: places{},
	}
}

func (s *Store) partitionPath(index int64, number uint64) string {
	return filepath.Join(s.opts.Dir, partitionsDir, fmt.Sprintf("%d.%06d", index, number))
}

// size is the number of bytes in the tables of the partition.
func (h *handle) size() (int64, error) {
	tables, err := partition.Tables(h.dir)
	total := int64(0)
	for _, t := range tables {
		total += t.Size
	}
	return total, err
}

// retain keeps the directory until release. The caller knows that the handle is listed.
func (h *handle) retain() {
	h.mu.Lock()
	h.refs++
	h.mu.Unlock()
}

// release gives up what retain or being listed kept.
func (h *handle) release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refs--
	if h.refs > 0 || !h.dropped {
		return nil
	}
	return h.remove()
}

// drop makes the directory go when nobody needs it any more. The catalog says so already.
func (h *handle) drop() error {
	h.mu.Lock()
	h.dropped = true
	h.mu.Unlock()
	return h.release()
}

// remove closes and deletes. The caller holds h.mu.
func (h *handle) remove() error {
	var err error
	if h.part != nil {
		err = h.closePartition()
	}
	return errors.Join(err, h.pool.store.removePartition(h.number, h.dir))
}

// removePartition deletes the directory of a partition that the catalog calls dropping, and then its entry.
func (s *Store) removePartition(number uint64, dir string) error {
	gone := dir + ".dropped"
	if err := os.Rename(dir, gone); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("badger: remove partition: %w", err)
	}
	s.opts.hooks.crash("expire: renamed")
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("badger: remove partition: %w", err)
	}
	return s.catalog.Update(func(st *catalog.State) { st.Remove(number) })
}

// pin returns the open partition for reading; the caller must unpin it.
func (h *handle) pin() (*partition.Partition, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pinOpen(h.pool.store.guard.full())
}

// pinForWriting is pin for writing.
func (h *handle) pinForWriting() (*partition.Partition, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.part != nil && h.frozen {
		if h.pins > 0 {
			return nil, fmt.Errorf("badger: %w: the partition %s was opened on a full disk and is still being read", store.ErrUnavailable, h.dir)
		}
		if err := h.closePartition(); err != nil {
			return nil, err
		}
	}
	return h.pinOpen(false)
}

// pinOpen opens the partition if it is not open, and pins it. The caller holds h.mu.
func (h *handle) pinOpen(full bool) (*partition.Partition, error) {
	if h.part == nil {
		if err := h.openPartition(full); err != nil {
			return nil, fmt.Errorf("badger: %w", h.pool.store.damagedPartition(err))
		}
	}
	h.pins++
	h.pool.touch(h)
	return h.part, nil
}

// openPartition checks and opens. On a full disk Badger would end the process by a signal when it can't write to a file
// that it maps, so a partition that was closed in order is opened without any writing then. The caller holds h.mu.
func (h *handle) openPartition(full bool) error {
	s := h.pool.store
	st := s.catalog.State()
	entry := st.Partition(h.number)
	if entry == nil {
		return fmt.Errorf("partition %s is not in the catalog: %w", h.dir, store.ErrCorrupt)
	}
	if entry.State == catalog.Live {
		if err := partition.Check(h.dir, entry.Clean, entry.Tables); err != nil {
			return err
		}
	}
	frozen := full && entry.Clean
	if entry.Clean && !frozen {
		// From now on Badger may change its tables at any time.
		err := s.catalog.Update(func(st *catalog.State) {
			if p := st.Partition(h.number); p != nil {
				p.Clean, p.Tables = false, nil
			}
		})
		if err != nil {
			return err
		}
	}
	kept, err := h.keepFiles(entry)
	if err != nil {
		return err
	}
	part, err := partition.Open(partition.Options{
		Dir: h.dir, Verify: !h.verified, Frozen: frozen, Logger: s.opts.Logger,
		Expect: partition.Info{Sequence: entry.Sequence, Series: entry.Series, Chunks: entry.Chunks},
	})
	if err != nil {
		return err
	}
	h.part, h.frozen, h.verified = part, frozen, true
	h.pool.add(h)
	for _, name := range kept {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// keepFiles copies what Badger may cut or delete without a word: it cuts its own logs and its manifest at the first
// damage, and deletes tables that the manifest does not name. It is for a partition that was open when the process before
// ended; the copies stay if something turns out to be missing.
func (h *handle) keepFiles(entry *catalog.Partition) (kept []string, err error) {
	if entry.Clean || entry.State != catalog.Live || h.verified {
		return nil, nil
	}
	dir := filepath.Join(h.pool.store.opts.Dir, quarantineDir)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	for _, pattern := range []string{"*.mem", "MANIFEST", "*.sst"} {
		names, err := filepath.Glob(filepath.Join(h.dir, pattern))
		if err != nil {
			return kept, err
		}
		for _, name := range names {
			copied := filepath.Join(dir, filepath.Base(h.dir)+"-"+filepath.Base(name))
			if err := keep(name, copied); err != nil {
				return kept, err
			}
			kept = append(kept, copied)
		}
	}
	return kept, catalog.SyncDir(dir)
}

// keep copies a file; a table, which never changes, gets a second name. A copy that a failed start left is of what was
// there before Badger cut it, so it is not replaced.
func keep(name, copied string) error {
	if filepath.Ext(name) == ".sst" {
		if err := os.Link(name, copied); !errors.Is(err, os.ErrExist) {
			return err
		}
		return nil
	}
	if _, err := os.Stat(copied); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if filepath.Ext(name) == ".mem" {
		data = bytes.TrimRight(data, "\x00") // It is mostly a hole.
	}
	return catalog.WriteFile(copied, data)
}

func (h *handle) unpin() {
	h.mu.Lock()
	h.pins--
	h.mu.Unlock()
	h.pool.trim()
}

// forgetVerified makes the next opening read all checksums again.
func (h *handle) forgetVerified() {
	h.mu.Lock()
	h.verified = false
	h.mu.Unlock()
}

// shut closes the partition unless somebody uses it.
func (h *handle) shut() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.part == nil || h.pins > 0 {
		return nil
	}
	frozen := h.frozen
	if err := h.closePartition(); err != nil || frozen {
		return err // The catalog says already that a frozen one is closed.
	}
	tables, err := partition.Tables(h.dir)
	if err != nil {
		return err
	}
	return h.pool.store.catalog.Update(func(st *catalog.State) {
		if p := st.Partition(h.number); p != nil {
			p.Clean, p.Tables = true, tables
		}
	})
}

// closePartition closes what is open. The caller holds h.mu.
func (h *handle) closePartition() error {
	err := h.part.Close()
	h.part = nil
	h.pool.forget(h)
	return err
}

// closingWrites reports whether closing the partition writes to the disk.
func (h *handle) closingWrites() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.part != nil && !h.frozen
}

func (p *pool) add(h *handle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, h)
	p.store.metrics.open.Set(float64(len(p.open)))
}

func (p *pool) forget(h *handle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = slices.DeleteFunc(p.open, func(o *handle) bool { return o == h })
	p.store.metrics.open.Set(float64(len(p.open)))
}

func (p *pool) touch(h *handle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock++
	h.used = p.clock
}

// trim closes the least recently used partitions while too many are open.
func (p *pool) trim() {
	p.mu.Lock()
	excess := len(p.open) - p.most
	if excess <= 0 {
		p.mu.Unlock()
		return
	}
	list := slices.Clone(p.open)
	slices.SortFunc(list, func(a, b *handle) int { return int(int64(a.used) - int64(b.used)) })
	p.mu.Unlock()
	full := p.store.guard.full()
	for _, h := range list[:excess] {
		if full && h.closingWrites() {
			continue
		}
		if err := h.shut(); err != nil {
			p.store.opts.Logger.Error("A partition could not be closed", slog.String("dir", h.dir), slog.Any("err", err))
		}
	}
}

// closeAll closes everything. Nobody may use a partition any more.
func (p *pool) closeAll() error {
	p.mu.Lock()
	list := slices.Clone(p.open)
	p.mu.Unlock()
	var errs []error
	for _, h := range list {
		errs = append(errs, h.shut())
	}
	return errors.Join(errs...)
}
