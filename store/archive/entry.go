package archive

import (
	"encoding/binary"
	"math"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// The kinds of entries, in the order in which they come for each tenant: the tenant, metadata, exemplars, series each
// with its samples in the order of time, the end.
const (
	tenantEntry     = 1
	metadataEntry   = 2
	exemplarEntry   = 3
	seriesEntry     = 4
	floatsEntry     = 5
	histogramsEntry = 6
	endEntry        = 7
	windowEntry     = 8 // Of increments only: what follows replaces all that the series has in it.
)

const (
	maxFloats         = 4096      // In one entry.
	maxHistogramBytes = 256 << 10 // In one entry, the last histogram not counted.
)

// An entry is one item of an archive. What it holds depends on its kind; all of it is valid until the next one is read,
// strings and histograms for ever.
type entry struct {
	kind       byte
	name       string // Of the tenant.
	metadata   metric.Metadata
	labels     []byte // Canonical, of a series or of the series of an exemplar.
	exemplar   metric.Exemplar
	floats     []metric.Sample
	histograms []metric.Histogram
	window     int64
	counts     Counts // Of the tenant.
}

func appendText[S string | []byte](dst []byte, s S) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// appendFloats writes samples by columns: differences of times and starts, then the values with all lowest bytes first,
// because neighbouring values share their high bytes and zstd finds them together.
func appendFloats(dst []byte, list []metric.Sample) []byte {
	dst = binary.AppendUvarint(append(dst, floatsEntry), uint64(len(list)))
	var last, step int64
	for i := range list {
		delta := list[i].Timestamp - last
		dst = binary.AppendVarint(dst, delta-step)
		last, step = list[i].Timestamp, delta
	}
	last = 0
	for i := range list {
		dst = binary.AppendVarint(dst, list[i].Start-last)
		last = list[i].Start
	}
	for shift := 0; shift < 64; shift += 8 {
		for i := range list {
			dst = append(dst, byte(math.Float64bits(list[i].Value)>>shift))
		}
	}
	return dst
}

func (d *decoder) floatSamples(dst []metric.Sample) []metric.Sample {
	n := d.count(10)
	if d.failed || n == 0 || n > maxFloats {
		d.failed = true
		return nil
	}
	if cap(dst) < n {
		dst = make([]metric.Sample, n)
	}
	dst = dst[:n]
	var last, step int64
	for i := range dst {
		step += d.varint()
		last += step
		dst[i] = metric.Sample{Timestamp: last}
	}
	last = 0
	for i := range dst {
		last += d.varint()
		dst[i].Start = last
	}
	planes := d.take(8 * n)
	if d.failed {
		return nil
	}
	for i := range dst {
		var bits uint64
		for p := range 8 {
			bits |= uint64(planes[p*n+i]) << (8 * p)
		}
		dst[i].Value = math.Float64frombits(bits)
	}
	return dst
}

func appendMetadata(dst []byte, m metric.Metadata) []byte {
	dst = append(dst, metadataEntry)
	for _, s := range []string{m.Family, m.Type, m.Help, m.Unit} {
		dst = appendText(dst, s)
	}
	return dst
}

func appendExemplar(dst, labels []byte, x metric.Exemplar) []byte {
	dst = appendText(append(dst, exemplarEntry), labels)
	dst = binary.AppendVarint(dst, x.Timestamp)
	dst = appendFloat(dst, x.Value)
	return appendText(dst, x.Labels)
}

func appendEnd(dst []byte, c Counts) []byte {
	dst = append(dst, endEntry)
	for _, n := range []int64{c.Series, c.Samples, c.Histograms, c.Exemplars, c.Metadata} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return dst
}

// decode takes an entry off a block; d has failed after one that is malformed.
func (e *entry) decode(d *decoder) {
	e.kind = d.byte()
	switch e.kind {
	case tenantEntry:
		e.name = string(d.text())
	case metadataEntry:
		e.metadata = metric.Metadata{Family: string(d.text()), Type: string(d.text()), Help: string(d.text()), Unit: string(d.text())}
	case exemplarEntry:
		e.labels = d.text()
		e.exemplar = metric.Exemplar{Timestamp: d.varint(), Value: d.float(), Labels: d.text()}
	case seriesEntry:
		e.labels = d.text()
	case floatsEntry:
		e.floats = d.floatSamples(e.floats)
	case histogramsEntry:
		e.histograms = d.histogramSamples(e.histograms)
	case windowEntry:
		e.window = d.varint()
	case endEntry:
		e.counts = Counts{
			Tenants: 1, Series: int64(d.uvarint()), Samples: int64(d.uvarint()), Histograms: int64(d.uvarint()),
			Exemplars: int64(d.uvarint()), Metadata: int64(d.uvarint()),
		}
	default:
		d.failed = true
	}
}

// A decoder takes numbers and texts off a block. After the first that is not there it has failed and gives zeroes.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.rest) {
		d.failed = true
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.take(n); n <= 0 {
		d.failed = true
		return 0
	}
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if d.take(n); n <= 0 {
		d.failed = true
		return 0
	}
	return v
}

func (d *decoder) float() float64 {
	if b := d.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// count takes a number of things that need at least so many bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/size) {
		d.failed = true
		return 0
	}
	return int(n)
}

func (d *decoder) text() []byte { return d.take(d.count(1)) }
