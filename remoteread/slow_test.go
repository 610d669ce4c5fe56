package remoteread_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/remoteread"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// pipes is a listener without a network, so that no buffer of a kernel hides a slow client and time can be made up.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { close(p.closed); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// slowRig is the endpoint behind a server whose own patience is one hour.
type slowRig struct {
	t     *testing.T
	pipes *pipes
}

func newSlowRig(t *testing.T, o remoteread.Options) *slowRig {
	t.Helper()
	r := &slowRig{t, &pipes{make(chan net.Conn), make(chan struct{})}}
	server := &http.Server{WriteTimeout: time.Hour}
	remoteread.New(o).Register(func(_, _ string, _ tenancy.Scopes, h http.Handler) { server.Handler = authenticate(h) })
	ended := make(chan error)
	go func() { ended <- server.Serve(r.pipes) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return r
}

// ask sends a request and returns the connection, from which nothing was read.
func (r *slowRig) ask(types []prompb.ReadRequest_ResponseType) net.Conn {
	r.t.Helper()
	ours, theirs := net.Pipe()
	r.t.Cleanup(func() { _ = ours.Close() })
	r.pipes.conns <- theirs
	body := pack(r.t, &prompb.ReadRequest{AcceptedResponseTypes: types, Queries: []*prompb.Query{query(0, 1e12, all())}})
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://server/api/v1/read", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := req.Write(ours); err != nil {
		r.t.Fatal(err)
	}
	return ours
}

// answered reads an answer at a pace: a pause before every so many bytes. It returns how many came, and whether all did.
func answered(t *testing.T, c net.Conn, every int64, pause time.Duration) (n int64, whole bool) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	for {
		time.Sleep(pause)
		got, err := io.CopyN(io.Discard, resp.Body, every)
		n += got
		if err != nil {
			return n, errors.Is(err, io.EOF)
		}
	}
}

// someMiB is a source of both forms of answer with more than a MiB.
func someMiB(t *testing.T) remoteread.Source {
	t.Helper()
	st := memory.New(memory.Options{})
	t.Cleanup(func() { _ = st.Close() })
	r := &rig{t: t, store: st}
	b := r.batch([]string{"__name__", "long"})
	for i := range int64(400_000) {
		b.AddSample(metric.Sample{Timestamp: i * 1000, Value: 1 / float64(i+1)})
	}
	r.append(team, b)
	return scoped{st}
}

// TestASlowClientLosesItsTurn has a client that takes nothing, in both forms, and another one that waits for its turn.
func TestASlowClientLosesItsTurn(t *testing.T) {
	for name, types := range map[string][]prompb.ReadRequest_ResponseType{"samples": inSamples, "chunks": inChunks} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newSlowRig(t, remoteread.Options{Source: someMiB(t), MaxConcurrent: 1, MaxWait: time.Hour, MaxStall: 10 * time.Second})
				slow := r.ask(types)
				synctest.Wait()
				began := time.Now()
				if n, whole := answered(t, r.ask(types), 1<<30, 0); !whole || n < 1<<20 {
					t.Errorf("the other client got %d bytes, all of them: %t", n, whole)
				}
				if waited := time.Since(began); waited != 10*time.Second {
					t.Errorf("the other client waited %v for its turn, want 10s", waited)
				}
				if n, whole := answered(t, slow, 1<<30, 0); whole {
					t.Errorf("the slow client got a whole answer of %d bytes", n)
				}
			})
		})
	}
}

// TestPatience has clients that take a little now and then.
func TestPatience(t *testing.T) {
	for name, c := range map[string]struct {
		most  time.Duration // For the whole answer.
		pause time.Duration // Before each 256 KiB.
		whole bool
	}{
		"steady":           {0, 2 * time.Second, true},
		"too slow":         {0, 4 * time.Second, false},
		"too long":         {15 * time.Second, 2 * time.Second, false},
		"within its limit": {time.Minute, 2 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newSlowRig(t, remoteread.Options{Source: someMiB(t), MaxStall: 10 * time.Second, MaxAnswer: c.most})
				if n, whole := answered(t, r.ask(inSamples), 256<<10, c.pause); whole != c.whole {
					t.Errorf("%d bytes came, all of them: %t", n, whole)
				}
			})
		})
	}
}

// TestTheNextAnswerHasItsOwnTime asks again on the same connection, long after the first answer.
func TestTheNextAnswerHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSlowRig(t, remoteread.Options{Source: set{nil, &chunkSets{chunk: chunkenc.NewXORChunk(), series: 1}}})
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				r.pipes.conns <- theirs
				return ours, nil
			},
		}}
		defer client.CloseIdleConnections()
		body := pack(t, &prompb.ReadRequest{AcceptedResponseTypes: inChunks, Queries: []*prompb.Query{query(0, 1)}})
		for range 2 {
			resp, err := client.Post("http://server/api/v1/read", "", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Body.Close() != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestAClientThatHangsUpStopsTheWork hangs up while the server waits for it.
func TestAClientThatHangsUpStopsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		sets := &chunkSets{chunk: chunkenc.NewXORChunk(), series: 1 << 60, ended: make(chan struct{}), onNext: func(n int) { read.Store(int64(n)) }}
		r := newSlowRig(t, remoteread.Options{Source: set{nil, sets}})
		began := time.Now()
		c := r.ask(inChunks)
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		<-sets.ended
		if took := time.Since(began); took != 0 {
			t.Errorf("reading went on for %v", took)
		}
		if n := read.Load(); n > 1000 {
			t.Errorf("%d series were read for a client that took none", n)
		}
	})
}
