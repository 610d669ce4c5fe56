package remoteread_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/remoteread"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A frame is one message of a stream.
type frame struct {
	prompb.ChunkedReadResponse
	size int // Of the message.
}

// frames takes a stream apart and checks what holds for all of them.
func (a reply) frames(t *testing.T) []frame {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse" ||
		a.header.Get("Content-Encoding") != "" {
		t.Fatalf("status %d, headers %v, body %q", a.status, a.header, a.body)
	}
	return split(t, a.body)
}

func split(t *testing.T, b []byte) (out []frame) {
	t.Helper()
	for len(b) > 0 {
		n, w := binary.Uvarint(b)
		if w <= 0 || uint64(len(b)-w) < n+4 {
			t.Fatalf("frame %d is cut off", len(out))
		}
		sum, data := binary.BigEndian.Uint32(b[w:]), b[w+4:w+4+int(n)]
		b = b[w+4+int(n):]
		if got := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)); got != sum {
			t.Fatalf("frame %d has the checksum %08x, want %08x", len(out), sum, got)
		}
		f := frame{size: int(n)}
		if err := proto.Unmarshal(data, &f.ChunkedReadResponse); err != nil {
			t.Fatal(err)
		}
		if len(f.ChunkedSeries) != 1 {
			t.Fatalf("frame %d has %d series, want 1", len(out), len(f.ChunkedSeries))
		}
		out = append(out, f)
	}
	return out
}

// samples decodes the chunks of a frame.
func (f frame) samples(t *testing.T) (out []string) {
	t.Helper()
	ls := labelText(f.ChunkedSeries[0].Labels)
	for _, c := range f.ChunkedSeries[0].Chunks {
		chk, err := chunkenc.FromData(chunkenc.Encoding(c.Type), c.Data)
		if err != nil {
			t.Fatal(err)
		}
		it := chk.Iterator(nil)
		var first, last int64
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			last = it.AtT()
			if first == 0 {
				first = last
			}
			switch typ {
			case chunkenc.ValFloat:
				_, v := it.At()
				out = append(out, fmt.Sprintf("%s %d %s", ls, last, valueText(v)))
			case chunkenc.ValHistogram:
				_, h := it.AtHistogram(nil)
				out = append(out, fmt.Sprintf("%s %d int %s", ls, last, histogramText(h)))
			case chunkenc.ValFloatHistogram:
				_, h := it.AtFloatHistogram(nil)
				out = append(out, fmt.Sprintf("%s %d float %s", ls, last, h))
			}
		}
		if it.Err() != nil || c.MinTimeMs != first || c.MaxTimeMs != last {
			t.Errorf("%s: chunk says [%d, %d], holds [%d, %d], error %v", ls, c.MinTimeMs, c.MaxTimeMs, first, last, it.Err())
		}
	}
	return out
}

func TestR4Stream(t *testing.T) {
	r := newRig(t)
	r.fill()
	frames := r.ask(inChunks, query(0, 9999, all()), query(0, 9999, eq("job", "none")), query(0, 9999, eq("job", "a"))).frames(t)
	var got []string
	for _, f := range frames {
		got = append(got, fmt.Sprintf("query %d", f.QueryIndex))
		got = append(got, f.samples(t)...)
	}
	want := []string{
		"query 0", // Series come in the order of labels.
		"__name__=latency 1000 int " + histogramText(integerHistogram()),
		`__name__=latency 2000 int {count:0, sum:NaN} 0x7ff0000000000002`,
		"__name__=latency 3000 float " + customHistogram().String(),
		"__name__=latency 4000 4",
		"query 0",
	}
	for i, v := range special() {
		want = append(want, fmt.Sprintf("__name__=special %d %s", (i+1)*1000, valueText(v)))
	}
	want = append(want, "query 0", "__name__=up,job=a 1000 4", "__name__=up,job=a 2000 5",
		"query 0", "__name__=up,job=b 1000 1", "__name__=up,job=b 2000 2", "__name__=up,job=b 3000 3",
		"query 2", "__name__=up,job=a 1000 4", "__name__=up,job=a 2000 5")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

func TestR4FramesAreSplit(t *testing.T) {
	values := make([]float64, 5000)
	for i := range values {
		values[i] = 1 / float64(i+1) // Hard to compress.
	}
	const limit = 8 << 10
	r := newRig(t, func(o *remoteread.Options) { o.MaxFrame = limit })
	r.put([]string{"__name__", "long"}, values...)
	r.put([]string{"__name__", "short"}, 1)
	frames := r.ask(inChunks, query(0, 1e9, all())).frames(t)
	if len(frames) < 4 {
		t.Fatalf("%d frames, want more", len(frames))
	}
	samples, biggest := 0, 0
	for i, f := range frames {
		if f.size > limit+16 {
			t.Errorf("frame %d has %d bytes, the limit is %d", i, f.size, limit)
		}
		if name := f.ChunkedSeries[0].Labels[0].Value; (name == "short") != (i == len(frames)-1) {
			t.Errorf("frame %d is of series %s", i, name)
		}
		samples += len(f.samples(t))
		biggest = max(biggest, f.size)
	}
	if samples != len(values)+1 {
		t.Errorf("%d samples, want %d", samples, len(values)+1)
	}
	if biggest < limit/2 {
		t.Errorf("the biggest frame has %d bytes of %d allowed", biggest, limit)
	}
	// One chunk is never cut, however small the limit is.
	r = newRig(t, func(o *remoteread.Options) { o.MaxFrame = 1 })
	r.put([]string{"__name__", "long"}, values...)
	for i, f := range r.ask(inChunks, query(0, 1e9, all())).frames(t) {
		if n := len(f.ChunkedSeries[0].Chunks); n != 1 {
			t.Errorf("frame %d has %d chunks, want 1", i, n)
		}
	}
	if remoteread.DefaultMaxFrame != 1<<20 {
		t.Errorf("the default limit of frames is %d, want 1 MiB", remoteread.DefaultMaxFrame)
	}
}

func TestR5Encodings(t *testing.T) {
	r := newRig(t)
	r.fill()
	var kinds []prompb.Chunk_Encoding
	for _, f := range r.ask(inChunks, query(0, 9999, all())).frames(t) {
		for _, c := range f.ChunkedSeries[0].Chunks {
			kinds = append(kinds, c.Type)
		}
	}
	slices.Sort(kinds)
	if got, want := slices.Compact(kinds), []prompb.Chunk_Encoding{prompb.Chunk_XOR, prompb.Chunk_HISTOGRAM, prompb.Chunk_FLOAT_HISTOGRAM}; !slices.Equal(got, want) {
		t.Errorf("encodings %v, want %v", got, want)
	}
	// What clients do not know is an error, not a chunk.
	sets := &chunkSets{chunk: newer{chunkenc.NewXORChunk()}, series: 1}
	r = newRig(t, func(o *remoteread.Options) { o.Source = set{o.Source, sets} })
	r.ask(inChunks, query(0, 1)).is(t, 500, "internal error")
	if !sets.sorted.Load() {
		t.Error("the store was not asked for the order of labels, which streams must have")
	}
}

// A stream that can't be finished breaks off, so that nobody takes it for whole.
func TestR4BrokenStream(t *testing.T) {
	r := newRig(t, func(o *remoteread.Options) {
		o.Source = set{o.Source, &chunkSets{chunk: chunkenc.NewXORChunk(), series: 3, err: errors.New("disk on fire")}}
	})
	resp, err := r.http.Post(r.base+"/api/v1/read", "", strings.NewReader(string(pack(t, &prompb.ReadRequest{
		AcceptedResponseTypes: inChunks, Queries: []*prompb.Query{query(0, 1)},
	}))))
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Error("the client saw a whole answer")
	}
}

func TestR8ConcurrencyGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := &chunkSets{hold: make(chan struct{})}
		api := remoteread.New(remoteread.Options{Source: set{nil, busy}, MaxConcurrent: 2, MaxWait: time.Minute})
		var handler http.Handler
		api.Register(func(_, _ string, _ tenancy.Scopes, h http.Handler) { handler = authenticate(h) })
		body := string(pack(t, &prompb.ReadRequest{AcceptedResponseTypes: inChunks, Queries: []*prompb.Query{query(0, 1)}}))
		ask := func(ctx context.Context) chan int {
			done := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/read", strings.NewReader(body))
				if err != nil {
					t.Error(err)
				}
				handler.ServeHTTP(w, req)
				done <- w.Code
			}()
			synctest.Wait()
			return done
		}
		first, second := ask(t.Context()), ask(t.Context())
		third := ask(t.Context())
		if busy.running.Load() != 2 {
			t.Errorf("%d run at once, want 2", busy.running.Load())
		}
		time.Sleep(30 * time.Second)
		busy.hold <- struct{}{} // One ends, the third takes its turn.
		synctest.Wait()
		if busy.running.Load() != 2 || len(first)+len(second) != 1 {
			t.Errorf("%d run, %d have ended, want 2 and 1", busy.running.Load(), len(first)+len(second))
		}
		// A fourth waits in vain, a fifth goes away.
		ctx, cancel := context.WithCancel(t.Context())
		fourth, fifth := ask(t.Context()), ask(ctx)
		cancel()
		if code := <-fifth; code != 499 {
			t.Errorf("client gone: status %d, want 499", code)
		}
		if code := <-fourth; code != http.StatusServiceUnavailable {
			t.Errorf("no turn: status %d, want 503", code)
		}
		close(busy.hold)
		for _, done := range []chan int{first, second, third} {
			if code := <-done; code != http.StatusOK {
				t.Errorf("status %d, want 200", code)
			}
		}
	})
	if remoteread.DefaultMaxConcurrent != 10 {
		t.Errorf("%d run at once by default, want 10", remoteread.DefaultMaxConcurrent)
	}
}

