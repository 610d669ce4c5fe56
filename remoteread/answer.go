package remoteread

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/http"
	"slices"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	tsdbchunks "github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/internal/reading"
	"github.com/luminate-metrics/luminate/store"
)

// An answer is the response to one request.
type answer struct {
	w         http.ResponseWriter
	client    patience
	form      form
	began     bool // Something was written.
	unflushed int

	frame   []byte
	message []byte
	series  prompb.ChunkedSeries
}

// samples answers with all samples in one message, which is sent only when it is whole.
func (a *answer) samples(ctx context.Context, tenant store.Tenant, queries []query, e *encoder) error {
	for _, q := range queries {
		if err := e.query(ctx, tenant, q); err != nil {
			return err
		}
	}
	if snappy.MaxEncodedLen(len(e.response)) < 0 {
		return problem.New(problem.Invalid, "the answer is too long for one message: ask for STREAMED_XOR_CHUNKS, fewer series or a shorter range")
	}
	h := a.w.Header()
	h.Set("Content-Type", "application/x-protobuf")
	h.Set("Content-Encoding", "snappy")
	a.began = true
	if err := a.client.write(a.w, snappy.Encode(nil, e.response)); err != nil {
		return err
	}
	return a.client.done()
}

// An encoder builds a ReadResponse message. Only the series at hand is there in another form.
type encoder struct {
	response, result []byte
	series           prompb.TimeSeries // Labels and histograms of the series at hand.
	floats           []byte            // Its samples, as they stand in the message.
	it               chunkenc.Iterator
	left, limit      int64 // Samples.
	held             *reading.Hold
}

// tagFirst is the tag of field 1 with a length-delimited content, as QueryResult stands in ReadResponse and TimeSeries in
// QueryResult.
const tagFirst = 1<<3 | 2

// query adds the result of one query.
func (e *encoder) query(ctx context.Context, tenant store.Tenant, q query) (err error) {
	e.result = e.result[:0]
	if q.Min <= q.Max {
		err = e.results(ctx, tenant, q)
	}
	if err != nil {
		return err
	}
	e.response = append(e.response, tagFirst)
	e.response = binary.AppendUvarint(e.response, uint64(len(e.result)))
	e.response = append(e.response, e.result...)
	return nil
}

