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
	Chunks   uint64 // At least so many values with samples are in it: row groups, and chunks of histograms.
	Short    uint64 // How often a series has a part in a value that a rewrite may join with another one.
}

func (i Info) encode() []byte {
	b := binary.AppendUvarint([]byte{Version}, i.Sequence)
	b = binary.AppendUvarint(b, i.Series)
	b = binary.AppendUvarint(b, i.Chunks)
	return seal(binary.AppendUvarint(b, i.Short))
}

func decodeInfo(value []byte) (Info, error) {
	d, err := opened(value)
	if err != nil {
		return Info{}, err
	}
	i := Info{Sequence: d.Uvarint(), Series: d.Uvarint(), Chunks: d.Uvarint(), Short: d.Uvarint()}
	return i, complete(d)
}

// encodeCount is the value of a tenant's entry: how many series it has.
func encodeCount(n uint64) []byte { return seal(binary.AppendUvarint([]byte{Version}, n)) }

func decodeCount(value []byte) (uint64, error) {
	d, err := opened(value)
	if err != nil {
		return 0, err
	}
	n := d.Uvarint()
	return n, complete(d)
}

// encodeSeries is the value of a series: the flush that it came with, and its labels.
func encodeSeries(first uint64, canonical []byte) []byte {
	return seal(append(binary.AppendUvarint([]byte{Version}, first), canonical...))
}

// decodeSeries returns labels that point into value.
func decodeSeries(value []byte) (first uint64, canonical []byte, err error) {
	payload, err := unseal(value)
	if err != nil {
		return 0, nil, err
	}
	first, n := binary.Uvarint(payload)
	if n <= 0 {
		return 0, nil, fmt.Errorf("%w: malformed entry", store.ErrCorrupt)
	}
	return first, payload[n:], nil
}

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
