package index

import (
	"context"
	"encoding/binary"
	"hash/maphash"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/codec"
)

// Verify reads all pages, and compares the labels of the series with the index of them.
func (s *Segment) Verify(ctx context.Context) error {
	seed := maphash.MakeSeed()
	inLabels, err := s.sumLabels(ctx, seed)
	if err != nil {
		return err
	}
	inPostings, err := s.sumPostings(ctx, seed)
	if err != nil {
		return err
	}
	if inLabels != inPostings {
		return malformed("segment, in which labels and postings differ,")
	}
	return nil
}

// sumOf stands for one label of one series. The sum of all does not depend on their order.
func sumOf(seed maphash.Seed, buffer []byte, series uint32, name int, value []byte) (uint64, []byte) {
	buffer = binary.LittleEndian.AppendUint32(buffer[:0], series)
	buffer = binary.LittleEndian.AppendUint32(buffer, uint32(name))
	buffer = append(buffer, value...)
	return maphash.Bytes(seed, buffer), buffer
}

func (s *Segment) sumLabels(ctx context.Context, seed maphash.Seed) (sum uint64, err error) {
	var hashes []uint32
	if s.Hashes() {
		if err := s.Hashed(func(_, hash uint32) { hashes = append(hashes, hash) }); err != nil {
			return 0, err
		}
	}
	var canonical, buffer []byte
	for i := range uint32(s.series) {
		if i%1024 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if canonical, err = s.AppendCanonical(canonical[:0], i); err != nil {
			return 0, err
		}
		if hashes != nil && hashes[i] != HashOf(canonical) {
			return 0, malformed("segment, in which a hash differs from the labels,")
		}
		it := metric.Labels(canonical)
		for it.Next() {
			var one uint64
			one, buffer = sumOf(seed, buffer, i, s.name(string(it.Name())), it.Value())
			sum += one
		}
	}
	return sum, nil
}

func (s *Segment) sumPostings(ctx context.Context, seed maphash.Seed) (sum uint64, err error) {
	var buffer []byte
	at := 0 // The name.
	for p := range s.pages {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		texts, err := s.texts(p)
		if err != nil {
			return 0, err
		}
		if err := s.load(kindPostings, p); err != nil {
			return 0, err
		}
		d := codec.NewDecoder(s.raw)
		for i, text := range texts {
			for s.names[at].end <= s.pages[p].first+i {
				at++
			}
			eachRun(d, s.series, func(first, last uint32) {
				for i := first; i <= last; i++ {
					var one uint64
					one, buffer = sumOf(seed, buffer, i, at, []byte(text))
					sum += one
				}
			})
			if d.Err() != nil {
				return 0, malformed("page of postings")
			}
		}
		if d.Len() > 0 {
			return 0, malformed("page of postings")
		}
	}
	return sum, nil
}
