package partition

import (
	"encoding/binary"
	"fmt"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/codec"
)

// Info is what a partition knows about itself.
type Info struct {
	Sequence uint64 // The last flush that was written to it completely.
	Series   uint64 // At least so many series are in it.
	Chunks   uint64 // At least so many chunks are in it.
}

func (i Info) encode() []byte {
	b := binary.AppendUvarint([]byte{version}, i.Sequence)
	b = binary.AppendUvarint(b, i.Series)
	return seal(binary.AppendUvarint(b, i.Chunks))
}

func decodeInfo(value []byte) (Info, error) {
	d, err := opened(value)
	if err != nil {
		return Info{}, err
	}
	i := Info{Sequence: d.Uvarint(), Series: d.Uvarint(), Chunks: d.Uvarint()}
	return i, complete(d)
}

// census counts what a partition holds of a series. It is written together with the chunks that it counts.
type census struct {
	chunks      uint64
	samples     uint64 // Replaced ones included.
	min, max    int64  // Time range of the samples.
	first, last uint64 // Sequences of the first and last flush that wrote to it.
}

func (c census) encode() []byte {
	b := binary.AppendUvarint([]byte{version}, c.chunks)
	b = binary.AppendUvarint(b, c.samples)
	b = binary.AppendVarint(b, c.min)
	b = binary.AppendVarint(b, c.max)
	b = binary.AppendUvarint(b, c.first)
	return seal(binary.AppendUvarint(b, c.last))
}

func decodeCensus(value []byte) (census, error) {
	d, err := opened(value)
	if err != nil {
		return census{}, err
	}
	c := census{chunks: d.Uvarint(), samples: d.Uvarint(), min: d.Varint(), max: d.Varint(), first: d.Uvarint(), last: d.Uvarint()}
	return c, complete(d)
}

// encodeCount is the value of a tenant's entry: how many series it has.
func encodeCount(n uint64) []byte { return seal(binary.AppendUvarint([]byte{version}, n)) }

func decodeCount(value []byte) (uint64, error) {
	d, err := opened(value)
	if err != nil {
		return 0, err
	}
	n := d.Uvarint()
	return n, complete(d)
}

func encodeLabels(canonical []byte) []byte { return seal(append([]byte{version}, canonical...)) }

func opened(value []byte) (*codec.Decoder, error) {
	payload, err := unseal(value)
	if err != nil {
		return nil, err
	}
	return codec.NewDecoder(payload), nil
}

func complete(d *codec.Decoder) error {
	if d.Err() != nil || d.Len() > 0 {
		return fmt.Errorf("%w: malformed entry", store.ErrCorrupt)
	}
	return nil
}
