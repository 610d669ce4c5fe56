package catalog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/tenancy"
)

// checkpointVersion is the first byte of a checkpoint; a CRC32C of everything is its end.
const checkpointVersion = 1

// The kinds of entries of a checkpoint.
const (
	entryExemplar = 1
	entryMetadata = 2
	entryDeletion = 3
)

// A Checkpoint is what is neither in the log nor in partitions: exemplars, metadata and deletions.
type Checkpoint struct {
	Exemplars []Exemplar // Those of a tenant in the order of their arrival.
	Metadata  []Metadata
	Deletions []Deletion
}

// An Exemplar is one exemplar of a tenant.
type Exemplar struct {
	Tenant tenancy.ID
	Series []byte // Canonical labels.
	metric.Exemplar
}

// Metadata describes a metric family of a tenant.
type Metadata struct {
	Tenant tenancy.ID
	metric.Metadata
}

// A Deletion hides samples in partitions until they are rewritten.
type Deletion struct {
	Tenant   tenancy.ID
	Range    store.Range
	Matchers []*labels.Matcher
	Sequence uint64 // Chunks of later flushes are not affected.
}

// Encode returns the bytes of the file.
func (c *Checkpoint) Encode() []byte {
	b := []byte{checkpointVersion}
	for _, x := range c.Exemplars {
		b = codec.AppendBytes(append(b, entryExemplar), string(x.Tenant))
		b = codec.AppendBytes(b, x.Series)
		b = binary.AppendVarint(b, x.Timestamp)
		b = codec.AppendFloat(b, x.Value)
		b = codec.AppendBytes(b, x.Labels)
	}
	for _, m := range c.Metadata {
		b = codec.AppendBytes(append(b, entryMetadata), string(m.Tenant))
		for _, s := range [...]string{m.Family, m.Type, m.Help, m.Unit} {
			b = codec.AppendBytes(b, s)
		}
	}
	for _, d := range c.Deletions {
		b = codec.AppendBytes(append(b, entryDeletion), string(d.Tenant))
		b = binary.AppendVarint(b, d.Range.Min)
		b = binary.AppendVarint(b, d.Range.Max)
		b = binary.AppendUvarint(b, d.Sequence)
		b = codec.AppendMatchers(b, d.Matchers)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// DecodeCheckpoint returns what the file's bytes say, or an error that wraps ErrDamaged or ErrVersion. Byte slices in the
// result point into data.
func DecodeCheckpoint(data []byte) (*Checkpoint, error) {
	if len(data) < 5 {
		return nil, fmt.Errorf("%w: checkpoint of %d bytes", ErrDamaged, len(data))
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, fmt.Errorf("%w: checkpoint checksum %08x, expected %08x", ErrDamaged, got, sum)
	}
	if body[0] != checkpointVersion {
		return nil, fmt.Errorf("%w: checkpoint of version %d", ErrVersion, body[0])
	}
	c := new(Checkpoint)
	d := codec.NewDecoder(body[1:])
	for d.Len() > 0 {
		kind, tenant := d.Byte(), tenancy.ID(d.Bytes())
		switch kind {
		case entryExemplar:
			x := Exemplar{Tenant: tenant, Series: d.Bytes()}
			x.Timestamp, x.Value, x.Labels = d.Varint(), d.Float(), d.Bytes()
			c.Exemplars = append(c.Exemplars, x)
		case entryMetadata:
			m := metric.Metadata{Family: d.String(), Type: d.String(), Help: d.String(), Unit: d.String()}
			c.Metadata = append(c.Metadata, Metadata{tenant, m})
		case entryDeletion:
			x := Deletion{Tenant: tenant, Range: store.Range{Min: d.Varint(), Max: d.Varint()}, Sequence: d.Uvarint()}
			x.Matchers = d.Matchers()
			c.Deletions = append(c.Deletions, x)
		default:
			d.Fail()
		}
	}
	if d.Err() != nil {
		return nil, fmt.Errorf("%w: checkpoint: %w", ErrDamaged, d.Err())
	}
	return c, nil
}

// ReadCheckpoint reads a checkpoint file.
func ReadCheckpoint(name string) (*Checkpoint, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return DecodeCheckpoint(data)
}
