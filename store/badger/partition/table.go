package partition

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"github.com/luminate-metrics/luminate/store"
)

// checkTables reads the end of each table that the manifest names. Badger panics in a goroutine of its own where the end
// is damaged, which ends the process. Other tables are what a kill left of one that was being written.
func checkTables(dir string) error {
	tables, _, err := readManifest(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // It is new.
	} else if err != nil {
		return fmt.Errorf("%w: %s: %w", store.ErrCorrupt, manifestName, err)
	}
	for id := range tables {
		if err := checkTable(tablePath(dir, id)); err != nil {
			return err
		}
	}
	return nil
}

// checkTable verifies the index of a table: it ends with the index, the length of that, a checksum, and its length.
func checkTable(name string) (err error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err) // The manifest names it.
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := footer{f, info.Size()}
	sum, err := end.sized()
	if err != nil {
		return fmt.Errorf("%w: %s: checksum of the index: %w", store.ErrCorrupt, name, err)
	}
	want := new(pb.Checksum)
	if err := proto.Unmarshal(sum, want); err != nil {
		return fmt.Errorf("%w: %s: checksum of the index: %w", store.ErrCorrupt, name, err)
	}
	index, err := end.sized()
	if err == nil {
		err = y.VerifyChecksum(index, want)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: index: %w", store.ErrCorrupt, name, err)
	}
	return nil
}

// footer reads a table from its end.
type footer struct {
	file *os.File
	end  int64
}

// sized reads a length in four bytes and what stands before it.
func (f *footer) sized() ([]byte, error) {
	length, err := f.take(4)
	if err != nil {
		return nil, err
	}
	return f.take(int64(y.BytesToU32(length)))
}

func (f *footer) take(n int64) ([]byte, error) {
	if n > f.end {
		return nil, io.ErrUnexpectedEOF
	}
	f.end -= n
	b := make([]byte, n)
	_, err := f.file.ReadAt(b, f.end)
	return b, err
}
