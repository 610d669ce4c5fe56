package storetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// CrashCopy copies the directory of a store, which may be open, as a crash would leave it, and returns the copy. A crash
// stops everything at one moment, a copy takes a while: it is made again until no file came, went or changed meanwhile.
func CrashCopy(tb testing.TB, dir string) string {
	tb.Helper()
	const tries = 100
	for range tries {
		to := tb.TempDir()
		before, err := listing(dir)
		if err == nil {
			err = os.CopyFS(to, os.DirFS(dir))
		}
		after := before
		if err == nil {
			after, err = listing(dir)
		}
		switch {
		case err == nil && slices.Equal(before, after):
			return to
		case err != nil && !errors.Is(err, fs.ErrNotExist): // A file that went away meanwhile.
			tb.Fatal(err)
		}
	}
	tb.Fatalf("%s changed during each of %d copies", dir, tries)
	return ""
}

// listing describes all files below dir.
func listing(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		out = append(out, fmt.Sprint(path, info.Size(), info.ModTime().UnixNano()))
		return nil
	})
	return out, err
}
