package active_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// podSeries is the number of series of one target of the fleet.
const podSeries = 250

// fleet is the series of a fleet of services as one scrape after the other shows them: 11 labels each on average.
type fleet struct {
	labels []byte
	ends   []int
	values []float64
	round  int64
	pairs  int
}

func newFleet(n int) *fleet { return newFleetFrom(0, n) }

// newFleetFrom returns series from another place in an endless fleet.
func newFleetFrom(first, n int) *fleet {
	f := &fleet{values: make([]float64, n)}
	for i := range n {
		f.add(first + i)
		f.values[i] = float64(mixed(uint64(i)) % 1_000_000)
	}
	return f
}

func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (f *fleet) add(i int) {
	pod, j := i/podSeries, i%podSeries
	job := pod % 20
	var name, container, customer, device, le, method, path, resource, status string
	paths := []string{"/api/v1/orders", "/api/v1/users/:id", "/healthz", "/api/v1/cart/items", "/api/v1/search", "/login"}
	switch {
	case j < 100:
		name, container = "http_requests_total", "app"
		customer = fmt.Sprintf("cust-%08d", mixed(uint64(i))%250_000)
		path, method, status = paths[j%5], []string{"GET", "POST", "PUT", "DELETE"}[j/5%4], []string{"200", "201", "404", "429", "500"}[j/20]
	case j < 172:
		name, path = "http_request_duration_seconds_bucket", paths[(j-100)/12]
		le = []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}[(j-100)%12]
	case j < 184:
		name, path = []string{"http_request_duration_seconds_count", "http_request_duration_seconds_sum"}[j%2], paths[(j-172)/2]
	case j < 225:
		name, container = []string{"container_memory_working_set_bytes", "queue_depth", "go_goroutines"}[j%3], "app"
		device = fmt.Sprintf("dev-%d", j/3)
	default:
		name, container, resource = "kube_pod_container_resource_limits", "istio-proxy", fmt.Sprintf("res-%d", j)
	}
	for _, l := range [][2]string{
		{"__name__", name},
		{"cluster", []string{"eu-west-1a", "us-east-1b", "ap-south-1c"}[pod%3]},
		{"container", container},
		{"customer_id", customer},
		{"device", device},
		{"env", "production"},
		{"instance", fmt.Sprintf("10.%d.%d.%d:8080", pod>>14&255, pod>>7&127, pod&127)},
		{"job", fmt.Sprintf("service-%02d", job)},
		{"le", le},
		{"method", method},
		{"namespace", fmt.Sprintf("team-%02d", pod%40)},
		{"node", fmt.Sprintf("ip-10-%d-%d.compute.internal", pod/30>>8, pod/30&255)},
		{"path", path},
		{"pod", fmt.Sprintf("service-%02d-%08x-%05d", job, uint32(mixed(uint64(pod))), pod)},
		{"resource", resource},
		{"status", status},
	} {
		if l[1] != "" {
			f.labels = metric.AppendLabel(f.labels, l[0], l[1])
			f.pairs++
		}
	}
	f.ends = append(f.ends, len(f.labels))
}

func (f *fleet) of(i int) []byte {
	if i == 0 {
		return f.labels[:f.ends[0]]
	}
	return f.labels[f.ends[i-1]:f.ends[i]]
}

// sample returns the next sample of a series. Counters grow, gauges have few decimals, limits stay.
func (f *fleet) sample(i int) metric.Sample {
	h := mixed(uint64(i)*31 + uint64(f.round))
	j := i % podSeries
	v := f.values[i]
	switch {
	case j < 100:
		if mixed(uint64(i))%10 >= 3 {
			v += float64(h % 300)
		}
	case j < 184:
		v += float64(h % 80)
	case j < 205:
		v = math.Round(float64(h%10_000)) / 100
	case j < 225:
		v = float64(h % 50)
	}
	f.values[i] = v
	return metric.Sample{Timestamp: 1_790_000_000_000 + f.round*15_000, Value: v}
}

// fill puts the next samples of the given series into an empty batch.
func (f *fleet) fill(b *metric.Batch, ids []int) {
	b.Reset()
	for _, i := range ids {
		b.StartSeries(f.of(i), i)
		b.AddSample(f.sample(i))
	}
}

// order returns all series: as they are, with the targets at random, or all at random.
func (f *fleet) order(how string, seed uint64) []int {
	n := len(f.ends)
	rng := rand.New(rand.NewPCG(seed, 1))
	if how == "random" {
		return rng.Perm(n)
	}
	targets := make([]int, n/podSeries)
	for i := range targets {
		targets[i] = i
	}
	if how == "target" {
		targets = rng.Perm(len(targets))
	}
	ids := make([]int, 0, n)
	for _, t := range targets {
		for j := range podSeries {
			ids = append(ids, t*podSeries+j)
		}
	}
	return ids
}
