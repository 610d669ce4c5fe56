// Package index is the labels of a number of series in compressed pages: which series have a label, and which labels a
// series has.
//
// A Builder turns series that a flush brought, numbered in the order in which they came, into the pages of one segment; a
// Segment reads them. docs/architecture/formats/badger-keys.md draws the bytes.
package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/luminate-metrics/luminate/store"
)

// Version is the first byte of each page.
const Version = 3

// ErrVersion reports a page of another version.
var ErrVersion = errors.New("index: unknown version of the format")

// Kinds of pages. The key of a page is a prefix, its kind, and its number in four bytes, big endian.
const (
	kindHead     = 0 // Names, and where which values are: one page.
	kindValues   = 1 // Label values, sorted.
	kindPostings = 2 // The series that have each of the values in the page of equal number.
	kindLabels   = 3 // The labels of pageSeries series.
	kindHashes   = 4 // Hashes of the labels of pageHashes series.

	kinds     = 5
	keySuffix = 5
)

// Sizes of pages. They are a part of the format, save those in bytes.
const (
	pageSeries    = 128
	pageHashes    = 16 << 10
	valuesBytes   = 4 << 10 // After which a page of values is full,
	postingsBytes = 16 << 10
	mostRaw       = 16 << 20 // That a page may have, uncompressed.
)

// How the rest of a page is stored.
const (
	storedRaw  = 0
	storedZSTD = 1

	pageOverhead = 1 + 1 + 4
)

func pageKey(prefix []byte, kind byte, number int) []byte {
	key := make([]byte, 0, len(prefix)+keySuffix)
	key = append(append(key, prefix...), kind)
	return binary.BigEndian.AppendUint32(key, uint32(number))
}

// checksum covers the key, so that a page at the place of another is a damaged one.
func checksum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

// seal returns the value of a page. Without an encoder it is not compressed.
func seal(key, raw []byte, encoder *zstd.Encoder) []byte {
	value := make([]byte, 2, len(raw)+pageOverhead)
	value[0], value[1] = Version, storedZSTD
	if encoder != nil {
		value = encoder.EncodeAll(raw, value)
	}
	if encoder == nil || len(value) >= len(raw)+2 {
		value[1] = storedRaw
		value = append(value[:2], raw...)
	}
	return binary.LittleEndian.AppendUint32(value, checksum(key, value))
}

// unseal appends what a page holds to dst.
func unseal(dst, key, value []byte, decoder *zstd.Decoder) ([]byte, error) {
	if len(value) < pageOverhead {
		return dst, fmt.Errorf("%w: page of %d bytes", store.ErrCorrupt, len(value))
	}
	body, sum := value[:len(value)-4], binary.LittleEndian.Uint32(value[len(value)-4:])
	if got := checksum(key, body); got != sum {
		return dst, fmt.Errorf("%w: checksum of a page is %08x, should be %08x", store.ErrCorrupt, got, sum)
	}
	if body[0] != Version {
		return dst, fmt.Errorf("%w: it is %d, this program knows %d", ErrVersion, body[0], Version)
	}
	switch body[1] {
	case storedRaw:
		return append(dst, body[2:]...), nil
	case storedZSTD:
		out, err := decoder.DecodeAll(body[2:], dst)
		if err != nil {
			return dst, fmt.Errorf("%w: page: %w", store.ErrCorrupt, err)
		}
		return out, nil
	default:
		return dst, fmt.Errorf("%w: page is stored in the unknown way %d", store.ErrCorrupt, body[1])
	}
}

// NewDecoder returns what Segments need to read pages. Any number of goroutines may use it; the caller closes it.
func NewDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(mostRaw), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
}

func malformed(what string) error { return fmt.Errorf("%w: malformed %s", store.ErrCorrupt, what) }
