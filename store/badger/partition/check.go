package partition

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
)

// manifestName is the file in which Badger lists its tables.
const manifestName = "MANIFEST"

// Check looks at the files of a closed partition, before Badger does: Badger deletes the tables that a damaged manifest
// does not name. If clean, the partition was closed and its tables must be exactly the given ones. The error wraps
// store.ErrCorrupt and names the file.
func Check(dir string, clean bool, tables []catalog.Table) error {
	corrupt := func(format string, args ...any) error {
		return fmt.Errorf("partition: check %s: %w: %s", dir, store.ErrCorrupt, fmt.Sprintf(format, args...))
	}
	found, err := Tables(dir)
	if errors.Is(err, os.ErrNotExist) {
		return corrupt("the directory is missing")
	} else if err != nil {
		return err
	}
	manifest, torn, err := readManifest(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return corrupt("%s is missing, %d tables are there", manifestName, len(found))
	case err != nil:
		return corrupt("%s: %v", manifestName, err)
	case clean && torn:
		return corrupt("the end of %s is cut off", manifestName)
	}
	sizes := map[uint64]int64{}
	for _, t := range found {
		sizes[t.ID] = t.Size
	}
	for id := range manifest {
		if size, ok := sizes[id]; !ok || size == 0 {
			return corrupt("table %06d.sst is missing or empty", id)
		}
	}
	if !clean {
		return nil
	}
	for _, t := range tables {
		size, ok := sizes[t.ID]
		switch {
		case !ok:
			return corrupt("table %06d.sst is missing", t.ID)
		case size != t.Size:
			return corrupt("table %06d.sst has %d bytes instead of %d", t.ID, size, t.Size)
		case !manifest[t.ID]:
			return corrupt("%s does not name table %06d.sst", manifestName, t.ID)
		}
	}
	if len(manifest) != len(tables) {
		return corrupt("%s names %d tables instead of %d", manifestName, len(manifest), len(tables))
	}
	return nil
}

// readManifest returns the tables that the manifest names; torn says that it ends within a record.
func readManifest(dir string) (tables map[uint64]bool, torn bool, err error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	m, end, err := badgerdb.ReplayManifestFile(f, 0, badgerdb.DefaultOptions(dir))
	if err != nil {
		return nil, false, err
	}
	tables = map[uint64]bool{}
	for id := range m.Tables {
		tables[id] = true
	}
	return tables, end < info.Size(), nil
}

// tablePath is the file of a table.
func tablePath(dir string, id uint64) string { return filepath.Join(dir, fmt.Sprintf("%06d.sst", id)) }

// Tables lists the table files of a partition, ascending by id.
func Tables(dir string) ([]catalog.Table, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []catalog.Table
	for _, e := range entries {
		var id uint64
		if !strings.HasSuffix(e.Name(), ".sst") {
			continue
		}
		if n, err := fmt.Sscanf(e.Name(), "%d.sst", &id); n != 1 || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, catalog.Table{ID: id, Size: info.Size()})
	}
	return out, nil
}
