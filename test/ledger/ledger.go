// Package ledger knows every sample that a test sent and which of them were acknowledged, and holds a server to it.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/test/client"
)

// Day is the span that lies between the samples of writers that write for different days.
const Day = 24 * time.Hour

// A Ledger is of one tenant. Its methods may be called concurrently.
type Ledger struct {
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

// New returns an empty ledger of a tenant. Its samples begin three days ago.
func New(tenant string) *Ledger {
	return &Ledger{tenant: tenant, base: time.Now().Add(-3 * Day).UnixMilli(), sent: map[string]map[int64]entry{}}
}

// Base is the time of the first sample in milliseconds.
func (l *Ledger) Base() int64 { return l.base }

// note writes the samples of the series down, before they are sent and once more when they were acknowledged.
func (l *Ledger) note(series []client.Series, acked bool) {
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

// Acknowledged is the number of samples that the server has acknowledged.
func (l *Ledger) Acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// A Report says how a server's answer differs from the ledger.
type Report struct {
	Acknowledged int // How many samples should be there.
	Found        int // How many samples are there.

	Lost     []Difference // Acknowledged, but not there.
	Wrong    []Difference // There with a value that was never sent for this time.
	Invented []Difference // There, but never sent; Got is 0 for a series that only the index names.
	Twice    []Difference // There more than once.
}

// A Difference is one sample.
type Difference struct {
	Series    string
	T         int64 // Milliseconds.
	Sent, Got float64
}

// Err is nil if nothing differs.
func (r *Report) Err() error {
	var errs []error
	for _, kind := range []struct {
		name string
		list []Difference
	}{{"lost", r.Lost}, {"wrong", r.Wrong}, {"invented", r.Invented}, {"twice there", r.Twice}} {
		if len(kind.list) > 0 {
			errs = append(errs, fmt.Errorf("%d samples are %s, the first one: %+v", len(kind.list), kind.name, kind.list[0]))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("of %d acknowledged samples %d are there: %w", r.Acknowledged, r.Found, errors.Join(errs...))
}

// Verify reads everything back: what was acknowledged is there, and nothing is there that was not sent.
func (l *Ledger) Verify(ctx context.Context, base string) error {
	r, err := l.Compare(ctx, base)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return fmt.Errorf("tenant %s: %w", l.tenant, err)
	}
	return nil
}

// Compare reads everything back. No writer may run meanwhile.
func (l *Ledger) Compare(ctx context.Context, base string) (*Report, error) {
	c := client.New(base, l.tenant)
	defer c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.UnixMilli(l.base).Add(4 * Day)
	reply, err := c.Query(ctx, `{__name__=~".+"}[5d]`, at)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	streams, err := reply.Streams()
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	r := &Report{Acknowledged: l.acked}
	got := map[string]map[int64]bool{}
	for _, s := range streams {
		key := labels.FromMap(s.Metric).String()
		got[key] = make(map[int64]bool, len(s.Values))
		l.compareSeries(key, s.Values, got[key], r)
	}
	for key, samples := range l.sent {
		for ts, e := range samples {
			if e.acked && !got[key][ts] {
				r.Lost = append(r.Lost, Difference{Series: key, T: ts, Sent: e.value})
			}
		}
	}
	return r, l.compareIndex(ctx, c, r)
}

func (l *Ledger) compareSeries(key string, values []client.Point, got map[int64]bool, r *Report) {
	for _, p := range values {
		e, sent := l.sent[key][p.T]
		d := Difference{Series: key, T: p.T, Sent: e.value, Got: p.V}
		switch {
		case got[p.T]:
			r.Twice = append(r.Twice, d)
		case !sent:
			r.Invented = append(r.Invented, d)
		case e.value != p.V:
			r.Wrong = append(r.Wrong, d)
		}
		got[p.T] = true
		r.Found++
	}
}

// compareIndex looks for series that were never sent.
func (l *Ledger) compareIndex(ctx context.Context, c *client.Client, r *Report) error {
	reply, err := c.Get(ctx, "/api/v1/series", url.Values{"match[]": {`{__name__=~".+"}`}})
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	var answer struct {
		Data []map[string]string `json:"data"`
	}
	if err := json.Unmarshal(reply.Body, &answer); err != nil || !reply.OK() {
		return fmt.Errorf("ledger: series: %v: %w", reply, err)
	}
	for _, s := range answer.Data {
		if key := labels.FromMap(s).String(); l.sent[key] == nil {
			r.Invented = append(r.Invented, Difference{Series: key})
		}
	}
	return nil
}
