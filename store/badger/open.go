package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
)

// allowLossy names the way out in errors about damage.
const allowLossy = "restore a backup, or set AllowLossyRecovery (storage.allow_lossy_recovery) to go on without it: it is kept in the directory " + quarantineDir

// Open opens the store in opts.Dir, or makes one there. Everything that was acknowledged before is there again, or the
// error says what is damaged.
func Open(opts Options) (*Store, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, fmt.Errorf("badger: open: %w", err)
	}
	s := &Store{
		opts: opts, failed: make(chan struct{}), annex: newAnnex(opts.MaxExemplars),
		kick: make(chan struct{}, 1), lifetime: lifetime{stop: make(chan struct{}), stopped: make(chan struct{})},
	}
	s.pool = &pool{store: s, most: opts.MaxOpenPartitions}
	s.memory = newMemory(&s.opts)
	s.guard = &guard{opts: &s.opts}
	s.metrics = newMetrics(opts.Registerer, s)
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("badger: open %s: %w", opts.Dir, err), s.closeFiles())
	}
	s.commit = newCommitter(s)
	s.tend(context.Background())
	go s.background()
	return s, nil
}

func (s *Store) open() error {
	dir := s.opts.Dir
	if err := os.MkdirAll(filepath.Join(dir, partitionsDir), 0o750); err != nil {
		return err
	}
	var err error
	if s.lock, err = lock(dir); err != nil {
		return err
	}
	if err := s.guard.mayMaintain(0); err != nil {
		return err
	}
	if err := s.loadCatalog(); err != nil {
		return err
	}
	if err := s.tidy(); err != nil {
		return err
	}
	if err := s.checkPartitions(); err != nil {
		return err
	}
	if err := s.loadCheckpoint(); err != nil {
		return err
	}
	s.calendar = newCalendar(s.width, s.opts.MaxPartitions)
	for _, h := range s.live {
		s.calendar.note(h.index)
	}
	if err := s.replay(); err != nil {
		return err
	}
	// The directories may be new: their names are to survive a power cut as what will be in them.
	return errors.Join(catalog.SyncDir(dir), catalog.SyncDir(filepath.Dir(filepath.Clean(dir))))
}

func (s *Store) loadCatalog() error {
	var err error
	s.catalog, err = catalog.Load(s.opts.Dir)
	switch {
	case errors.Is(err, catalog.ErrMissing):
		used, err := s.inUse()
		if err != nil {
			return err
		}
		if used && !s.opts.AllowLossyRecovery {
			return fmt.Errorf("%w: the file %s is missing, but there is data: %s", store.ErrCorrupt, catalog.Name, allowLossy)
		}
		if err := s.rebuildCatalog(used); err != nil {
			return err
		}
	case errors.Is(err, catalog.ErrDamaged):
		if !s.opts.AllowLossyRecovery {
			return fmt.Errorf("%w: file %s: %w: %s", store.ErrCorrupt, catalog.Name, err, allowLossy)
		}
		if err := s.quarantine(filepath.Join(s.opts.Dir, catalog.Name)); err != nil {
			return err
		}
		if err := s.rebuildCatalog(true); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	s.width = s.catalog.State().PartitionWidth
	if s.width <= 0 {
		return fmt.Errorf("%w: %s has no partition width", store.ErrCorrupt, catalog.Name)
	}
	return nil
}

// inUse reports whether the directory holds a store's data.
func (s *Store) inUse() (bool, error) {
	for _, sub := range []string{partitionsDir, logDir} {
		entries, err := os.ReadDir(filepath.Join(s.opts.Dir, sub))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		for _, e := range entries {
			// A crash in the very first Open leaves an empty segment.
			if info, err := e.Info(); err != nil || e.IsDir() || info.Size() > 0 {
				return true, err
			}
		}
	}
	return false, nil
}

// rebuildCatalog makes a catalog of what is there.
func (s *Store) rebuildCatalog(used bool) error {
	st := catalog.State{PartitionWidth: s.opts.PartitionWidth.Milliseconds(), NextSequence: 1, NextPartition: 1, NextGeneration: 1}
	if !used {
		st.FirstRecord = 1
	}
	entries, err := os.ReadDir(filepath.Join(s.opts.Dir, partitionsDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		p := catalog.Partition{State: catalog.Live, Format: partition.Version}
		if n, err := fmt.Sscanf(e.Name(), "%d.%d", &p.Index, &p.Number); n != 2 || err != nil || strings.HasSuffix(e.Name(), ".dropped") {
			continue
		}
		part, err := partition.Open(partition.Options{Dir: filepath.Join(s.opts.Dir, partitionsDir, e.Name()), Logger: s.opts.Logger})
		if err == nil {
			var info partition.Info
			info, err = part.Info()
			took(&p, info)
			err = errors.Join(err, part.Close())
		}
		if errors.Is(err, partition.ErrVersion) {
			return err // It is whole, and a program that knows it can read it.
		}
		if err != nil {
			s.opts.Logger.Error("A partition can't be taken into the new catalog", slog.String("dir", e.Name()), slog.Any("err", err))
			continue // tidy moves it to quarantine.
		}
		st.Partitions = append(st.Partitions, p)
		st.NextPartition = max(st.NextPartition, p.Number+1)
		st.NextSequence = max(st.NextSequence, p.Sequence+2) // An interrupted flush may have used one more.
	}
	if checkpoints, err := filepath.Glob(filepath.Join(s.opts.Dir, checkpointName+"*")); err == nil && len(checkpoints) > 0 {
		st.Checkpoint = filepath.Base(slices.Max(checkpoints))
	}
	s.catalog, err = catalog.Create(s.opts.Dir, st)
	if used && err == nil {
		s.metrics.met(partCatalog)
		s.opts.Logger.Error("The catalog was missing or damaged: it was made anew from what is there", slog.String("file", catalog.Name), slog.Int("partitions", len(st.Partitions)))
	}
	return err
}

// tidy finishes what a crash interrupted and moves away what nobody knows.
func (s *Store) tidy() error {
	st := s.catalog.State()
	known := map[string]bool{}
	for _, p := range st.Partitions {
		dir := s.partitionPath(p.Index, p.Number)
		switch p.State {
		case catalog.Live:
			known[filepath.Base(dir)] = true
		case catalog.Building: // Everything in it is in the log or in the partition that it should replace.
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			if err := s.catalog.Update(func(st *catalog.State) { st.Remove(p.Number) }); err != nil {
				return err
			}
		case catalog.Dropping:
			if err := s.removePartition(p.Number, dir); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.opts.Dir, partitionsDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(s.opts.Dir, partitionsDir, e.Name())
		switch {
		case known[e.Name()]:
		case strings.HasSuffix(e.Name(), ".dropped"):
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		default:
			s.opts.Logger.Warn("A partition that the catalog does not know is moved to quarantine", slog.String("dir", e.Name()))
			if err := s.quarantine(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// quarantine moves a file or directory away.
func (s *Store) quarantine(name string) error {
	dir := filepath.Join(s.opts.Dir, quarantineDir)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	to := filepath.Join(dir, fmt.Sprintf("%s-%d", filepath.Base(name), s.opts.Now().UnixNano()))
	if err := os.Rename(name, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("move to quarantine: %w", err)
	}
	return errors.Join(catalog.SyncDir(dir), catalog.SyncDir(filepath.Dir(name)))
}

// checkPartitions makes the list of partitions. Damage is an error, or goes to quarantine if that is allowed.
func (s *Store) checkPartitions() error {
	for _, p := range s.catalog.State().Partitions {
		h := s.newHandle(p)
		if p.Format != partition.Version {
			return fmt.Errorf("%w: %s has format %d, this program reads format %d; run the version of the program that wrote it, or begin with an empty directory",
				partition.ErrVersion, h.dir, max(p.Format, 1), partition.Version)
		}
		err := partition.Check(h.dir, p.Clean, p.Tables)
		if err != nil {
			err = s.damagedPartition(err)
		} else if !p.Clean || s.opts.AllowLossyRecovery {
			// It was open when the process ended: see at once whether all of it is there.
			if _, err = h.pin(); err == nil {
				h.unpin()
			}
		}
		if err == nil {
			s.live = append(s.live, h)
			continue
		}
		lost := fmt.Sprintf("%d series and %d chunks of the time from %d to %d ms", p.Series, p.Chunks, h.in.Min, h.in.Max)
		if !s.opts.AllowLossyRecovery {
			return fmt.Errorf("%s are at stake: %w", lost, err)
		}
		s.metrics.quarantined.Inc()
		s.opts.Logger.Error("A damaged partition is moved to quarantine", slog.String("dir", h.dir), slog.String("lost", lost), slog.Any("err", err))
		if err := s.quarantine(h.dir); err != nil {
			return err
		}
		if err := s.catalog.Update(func(st *catalog.State) { st.Remove(p.Number) }); err != nil {
			return err
		}
	}
	return nil
}

// damagedPartition counts damage and names the way out. Other errors stay as they are.
func (s *Store) damagedPartition(err error) error {
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	s.metrics.met(partPartition)
	return fmt.Errorf("%w: %s", err, allowLossy)
}

func (s *Store) loadCheckpoint() error {
	current := s.catalog.State().Checkpoint
	if current != "" {
		name := filepath.Join(s.opts.Dir, current)
		c, err := catalog.ReadCheckpoint(name)
		switch {
		case err == nil:
			err = s.annex.restore(c)
		case errors.Is(err, catalog.ErrDamaged) && s.opts.AllowLossyRecovery:
			s.opts.Logger.Error("The checkpoint is damaged: exemplars, metadata and deletions are lost", slog.String("file", name), slog.Any("err", err))
			current = ""
			s.metrics.met(partCheckpoint)
			// The next start must not miss it again.
			err = errors.Join(s.quarantine(name), s.catalog.Update(func(st *catalog.State) { st.Checkpoint = "" }))
		case errors.Is(err, catalog.ErrDamaged):
			err = fmt.Errorf("%w: file %s with exemplars, metadata and deletions: %w: %s", store.ErrCorrupt, name, err, allowLossy)
		}
		if err != nil {
			return err
		}
	}
	return s.removeCheckpoints(current)
}

// removeCheckpoints deletes all checkpoints but one.
func (s *Store) removeCheckpoints(current string) error {
	names, err := filepath.Glob(filepath.Join(s.opts.Dir, checkpointName+"*"))
	for _, name := range names {
		if filepath.Base(name) != current {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}
