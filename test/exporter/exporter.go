// Package exporter is a scrape target that shows every kind of series that Prometheus knows, the odd ones included.
//
// What it answers depends only on how often it was scraped and on its clock, so that a failure can be repeated.
package exporter

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ResetEvery is the number of scrapes after which the counters and histograms that reset begin again at their first
// value.
const ResetEvery = 12

// An Exporter answers scrapes. Its methods may be called at the same time.
type Exporter struct {
	now     func() time.Time
	started time.Time
	scrapes atomic.Int64
	hidden  atomic.Bool
	handler http.Handler
}

// New returns an exporter that was never scraped. A nil clock is time.Now.
func New(now func() time.Time) *Exporter {
	if now == nil {
		now = time.Now
	}
	e := &Exporter{now: now, started: now()}
	registry := prometheus.NewRegistry()
	registry.MustRegister(e)
	e.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	return e
}

// ServeHTTP answers one scrape, in the format that the client asks for.
func (e *Exporter) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }

// Scrapes returns how many scrapes were answered.
func (e *Exporter) Scrapes() int64 { return e.scrapes.Load() }

// Hide makes the series exporter_goes_away disappear from the next scrape on, or come back.
func (e *Exporter) Hide(hide bool) { e.hidden.Store(hide) }

// Describe sends nothing: the series that an exporter has change from scrape to scrape.
func (*Exporter) Describe(chan<- *prometheus.Desc) {}

// Collect answers one scrape.
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	s := &scrape{out: ch, n: e.scrapes.Add(1), now: e.now(), started: e.started, hidden: e.hidden.Load()}
	s.counters()
	s.gauges()
	s.names()
	s.histograms()
}
