package load

import (
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/test/client"
)

// Sentinel is the metric whose last sample is the last one that a connection sends in a window. Its value is the number
// of the window.
const Sentinel = "load_sentinel"

// perTarget is the number of series of one target: 100 request counters with a customer, 72 histogram buckets with 6
// counts and 6 sums, 41 gauges and 25 constants.
const perTarget = 250

// A Fleet is a set of targets whose series are all sent at each interval, those of one target one after another, as a
// Prometheus sends them. What it sends is a function of its fields alone. Counts must be positive.
type Fleet struct {
	Series      int // That are active at once. The last target may be a part of one.
	Interval    time.Duration
	Churn       float64 // Share of the series that are replaced by new ones at each interval, from 0 to 1.
	Connections int     // Each sends its own part of the series.
	Batch       int     // Samples in a request: one of each of so many series.
	Protocol    client.Protocol
}

// A Body is a request that is ready to be sent.
type Body struct {
	Path    string
	Header  http.Header
	Data    []byte
	Samples int
}

// A Window is what a fleet sends in a stretch of time, by connection and in order.
type Window struct {
	Number   int
	End      time.Time // Of the last samples.
	Requests [][]Body
	Samples  int
	Bytes    int64 // Of the bodies as they are sent.
}

// A Generator makes the windows of a fleet, one after another.
type Generator struct {
	fleet  Fleet
	shards []*shard
	window int
	round  int // Intervals that lie behind.
}

// NewGenerator returns a generator at the beginning.
func NewGenerator(f Fleet) *Generator {
	g := &Generator{fleet: f}
	for c := range f.Connections {
		first, end := c*f.Series/f.Connections, (c+1)*f.Series/f.Connections
		g.shards = append(g.shards, &shard{fleet: f, connection: c, first: first, series: make([]series, end-first)})
	}
	return g
}

// Next makes the window of the next rounds, whose last samples lie at end.
func (g *Generator) Next(rounds int, end time.Time) (*Window, error) {
	w := &Window{Number: g.window, End: end, Requests: make([][]Body, len(g.shards))}
	failures := make([]error, len(g.shards))
	var wg sync.WaitGroup
	for i, s := range g.shards {
		wg.Go(func() { w.Requests[i], failures[i] = s.window(w, g.round, rounds) })
	}
	wg.Wait()
	for i, err := range failures {
		if err != nil {
			return nil, fmt.Errorf("load: make window %d: %w", w.Number, err)
		}
		for _, b := range w.Requests[i] {
			w.Samples += b.Samples
			w.Bytes += int64(len(b.Data))
		}
	}
	g.window++
	g.round += rounds
	runtime.GC() // What made the window is no part of what is measured next.
	return w, nil
}

// A shard is the part of one connection.
type shard struct {
	fleet      Fleet
	connection int
	first      int // Number of the first of its series.
	series     []series
}

type series struct {
	labels     labels.Labels
	generation int
	value      float64
}