func (e *encoder) results(ctx context.Context, tenant store.Tenant, q query) (err error) {
	reader, err := tenant.Reader(q.Range)
	if err != nil {
		return fmt.Errorf("remoteread: open: %w", err)
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	set := reader.Select(ctx, q.Selection)
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		series := set.At()
		e.series.Labels = prompb.FromLabels(series.Labels(), e.series.Labels)
		e.it = series.Iterator(e.it)
		before := e.left
		if err := e.items(ctx); err != nil {
			return err
		}
		if err := e.held.Add(before - e.left); err != nil {
			return err
		}
		if err := e.add(); err != nil {
			return err
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("remoteread: select: %w", err)
	}
	return nil
}

// items fills e.series and e.floats with what e.it has.
func (e *encoder) items(ctx context.Context) error {
	s := &e.series
	s.Histograms, e.floats = s.Histograms[:0], e.floats[:0]
	for typ := e.it.Next(); typ != chunkenc.ValNone; typ = e.it.Next() {
		if e.left--; e.left < 0 {
			return &problem.Error{
				Of:     problem.Invalid,
				Detail: fmt.Sprintf("exceeded sample limit (%d): ask for a shorter range, fewer series or a streamed answer, or raise remote_read.max_samples", e.limit),
				Limit:  &problem.Limit{Name: "remote read samples", Max: e.limit, Observed: e.limit + 1, Setting: "remote_read.max_samples"},
			}
		}
		switch typ {
		case chunkenc.ValFloat:
			e.floats = appendSample(e.floats, e.it)
		case chunkenc.ValHistogram:
			t, h := e.it.AtHistogram(nil)
			s.Histograms = append(s.Histograms, prompb.FromIntHistogram(t, h))
		case chunkenc.ValFloatHistogram:
			t, h := e.it.AtFloatHistogram(nil)
			s.Histograms = append(s.Histograms, prompb.FromFloatHistogram(t, h))
		case chunkenc.ValNone: // Ends the loop.
		}
		// A long series must not outlive its client.
		if e.left&0xffff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := e.it.Err(); err != nil {
		return fmt.Errorf("remoteread: read series: %w", err)
	}
	return nil
}

// add adds the series at hand to the result.
func (e *encoder) add() error {
	n := e.series.Size()
	e.result = append(e.result, tagFirst)
	e.result = binary.AppendUvarint(e.result, uint64(n+len(e.floats)))
	e.result = slices.Grow(e.result, n)[:len(e.result)+n]
	if _, err := e.series.MarshalToSizedBuffer(e.result[len(e.result)-n:]); err != nil {
		return fmt.Errorf("remoteread: encode: %w", err)
	}
	e.result = append(e.result, e.floats...)
	return nil
}

// appendSample appends the current float sample as field 2 of a TimeSeries. Other than generated code it does not leave
// out values that equal zero, and so keeps the sign of a negative zero.
func appendSample(dst []byte, it chunkenc.Iterator) []byte {
	const tagSample, tagValue, tagTimestamp = 2<<3 | 2, 1<<3 | 1, 2 << 3
	t, v := it.At()
	var b [2 + 1 + 8 + 1 + binary.MaxVarintLen64]byte
	msg := append(b[:2], tagValue)
	msg = binary.LittleEndian.AppendUint64(msg, math.Float64bits(v))
	msg = append(msg, tagTimestamp)
	msg = binary.AppendUvarint(msg, uint64(t))
	msg[0], msg[1] = tagSample, byte(len(msg)-2) // At most 20.
	return append(dst, msg...)
}

// flushEvery is how many bytes of frames may wait for company on their way to the client.
const flushEvery = 256 << 10

// castagnoli is the polynomial of the checksums of frames.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stream answers with a stream of frames, each with chunks of one series.
func (a *answer) stream(ctx context.Context, tenant store.Tenant, queries []query, maxFrame int) error {
	// Other than the media type's parameters may be, this text is compared as a prefix by clients.
	a.w.Header().Set("Content-Type", "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
	for i, q := range queries {
		if q.Min > q.Max {
			continue
		}
		if err := a.streamQuery(ctx, tenant, q, frames{query: int64(i), maxBytes: maxFrame}); err != nil {
			return err
		}
	}
	a.began = true
	return a.client.done()
}

// frames says how the frames of a query are made.
type frames struct {
	query    int64 // Its index in the request.
	maxBytes int
}

func (a *answer) streamQuery(ctx context.Context, tenant store.Tenant, q query, f frames) (err error) {
	reader, err := tenant.Reader(q.Range)
	if err != nil {
		return fmt.Errorf("remoteread: open: %w", err)
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	q.Sorted = true
	set := reader.SelectChunks(ctx, q.Selection)
	var it tsdbchunks.Iterator
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		series := set.At()
		it = series.Iterator(it)
		if err := a.streamSeries(series.Labels(), it, f); err != nil {
			return err
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("remoteread: select chunks: %w", err)
	}
	return nil
}

func (a *answer) streamSeries(ls labels.Labels, it tsdbchunks.Iterator, f frames) error {
	s := &a.series
	s.Labels = prompb.FromLabels(ls, s.Labels)
	head := 0
	for i := range s.Labels {
		head += s.Labels[i].Size()
	}
	s.Chunks = s.Chunks[:0]
	size := head
	for it.Next() {
		meta := it.At()
		if meta.Chunk == nil {
			return fmt.Errorf("remoteread: series %s has an empty chunk", ls)
		}
		switch meta.Chunk.Encoding() {
		case chunkenc.EncXOR, chunkenc.EncHistogram, chunkenc.EncFloatHistogram:
		default: // Clients that are some years old do not know more.
			return fmt.Errorf("remoteread: series %s has a chunk of encoding %s", ls, meta.Chunk.Encoding())
		}
		c := prompb.Chunk{
			MinTimeMs: meta.MinTime, MaxTimeMs: meta.MaxTime,
			Type: prompb.Chunk_Encoding(meta.Chunk.Encoding()), Data: meta.Chunk.Bytes(),
		}
		// A frame that holds no chunk yet takes one of any size.
		n := c.Size()
		if size += n; size > f.maxBytes && len(s.Chunks) > 0 {
			if err := a.writeFrame(f.query); err != nil {
				return err
			}
			size = head + n
		}
		s.Chunks = append(s.Chunks, c)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("remoteread: read chunks: %w", err)
	}
	if len(s.Chunks) == 0 {
		return nil
	}
	return a.writeFrame(f.query)
}

// writeFrame sends the series at hand: the length of the message as uvarint, its checksum in big endian, the message.
func (a *answer) writeFrame(index int64) error {
	pb := prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{&a.series}, QueryIndex: index}
	n := pb.Size()
	a.message = slices.Grow(a.message[:0], n)[:n]
	if _, err := pb.MarshalToSizedBuffer(a.message); err != nil {
		return fmt.Errorf("remoteread: encode: %w", err)
	}
	a.frame = binary.AppendUvarint(a.frame[:0], uint64(n))
	a.frame = binary.BigEndian.AppendUint32(a.frame, crc32.Checksum(a.message, castagnoli))
	a.began = true
	a.series.Chunks = a.series.Chunks[:0]
	for _, b := range [...][]byte{a.frame, a.message} {
		if err := a.client.write(a.w, b); err != nil {
			return err
		}
	}
	if a.unflushed += len(a.frame) + n; a.unflushed >= flushEvery {
		a.unflushed = 0
		return a.client.flush()
	}
	return nil
}
