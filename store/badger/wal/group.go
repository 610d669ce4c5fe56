package wal

import (
	"encoding/binary"
	"slices"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	cutBytes      = 1 << 20 // The size at which a batch goes on in another record.
	cutSamples    = 1 << 16 // The floats of a series after which it goes on in another entry.
	cutHistograms = 8       // The same for histograms, which may be large.
	cutExemplars  = 8       // The same for exemplars.
)

// A Group is the records that become durable together. It is filled by one goroutine.
type Group struct {
	next    uint64 // Number of the next record.
	buf     []byte
	ends    []int // Where the finished records end in buf.
	open    bool  // Whether a batch record is being written.
	cursor  cursor
	gen     uint64
	tenant  tenancy.ID
	records [][]byte
}

// Len is the number of bytes in g.
func (g *Group) Len() int { return len(g.buf) }

// Next is the number that the next record of g gets, if nothing is open.
func (g *Group) Next() uint64 { return g.next }

func (g *Group) reset(next uint64) {
	g.next, g.open = next, false
	g.buf, g.ends = g.buf[:0], g.ends[:0]
}

func (g *Group) begin(k Kind) {
	g.finish()
	g.buf = append(g.buf, version, byte(k))
	g.buf = binary.AppendUvarint(g.buf, g.next)
	g.next++
	g.open = true
}

func (g *Group) finish() {
	if g.open {
		g.ends = append(g.ends, len(g.buf))
		g.open = false
	}
}

// slices returns the records of g.
func (g *Group) slices() [][]byte {
	g.finish()
	g.records = g.records[:0]
	start := 0
	for _, end := range g.ends {
		g.records = append(g.records, g.buf[start:end])
		start = end
	}
	return g.records
}

// Delete adds a deletion.
func (g *Group) Delete(x Delete) {
	g.begin(KindDelete)
	g.buf = codec.AppendBytes(g.buf, string(x.Tenant))
	g.buf = binary.AppendVarint(g.buf, x.Range.Min)
	g.buf = binary.AppendVarint(g.buf, x.Range.Max)
	g.buf = binary.AppendUvarint(g.buf, x.Sequence)
	g.buf = codec.AppendMatchers(g.buf, x.Matchers)
	g.finish()
}

// Expire adds that all samples before the given time are gone.
func (g *Group) Expire(before int64) {
	g.begin(KindExpire)
	g.buf = binary.AppendVarint(g.buf, before)
	g.finish()
}

// StartBatch says to which generation and tenant the following series and metadata belong.
func (g *Group) StartBatch(generation uint64, tenant tenancy.ID) {
	g.gen, g.tenant = generation, tenant
	g.startRecord()
}

func (g *Group) startRecord() {
	g.begin(KindBatch)
	g.cursor = cursor{}
	g.buf = binary.AppendUvarint(g.buf, g.gen)
	g.buf = codec.AppendBytes(g.buf, string(g.tenant))
}

// cut goes on in another record if the open one is large.
func (g *Group) cut() {
	start := 0
	if n := len(g.ends); n > 0 {
		start = g.ends[n-1]
	}
	if len(g.buf)-start > cutBytes {
		g.startRecord()
	}
}

// Series adds a series of b with its items. labels are nil if an earlier record of the generation told them.
func (g *Group) Series(ref uint64, labels []byte, b *metric.Batch, s *metric.Series) {
	rest := *s
	for rest.Samples.Len() > cutSamples {
		first := metric.Series{Samples: metric.Span{Start: rest.Samples.Start, End: rest.Samples.Start + cutSamples}}
		g.entry(ref, labels, b, &first)
		labels, rest.Samples.Start = nil, first.Samples.End
	}
	for rest.Histograms.Len() > cutHistograms {
		first := metric.Series{Samples: rest.Samples, Histograms: metric.Span{Start: rest.Histograms.Start, End: rest.Histograms.Start + cutHistograms}}
		g.entry(ref, labels, b, &first)
		labels, rest.Samples, rest.Histograms.Start = nil, metric.Span{}, first.Histograms.End
	}
	for rest.Exemplars.Len() > cutExemplars {
		first := rest
		first.Exemplars.End = first.Exemplars.Start + cutExemplars
		g.entry(ref, labels, b, &first)
		labels, rest = nil, metric.Series{Exemplars: metric.Span{Start: first.Exemplars.End, End: rest.Exemplars.End}}
	}
	g.entry(ref, labels, b, &rest)
}

func (g *Group) entry(ref uint64, labels []byte, b *metric.Batch, s *metric.Series) {
	g.cut()
	samples := b.Samples[s.Samples.Start:s.Samples.End]
	var flags byte
	if labels != nil {
		flags |= flagLabels
	}
	if slices.ContainsFunc(samples, func(v metric.Sample) bool { return v.Start != 0 }) {
		flags |= flagStarts
	}
	if s.Histograms.Len() > 0 {
		flags |= flagHistograms
	}
	if s.Exemplars.Len() > 0 {
		flags |= flagExemplars
	}
	if len(samples) == 1 && flags&(flagHistograms|flagExemplars) == 0 {
		flags |= flagOne
	}
	buf, c := append(g.buf, flags), &g.cursor
	buf = binary.AppendVarint(buf, int64(ref-c.ref))
	c.ref = ref + 1
	if labels != nil {
		buf = codec.AppendBytes(buf, labels)
	}
	if flags&flagOne == 0 {
		buf = binary.AppendUvarint(buf, uint64(len(samples)))
	}
	for i := range samples {
		buf = c.appendTime(buf, samples[i].Timestamp)
		if flags&flagStarts != 0 {
			buf = c.appendStart(buf, samples[i].Start)
		}
		buf = codec.AppendFloat(buf, samples[i].Value)
	}
	g.buf = buf
	g.histograms(b.Histograms[s.Histograms.Start:s.Histograms.End])
	g.exemplars(b.Exemplars[s.Exemplars.Start:s.Exemplars.End])
}

func (g *Group) histograms(list []metric.Histogram) {
	if len(list) == 0 {
		return
	}
	g.buf = binary.AppendUvarint(g.buf, uint64(len(list)))
	for i := range list {
		g.buf = g.cursor.appendTime(g.buf, list[i].Timestamp)
		g.buf = g.cursor.appendStart(g.buf, list[i].Start)
		g.buf = codec.AppendHistogram(g.buf, list[i].Int, list[i].Float)
	}
}

func (g *Group) exemplars(list []metric.Exemplar) {
	if len(list) == 0 {
		return
	}
	g.buf = binary.AppendUvarint(g.buf, uint64(len(list)))
	for i := range list {
		g.buf = g.cursor.appendTime(g.buf, list[i].Timestamp)
		g.buf = codec.AppendFloat(g.buf, list[i].Value)
		g.buf = codec.AppendBytes(g.buf, list[i].Labels)
	}
}

// Metadata adds what is known about a metric family.
func (g *Group) Metadata(m metric.Metadata) {
	g.cut()
	g.buf = append(g.buf, flagMetadata)
	for _, s := range [...]string{m.Family, m.Type, m.Help, m.Unit} {
		g.buf = codec.AppendBytes(g.buf, s)
	}
}
