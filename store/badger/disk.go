package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// Names in a store's directory.
const (
	lockName       = "LOCK"
	logDir         = "wal"
	partitionsDir  = "partitions"
	quarantineDir  = "quarantine"
	checkpointName = "checkpoint-"
)

// roomAtLeast is the number of samples in memory below which none are refused.
const roomAtLeast = 1_000_000

// lock takes the directory for this process.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("the directory %s is in use by another process: stop it, or use another directory", dir)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// freeBytes is what an unprivileged process may still write to the file system of dir, and the size of that.
func freeBytes(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// checkRoom reports whether moving the head to disk has fallen too far behind to take more.
func (s *Store) checkRoom() error {
	series, samples := s.headSize()
	most := 4*s.mostSamples(series) + roomAtLeast
	if samples <= most {
		return nil
	}
	s.kickFlush()
	return &problem.Error{
		Of: problem.Unavailable,
		Detail: fmt.Sprintf("the store can't write to its partitions fast enough: %d samples are in memory, more than %d, which follows from storage.badger.max_head_samples; send it again later",
			samples, most),
		Limit: &problem.Limit{Name: "samples in memory", Max: most, Observed: samples, Setting: "storage.badger.max_head_samples"},
		Err:   store.ErrUnavailable,
	}
}
