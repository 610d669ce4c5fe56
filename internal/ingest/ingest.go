// Package ingest is the write path after decoding: validate, append, account.
package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Request is one decoded write.
type Request struct {
	Tenant   tenancy.ID
	Protocol string // For metrics: remote_write_v1, remote_write_v2, native, self.
	Rules    *metric.Rules
	Batch    *metric.Batch      // Ingest takes out of it what the rules refuse.
	Rejected []metric.Rejection // What the decoder refused already.
}

// An Outcome says what became of a request.
type Outcome struct {
	Stored   metric.Counts
	Rejected []metric.Rejection // The decoder's, the rules' and the store's.
}

// A Pipeline takes decoded writes to a store. Its methods may be called concurrently.
type Pipeline struct {
	store   store.Store
	now     func() time.Time
	batches sync.Pool

	families families

	stored   *prometheus.CounterVec
	rejected *prometheus.CounterVec
	failed   *prometheus.CounterVec
}

// New returns a pipeline into st. Batches that it hands out identify series by hasher, which should be the store's.
func New(st store.Store, hasher metric.Hasher, now func() time.Time, reg prometheus.Registerer) *Pipeline {
	p := &Pipeline{
		store: st,
		now:   now,
		stored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_ingested_items_total",
			Help: "Samples, native histograms, exemplars and metadata that were stored.",
		}, []string{"protocol", "kind"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_rejected_items_total",
			Help: "Samples, native histograms, exemplars and metadata that were refused for good.",
		}, []string{"protocol", "reason"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_ingest_failed_requests_total",
			Help: "Write requests that the store could not take.",
		}, []string{"protocol"}),
	}
	p.batches.New = func() any { return metric.NewBatch(hasher) }
	reg.MustRegister(p.stored, p.rejected, p.failed)
	return p
}

// Batch hands out an empty batch. Give it back by Release.
func (p *Pipeline) Batch() *metric.Batch { return p.batches.Get().(*metric.Batch) }

// Release takes back a batch that Batch handed out. Nothing of it may be used afterwards.
func (p *Pipeline) Release(b *metric.Batch) {
	b.Reset()
	p.batches.Put(b)
}

// Ingest checks the request against its rules and appends what is left to the store. If err is nil, the outcome tells
// for every item whether it is stored, durably, or refused for good. If err is not nil, nothing is known and the whole
// request may be sent again; the outcome then holds no stored items.
func (p *Pipeline) Ingest(ctx context.Context, req Request) (Outcome, error) {
	out := Outcome{Rejected: join(req.Rejected, req.Rules.Apply(req.Batch, p.now()))}
	unwanted, err := p.families.admit(ctx, p.store, req.Tenant, req.Batch)
	if err != nil {
		p.failed.WithLabelValues(req.Protocol).Inc()
		return Outcome{Rejected: out.Rejected}, err
	}
	out.Rejected = join(out.Rejected, unwanted)
	stored := req.Batch.Counts()
	if stored.Total() > 0 {
		refused, err := p.store.Tenant(req.Tenant).Append(ctx, req.Batch)
		if err != nil {
			p.failed.WithLabelValues(req.Protocol).Inc()
			return Outcome{Rejected: out.Rejected}, fmt.Errorf("ingest: append: %w", err)
		}
		for _, r := range refused {
			stored.Sub(r.Lost)
		}
		out.Rejected = join(out.Rejected, refused)
	}
	out.Stored = stored
	p.account(req.Protocol, out)
	return out, nil
}

// join returns the elements of both lists. There may be millions, and mostly one list is empty.
func join(a, b []metric.Rejection) []metric.Rejection {
	if len(a) == 0 {
		return b
	}
	return append(a, b...)
}

func (p *Pipeline) account(protocol string, out Outcome) {
	for _, c := range [...]struct {
		kind string
		n    int
	}{
		{"sample", out.Stored.Samples},
		{"histogram", out.Stored.Histograms},
		{"exemplar", out.Stored.Exemplars},
		{"metadata", out.Stored.Metadata},
	} {
		if c.n > 0 {
			p.stored.WithLabelValues(protocol, c.kind).Add(float64(c.n))
		}
	}
	for _, r := range out.Rejected {
		p.rejected.WithLabelValues(protocol, string(r.Reason)).Add(float64(max(r.Lost.Total(), 1)))
	}
}
