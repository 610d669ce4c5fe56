package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/store/series"
)

// Version is the format of the partitions that this program reads and writes. It is the first byte of each value that
// has no version of its own.
const Version = 3

// ErrVersion reports a partition of another format than Version.
var ErrVersion = errors.New("partition: unknown version of the format")

const (
	mostSamples = 2000     // In a chunk of histograms.
	mostBytes   = 64 << 10 // After which a chunk is full.
	crcBytes    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal makes payload, which begins with its version, a value that carries its own CRC.
func seal(payload []byte) []byte {
	return binary.LittleEndian.AppendUint32(payload, crc32.Checksum(payload, castagnoli))
}

// unseal checks a value and returns what is between version and CRC.
func unseal(value []byte) ([]byte, error) {
	if len(value) < 1+crcBytes {
		return nil, fmt.Errorf("%w: value of %d bytes", store.ErrCorrupt, len(value))
	}
	payload, sum := value[:len(value)-crcBytes], value[len(value)-crcBytes:]
	if got, want := crc32.Checksum(payload, castagnoli), binary.LittleEndian.Uint32(sum); got != want {
		return nil, fmt.Errorf("%w: checksum %08x, expected %08x", store.ErrCorrupt, got, want)
	}
	if payload[0] != Version {
		return nil, fmt.Errorf("%w: it is %d, this program knows %d", ErrVersion, payload[0], Version)
	}
	return payload[1:], nil
}

// encodeChunk returns a value with the first histograms of run, at least one, and those that did not fit.
func encodeChunk(run series.Run) (value []byte, rest series.Run) {
	value = []byte{Version}
	var t, start int64
	n := 0
	for n < len(run) && n < mostSamples && len(value) < mostBytes {
		s := &run[n]
		value = binary.AppendVarint(value, s.Timestamp-t)
		value = binary.AppendVarint(value, s.Start-start)
		value = codec.AppendHistogram(value, s.Int, s.Float)
		t, start = s.Timestamp, s.Start
		n++
	}
	return seal(value), run[n:]
}

// decodeChunk returns the histograms of a value.
func decodeChunk(value []byte) (series.Run, error) {
	d, err := opened(value)
	if err != nil {
		return nil, err
	}
	var run series.Run
	var t, start int64
	for d.Len() > 0 {
		t += d.Varint()
		start += d.Varint()
		h, fh := d.Histogram()
		if d.Err() != nil {
			break
		}
		if n := len(run); n > 0 && run[n-1].Timestamp >= t {
			return nil, fmt.Errorf("%w: samples of a chunk are not in time order", store.ErrCorrupt)
		}
		run = append(run, series.Sample{Timestamp: t, Start: start, Int: h, Float: fh})
	}
	return run, complete(d)
}
