package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// markBytes is the size of a mark: the number of the next record, and a CRC of it.
const markBytes = 12

// A mark says how far the log was durable. Without it a log whose end was cut off at a record, or whose last segment is
// gone, would look like one that never was longer. It is written after each sync and not synced itself: that survives
// the end of the process, and after a power cut it says too little at worst.
type mark struct {
	file *os.File
	buf  [markBytes]byte
}

// markName is the file of the mark, beside the log's directory.
func markName(dir string) string { return filepath.Clean(dir) + ".end" }

// readMark returns the number of the record after the last one that was durable, or 0 if nobody knows.
func readMark(dir string) (uint64, error) {
	data, err := os.ReadFile(markName(dir))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	case len(data) != markBytes || crc32.Checksum(data[:8], castagnoli) != binary.LittleEndian.Uint32(data[8:]):
		return 0, nil
	}
	return binary.LittleEndian.Uint64(data), nil
}

// openMark makes the file and writes the mark durably, so that later writes need no space.
func openMark(dir string, next uint64) (*mark, error) {
	f, err := os.OpenFile(markName(dir), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	m := &mark{file: f}
	if err := errors.Join(f.Truncate(markBytes), m.write(next), f.Sync()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, syncDir(filepath.Dir(markName(dir)))
}

func (m *mark) write(next uint64) error {
	binary.LittleEndian.PutUint64(m.buf[:], next)
	binary.LittleEndian.PutUint32(m.buf[8:], crc32.Checksum(m.buf[:8], castagnoli))
	if _, err := m.file.WriteAt(m.buf[:], 0); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return nil
}
