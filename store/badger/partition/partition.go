// Package partition is the samples of one span of time on disk: a Badger directory with chunks, series and an index.
package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"

	badgerdb "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/klauspost/compress/zstd"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/partition/index"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Options says what to open. Dir is required.
type Options struct {
	Dir    string
	Expect Info         // What the partition must at least hold; a Sequence of 0 means that it may be new.
	Verify bool         // Read everything and check the checksums of tables.
	Frozen bool         // Write nothing, not even a file of Badger's own. The partition must have been closed in order.
	Logger *slog.Logger // nil means none.
}

// A Partition is an open partition. Any number of goroutines may read it while one writes.
type Partition struct {
	dir     string
	db      *badgerdb.DB
	decoder *zstd.Decoder
}

// Open opens or creates the partition in opts.Dir. If it holds less than it should the error wraps store.ErrCorrupt.
func Open(opts Options) (*Partition, error) {
	logger := opts.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	p, err := open(opts.Dir, opts.Frozen, logger, func(o badgerdb.Options) badgerdb.Options { return o.WithReadOnly(opts.Frozen) })
	if err != nil {
		return nil, err
	}
	if err := p.check(opts); err != nil {
		return nil, errors.Join(fmt.Errorf("partition: open %s: %w", opts.Dir, err), p.Close())
	}
	return p, nil
}

// open opens without a check of the content.
func open(dir string, frozen bool, logger *slog.Logger, change func(badgerdb.Options) badgerdb.Options) (*Partition, error) {
	if !frozen {
		if err := removeUnborn(dir); err != nil {
			return nil, fmt.Errorf("partition: open %s: %w", dir, err)
		}
	}
	if err := checkTables(dir); err != nil {
		return nil, fmt.Errorf("partition: open %s: %w", dir, err)
	}
	decoder, err := index.NewDecoder()
	if err != nil {
		return nil, fmt.Errorf("partition: open %s: %w", dir, err)
	}
	db, err := badgerdb.Open(change(badgerOptions(dir, logger)))
	if err != nil {
		decoder.Close()
		if errno := syscall.Errno(0); !errors.As(err, &errno) {
			err = fmt.Errorf("%w: %w", store.ErrCorrupt, err) // Not the system's refusal, so the content's.
		}
		return nil, fmt.Errorf("partition: open %s: %w", dir, err)
	}
	return &Partition{dir, db, decoder}, nil
}

func badgerOptions(dir string, logger *slog.Logger) badgerdb.Options {
	return badgerdb.DefaultOptions(dir).
		WithSyncWrites(true).
		WithNumVersionsToKeep(1).
		WithDetectConflicts(false). // There is one writer.
		WithValueThreshold(1 << 20).
		WithMemTableSize(16 << 20).
		WithNumMemtables(3).
		WithNumCompactors(2).
		WithCompression(options.None).
		WithZSTDCompressionLevel(1).
		WithBlockSize(16 << 10).
		WithBlockCacheSize(0). // Blocks are read where the file is mapped.
		WithIndexCacheSize(0).
		WithValueLogFileSize(1 << 20). // All values stay in the tables.
		WithMetricsEnabled(false).     // They are process-wide.
		WithLogger(badgerLogger{logger})
}

func (p *Partition) check(opts Options) error {
	if opts.Verify {
		if err := p.verify(); err != nil {
			return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		}
	}
	info, err := p.Info()
	if err != nil {
		return err
	}
	want := opts.Expect
	if info.Sequence < want.Sequence || info.Series < want.Series || info.Chunks < want.Chunks {
		return fmt.Errorf("%w: it holds %d series and %d chunks up to flush %d, but %d series and %d chunks up to flush %d were written; Badger cuts its %s and its logs (*.mem) where they are damaged",
			store.ErrCorrupt, info.Series, info.Chunks, info.Sequence, want.Series, want.Chunks, want.Sequence, manifestName)
	}
	return nil
}

// verify reads all tables. Badger panics where a block is damaged.
func (p *Partition) verify() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("a table can't be read: %v", v)
		}
	}()
	return p.db.VerifyChecksum()
}

// Info returns what the partition knows about itself.
func (p *Partition) Info() (Info, error) {
	var info Info
	err := p.db.View(func(txn *badgerdb.Txn) error {
		value, err := get(txn, []byte{kindInfo})
		if value == nil || err != nil {
			return err
		}
		info, err = decodeInfo(value)
		return err
	})
	return info, err
}

// Tenants lists the tenants that have series, in the order of their keys.
func (p *Partition) Tenants(ctx context.Context) ([]tenancy.ID, error) {
	var out []tenancy.ID
	err := p.db.View(func(txn *badgerdb.Txn) error {
		return scan(ctx, txn, []byte{kindTenant}, func(rest, _ []byte) error {
			if len(rest) < 2 || int(rest[0]) != len(rest)-1 {
				return fmt.Errorf("%w: tenant key", store.ErrCorrupt)
			}
			out = append(out, tenancy.ID(rest[1:]))
			return nil
		})
	})
	return out, err
}

// SeriesOf is the number of series of a tenant.
func (p *Partition) SeriesOf(tenant tenancy.ID) (n uint64, err error) {
	err = p.db.View(func(txn *badgerdb.Txn) error {
		t, err := readTenant(txn, tenant)
		n = t.series()
		return err
	})
	if err != nil {
		err = fmt.Errorf("partition: read %s: tenant %s: %w", p.dir, tenant, err)
	}
	return n, err
}

// Close closes the partition. All readers must be closed before.
func (p *Partition) Close() error {
	p.decoder.Close()
	if err := p.db.Close(); err != nil {
		return fmt.Errorf("partition: close %s: %w", p.dir, err)
	}
	return nil
}

// get returns a copy of a value, or nil if there is none.
func get(txn *badgerdb.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	switch {
	case errors.Is(err, badgerdb.ErrKeyNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	value, err := item.ValueCopy(nil)
	if value == nil && err == nil {
		value = []byte{}
	}
	return value, err
}

// fetchFrom returns what reads pages of the index.
func fetchFrom(txn *badgerdb.Txn) index.Fetch {
	return func(key []byte, f func(value []byte) error) error {
		item, err := txn.Get(key)
		if errors.Is(err, badgerdb.ErrKeyNotFound) {
			return index.ErrMissing
		} else if err != nil {
			return err
		}
		return item.Value(f)
	}
}

// scan calls f with the rest of the key, and the value, of each entry with the prefix, in the order of keys. Both are
// valid during the call.
func scan(ctx context.Context, txn *badgerdb.Txn, prefix []byte, f func(rest, value []byte) error) error {
	it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: prefix})
	defer it.Close()
	n := 0
	for it.Rewind(); it.Valid(); it.Next() {
		if n++; n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		item := it.Item()
		err := item.Value(func(value []byte) error { return f(item.Key()[len(prefix):], value) })
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// badgerLogger gives Badger's messages to slog, its information as debug messages.
type badgerLogger struct{ to *slog.Logger }

func (l badgerLogger) Errorf(format string, args ...any) {
	l.to.Error("Badger says", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (l badgerLogger) Warningf(format string, args ...any) {
	l.to.Warn("Badger says", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (l badgerLogger) Infof(format string, args ...any) {
	l.to.Debug("Badger says", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (l badgerLogger) Debugf(format string, args ...any) {
	l.to.Debug("Badger says", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}
