package badger

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"

	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// digest sums up what a partition holds, every bit of it, so that a copy can be compared with what it was made from.
type digest struct {
	seed    maphash.Seed
	sum     maphash.Hash
	buffer  []byte
	series  int
	samples int
}

func newDigest() *digest {
	d := &digest{seed: maphash.MakeSeed()}
	d.sum.SetSeed(d.seed)
	return d
}

// again returns an empty digest that can be compared with d.
func (d *digest) again() *digest {
	next := &digest{seed: d.seed}
	next.sum.SetSeed(d.seed)
	return next
}

// add takes in a series. The order counts.
func (d *digest) add(tenant tenancy.ID, canonical []byte, floats rowgroup.Column, histograms series.Run) {
	d.series++
	d.samples += len(floats.Timestamps) + len(histograms)
	b := codec.AppendBytes(d.buffer[:0], []byte(tenant))
	b = codec.AppendBytes(b, canonical)
	b = binary.AppendUvarint(b, uint64(len(floats.Timestamps)))
	for i, t := range floats.Timestamps {
		b = binary.LittleEndian.AppendUint64(b, uint64(t))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(floats.Values[i]))
	}
	// Starts that are all 0 are no starts.
	for i, t := range floats.Starts {
		if t != 0 {
			b = binary.AppendUvarint(b, uint64(i))
			b = binary.LittleEndian.AppendUint64(b, uint64(t))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(histograms)))
	for i := range histograms {
		s := &histograms[i]
		b = binary.LittleEndian.AppendUint64(b, uint64(s.Timestamp))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.Start))
		b = codec.AppendHistogram(b, s.Int, s.Float)
	}
	_, _ = d.sum.Write(b) // It has no errors.
	d.buffer = b
}

func (d *digest) equal(other *digest) bool {
	return d.series == other.series && d.samples == other.samples && d.sum.Sum64() == other.sum.Sum64()
}

func (d *digest) String() string {
	return fmt.Sprintf("%d series with %d samples (%016x)", d.series, d.samples, d.sum.Sum64())
}
