package storetest

import (
	"fmt"
	"math"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store/series"
)

// mostPerChunk is what Reader.SelectChunks calls about 120 samples.
const mostPerChunk = 240

func chunkCases() []contractCase {
	return []contractCase{
		{"chunks hold the samples of the range", func(p *probe) {
			p.append(`a 0:1 10s:2 20s:3 30s:4`, `b{x="1"} 15s:-0 1d:stale`)
			p.chunks("10s..20s", "{}", `a 10s:2 20s:3`, `b{x="1"} 15s:-0`)
			p.chunks("", "b", `b{x="1"} 15s:-0 1d:stale`)
			p.chunks("", `{x=~".*"}`, `a 0:1 10s:2 20s:3 30s:4`, `b{x="1"} 15s:-0 1d:stale`)
		}},
		{"start timestamps are left out of chunks", func(p *probe) {
			p.append(`a 10s:1@1s 20s:2@1s`, `b 10s:h[count=1 ps=0/1 p=1]@5 20s:f[count=1 ps=0/1 p=1]@6`)
			p.chunks("", "{}", `a 10s:1 20s:2`, `b 10s:h[count=1 ps=0/1 p=1] 20s:f[count=1 ps=0/1 p=1]`)
		}},
		{"a change of kind begins a new chunk", func(p *probe) {
			want := `a 1:1 2:2 3:h[count=1 ps=0/1 p=1] 4:f[count=2 ps=0/1 p=2] 5:3 6:` + customInt
			p.append(want)
			p.chunks("", "{}", want)
		}},
		{"many samples are cut into chunks", func(p *probe) {
			var b strings.Builder
			for i := range 2000 {
				fmt.Fprintf(&b, " %d:%d", i*15_000, i%7)
			}
			p.append("a" + b.String())
			p.fatal(p.st.Flush(p.ctx()), "flush")
			got := p.chunks("", "{}", sortedLine("a"+b.String()))
			if got < 2000/mostPerChunk {
				p.tb.Errorf("%d chunks for 2000 samples", got)
			}
		}},
		{"histograms that grow buckets or are reset keep their values", func(p *probe) {
			p.append(`a 1:h[count=3 sum=3 ps=0/2 p=1,2] 2:h[count=6 sum=6 ps=0/2,1/1 p=1,2,3] 3:h[count=1 sum=1 ps=0/1 p=1] 4:h[count=2 sum=2 ps=0/1 p=2]`)
			set := p.reader("").SelectChunks(p.ctx(), p.selection("{}"))
			got, _, err := dumpChunks(set)
			p.fatal(err, "chunks")
			if len(got) != 1 {
				p.tb.Fatalf("%d series", len(got))
			}
			wantHints := []histogram.CounterResetHint{
				histogram.UnknownCounterReset, histogram.NotCounterReset, histogram.CounterReset, histogram.NotCounterReset,
			}
			wantCounts := []uint64{3, 6, 1, 2}
			for i, s := range got[0].run {
				if s.Int.Count != wantCounts[i] {
					p.tb.Errorf("sample %d is %v, want the count %d", i, s.Int, wantCounts[i])
				}
				// Not to know is always right; to say the wrong thing never.
				if h := s.Int.CounterResetHint; h != histogram.UnknownCounterReset && h != wantHints[i] {
					p.tb.Errorf("sample %d has the hint %v, want %v", i, h, wantHints[i])
				}
			}
		}},
	}
}

// chunks compares what SelectChunks reads with lines of the text form, hints of counter resets left out, and returns the
// number of chunks.
func (p *probe) chunks(in, selector string, want ...string) int {
	p.tb.Helper()
	r := p.rangeOf(in)
	got, n, err := dumpChunks(p.reader(in).SelectChunks(p.ctx(), p.selection(selector)))
	p.fatal(err, "chunks")
	var lines []string
	for _, s := range got {
		// A chunk may reach over the range; its samples outside are the caller's to leave out.
		run := s.run.Between(r)
		for i := range run {
			forgetHint(&run[i])
		}
		lines = append(lines, formatSeries(s.labels, run))
	}
	for i, text := range want {
		l, err := parseLine(text)
		p.fatal(err, "text of the case")
		for j := range l.samples {
			forgetHint(&l.samples[j])
		}
		want[i] = formatSeries(l.labels, l.samples)
	}
	p.same(lines, want, "chunks of %s in %q", selector, in)
	return n
}

func forgetHint(s *series.Sample) {
	forget := func(h *histogram.CounterResetHint) {
		if *h != histogram.GaugeType {
			*h = histogram.UnknownCounterReset
		}
	}
	switch {
	case s.Int != nil:
		forget(&s.Int.CounterResetHint)
	case s.Float != nil:
		forget(&s.Float.CounterResetHint)
	}
}

type chunkedSeries struct {
	line
	run series.Run
}

// dumpChunks reads a set to its end, checks what every chunk must be, and returns the number of chunks.
func dumpChunks(set storage.ChunkSeriesSet) (out []chunkedSeries, chunks int, err error) {
	for set.Next() {
		s := chunkedSeries{line: line{labels: set.At().Labels()}}
		last := int64(math.MinInt64)
		metas := set.At().Iterator(nil)
		for first := true; metas.Next(); first = false {
			m := metas.At()
			chunks++
			if e := m.Chunk.Encoding(); e != chunkenc.EncXOR && e != chunkenc.EncHistogram && e != chunkenc.EncFloatHistogram {
				return nil, 0, fmt.Errorf("chunk has the encoding %v", e)
			}
			if n := m.Chunk.NumSamples(); n == 0 || n > mostPerChunk {
				return nil, 0, fmt.Errorf("chunk has %d samples", n)
			}
			run, err := collect(m.Chunk.Iterator(nil))
			if err != nil {
				return nil, 0, err
			}
			if run[0].Timestamp != m.MinTime || run[len(run)-1].Timestamp != m.MaxTime {
				return nil, 0, fmt.Errorf("chunk from %d to %d holds samples from %d to %d", m.MinTime, m.MaxTime, run[0].Timestamp, run[len(run)-1].Timestamp)
			}
			if !first && m.MinTime <= last {
				return nil, 0, fmt.Errorf("chunk begins at %d, the one before it ends at %d", m.MinTime, last)
			}
			last = m.MaxTime
			s.run = append(s.run, run...)
		}
		if err := metas.Err(); err != nil {
			return nil, 0, err
		}
		out = append(out, s)
	}
	return out, chunks, set.Err()
}
