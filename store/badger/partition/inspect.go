package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	badgerdb "github.com/dgraph-io/badger/v4"
)

// Inspect verifies the partition in opts.Dir without changing anything there: Badger sees it through another directory,
// with links to the tables and copies of the rest. Nobody may have it open. An error that wraps store.ErrCorrupt says that
// it can't be opened.
func Inspect(ctx context.Context, opts Options, found func(Damage)) (counts Counts, err error) {
	dir, err := os.MkdirTemp("", "luminate-verify-")
	if err != nil {
		return counts, fmt.Errorf("partition: inspect %s: %w", opts.Dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := shadow(opts.Dir, dir); err != nil {
		return counts, fmt.Errorf("partition: inspect %s: %w", opts.Dir, err)
	}
	err = corruptOnly(func() (err error) {
		p, err := open(dir, false, slog.New(slog.DiscardHandler), func(o badgerdb.Options) badgerdb.Options { return o.WithNumCompactors(0) })
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		if err := p.check(Options{Expect: opts.Expect}); errors.Is(err, ErrVersion) {
			return err
		} else if err != nil {
			found(Damage{What: err.Error(), Lost: "the difference"})
		}
		counts, err = p.Verify(ctx, func(int) error { return nil }, found)
		return err
	})
	return counts, err
}

// shadow fills to, which is empty, so that Badger finds there what is in from.
func shadow(from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case !e.Type().IsRegular() || e.Name() == "LOCK":
		case strings.HasSuffix(e.Name(), ".sst"):
			err = os.Symlink(source, target)
		default:
			err = copyFile(source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(filepath.Clean(from))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(filepath.Clean(to), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
