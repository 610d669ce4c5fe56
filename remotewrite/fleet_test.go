package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gogo/protobuf/proto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// fleetLabels are those of a series of a fleet of services, in the order of their scrapes: 250 series of each target, with
// 9 to 13 labels. Canonical order.
func fleetLabels(i int) labels.Labels {
	pod, j := i/250, i%250
	ls := []string{
		"cluster", []string{"eu-west-1a", "us-east-1b", "ap-south-1c"}[pod%3], "env", "production",
		"instance", fmt.Sprintf("10.%d.%d.%d:8080", pod>>14&255, pod>>7&127, pod&127),
		"job", fmt.Sprintf("service-%02d", pod%20), "namespace", fmt.Sprintf("team-%02d", pod%40),
		"node", fmt.Sprintf("ip-10-%d-%d.compute.internal", pod/30>>8, pod/30&255),
		"pod", fmt.Sprintf("service-%02d-%08x-%05d", pod%20, uint32(pod)*2654435761, pod),
	}
	paths := []string{"/api/v1/orders", "/api/v1/users/:id", "/healthz", "/api/v1/cart/items", "/api/v1/search", "/login"}
	switch {
	case j < 100:
		ls = append(ls, "__name__", "http_requests_total", "container", "app", "path", paths[j%5], "method", []string{"GET", "POST", "PUT", "DELETE"}[j/5%4],
			"status", []string{"200", "201", "404", "429", "500"}[j/20], "customer_id", fmt.Sprintf("cust-%08d", uint32(i)*2654435761%25_000_000))
	case j < 172:
		ls = append(ls, "__name__", "http_request_duration_seconds_bucket", "path", paths[(j-100)/12],
			"le", []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}[(j-100)%12])
	case j < 184:
		ls = append(ls, "__name__", []string{"http_request_duration_seconds_count", "http_request_duration_seconds_sum"}[j%2], "path", paths[(j-172)/2])
	case j < 225:
		ls = append(ls, "__name__", []string{"container_memory_working_set_bytes", "queue_depth", "go_goroutines"}[j%3], "container", "app", "device", fmt.Sprintf("dev-%d", j/3))
	default:
		ls = append(ls, "__name__", "kube_pod_container_resource_limits", "container", "istio-proxy", "resource", fmt.Sprintf("res-%d", j), "unit", "byte")
	}
	return labels.FromStrings(ls...)
}

// fleetOrder returns n series in the order of a sender, or in no order at all.
func fleetOrder(n int, random bool) []int {
	if random {
		return rand.New(rand.NewPCG(1, 1)).Perm(n)
	}
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// fleetV1 is a request of version 1.0 with one sample of each series.
func fleetV1(tb testing.TB, ids []int) []byte {
	tb.Helper()
	req := &prompb.WriteRequest{}
	for _, i := range ids {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  prompb.FromLabels(fleetLabels(i), nil),
			Samples: []prompb.Sample{{Timestamp: 1_700_000_000_000 + int64(i/250%15)*1000, Value: float64(i*i%100_000) / 4}},
		})
	}
	return marshal(tb, req)
}

// fleetV2 is a request of version 2.0 with one sample and metadata of each series.
func fleetV2(tb testing.TB, ids []int) []byte {
	tb.Helper()
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for _, i := range ids {
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
			LabelsRefs: symbols.SymbolizeLabels(fleetLabels(i), nil),
			Samples:    []writev2.Sample{{Timestamp: 1_700_000_000_000 + int64(i/250%15)*1000, Value: float64(i*i%100_000) / 4}},
			Metadata:   writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: symbols.Symbolize("What the metric is about.")},
		})
	}
	req.Symbols = symbols.Symbols()
	return marshal(tb, req)
}

func marshal(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}
