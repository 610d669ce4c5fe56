package badger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// ballastName is a file that holds nothing but space. It goes when the disk is full, so that the store can still move
// what is in memory to disk, and let go of the log.
const ballastName = "BALLAST"

// ballastShare is the part of the disk that the ballast is at most: one of so many.
const ballastShare = 100

// A guard watches the free space of the disk. Below a limit the store takes no writes, until there is clearly more; below
// half of it nothing is written any more, because Badger does not survive a full disk.
type guard struct {
	opts *Options

	mu       sync.Mutex
	readOnly bool
	free     int64 // When it was last looked at.
	relieved bool  // Whether relief was tried since the store became read-only.
}

// limits returns the free space below which no writes are taken, from which on they are taken again, and below which
// nothing at all is written.
func (g *guard) limits(total int64) (low, high, floor int64) {
	low = max(g.opts.MinFreeBytes, total/100*int64(g.opts.MinFreePercent))
	high = low + low/10
	if high < low {
		high = math.MaxInt64
	}
	return low, high, low / 2
}

func (g *guard) off() bool { return g.opts.MinFreeBytes < 0 }

// look measures and decides whether the store takes writes. The caller holds g.mu.
func (g *guard) look() (free, total int64, err error) {
	free, total, err = g.opts.hooks.free(g.opts.Dir)
	if err != nil {
		return 0, 0, problem.Wrap(problem.Unavailable, fmt.Errorf("%w: %w", store.ErrUnavailable, err), "the store can't see its disk")
	}
	g.free = free
	if g.off() {
		return free, total, nil
	}
	low, high, _ := g.limits(total)
	switch {
	case !g.readOnly && free < low:
		g.readOnly, g.relieved = true, false
		g.opts.Logger.Error("The disk is full: the store takes no writes, reads go on",
			slog.String("dir", g.opts.Dir), slog.Int64("free_bytes", free), slog.Int64("limit_bytes", low), slog.Int64("until_bytes", high))
	case g.readOnly && free >= high:
		g.readOnly = false
		g.opts.Logger.Info("There is space on the disk again: the store takes writes", slog.String("dir", g.opts.Dir), slog.Int64("free_bytes", free))
	}
	return free, total, nil
}

// mayWrite reports whether there is too little space to take writes.
func (g *guard) mayWrite() error {
	if g.off() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	free, total, err := g.look()
	if err != nil || !g.readOnly {
		return err
	}
	low, high, _ := g.limits(total)
	return &problem.Error{
		Of: problem.Unavailable,
		Detail: fmt.Sprintf("the disk is full: %d bytes are free, and no writes are taken below %d (storage.badger.min_free_bytes, storage.badger.min_free_percent); "+
			"they are again from %d on, reads go on; send it again later", free, low, high),
		Limit: &problem.Limit{Name: "free bytes", Max: low, Observed: free, Setting: "storage.badger.min_free_bytes"},
		Err:   fmt.Errorf("%w: %s", store.ErrReadOnly, g.opts.Dir),
	}
}

// mayMaintain reports whether there is too little space to write so many bytes on the store's own account. The ballast is
// released for it.
func (g *guard) mayMaintain(need int64) error {
	if g.off() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		free, total, err := g.look()
		if err != nil {
			return err
		}
		_, _, floor := g.limits(total)
		if free-need >= floor {
			return nil
		}
		released, err := ReleaseBallast(g.opts.Dir)
		if err != nil {
			return err
		}
		if released == 0 {
			return fmt.Errorf("%w: %d bytes are free in %s, %d are needed: make space there", store.ErrReadOnly, free, g.opts.Dir, floor+need)
		}
		g.opts.Logger.Warn("The ballast was released, so that the store can make space", slog.Int64("bytes", released))
	}
}

// full reports whether there is too little space even for what the store writes on its own account, or nobody knows.
func (g *guard) full() bool {
	if g.off() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	free, total, err := g.look()
	_, _, floor := g.limits(total)
	return err != nil || free < floor
}

// tend looks at the disk and makes the ballast if there is space for it. It reports whether the store has become read-only
// and has not tried yet to help itself.
func (g *guard) tend() (relieve bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	free, total, err := g.look()
	if err != nil || g.off() {
		return false, err
	}
	if g.readOnly {
		relieve, g.relieved = !g.relieved, true
		return relieve, nil
	}
	size := min(g.opts.BallastBytes, total/ballastShare)
	name := filepath.Join(g.opts.Dir, ballastName)
	info, err := os.Stat(name)
	switch {
	case err == nil && size <= 0:
		return false, os.Remove(name)
	case err == nil && info.Size() > size:
		return false, os.Truncate(name, size)
	case err == nil || !errors.Is(err, os.ErrNotExist) || size <= 0:
		return false, ignoreMissing(err)
	}
	if _, high, _ := g.limits(total); free-size < high {
		return false, nil
	}
	if err := allocate(name, size); err != nil {
		return false, errors.Join(fmt.Errorf("make the ballast: %w", err), ignoreMissing(os.Remove(name)))
	}
	return false, nil
}

// state is what metrics show.
func (g *guard) state() (readOnly bool, free int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.readOnly, g.free
}

// ReleaseBallast removes the ballast of the store in dir, which may be open, and returns how many bytes that gave. An
// open store makes it again when there is space.
func ReleaseBallast(dir string) (int64, error) {
	name := filepath.Join(dir, ballastName)
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		err = ignoreMissing(os.Remove(name))
	}
	if err != nil {
		return 0, fmt.Errorf("badger: release ballast: %w", err)
	}
	return info.Size(), nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// allocate makes a file that takes space.
func allocate(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		_, err = io.CopyN(f, rand.Reader, size) // A file system that compresses would keep zeros in no space.
	}
	return errors.Join(err, f.Sync(), f.Close())
}