func (s *shard) window(w *Window, from, rounds int) ([]Body, error) {
	var out []Body
	batch := make([]client.Series, 0, s.fleet.Batch+1)
	points := make([]client.Sample, len(s.series))
	emit := func() error {
		path, header, data, err := client.Encode(s.fleet.Protocol, batch)
		out = append(out, Body{path, header, data, len(batch)})
		batch = batch[:0]
		return err
	}
	for r := range rounds {
		ts := w.End.Add(-time.Duration(rounds-1-r) * s.fleet.Interval).UnixMilli()
		for i := range s.series {
			x := &s.series[i]
			s.step(x, s.first+i, from+r)
			points[i] = client.Sample{T: ts, V: x.value}
			batch = append(batch, client.Series{Labels: x.labels, Samples: points[i : i+1]})
			if last := i == len(s.series)-1; last || len(batch) == s.fleet.Batch {
				if last && r == rounds-1 {
					batch = append(batch, client.One(ts, float64(w.Number), labels.MetricName, Sentinel, "connection", strconv.Itoa(s.connection)))
				}
				if err := emit(); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// step moves the n-th series on to a round.
func (s *shard) step(x *series, n, round int) {
	generation := 0
	if s.fleet.Churn > 0 {
		life := max(1, int(math.Round(1/s.fleet.Churn)))
		generation = (round + n*7) / life // Not all at once.
	}
	fresh := x.labels.IsEmpty()
	if fresh || generation != x.generation {
		x.labels, x.generation = s.fleet.labels(n, generation), generation
	}
	x.value = value(n, round, x.value, fresh)
}

// labels names the n-th series: those of a request of a service, of a container, and of a target, eleven at most.
func (f Fleet) labels(n, generation int) labels.Labels {
	target, j := n/perTarget, n%perTarget
	job := fmt.Sprintf("service-%02d", target*7%20)
	pairs := []string{
		"cluster", [...]string{"eu-west-1a", "us-east-1b", "ap-south-1c"}[target%3],
		"instance", fmt.Sprintf("10.%d.%d.%d:8080", target>>14&255, target>>7&127, target&127),
		"job", job,
		"namespace", fmt.Sprintf("team-%02d", target%40),
		"pod", fmt.Sprintf("%s-%08x-%05d", job, uint32(mix(uint64(target), uint64(generation))), target),
	}
	path := func(k int) string {
		return [...]string{"/api/v1/orders", "/api/v1/users/:id", "/healthz", "/api/v1/cart/items", "/api/v1/search", "/login"}[k]
	}
	switch {
	case j < 100:
		customer := mix(uint64(n), 3) % uint64(max(1, f.Series/4))
		pairs = append(pairs, labels.MetricName, "http_requests_total", "container", "app", "path", path(j%5),
			"method", [...]string{"GET", "POST", "PUT", "DELETE"}[j/5%4], "status", [...]string{"200", "201", "404", "429", "500"}[j/20],
			"customer_id", fmt.Sprintf("cust-%08d", customer))
	case j < 172:
		le := [...]string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}[(j-100)%12]
		pairs = append(pairs, labels.MetricName, "http_request_duration_seconds_bucket", "path", path((j-100)/12), "le", le)
	case j < 178:
		pairs = append(pairs, labels.MetricName, "http_request_duration_seconds_count", "path", path(j-172))
	case j < 184:
		pairs = append(pairs, labels.MetricName, "http_request_duration_seconds_sum", "path", path(j-178))
	case j < 225:
		name := [...]string{"container_memory_working_set_bytes", "container_cpu_usage_ratio", "queue_depth", "go_goroutines", "node_temperature_celsius"}[j%5]
		pairs = append(pairs, labels.MetricName, name, "container", "app", "device", "dev-"+strconv.Itoa((j-184)/5))
	default:
		pairs = append(pairs, labels.MetricName, "kube_pod_container_resource_limits", "container", "app", "resource", "res-"+strconv.Itoa(j-225), "unit", "byte")
	}
	return labels.FromStrings(pairs...)
}

// value returns what the n-th series shows in a round, after what it showed in the one before.
func value(n, round int, before float64, fresh bool) float64 {
	target, j := uint64(n/perTarget), n%perTarget
	own, now := mix(uint64(n), 5), mix(uint64(n), uint64(round)+1000)
	switch {
	case j < 100: // Counters of very different speed; three in ten stand still.
		switch {
		case fresh:
			return float64(own % 1_000_000)
		case own%10 < 3:
			return before
		}
		return before + math.Floor(math.Exp(unit(mix(own, 1))*7)*(0.7+0.6*unit(now)))
	case j < 178: // Buckets of the same observations, and their count.
		k, which := (j-100)%12, (j-100)/12
		if j >= 172 {
			k, which = 11, j-172
		}
		share := 1 - math.Exp(-math.Pow(float64(k+1)/4.2, 1.8))
		if k == 11 {
			share = 1
		}
		return before + math.Floor(observations(target, which, round)*share)
	case j < 184:
		return before + math.Floor(observations(target, j-178, round)*1e6*(0.08+0.04*unit(now)))/1e6
	case j < 225:
		return gauge(j%5, own, now, round, before, fresh)
	default:
		return float64((own%64 + 1) << 26)
	}
}

func observations(target uint64, path, round int) float64 {
	return math.Floor(20 + 80*unit(mix(target*6+uint64(path), uint64(round)+31)))
}

func gauge(kind int, own, now uint64, round int, before float64, fresh bool) float64 {
	switch {
	case kind == 0 && fresh:
		return float64(own%4_000_000) * 4096
	case kind == 0:
		return math.Max(0, before+(float64(now%2001)-1000)*4096)
	case kind == 1:
		return math.Round((0.3+0.2*unit(own)+0.1*unit(now))*1e4) / 1e4
	case kind == 2 && now%3 != 0:
		return before
	case kind == 2:
		return float64(now >> 8 % 50)
	case kind == 3 && fresh:
		return float64(50 + own%400)
	case kind == 3:
		return math.Max(1, before+float64(now%11)-5)
	default:
		return math.Round((40+20*math.Sin(float64(round)/40+float64(own%7))+unit(now))*10) / 10
	}
}

// mix is two rounds of splitmix64: random enough, and the same everywhere.
func mix(a, b uint64) uint64 {
	x := a
	for _, y := range [...]uint64{b, 0} {
		x += 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x = x ^ x>>31 ^ y
	}
	return x
}

// unit makes a number from 0 to 1 of random bits.
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }
