package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/tenancy"
)

// version is the first byte of each record.
const version = 1

// ErrVersion reports a record of a format that this program does not know: the log is of a newer one.
var ErrVersion = errors.New("wal: record of an unknown version: it was written by a newer program")

// A Kind says what a record is about.
type Kind byte

// The kinds of records.
const (
	KindBatch  Kind = 1 // Series with their items, and metadata, of one tenant.
	KindDelete Kind = 2
	KindExpire Kind = 3
)

// A Record is one record after decoding. Which field counts depends on Kind.
type Record struct {
	Kind   Kind
	Number uint64 // Records are numbered without gaps.

	Batch  Batch
	Delete Delete
	Expire int64 // All samples before it are gone.
}

// A Batch is a part of a write request.
type Batch struct {
	Generation uint64 // References to series are valid within one generation.
	Tenant     tenancy.ID
	Series     []Series
	Samples    []metric.Sample
	Histograms []metric.Histogram
	Exemplars  []metric.Exemplar
	Metadata   []metric.Metadata
}

// A Series is one series of a Batch, its items as spans of those of the batch.
type Series struct {
	Ref    uint64
	Labels []byte // Canonical; nil if an earlier record of the generation told them.

	Samples, Histograms, Exemplars metric.Span
}

// A Delete says what was deleted.
type Delete struct {
	Tenant   tenancy.ID
	Range    store.Range
	Matchers []*labels.Matcher
	Sequence uint64 // Chunks of later flushes are not affected.
}

// Flags of an entry of a batch record.
const (
	flagLabels     = 1 << iota // The labels follow.
	flagOne                    // One float and nothing else.
	flagStarts                 // Floats have start timestamps.
	flagHistograms             // Histograms follow.
	flagExemplars              // Exemplars follow.
	flagMetadata               // The entry is no series but metadata.

	flagsKnown = 1<<iota - 1
)

// Decode decodes b into r, whose memory is used again. Byte slices in r point into b. A record that can't be decoded is
// ErrVersion or codec.ErrMalformed.
func (r *Record) Decode(b []byte) error {
	if len(b) > 0 && b[0] != version {
		return fmt.Errorf("%w: version %d", ErrVersion, b[0])
	}
	d := codec.NewDecoder(b)
	d.Byte()
	r.Kind, r.Number = Kind(d.Byte()), d.Uvarint()
	switch r.Kind {
	case KindBatch:
		r.Batch.decode(d)
	case KindDelete:
		r.Delete = Delete{Tenant: tenancy.ID(d.Bytes()), Range: store.Range{Min: d.Varint(), Max: d.Varint()}, Sequence: d.Uvarint(), Matchers: d.Matchers()}
	case KindExpire:
		r.Expire = d.Varint()
	default:
		if d.Err() == nil {
			return fmt.Errorf("%w: kind %d", ErrVersion, r.Kind)
		}
	}
	if d.Err() == nil && d.Len() > 0 {
		d.Fail()
	}
	return d.Err()
}

// cursor holds what entries of a record are encoded as differences from.
type cursor struct {
	ref      uint64 // The one that is expected next.
	t, start int64
}

func (b *Batch) decode(d *codec.Decoder) {
	clear(b.Histograms)
	clear(b.Metadata)
	*b = Batch{
		Series: b.Series[:0], Samples: b.Samples[:0], Histograms: b.Histograms[:0],
		Exemplars: b.Exemplars[:0], Metadata: b.Metadata[:0],
	}
	b.Generation, b.Tenant = d.Uvarint(), tenancy.ID(d.Bytes())
	var c cursor
	for d.Len() > 0 {
		flags := d.Byte()
		switch {
		case flags&^flagsKnown != 0:
			d.Fail()
		case flags == flagMetadata:
			b.Metadata = append(b.Metadata, metric.Metadata{Family: d.String(), Type: d.String(), Help: d.String(), Unit: d.String()})
		case flags&flagMetadata != 0:
			d.Fail()
		default:
			b.decodeSeries(d, flags, &c)
		}
	}
}

func (b *Batch) decodeSeries(d *codec.Decoder, flags byte, c *cursor) {
	c.ref += uint64(d.Varint())
	s := Series{
		Ref:        c.ref,
		Samples:    metric.Span{Start: len(b.Samples)},
		Histograms: metric.Span{Start: len(b.Histograms)},
		Exemplars:  metric.Span{Start: len(b.Exemplars)},
	}
	c.ref++
	if flags&flagLabels != 0 {
		s.Labels = d.Bytes()
		if s.Labels == nil {
			s.Labels = []byte{}
		}
	}
	n := 1
	if flags&flagOne == 0 {
		n = d.Count(9)
	}
	for range n {
		b.Samples = append(b.Samples, metric.Sample{
			Timestamp: c.time(d), Start: c.startIf(d, flags&flagStarts != 0), Value: d.Float(),
		})
	}
	if flags&flagHistograms != 0 {
		for range d.Count(10) {
			h := metric.Histogram{Timestamp: c.time(d), Start: c.startIf(d, true)}
			h.Int, h.Float = d.Histogram()
			b.Histograms = append(b.Histograms, h)
		}
	}
	if flags&flagExemplars != 0 {
		for range d.Count(10) {
			b.Exemplars = append(b.Exemplars, metric.Exemplar{Timestamp: c.time(d), Value: d.Float(), Labels: d.Bytes()})
		}
	}
	s.Samples.End, s.Histograms.End, s.Exemplars.End = len(b.Samples), len(b.Histograms), len(b.Exemplars)
	b.Series = append(b.Series, s)
}

func (c *cursor) time(d *codec.Decoder) int64 {
	c.t += d.Varint()
	return c.t
}

func (c *cursor) startIf(d *codec.Decoder, present bool) int64 {
	if !present {
		return 0
	}
	c.start += d.Varint()
	return c.start
}

func (c *cursor) appendTime(dst []byte, t int64) []byte {
	dst = binary.AppendVarint(dst, t-c.t)
	c.t = t
	return dst
}

func (c *cursor) appendStart(dst []byte, start int64) []byte {
	dst = binary.AppendVarint(dst, start-c.start)
	c.start = start
	return dst
}
