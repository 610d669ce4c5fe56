// Package wal is the write-ahead log: numbered records in the framing of Prometheus's wlog, written and synced in
// groups, and read back after a restart with every loss announced.
package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	pageBytes   = 32 << 10 // A page of wlog.
	headerBytes = 7        // A header of wlog: type, length, CRC.

	// DefaultSegmentBytes is the size at which a segment is full.
	DefaultSegmentBytes = 64 << 20

	// LeastSegmentBytes is a size of segments into which each record of a write fits.
	LeastSegmentBytes = 16 << 20
)

// ErrFailed reports that a write or sync failed before: what the log holds on disk is not known any more, and it takes
// no more records until it is opened again.
var ErrFailed = errors.New("wal: a write failed before")

// Segments is what a Log writes to; *wlog.WL is one.
type Segments interface {
	// Log appends records without making them durable.
	Log(records ...[]byte) error
	// Sync makes everything durable.
	Sync() error
	// NextSegmentSync makes the segment complete, starts another one and returns its index.
	NextSegmentSync() (int, error)
	// Truncate removes the segments before the given one.
	Truncate(segment int) error
	// Close syncs and closes the segment.
	Close() error
}

// Options says where a log is and how it behaves. Dir is required.
type Options struct {
	Dir          string
	Quarantine   string // Directory for what can't be read; created when it is needed. Default: Dir + "-quarantine".
	SegmentBytes int    // A multiple of 32 KiB; 0 means DefaultSegmentBytes.

	// First is the number of the first record that is still needed; records before it are not replayed. 0 means that it
	// is not known.
	First uint64

	Logger *slog.Logger             // nil means none.
	Now    func() time.Time         // nil means time.Now.
	Synced func(took time.Duration) // Called after each sync; may be nil.

	// Wrap stands between the log and its files, to inject faults; may be nil.
	Wrap func(Segments) Segments
}

// A Log is an open write-ahead log. Its methods are for one goroutine at a time.
type Log struct {
	opts     Options
	segments Segments
	current  int // Index of the segment that is written to.
	used     int // Bytes in it, estimated from above.
	next     uint64
	mark     *mark
	failed   error
	group    Group
}

// Open replays the log in opts.Dir into apply and opens it for writing. What can't be read is cut off if it is a last
// record that was never acknowledged, else moved to quarantine and listed in the Recovery. An error of apply ends Open.
func Open(opts Options, apply func(*Record) error) (*Log, Recovery, error) {
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = DefaultSegmentBytes
	}
	if opts.Quarantine == "" {
		opts.Quarantine = opts.Dir + "-quarantine"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if err := os.MkdirAll(opts.Dir, 0o750); err != nil {
		return nil, Recovery{}, fmt.Errorf("wal: open: %w", err)
	}
	r := recovery{opts: opts, apply: apply}
	var err error
	if r.durable, err = readMark(opts.Dir); err != nil {
		return nil, Recovery{}, fmt.Errorf("wal: open: %w", err)
	}
	if err := r.run(); err != nil {
		return nil, r.Recovery, fmt.Errorf("wal: replay: %w", err)
	}
	w, err := wlog.NewSize(opts.Logger, nil, opts.Dir, opts.SegmentBytes, compression.None)
	if err != nil {
		return nil, r.Recovery, fmt.Errorf("wal: open: %w", err)
	}
	l := &Log{opts: opts, segments: w, next: max(r.next, opts.First, 1)}
	if opts.Wrap != nil {
		l.segments = opts.Wrap(w)
	}
	if _, l.current, err = wlog.Segments(opts.Dir); err == nil {
		err = syncDir(opts.Dir)
	}
	if err == nil {
		l.mark, err = openMark(opts.Dir, l.next)
	}
	if err != nil {
		return nil, r.Recovery, errors.Join(fmt.Errorf("wal: open: %w", err), w.Close())
	}
	return l, r.Recovery, nil
}

// Inspect reads the log in opts.Dir as Open does and changes nothing.
func Inspect(opts Options) (Recovery, error) {
	opts.Logger = slog.New(slog.DiscardHandler)
	r := recovery{opts: opts, apply: func(*Record) error { return nil }, look: true}
	var err error
	if r.durable, err = readMark(opts.Dir); err == nil {
		err = r.run()
	}
	if err != nil {
		return r.Recovery, fmt.Errorf("wal: inspect: %w", err)
	}
	return r.Recovery, nil
}

// Begin returns an empty group. It is valid until the next Begin.
func (l *Log) Begin() *Group {
	l.group.reset(l.next)
	return &l.group
}

// Commit makes the records of the last Begin durable: when it returns nil, they survive a power cut. After an error the
// log takes nothing more.
func (l *Log) Commit() error {
	if l.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, l.failed)
	}
	records := l.group.slices()
	if len(records) == 0 {
		return nil
	}
	if err := l.write(records); err != nil {
		l.failed = err
		return fmt.Errorf("wal: commit: %w", err)
	}
	if err := l.mark.write(l.group.next); err != nil {
		l.failed = err
		return fmt.Errorf("wal: commit: %w", err)
	}
	l.next = l.group.next
	return nil
}

// write logs and syncs. A segment is changed here and never inside wlog, which syncs the old one in the background and
// only logs when that fails.
func (l *Log) write(records [][]byte) error {
	pending := 0 // Index of the first record that is not written.
	for i, rec := range records {
		size := framed(len(rec))
		if size > l.opts.SegmentBytes-pageBytes {
			return fmt.Errorf("a record of %d bytes does not fit into a segment of %d bytes", len(rec), l.opts.SegmentBytes)
		}
		if l.used+size > l.opts.SegmentBytes-pageBytes {
			if err := l.writeSynced(records[pending:i]); err != nil {
				return err
			}
			pending = i
			if err := l.advance(); err != nil {
				return err
			}
		}
		l.used += size
	}
	return l.writeSynced(records[pending:])
}

// framed is the most bytes that a record takes in a segment.
func framed(n int) int { return n + headerBytes*(n/(pageBytes-headerBytes)+2) + headerBytes }

func (l *Log) writeSynced(records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	if err := l.segments.Log(records...); err != nil {
		return err
	}
	start := l.opts.Now()
	if err := l.segments.Sync(); err != nil {
		return err
	}
	if l.opts.Synced != nil {
		l.opts.Synced(l.opts.Now().Sub(start))
	}
	return nil
}

func (l *Log) advance() error {
	next, err := l.segments.NextSegmentSync()
	if err != nil {
		return err
	}
	l.current, l.used = next, 0
	return syncDir(l.opts.Dir)
}

// Rotate starts a segment. It returns its index, for Drop, and the number of the first record that will be in it.
func (l *Log) Rotate() (segment int, first uint64, err error) {
	if l.failed != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrFailed, l.failed)
	}
	if err := l.advance(); err != nil {
		l.failed = err
		return 0, 0, fmt.Errorf("wal: rotate: %w", err)
	}
	return l.current, l.next, nil
}

// Drop removes the segments before the given one. Call it when all that they hold is durable elsewhere. Other methods may
// run meanwhile.
func (l *Log) Drop(before int) error {
	if err := l.segments.Truncate(before); err != nil {
		return fmt.Errorf("wal: drop segments: %w", err)
	}
	return nil
}

// Close closes the log. What was committed is durable already.
func (l *Log) Close() error {
	if err := errors.Join(l.segments.Close(), l.mark.file.Close()); err != nil {
		return fmt.Errorf("wal: close: %w", err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
