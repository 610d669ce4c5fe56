package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// The beginning of an archive: a name that no other format has, with a line end that text modes change, and the version.
const (
	magic      = "LUMINATE\r\n\x1a\n"
	formatName = "luminate-archive"
	version    = 1
)

// What a frame holds.
const (
	headerFrame  = 1 // JSON.
	blockFrame   = 2 // Entries, compressed by zstd.
	trailerFrame = 3 // JSON.
)

const (
	frameHead = 13 // kind 1, plain length 4, stored length 4, CRC32C 4

	blockSize = 1 << 20  // At which a block is written.
	maxPlain  = 64 << 20 // Largest block before compression, and largest entry.
	maxStored = maxPlain + 1<<20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is over a frame, its own bytes left out.
func checksum(head, stored []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:9], castagnoli), castagnoli, stored)
}

// A frameWriter writes frames.
type frameWriter struct {
	w      io.Writer
	sum    hash.Hash
	enc    *zstd.Encoder
	head   [frameHead]byte
	stored []byte
	blocks int64
	bytes  int64
}

func newFrameWriter(w io.Writer) (*frameWriter, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	f := &frameWriter{w: w, sum: sha256.New(), enc: enc}
	return f, f.write(append([]byte(magic), version))
}

func (f *frameWriter) write(b []byte) error {
	f.sum.Write(b)
	n, err := f.w.Write(b)
	f.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("archive: write at byte %d: %w", f.bytes, err)
	}
	return nil
}

func (f *frameWriter) frame(kind byte, plain int, stored []byte) error {
	f.head[0] = kind
	binary.LittleEndian.PutUint32(f.head[1:], uint32(plain))
	binary.LittleEndian.PutUint32(f.head[5:], uint32(len(stored)))
	binary.LittleEndian.PutUint32(f.head[9:], checksum(f.head[:], stored))
	if err := f.write(f.head[:]); err != nil {
		return err
	}
	return f.write(stored)
}

func (f *frameWriter) json(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = append(text, '\n') // So that it can be read with a pager.
	return f.frame(kind, len(text), text)
}

func (f *frameWriter) block(plain []byte) error {
	f.stored = f.enc.EncodeAll(plain, f.stored[:0])
	f.blocks++
	return f.frame(blockFrame, len(plain), f.stored)
}

func (f *frameWriter) trailer(c Counts) (sum string, err error) {
	sum = hex.EncodeToString(f.sum.Sum(nil))
	return sum, f.json(trailerFrame, trailer{c, f.blocks, sum})
}

// A frameReader reads frames and verifies them.
type frameReader struct {
	r      *bufio.Reader
	sum    hash.Hash
	dec    *zstd.Decoder
	offset int64 // Of what comes next.
	at     int64 // Of the current frame.
	blocks int64
	stored bytes.Buffer
	plain  []byte
}

// newFrameReader reads the beginning of an archive. The caller must close the result.
func newFrameReader(r io.Reader) (*frameReader, error) {
	f := &frameReader{r: bufio.NewReaderSize(r, 1<<16), sum: sha256.New()}
	begin := make([]byte, len(magic)+1)
	if err := f.read(begin); err != nil {
		return nil, err
	}
	if string(begin[:len(magic)]) != magic {
		return nil, damaged(0, "it does not begin as an archive does")
	}
	if v := begin[len(magic)]; v != version {
		return nil, fmt.Errorf("%w: the archive has version %d, this program reads version %d", ErrVersion, v, version)
	}
	f.sum.Write(begin)
	var err error
	f.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain), zstd.WithDecoderLowmem(true))
	return f, err
}

func (f *frameReader) close() {
	if f.dec != nil {
		f.dec.Close()
	}
}

// read fills b.
func (f *frameReader) read(b []byte) error {
	n, err := io.ReadFull(f.r, b)
	f.offset += int64(n)
	return f.cut(err)
}

func (f *frameReader) cut(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return damaged(f.offset, "it ends here, before its trailer: it was cut")
	default:
		return fmt.Errorf("archive: read at byte %d: %w", f.offset, err)
	}
}

// next reads a frame. Its content is valid until the next call.
func (f *frameReader) next() (kind byte, content []byte, err error) {
	f.at = f.offset
	var head [frameHead]byte
	if err := f.read(head[:]); err != nil {
		return 0, nil, err
	}
	kind = head[0]
	plain, length := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint32(head[5:])
	if kind < headerFrame || kind > trailerFrame || plain > maxPlain || length > maxStored {
		return 0, nil, damaged(f.at, "a frame of kind %d and %d bytes, compressed %d, is not possible", kind, plain, length)
	}
	f.stored.Reset()
	n, err := io.CopyN(&f.stored, f.r, int64(length)) // It grows with what is there, whatever the length says.
	f.offset += n
	if err != nil {
		return 0, nil, f.cut(err)
	}
	stored := f.stored.Bytes()
	if want, got := binary.LittleEndian.Uint32(head[9:]), checksum(head[:], stored); want != got {
		return 0, nil, damaged(f.at, "the CRC32C of the frame is %08x, it should be %08x", got, want)
	}
	if kind != trailerFrame {
		f.sum.Write(head[:])
		f.sum.Write(stored)
	}
	if kind != blockFrame {
		return kind, stored, nil
	}
	f.blocks++
	if f.plain, err = f.dec.DecodeAll(stored, f.plain[:0]); err != nil {
		return 0, nil, damaged(f.at, "the block can't be decompressed: %s", err)
	}
	if len(f.plain) != int(plain) {
		return 0, nil, damaged(f.at, "the block has %d bytes, it should have %d", len(f.plain), plain)
	}
	return kind, f.plain, nil
}

// header reads what the archive says about itself.
func (f *frameReader) header() (h Header, err error) {
	kind, content, err := f.next()
	if err != nil {
		return h, err
	}
	if kind != headerFrame {
		return h, damaged(f.at, "a header should be here")
	}
	if err := json.Unmarshal(content, &h); err != nil || h.Format != formatName || h.Version != version {
		return h, damaged(f.at, "the header is not one of version %d", version)
	}
	if h.Kind != Full && h.Kind != Incremental {
		return h, fmt.Errorf("%w: the archive is of kind %q, this program reads %q and %q", ErrVersion, h.Kind, Full, Incremental)
	}
	return h, nil
}

// end verifies the trailer against what was read, and that nothing follows.
func (f *frameReader) end(content []byte, c Counts) (sum string, err error) {
	var t trailer
	if err := json.Unmarshal(content, &t); err != nil {
		return "", damaged(f.at, "the trailer is malformed")
	}
	sum = hex.EncodeToString(f.sum.Sum(nil))
	switch {
	case t.SHA256 != sum:
		return "", damaged(f.at, "the SHA-256 of everything before is %s, it should be %s", sum, t.SHA256)
	case t.Blocks != f.blocks:
		return "", damaged(f.at, "%d blocks were read, it should be %d", f.blocks, t.Blocks)
	case t.Counts != c:
		return "", damaged(f.at, "the archive holds %s, it should be %s", c, t.Counts)
	}
	switch _, err := f.r.ReadByte(); {
	case err == nil:
		return "", damaged(f.offset, "something follows the trailer")
	case !errors.Is(err, io.EOF):
		return "", fmt.Errorf("archive: read at byte %d: %w", f.offset, err)
	}
	return sum, nil
}
