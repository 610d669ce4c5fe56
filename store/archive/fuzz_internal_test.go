package archive

import (
	"testing"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// FuzzBlock looks behind the checksums, which keep all but the original bytes from the decoder.
func FuzzBlock(f *testing.F) {
	block := appendText(append([]byte(nil), tenantEntry), "a")
	block = appendMetadata(block, metric.Metadata{Family: "a", Type: "gauge"})
	block = appendText(append(block, seriesEntry), "\n\x05\n\x01a\x12\x00")
	f.Add(appendEnd(block, Counts{}))
	f.Add([]byte{tenantEntry, 1, 'a', seriesEntry, 0, floatsEntry, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, endEntry, 1, 1, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, content []byte) {
		s := &scanner{frames: &frameReader{}, header: Header{Tenants: []tenancy.ID{"a", "b"}}}
		_ = s.block(content, func(*scanner) error { return nil })
	})
}
