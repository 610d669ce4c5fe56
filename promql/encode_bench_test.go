package promql

import (
	"io"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	promengine "github.com/prometheus/prometheus/promql"
)

// BenchmarkEncodeMatrix writes the answer of a dashboard panel: 100 series of 1000 points.
func BenchmarkEncodeMatrix(b *testing.B) {
	var m promengine.Matrix
	points := 0
	for i := range 100 {
		s := promengine.Series{Metric: labels.FromStrings("__name__", "http_requests_total", "instance", strconv.Itoa(i), "job", "api")}
		for j := range int64(1000) {
			s.Floats = append(s.Floats, promengine.FPoint{T: 1_700_000_000_000 + 15_000*j, F: float64(j) * 1.25})
			points++
		}
		m = append(m, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		e := newEncoder(io.Discard)
		e.result(m, nil)
		if err := e.finish(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*points), "ns/point")
}
