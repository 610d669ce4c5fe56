package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/test/client"
)

const ledgerMetric = "ledger_value"

// A ledger knows every sample that was ever sent for one tenant, and which of them the server has acknowledged.
type ledger struct {
	tenant string
	base   int64 // Milliseconds of the first sample.

	mu    sync.Mutex
	sent  map[string]map[int64]entry // By series and time.
	acked int
}

type entry struct {
	value float64
	acked bool
}

func newLedger(tenant string) *ledger {
	return &ledger{
		tenant: tenant,
		base:   time.Now().Add(-3 * 24 * time.Hour).UnixMilli(),
		sent:   map[string]map[int64]entry{},
	}
}

// note writes the samples of the series down, before they are sent and once more when they were acknowledged.
func (l *ledger) note(series []client.Series, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range series {
		key := s.Labels.String()
		if l.sent[key] == nil {
			l.sent[key] = map[int64]entry{}
		}
		for _, v := range s.Samples {
			old := l.sent[key][v.T]
			l.sent[key][v.T] = entry{v.V, acked || old.acked}
			if acked && !old.acked {
				l.acked++
			}
		}
	}
}

func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// verify reads everything back: what was acknowledged is there, and nothing is there that was not sent.
func (l *ledger) verify(t *testing.T, base string) {
	t.Helper()
	c := newClient(t, base, l.tenant)
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.UnixMilli(l.base).Add(4 * 24 * time.Hour)
	got := map[string]map[int64]float64{}
	reply := must(t)(c.Query(t.Context(), `{__name__=~".+"}[5d]`, at))
	streams, err := reply.Streams()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		key := labels.FromMap(s.Metric).String()
		got[key] = map[int64]float64{}
		for _, p := range s.Values {
			if _, twice := got[key][p.T]; twice {
				t.Fatalf("tenant %s: %s has two samples at %d", l.tenant, key, p.T)
			}
			got[key][p.T] = p.V
			if e, ok := l.sent[key][p.T]; !ok || e.value != p.V {
				t.Fatalf("tenant %s: invented: %s has %v at %d; sent was %+v (%v)", l.tenant, key, p.V, p.T, e, ok)
			}
		}
	}
	for key, samples := range l.sent {
		for ts, e := range samples {
			if v, ok := got[key][ts]; e.acked && (!ok || v != e.value) {
				t.Fatalf("tenant %s: lost: %s at %d was acknowledged with %v, but is %v (%v); it has %d of %d samples",
					l.tenant, key, ts, e.value, v, ok, len(got[key]), len(samples))
			}
		}
	}
	l.verifySeries(t, c)
}

// verifySeries checks that the index names no series that was not sent.
func (l *ledger) verifySeries(t *testing.T, c *client.Client) {
	t.Helper()
	reply := must(t)(c.Get(t.Context(), "/api/v1/series", url.Values{"match[]": {`{__name__=~".+"}`}}))
	var answer struct {
		Data []map[string]string `json:"data"`
	}
	if err := json.Unmarshal(reply.Body, &answer); err != nil {
		t.Fatalf("%v: %v", reply, err)
	}
	for _, s := range answer.Data {
		if key := labels.FromMap(s).String(); l.sent[key] == nil {
			t.Fatalf("tenant %s: the index names a series that was never sent: %s", l.tenant, key)
		}
	}
}

// A writer sends batches one after another. Each has samples of some series, one of them new now and then; now and then
// it is older than the one before. A batch without an answer is sent again, as Prometheus does.
type writer struct {
	ledger   *ledger
	number   int
	protocol client.Protocol
	sequence int64
	unsure   []client.Series // The last batch, if nobody knows whether it was stored.
}

// writers returns two writers for each protocol, in turns for each ledger.
func writers(ledgers ...*ledger) []*writer {
	var out []*writer
	for i := range 2 {
		for _, p := range client.Protocols() {
			n := len(out)
			out = append(out, &writer{ledger: ledgers[(n+i)%len(ledgers)], number: n, protocol: p})
		}
	}
	return out
}

func (w *writer) batch() []client.Series {
	var out []client.Series
	for i := range 4 {
		w.sequence++
		number := i
		if i == 3 {
			number += int(w.sequence / 100) // A new series every 25 batches.
		}
		// Steps of 10 ms, some writers a day later; every fifth batch comes later than the 20 after it, so it is out of
		// order.
		ts := w.ledger.base + int64(w.number%3)*24*time.Hour.Milliseconds() + 10*w.sequence
		if w.sequence/4%5 == 4 {
			ts -= 1005
		}
		s := client.Series{Labels: labels.FromStrings(
			labels.MetricName, ledgerMetric, "protocol", w.protocol.String(),
			"series", strconv.Itoa(number), "writer", strconv.Itoa(w.number),
		)}
		for j := range int64(3) {
			s.Samples = append(s.Samples, client.Sample{T: ts + j, V: float64(int64(w.number)*1e12 + w.sequence*10 + j)})
		}
		out = append(out, s)
	}
	return out
}

// run sends batches until ctx ends or the server is gone.
func (w *writer) run(ctx context.Context, base string) error {
	c := client.New(base, w.ledger.tenant)
	defer c.Close()
	for ctx.Err() == nil {
		batch := w.unsure
		if batch == nil {
			batch = w.batch()
			w.ledger.note(batch, false)
		}
		w.unsure = batch
		reply, err := c.Write(ctx, w.protocol, batch...)
		switch {
		case err != nil:
			return nil // The server is gone, or ctx has ended.
		case reply.OK():
			w.ledger.note(batch, true)
			w.unsure = nil
		case reply.Status != http.StatusServiceUnavailable:
			return fmt.Errorf("writer %d, %v: %v", w.number, w.protocol, reply)
		}
	}
	return nil
}

// load runs the writers against a server until stop is called, which waits for them.
func load(t *testing.T, all []*writer, base string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() {
			if err := w.run(ctx, base); err != nil {
				t.Error(err)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// waitAcknowledged waits until that many more samples than before are acknowledged, or a writer has failed.
func waitAcknowledged(t *testing.T, more int, ledgers ...*ledger) {
	t.Helper()
	count := func() (n int) {
		for _, l := range ledgers {
			n += l.acknowledged()
		}
		return n
	}
	before := count()
	eventually(t, time.Minute, func(context.Context) error {
		if n := count() - before; n < more && !t.Failed() {
			return fmt.Errorf("%d samples acknowledged: want %d", n, more)
		}
		return nil
	})
}
