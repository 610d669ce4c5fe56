package native_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/native"
)

func BenchmarkDecode(b *testing.B) {
	var body strings.Builder
	const n = 1000
	for i := range n {
		fmt.Fprintf(&body, "{\"name\":\"api_latency\",\"value\":0.%d,\"timestamp\":%d,\"dimensions\":{\"endpoint\":\"/api/query\",\"customer_id\":\"c%d\",\"region\":\"eu-west-1\"}}\n",
			i, noon+int64(i), i)
	}
	text := []byte(body.String())
	batch := metric.NewBatch(metric.NewHasher(1))
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		batch.Reset()
		if _, items, err := native.Decode(batch, text, true, time.UnixMilli(noon)); err != nil || items != n {
			b.Fatal(items, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/metric")
}
