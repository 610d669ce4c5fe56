package faults_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/load"
	"github.com/luminate-metrics/luminate/test/process"
)

const (
	soakMetric  = "soak_value"
	soakTenant  = "soak"
	shardSeries = 500 // Series of a shard, and samples of a request.
	churn       = 10  // One of that many series is replaced in the course of the soak.
)

// A soakWriter writes one shard after another. What it writes follows from the pass and the number of the series, so
// that nothing has to be remembered.
type soakWriter struct {
	plan   soak
	client *client.Client
	base   int64           // Milliseconds of the first pass.
	took   []time.Duration // By request.
	late   time.Duration
	failures
}

func newSoakWriter(plan soak, base string) *soakWriter {
	return &soakWriter{
		plan: plan, client: client.New(base, soakTenant), base: time.Now().UnixMilli(),
		took: make([]time.Duration, plan.passes()*plan.shards()),
	}
}

func (w *soakWriter) close() { w.client.Close() }

// write sends a sample of each series of a shard.
func (w *soakWriter) write(ctx context.Context, request int) {
	pass, shard := request/w.plan.shards(), request%w.plan.shards()
	protocols := client.Protocols()
	began := time.Now()
	reply, err := w.client.Write(ctx, protocols[shard%len(protocols)], w.batch(shard, pass)...)
	if err == nil && !reply.OK() {
		err = errors.New(tail(reply.String(), 500))
	}
	w.took[request] = time.Since(began)
	if err != nil {
		w.add(fmt.Errorf("shard %d, pass %d: %w", shard, pass, err))
	}
}

func (w *soakWriter) batch(shard, pass int) []client.Series {
	out := make([]client.Series, 0, shardSeries)
	for i := range shardSeries {
		out = append(out, client.Series{
			Labels:  seriesOf(shard, i, w.generation(shard, i, pass)),
			Samples: []client.Sample{{T: w.at(pass), V: valueOf(i, pass)}},
		})
	}
	return out
}

func seriesOf(shard, i, generation int) labels.Labels {
	return labels.FromStrings(
		labels.MetricName, soakMetric, "instance", fmt.Sprintf("host-%d:%d", shard, 9000+generation),
		"path", "/api/v1/resource/"+strconv.Itoa(i%10), "pod", fmt.Sprintf("pod-%d-%d-%d", shard, i/10, generation),
		"shard", strconv.Itoa(shard),
	)
}

// valueOf is a number whose sums are exact.
func valueOf(i, pass int) float64 { return float64(pass*1000 + i) }

// at is the time of a pass.
func (w *soakWriter) at(pass int) int64 { return w.base + int64(pass)*w.plan.interval.Milliseconds() }

// generation is 1 once a series was replaced: that happens to pods, one after another, evenly over the soak.
func (w *soakWriter) generation(shard, i, pass int) int {
	const pods = shardSeries / 10
	pod := i / 10 * 7 % pods
	if pod < pods/churn && pass*pods/churn*w.plan.shards() > (pod*w.plan.shards()+shard)*w.plan.passes() {
		return 1
	}
	return 0
}

// samples is how many were written.
func (w *soakWriter) samples() int { return w.plan.passes() * w.plan.series }

// everSeries is how many series have been there.
func (w *soakWriter) everSeries() (n int) {
	for shard := range w.plan.shards() {
		for i := range shardSeries {
			n += 1 + w.generation(shard, i, w.plan.passes()-1)
		}
	}
	return n
}

// String says how the writes went.
func (w *soakWriter) String() string {
	slices.Sort(w.took)
	return fmt.Sprintf("%d samples in %d requests: p50 %v, p99 %v, max %v; at most %v late", w.samples(), len(w.took),
		load.Quantile(w.took, 0.5), load.Quantile(w.took, 0.99), load.Quantile(w.took, 1), w.late.Round(time.Millisecond))
}

// verify wants all samples to be there: the count and the sum of each shard, and each sample of some shards.
func (w *soakWriter) verify(t *testing.T, server *process.Process) {
	t.Helper()
	c := client.New(server.URL(), soakTenant)
	defer c.Close()
	last := w.plan.passes() - 1
	span := fmt.Sprintf("[%dms]", w.at(last)-w.base+1)
	for function, want := range w.expected() {
		got := w.ask(t, c, "sum by (shard) ("+function+"("+soakMetric+span+"))", last)
		if len(got) != w.plan.shards() {
			t.Errorf("%s: %d shards: want %d", function, len(got), w.plan.shards())
		}
		for _, s := range got {
			if s.Value == nil || s.Value.V != want {
				t.Errorf("%s of shard %s: %v: want %v", function, s.Metric["shard"], s.Value, want)
			}
		}
	}
	for shard := 0; shard < w.plan.shards(); shard += max(1, w.plan.shards()/9) {
		w.verifyShard(t, shard, w.ask(t, c, fmt.Sprintf(`%s{shard="%d"}%s`, soakMetric, shard, span), last))
	}
}

// expected is the count and the sum of all samples of a shard.
func (w *soakWriter) expected() map[string]float64 {
	count, sum := 0.0, 0.0
	for pass := range w.plan.passes() {
		for i := range shardSeries {
			count, sum = count+1, sum+valueOf(i, pass)
		}
	}
	return map[string]float64{"count_over_time": count, "sum_over_time": sum}
}

func (w *soakWriter) ask(t *testing.T, c *client.Client, query string, pass int) []client.Stream {
	t.Helper()
	reply, err := c.Query(t.Context(), query, time.UnixMilli(w.at(pass)))
	if err != nil {
		t.Fatal(err)
	}
	streams, err := reply.Streams()
	if err != nil {
		t.Fatal(tail(err.Error(), 500))
	}
	return streams
}

// verifyShard wants exactly the samples that were sent.
func (w *soakWriter) verifyShard(t *testing.T, shard int, got []client.Stream) {
	t.Helper()
	want := map[string][]client.Point{}
	for pass := range w.plan.passes() {
		for i := range shardSeries {
			key := seriesOf(shard, i, w.generation(shard, i, pass)).String()
			want[key] = append(want[key], client.Point{T: w.at(pass), V: valueOf(i, pass)})
		}
	}
	if len(got) != len(want) {
		t.Errorf("shard %d: %d series: want %d", shard, len(got), len(want))
	}
	bad := 0
	for _, s := range got {
		if key := labels.FromMap(s.Metric).String(); !slices.Equal(s.Values, want[key]) {
			if bad++; bad == 1 {
				t.Errorf("%s: %d samples %v: want %d: %v", key, len(s.Values), s.Values, len(want[key]), want[key])
			}
		}
	}
	if bad > 1 {
		t.Errorf("shard %d: %d series differ", shard, bad)
	}
}
