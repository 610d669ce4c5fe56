package partition

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/store/series"
)

// version is the first byte of each value.
const version = 1

// Kinds of the sections of a chunk.
const (
	sectionFloats     = 1 // XOR2 of Prometheus, which keeps start timestamps and every bit of values.
	sectionHistograms = 2
)

const (
	mostSamples = 2000     // In a chunk.
	mostBytes   = 64 << 10 // Of histograms after which a chunk is full.
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
	if payload[0] != version {
		return nil, fmt.Errorf("%w: value of version %d, this program knows %d", store.ErrCorrupt, payload[0], version)
	}
	return payload[1:], nil
}

// encodeChunk returns a value with the first samples of run, at least one, and those that did not fit.
func encodeChunk(run series.Run) (value []byte, rest series.Run, err error) {
	value = []byte{version}
	for n := 0; len(run) > 0 && n < mostSamples && len(value) < mostBytes; {
		var took int
		if run[0].Type() == chunkenc.ValFloat {
			value, took, err = appendFloats(value, run[:min(len(run), mostSamples-n)])
		} else {
			value, took = appendHistograms(value, run[:min(len(run), mostSamples-n)])
		}
		if err != nil {
			return nil, nil, err
		}
		n, run = n+took, run[took:]
	}
	return seal(value), run, nil
}

// appendFloats appends a section with the floats at the start of run.
func appendFloats(dst []byte, run series.Run) ([]byte, int, error) {
	chunk := chunkenc.NewXOR2Chunk()
	app, err := chunk.Appender()
	if err != nil {
		return nil, 0, err
	}
	n := 0
	for n < len(run) && run[n].Type() == chunkenc.ValFloat {
		app.Append(run[n].Start, run[n].Timestamp, run[n].Value)
		n++
	}
	dst = append(dst, sectionFloats)
	dst = binary.AppendUvarint(dst, uint64(n))
	return codec.AppendBytes(dst, chunk.Bytes()), n, nil
}

// appendHistograms appends a section with the histograms at the start of run, until it is large.
func appendHistograms(dst []byte, run series.Run) ([]byte, int) {
	var body []byte
	var t, start int64
	n := 0
	for n < len(run) && run[n].Type() != chunkenc.ValFloat && len(body) < mostBytes {
		s := &run[n]
		body = binary.AppendVarint(body, s.Timestamp-t)
		body = binary.AppendVarint(body, s.Start-start)
		body = codec.AppendHistogram(body, s.Int, s.Float)
		t, start = s.Timestamp, s.Start
		n++
	}
	dst = append(dst, sectionHistograms)
	dst = binary.AppendUvarint(dst, uint64(n))
	return codec.AppendBytes(dst, body), n
}

// decodeChunk returns the samples of a value.
func decodeChunk(value []byte) (series.Run, error) {
	payload, err := unseal(value)
	if err != nil {
		return nil, err
	}
	var run series.Run
	d := codec.NewDecoder(payload)
	for d.Len() > 0 && err == nil {
		kind, n, body := d.Byte(), d.Uvarint(), d.Bytes()
		switch {
		case d.Err() != nil:
		case kind == sectionFloats:
			run, err = decodeFloats(run, n, body)
		case kind == sectionHistograms:
			run, err = decodeHistograms(run, n, body)
		default:
			err = fmt.Errorf("%w: chunk section of kind %d", store.ErrCorrupt, kind)
		}
	}
	if err == nil && d.Err() != nil {
		err = fmt.Errorf("%w: %w", store.ErrCorrupt, d.Err())
	}
	for i := 1; err == nil && i < len(run); i++ {
		if run[i-1].Timestamp >= run[i].Timestamp {
			err = fmt.Errorf("%w: samples of a chunk are not in time order", store.ErrCorrupt)
		}
	}
	return run, err
}

func decodeFloats(run series.Run, n uint64, body []byte) (series.Run, error) {
	chunk, err := chunkenc.FromData(chunkenc.EncXOR2, body)
	if err != nil || len(body) < 3 || uint64(chunk.NumSamples()) != n {
		return nil, fmt.Errorf("%w: float section of %d bytes", store.ErrCorrupt, len(body))
	}
	if run == nil {
		run = make(series.Run, 0, min(n, mostSamples))
	}
	it := chunk.Iterator(nil)
	for it.Next() == chunkenc.ValFloat {
		t, v := it.At()
		run = append(run, series.Sample{Timestamp: t, Start: it.AtST(), Value: v})
	}
	if it.Err() != nil {
		return nil, fmt.Errorf("%w: float section: %w", store.ErrCorrupt, it.Err())
	}
	return run, nil
}

func decodeHistograms(run series.Run, n uint64, body []byte) (series.Run, error) {
	d := codec.NewDecoder(body)
	var t, start int64
	for range n {
		t += d.Varint()
		start += d.Varint()
		h, fh := d.Histogram()
		if d.Err() != nil {
			return nil, fmt.Errorf("%w: histogram section: %w", store.ErrCorrupt, d.Err())
		}
		run = append(run, series.Sample{Timestamp: t, Start: start, Int: h, Float: fh})
	}
	if d.Len() > 0 {
		return nil, fmt.Errorf("%w: histogram section has %d bytes too many", store.ErrCorrupt, d.Len())
	}
	return run, nil
}
