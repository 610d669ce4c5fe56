package storetest

import (
	"fmt"
	"strings"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// Two histograms in text form that differ in all that a histogram can hold.
const (
	intHistogram   = "h[schema=1 count=9 sum=18.5 zt=0.001 zc=1 ps=0/2,1/1 p=1,3,2 ns=-1/2 n=1,1]"
	floatHistogram = "f[schema=-2 hint=gauge count=4.5 sum=-2.25 zt=0.5 zc=0.25 ps=3/2 p=1.5,2 ns=0/1 n=0.75]"
	customInt      = "h[schema=-53 count=6 sum=7 ps=0/3 p=1,2,3 cv=0.5,1]"
	customFloat    = "f[schema=-53 hint=reset count=3 sum=4.5 ps=0/1,1/1 p=1,2 cv=0.1,1,10]"
	staleInt       = "h[sum=stale]"
	staleFloat     = "f[sum=stale]"
)

func appendCases() []contractCase {
	return []contractCase{
		{"what was appended can be read at once", func(p *probe) {
			p.append(`a{x="1"} 0:1 1s:2`, `b 5:3`)
			p.selects("", "{}", `a{x="1"} 0:1 1s:2`, `b 5:3`)
		}},
		{"an empty batch is no failure", func(p *probe) {
			p.append()
			p.append(`a`)
			p.selects("", "{}")
		}},
		{"samples may come in any order", func(p *probe) {
			p.append(`a 30s:3 10s:1`)
			p.append(`a 0:0`, `a 20s:2`)
			p.selects("", "{}", `a 0:0 10s:1 20s:2 30s:3`)
		}},
		{"the same sample twice is one sample", func(p *probe) {
			p.append(`a 0:1 0:1`)
			p.append(`a 0:1`)
			p.selects("", "{}", `a 0:1`)
		}},
		{"a later batch replaces a sample", func(p *probe) {
			p.append(`a 0:1 10s:5`)
			p.append(`a 0:2`)
			p.selects("", "{}", `a 0:2 10s:5`)
			p.append(`a 0:1@-5s`)
			p.selects("", "{}", `a 0:1@-5s 10s:5`)
		}},
		{"the last of two samples in a series of a batch wins", func(p *probe) {
			p.append(`a 10s:7 0:1 0:2`)
			p.selects("", "{}", `a 0:2 10s:7`)
		}},
		{"the last of two series of a batch with equal labels wins", func(p *probe) {
			p.append(`a 0:1 10s:1`, `b 0:9`, `a 0:2`)
			p.selects("", "{}", `a 0:2 10s:1`, `b 0:9`)
		}},
		{"a replaced sample can be replaced again, also by its first value", func(p *probe) {
			p.append(`a 0:1`)
			p.append(`a 0:2`)
			p.append(`a 0:1`)
			p.selects("", "{}", `a 0:1`)
		}},
	}
}

// valueCases are about what a sample can hold.
func valueCases() []contractCase {
	return []contractCase{
		{"bit patterns of values are kept", func(p *probe) {
			want := `a 1:0 2:-0 3:+Inf 4:-Inf 5:NaN 6:stale 7:NaN(0x7ff8000000000000) 8:NaN(0xfff8000000000001) ` +
				`9:NaN(0x7ff0000000000003) 10:5e-324 11:1.7976931348623157e+308 12:9.007199254740992e+15`
			p.append(want)
			p.selects("", "{}", want)
		}},
		{"zero replaces minus zero", func(p *probe) {
			p.append(`a 0:-0`, `b 0:0`, `c 0:NaN`, `d 0:stale`)
			p.append(`a 0:0`, `b 0:-0`, `c 0:stale`, `d 0:NaN`)
			p.selects("", "{}", `a 0:0`, `b 0:-0`, `c 0:stale`, `d 0:NaN`)
		}},
		{"start timestamps are kept", func(p *probe) {
			p.append(`a 10s:1@1s 20s:2@1s 30s:1@25s 40s:2`, `h 10s:`+intHistogram+`@3 20s:`+floatHistogram+`@4`)
			p.selects("", "{}", `a 10s:1@1s 20s:2@1s 30s:1@25s 40s:2`, `h 10s:`+intHistogram+`@3 20s:`+floatHistogram+`@4`)
		}},
		{"native histograms of all kinds are kept", func(p *probe) {
			want := "a " + strings.Join([]string{
				"1:" + intHistogram, "2:" + floatHistogram, "3:" + customInt, "4:" + customFloat, "5:" + staleInt, "6:" + staleFloat,
				"7:h[]", "8:f[hint=gauge]", "9:h[count=2 sum=NaN ps=7/1 p=2]", "10:f[count=1 sum=+Inf zc=1]",
			}, " ")
			p.append(want)
			p.selects("", "{}", want)
		}},
		{"a hint that there was no counter reset is found out again", func(p *probe) {
			p.append(`a 10:h[hint=none count=2 ps=0/1 p=2] 20:h[hint=none count=3 ps=0/1 p=3] 30:f[hint=none count=3 ps=0/1 p=3]`)
			p.append(`a 5:h[count=9 ps=0/1 p=9]`)
			p.selects("", "{}", `a 5:h[count=9 ps=0/1 p=9] 10:h[count=2 ps=0/1 p=2] `+
				`20:h[hint=none count=3 ps=0/1 p=3] 30:f[count=3 ps=0/1 p=3]`)
		}},
		{"hints that the writer gives of gauges and resets are kept", func(p *probe) {
			want := `a 1:h[count=1 ps=0/1 p=1] 2:h[hint=reset count=2 ps=0/1 p=2] 3:h[hint=gauge count=1 ps=0/1 p=1] 4:h[count=1 ps=0/1 p=1]`
			p.append(want)
			p.selects("", "{}", want)
		}},
		{"floats and histograms live in one series", func(p *probe) {
			p.append(`a 10:1 30:3`, `a 20:`+intHistogram+` 40:`+floatHistogram+` 50:`+customInt)
			p.append(`a 45:4`)
			p.selects("", "{}", `a 10:1 20:`+intHistogram+` 30:3 40:`+floatHistogram+` 45:4 50:`+customInt)
		}},
		{"a sample replaces one of another kind", func(p *probe) {
			p.append(`a 10:1 20:2`, `a 30:`+intHistogram+` 40:`+floatHistogram)
			p.append(`a 10:` + intHistogram + ` 20:` + floatHistogram)
			p.append(`a 30:3`, `a 40:`+customInt)
			p.selects("", "{}", `a 10:`+intHistogram+` 20:`+floatHistogram+` 30:3 40:`+customInt)
		}},
		{"in one series of a batch a histogram wins over a float", func(p *probe) {
			p.append(`a 10:` + intHistogram + ` 10:1`)
			p.selects("", "{}", `a 10:`+intHistogram)
			p.append(`a 10:`+intHistogram, `a 10:1`)
			p.selects("", "{}", `a 10:1`)
		}},
	}
}

// batchCases are about the batch, labels and times.
func batchCases() []contractCase {
	return []contractCase{
		{"the batch may be reused", appendReused},
		{"a batch of another hasher is understood", func(p *probe) {
			p.append(`a{x="1"} 0:1`)
			for seed := range uint64(3) {
				b, err := newBatch(metric.NewHasher(seed), fmt.Sprintf(`a{x="1"} %ds:1`, seed+1))
				p.fatal(err, "text of the case")
				p.appendBatch(b)
			}
			p.append(`a{x="1"} 9s:1`)
			p.selects("", "{}", `a{x="1"} 0:1 1s:1 2s:1 3s:1 9s:1`)
		}},
		{"labels may be any bytes", appendAnyBytes},
		{"label sets with equal concatenations are different", func(p *probe) {
			p.append(`m{a="b|c"} 0:1`, `m{a="b",c=""} 0:2`, `m{ab="c"} 0:3`, `m{a="bc"} 0:4`, `ma{b="c"} 0:5`, `{a="bc"} 0:6`)
			p.selects("", "{}", `m{a="b"} 0:2`, `m{a="bc"} 0:4`, `m{a="b|c"} 0:1`, `m{ab="c"} 0:3`, `ma{b="c"} 0:5`, `{a="bc"} 0:6`)
		}},
		{"a series need not have labels", func(p *probe) {
			p.append(`{} 0:1`, `a 0:2`)
			p.append(`{} 1s:3`)
			p.selects("", "{}", `{} 0:1 1s:3`, `a 0:2`)
		}},
		{"a name may be missing", func(p *probe) {
			p.append(`{x="1"} 0:1`)
			p.selects("", `{__name__=""}`, `{x="1"} 0:1`)
		}},
		{"long values and many labels are kept", func(p *probe) {
			long := strings.Repeat("abcdefgh", 2000)
			pairs := []string{`v="` + long + `"`}
			for i := range 100 {
				pairs = append(pairs, fmt.Sprintf(`l%03d="%d"`, i, i))
			}
			text := "m{" + strings.Join(pairs, ",") + "} 0:1"
			p.append(text)
			p.selects("", fmt.Sprintf(`m{v="%s",l077="77"}`, long), sortedLine(text))
		}},
		{"times reach over partitions and before the epoch", func(p *probe) {
			p.append(`a -30d:1 -1d:2 -1:3 0:4 86399999:5 1d:6 19000d:7`)
			p.append(`a -86399999:8 7200000:9`)
			p.selects("", "{}", `a -30d:1 -1d:2 -86399999:8 -1:3 0:4 7200s:9 86399999:5 1d:6 19000d:7`)
		}},
		{"a histogram without content is rejected alone", func(p *probe) {
			b, err := newBatch(Hasher(), `a 0:1`)
			p.fatal(err, "text of the case")
			b.AddHistogram(metric.Histogram{Timestamp: 5})
			rejected, err := p.tenant().Append(p.ctx(), b)
			p.fatal(err, "append")
			if len(rejected) != 1 || rejected[0].Reason != metric.InvalidHistogram || rejected[0].Lost != (metric.Counts{Histograms: 1}) {
				p.tb.Errorf("rejected %+v, want one histogram as %s", rejected, metric.InvalidHistogram)
			}
			p.selects("", "{}", `a 0:1`)
		}},
		{"labels that can't be decoded are rejected alone", func(p *probe) {
			b := metric.NewBatch(Hasher())
			b.StartSeries([]byte{0x0a, 0x7f, 0x01}, 7)
			b.AddSample(metric.Sample{Timestamp: 1})
			p.fatal(fillBatch(b, `a 0:1`), "text of the case")
			rejected, err := p.tenant().Append(p.ctx(), b)
			p.fatal(err, "append")
			if len(rejected) != 1 || rejected[0].Reason != metric.Malformed || rejected[0].Series != 7 || rejected[0].Lost.Samples != 1 {
				p.tb.Errorf("rejected %+v, want the series 7 as %s", rejected, metric.Malformed)
			}
			p.selects("", "{}", `a 0:1`)
		}},
	}
}

// sortedLine parses a line and writes it with the labels in order.
func sortedLine(text string) string {
	l, err := parseLine(text)
	if err != nil {
		return err.Error()
	}
	return formatSeries(l.labels, l.samples)
}

// appendReused overwrites all that a batch consists of after Append.
func appendReused(p *probe) {
	b := metric.NewBatch(Hasher())
	first := []string{
		`first{label="aaaaaaaa"} 1:1 # 1:0.5{trace="aaaaaaaa"}`, `hist{label="aaaaaaaa"} 1:` + intHistogram + ` 2:` + floatHistogram + ` 3:` + customInt,
	}
	p.fatal(fillBatch(b, first...), "text of the case")
	b.Metadata = append(b.Metadata, metric.Metadata{Family: "first", Type: "counter", Help: "help"})
	histograms := append([]metric.Histogram(nil), b.Histograms...)
	p.appendBatch(b)

	for _, h := range histograms {
		if h.Int != nil {
			h.Int.Count, h.Int.Sum = 99, 99
			clear(h.Int.PositiveBuckets)
			clear(h.Int.PositiveSpans)
			clear(h.Int.CustomValues)
		} else {
			h.Float.Count, h.Float.Sum = 99, 99
			clear(h.Float.PositiveBuckets)
			clear(h.Float.PositiveSpans)
		}
	}
	for i := range b.Series {
		clear(b.Series[i].Labels)
	}
	for i := range b.Exemplars {
		clear(b.Exemplars[i].Labels)
	}
	for i := range b.Samples {
		b.Samples[i] = metric.Sample{}
	}
	b.Reset()
	p.fatal(fillBatch(b, `other{label="bbbbbbbb"} 1:2 # 1:0.5{trace="bbbbbbbb"}`, `x 3:4`), "text of the case")
	p.appendBatch(b)

	p.selects("", "{}", `first{label="aaaaaaaa"} 1:1`,
		`hist{label="aaaaaaaa"} 1:`+intHistogram+` 2:`+floatHistogram+` 3:`+customInt,
		`other{label="bbbbbbbb"} 1:2`, `x 3:4`)
	p.exemplars("", []string{"{}"},
		`first{label="aaaaaaaa"} # 1:0.5{trace="aaaaaaaa"}`, `other{label="bbbbbbbb"} # 1:0.5{trace="bbbbbbbb"}`)
	got, err := p.tenant().Metadata(p.ctx(), store.MetadataQuery{})
	p.fatal(err, "metadata")
	if len(got) != 1 || got[0] != (metric.Metadata{Family: "first", Type: "counter", Help: "help"}) {
		p.tb.Errorf("metadata %+v", got)
	}
}

// appendAnyBytes writes values that are special somewhere: in keys, in SQL, in UTF-8.
func appendAnyBytes(p *probe) {
	values := []string{
		"\x00", "\x00\x00", "a\x00b", "a", "a\xff", "\xff", "\xff\xff", "\xc3\x28", "ü", "日本語", "\n", "\t", `\`, `"`, `'`, "'; DROP TABLE series; --",
		"%", "%s", "_", "*", "$1", "{x}", "a|b", "ab", "a\x01b", " ", "a ", "\u200b", "=", "~", ",", "/", "..",
	}
	var lines []string
	for i, v := range values {
		lines = append(lines, fmt.Sprintf(`m{v=%q} 0:%d`, v, i))
	}
	lines = append(lines, `{"__name__"="my.metric/with 日本","label.with-dots and spaces"="1"} 0:1`)
	p.append(lines...)
	for i, v := range values {
		p.selects("", fmt.Sprintf(`m{v=%q}`, v), sortedLine(lines[i]))
	}
	p.selects("", `{"label.with-dots and spaces"="1"}`, sortedLine(lines[len(lines)-1]))
	got, err := p.reader("").LabelValues(p.ctx(), "v", store.Selection{})
	p.fatal(err, "label values")
	if len(got.Items) != len(values) {
		p.tb.Errorf("%d values of %d come back: %q", len(got.Items), len(values), got.Items)
	}
}