// Reading ends when the client goes away.
func TestR8ClientGone(t *testing.T) {
	endless := &chunkSets{chunk: chunkenc.NewXORChunk(), series: 1 << 60, ended: make(chan struct{})}
	r := newRig(t, func(o *remoteread.Options) { o.Source = set{o.Source, endless} })
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+"/api/v1/read", strings.NewReader(string(pack(t, &prompb.ReadRequest{
		AcceptedResponseTypes: inChunks, Queries: []*prompb.Query{query(0, 1)},
	}))))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-endless.ended
}

// The same if nothing tells the writer that the client is gone.
func TestR8Canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	read := 0
	sets := &chunkSets{chunk: chunkenc.NewXORChunk(), series: 1000, onNext: func(n int) {
		if read = n; n == 10 {
			cancel()
		}
	}}
	remoteread.New(remoteread.Options{Source: set{nil, sets}}).Register(func(_, _ string, _ tenancy.Scopes, h http.Handler) {
		body := pack(t, &prompb.ReadRequest{AcceptedResponseTypes: inChunks, Queries: []*prompb.Query{query(0, 1)}})
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/read", bytes.NewReader(body))
		defer func() {
			if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // The server compares as well.
				t.Errorf("the handler ended with %v, want the connection to break off", got)
			}
		}()
		authenticate(h).ServeHTTP(httptest.NewRecorder(), req)
	})
	if read != 10 {
		t.Errorf("%d series were read, want 10", read)
	}
}

// newer is a chunk of an encoding that old clients do not know.
type newer struct{ chunkenc.Chunk }

func (newer) Encoding() chunkenc.Encoding { return chunkenc.EncXOR2 }

// broken is a source whose reads fail.
type broken struct {
	remoteread.Source
	err error
}

func (b broken) Tenant(id tenancy.ID) store.Tenant { return brokenTenant{b.Source.Tenant(id), b.err} }

type brokenTenant struct {
	store.Tenant
	err error
}

func (b brokenTenant) Reader(store.Range) (store.Reader, error) { return brokenReader{err: b.err}, nil }

type brokenReader struct {
	store.Reader
	err error
}

func (b brokenReader) Close() error { return nil }
func (b brokenReader) Select(context.Context, store.Selection) storage.SeriesSet {
	return storage.ErrSeriesSet(b.err)
}

func (b brokenReader) SelectChunks(context.Context, store.Selection) storage.ChunkSeriesSet {
	return storage.ErrChunkSeriesSet(b.err)
}

// set is a source whose readers give the series of chunkSets.
type set struct {
	remoteread.Source
	sets *chunkSets
}

func (s set) Tenant(tenancy.ID) store.Tenant { return setTenant{sets: s.sets} }

type setTenant struct {
	store.Tenant
	sets *chunkSets
}

func (s setTenant) Reader(store.Range) (store.Reader, error) { return setReader{sets: s.sets}, nil }

type setReader struct {
	store.Reader
	sets *chunkSets
}

func (s setReader) Close() error {
	if s.sets.ended != nil {
		close(s.sets.ended)
	}
	return nil
}

func (s setReader) SelectChunks(_ context.Context, sel store.Selection) storage.ChunkSeriesSet {
	s.sets.sorted.Store(sel.Sorted)
	return &chunkSet{sets: s.sets}
}

// chunkSet gives so many series with one chunk each, and then err.
type chunkSet struct {
	sets *chunkSets
	at   int
}

func (s *chunkSet) Next() bool {
	if s.sets.hold != nil {
		s.sets.running.Add(1)
		<-s.sets.hold
		s.sets.running.Add(-1)
	}
	s.at++
	if s.sets.onNext != nil {
		s.sets.onNext(s.at)
	}
	return s.at <= s.sets.series
}

func (s *chunkSet) At() storage.ChunkSeries {
	return &storage.ChunkSeriesEntry{
		Lset: labels.FromStrings("__name__", fmt.Sprintf("series_%09d", s.at)),
		ChunkIteratorFn: func(chunks.Iterator) chunks.Iterator {
			return storage.NewListChunkSeriesIterator(chunks.Meta{Chunk: s.sets.chunk})
		},
	}
}

func (s *chunkSet) Err() error { return s.sets.err }

func (s *chunkSet) Warnings() annotations.Annotations { return nil }

// chunkSets says what the sets of a source hold.
type chunkSets struct {
	chunk   chunkenc.Chunk
	series  int
	err     error
	hold    chan struct{} // Each Next waits for it.
	running atomic.Int64  // How many wait.
	ended   chan struct{} // Closed with the reader.
	onNext  func(n int)
	sorted  atomic.Bool // What the last selection said.
}
