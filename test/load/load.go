// Package load is a generator of writes: several writers, three protocols, and how long the answers took.
package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/test/client"
)

// Metric is the name of the series that are written.
const Metric = "load_value"

// Options say what to write. All counts must be positive.
type Options struct {
	Base     string // Root of the server.
	Tenant   string
	Writers  int       // Clients that write at once. They take turns with the protocols.
	Series   int       // Series of each writer.
	Batch    int       // Samples in a request.
	Requests int       // Requests of each writer.
	Rate     float64   // Requests a second of all writers together; 0 is as fast as the answers come.
	Start    time.Time // Time of the first sample of each series; the others follow a second apart.
}

// A Report says what came of it.
type Report struct {
	Samples   int // Acknowledged.
	Failures  int // Requests without a 2xx.
	Elapsed   time.Duration
	Latencies map[client.Protocol][]time.Duration // Of the acknowledged requests, sorted.
}

// Run writes until all requests are answered or ctx ends. The report is there even if the error, which holds the first
// failure of each writer, is not nil.
func Run(ctx context.Context, o Options) (*Report, error) {
	var tokens <-chan time.Time
	if o.Rate > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / o.Rate))
		defer ticker.Stop()
		tokens = ticker.C
	}
	r := &Report{Latencies: map[client.Protocol][]time.Duration{}}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		failures []error
	)
	began := time.Now()
	for i := range o.Writers {
		protocols := client.Protocols()
		w := &writer{options: o, number: i, protocol: protocols[i%len(protocols)], tokens: tokens}
		wg.Go(func() {
			err := w.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, err)
			r.Samples += w.samples
			r.Failures += w.failures
			r.Latencies[w.protocol] = append(r.Latencies[w.protocol], w.latencies...)
		})
	}
	wg.Wait()
	r.Elapsed = time.Since(began)
	for _, l := range r.Latencies {
		slices.Sort(l)
	}
	return r, errors.Join(failures...)
}

type writer struct {
	options   Options
	number    int
	protocol  client.Protocol
	tokens    <-chan time.Time
	sequence  int // Samples made so far.
	samples   int
	failures  int
	latencies []time.Duration
}

func (w *writer) run(ctx context.Context) error {
	c := client.New(w.options.Base, w.options.Tenant)
	defer c.Close()
	var first error
	for range w.options.Requests {
		if w.tokens != nil {
			select {
			case <-w.tokens:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return errors.Join(first, ctx.Err())
		}
		if err := w.send(ctx, c); err != nil {
			w.failures++
			if first == nil {
				first = fmt.Errorf("load: writer %d, %v: %w", w.number, w.protocol, err)
			}
		}
	}
	return first
}

func (w *writer) send(ctx context.Context, c *client.Client) error {
	path, header, body, err := client.Encode(w.protocol, w.batch())
	if err != nil {
		return err
	}
	began := time.Now()
	reply, err := c.Do(ctx, "POST", path, header, body)
	if err != nil {
		return err
	}
	if !reply.OK() {
		return errors.New(reply.String())
	}
	w.latencies = append(w.latencies, time.Since(began))
	w.samples += w.options.Batch
	return nil
}

// batch returns the next samples: one of each series in turn, as a scrape has them.
func (w *writer) batch() []client.Series {
	out := make([]client.Series, 0, w.options.Batch)
	for range w.options.Batch {
		number, pass := w.sequence%w.options.Series, w.sequence/w.options.Series
		w.sequence++
		ts := w.options.Start.Add(time.Duration(pass) * time.Second).UnixMilli()
		out = append(out, client.Series{
			Labels: labels.FromStrings(
				labels.MetricName, Metric, "path", "/api/v1/resource/"+strconv.Itoa(number%50),
				"pod", "pod-"+strconv.Itoa(number/50), "writer", strconv.Itoa(w.number),
			),
			Samples: []client.Sample{{T: ts, V: float64(pass)}},
		})
	}
	return out
}

// String is a table for people.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d samples acknowledged in %v (%.0f a second), %d requests failed\n",
		r.Samples, r.Elapsed.Round(time.Millisecond), float64(r.Samples)/r.Elapsed.Seconds(), r.Failures)
	fmt.Fprintf(&b, "%-18s %9s %9s %9s %9s %9s\n", "protocol", "requests", "p50", "p95", "p99", "max")
	for _, p := range client.Protocols() {
		l := r.Latencies[p]
		if len(l) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%-18v %9d %9v %9v %9v %9v\n", p, len(l),
			Quantile(l, 0.5), Quantile(l, 0.95), Quantile(l, 0.99), Quantile(l, 1))
	}
	return b.String()
}

// Quantile returns the least of the sorted values that a share q of them does not exceed, in microseconds' precision.
// It is 0 if there are none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := max(0, min(len(sorted)-1, int(q*float64(len(sorted))+0.999999)-1))
	return sorted[i].Round(time.Microsecond)
}
