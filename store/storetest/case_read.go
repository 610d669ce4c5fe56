package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

func readCases() []contractCase {
	return []contractCase{
		{"nothing is in an empty store", func(p *probe) {
			p.selects("", "{}")
			p.names("", "{}")
			p.values("", "x", "{}")
			p.series("", "{}")
		}},
		{"both ends of a range belong to it", func(p *probe) {
			p.append(`a 9:1 10:2 11:3 19:4 20:5 21:6`)
			p.selects("10..20", "{}", `a 10:2 11:3 19:4 20:5`)
			p.selects("11..19", "{}", `a 11:3 19:4`)
			p.selects("10..10", "{}", `a 10:2`)
			p.selects("21..21", "{}", `a 21:6`)
			p.selects("12..18", "{}")
			p.selects("22..max", "{}")
			p.selects("min..8", "{}")
			p.selects("min..9", "{}", `a 9:1`)
		}},
		{"a range that ends before it starts is empty", func(p *probe) {
			p.append(`a 0:1 10:2 20:3`)
			p.selects("20..10", "{}")
			p.selects("max..min", "{}")
		}},
		{"a series without samples in the range is not selected", func(p *probe) {
			p.append(`a 0:1 2d:2`, `b 1d:3`)
			p.selects("1d..1d", "{}", `b 1d:3`)
			p.selects("1..86399999", "{}")
		}},
		{"stale markers count as samples", func(p *probe) {
			p.append(`a 10:stale`)
			p.selects("10..10", "{}", `a 10:stale`)
		}},
	}
}

// flushCases are about what Flush and Compact must not change.
func flushCases() []contractCase {
	return []contractCase{
		{"samples are in time order over partitions and flushes", func(p *probe) {
			var early, late []string
			for i := range 60 {
				early = append(early, fmt.Sprintf("%dh:%d", 2*i, i))
				late = append(late, fmt.Sprintf("%dh:%d", 2*i+1, -i))
			}
			p.append("a " + strings.Join(early, " "))
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.append("a " + strings.Join(late, " "))
			check := func() {
				p.tb.Helper()
				got, err := collectOne(p, "")
				p.fatal(err, "select")
				if len(got) != 120 {
					p.tb.Fatalf("%d samples, want 120", len(got))
				}
				for i, s := range got {
					want := float64(i / 2)
					if i%2 == 1 {
						want = -want
					}
					if s.Timestamp != int64(i)*3_600_000 || s.Value != want {
						p.tb.Fatalf("sample %d is %s, want %dh:%v", i, formatSample(&s), i, want)
					}
				}
			}
			check()
			p.fatal(p.st.Flush(p.ctx()), "flush")
			check()
			p.fatal(p.st.Compact(p.ctx()), "compact")
			check()
		}},
		{"flush and compact change no answer", flushChangesNothing},
		{"a replaced sample stays replaced over flush and compact", func(p *probe) {
			p.append(`a 0:1 10s:1`, `b 0:1`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.append(`a 0:2`, `b 0:`+intHistogram)
			p.selects("", "{}", `a 0:2 10s:1`, `b 0:`+intHistogram)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.selects("", "{}", `a 0:2 10s:1`, `b 0:`+intHistogram)
			p.append(`a 0:1`, `b 0:3`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.fatal(p.st.Compact(p.ctx()), "compact")
			p.selects("", "{}", `a 0:1 10s:1`, `b 0:3`)
		}},
	}
}

// readerCases are about readers, sets and iterators.
func readerCases() []contractCase {
	return []contractCase{
		{"a limit cuts the series off", func(p *probe) {
			p.append(`a 0:1`, `b 0:2`, `c 0:3`)
			for limit, want := range map[int]int{0: 3, 1: 1, 2: 2, 3: 3, 4: 3} {
				sel := p.selection("{}")
				sel.Limit = limit
				got, err := dump(p.reader("").Select(p.ctx(), sel))
				p.fatal(err, "select")
				if len(got) != want {
					p.tb.Errorf("limit %d gives %d series, want %d: %q", limit, len(got), want, got)
				}
			}
		}},
		{"iterators seek", iteratorSeeks},
		{"histograms that are read may be changed", func(p *probe) {
			want := `a 1:` + intHistogram + ` 2:` + floatHistogram
			p.append(want)
			set := p.reader("").Select(p.ctx(), p.selection("{}"))
			for set.Next() {
				run, err := collect(set.At().Iterator(nil))
				p.fatal(err, "read")
				clear(run[0].Int.PositiveBuckets)
				clear(run[0].Int.PositiveSpans)
				clear(run[1].Float.NegativeBuckets)
			}
			p.fatal(set.Err(), "select")
			p.selects("", "{}", want)
		}},
		{"an integer histogram can be read as a float histogram", func(p *probe) {
			p.append(`a 1:h[count=3 sum=1.5 ps=0/2 p=1,2]`)
			set := p.reader("").Select(p.ctx(), p.selection("{}"))
			if !set.Next() {
				p.tb.Fatalf("no series: %v", set.Err())
			}
			it := set.At().Iterator(nil)
			if kind := it.Next(); kind != chunkenc.ValHistogram {
				p.tb.Fatalf("kind %v", kind)
			}
			t, h := it.AtFloatHistogram(nil)
			if t != 1 || h.Count != 3 || len(h.PositiveBuckets) != 2 || h.PositiveBuckets[1] != 2 {
				p.tb.Errorf("at %d %v", t, h)
			}
		}},
		{"labels outlive the reader", func(p *probe) {
			p.append(`a{x="1"} 0:1`)
			r, err := p.tenant().Reader(store.AllTime())
			p.fatal(err, "reader")
			list, err := r.Series(p.ctx(), store.Selection{})
			p.fatal(err, "series")
			p.fatal(r.Close(), "close")
			p.append(`b{x="2"} 0:1`)
			p.same(listed(list, formatLabels), []string{`a{x="1"}`}, "series after close")
		}},
		{"a reader sees what was appended before it was opened", func(p *probe) {
			p.append(`a 0:1`)
			r := p.reader("")
			p.append(`a 1:2`)
			got, err := dump(r.Select(p.ctx(), p.selection("{}")))
			p.fatal(err, "select")
			if len(got) != 1 || (got[0] != "a 0:1" && got[0] != "a 0:1 1:2") {
				p.tb.Errorf("read %q", got)
			}
		}},
	}
}

// contextCases are about reads that are given up.
func contextCases() []contractCase {
	return []contractCase{
		{"a context that is done stops reads", cancelledReads},
		{"a context that ends stops a read under way", func(p *probe) {
			var lines []string
			for i := range 2000 {
				lines = append(lines, fmt.Sprintf(`a{i="%d"} 0:1`, i))
			}
			p.append(lines...)
			ctx, cancel := context.WithCancel(p.ctx())
			defer cancel()
			set := p.reader("").Select(ctx, p.selection("{}"))
			if !set.Next() {
				p.tb.Fatalf("no series: %v", set.Err())
			}
			cancel()
			n := 1
			for set.Next() {
				n++
			}
			if !errors.Is(set.Err(), context.Canceled) {
				p.tb.Errorf("%d series were read, then %v, want %v", n, set.Err(), context.Canceled)
			}
		}},
	}
}

// collectOne reads the only series of the tenant.
func collectOne(p *probe, in string) (series.Run, error) {
	set := p.reader(in).Select(p.ctx(), p.selection("{}"))
	var out series.Run
	n := 0
	for set.Next() {
		n++
		run, err := collect(set.At().Iterator(nil))
		if err != nil {
			return nil, err
		}
		out = append(out, run...)
	}
	if n > 1 {
		return nil, fmt.Errorf("%d series", n)
	}
	return out, set.Err()
}

func flushChangesNothing(p *probe) {
	p.append(`a{x="1"} 0:1 30s:2@5s 2d:3`, `a{x="2"} 10:`+intHistogram+` 20:`+floatHistogram+` 3d:5`, `b 1d:stale # 1d:0.5{t="x"}`)
	p.append(`a{x="1"} 0:9`)
	p.delete("2d..2d", `a{x="1"}`)
	check := func() {
		p.tb.Helper()
		p.selects("", "{}", `a{x="1"} 0:9 30s:2@5s`, `a{x="2"} 10:`+intHistogram+` 20:`+floatHistogram+` 3d:5`, `b 1d:stale`)
		p.selects("20..1d", "{}", `a{x="1"} 30s:2@5s`, `a{x="2"} 20:`+floatHistogram, `b 1d:stale`)
		p.names("", "{}", "__name__", "x")
		p.values("", "x", "{}", "1", "2")
		p.series("", `{__name__=~"a|b",x!="1"}`, `a{x="2"}`, `b`)
		p.exemplars("", []string{"b"}, `b # 1d:0.5{t="x"}`)
	}
	check()
	for range 2 {
		p.fatal(p.st.Flush(p.ctx()), "flush")
		check()
		p.fatal(p.st.Compact(p.ctx()), "compact")
		check()
	}
}

func iteratorSeeks(p *probe) {
	p.append(`a 10:1 20:2 30:` + intHistogram + ` 1d:4 3d:5`)
	set := p.reader("15..max").Select(p.ctx(), p.selection("{}"))
	if !set.Next() {
		p.tb.Fatalf("no series: %v", set.Err())
	}
	const none = chunkenc.ValNone
	steps := []struct {
		seek  string // Empty means Next.
		kind  chunkenc.ValueType
		at    string
		again bool // Begin a new iterator.
	}{
		{"min", chunkenc.ValFloat, "20", true},
		{"20", chunkenc.ValFloat, "20", false},
		{"5", chunkenc.ValFloat, "20", false},
		{"21", chunkenc.ValHistogram, "30", false},
		{"", chunkenc.ValFloat, "1d", false},
		{"30", chunkenc.ValFloat, "1d", false},
		{"2d", chunkenc.ValFloat, "3d", false},
		{"", none, "", false},
		{"", none, "", false},
		{"10", none, "", false},
		{"3d", chunkenc.ValFloat, "3d", true},
		{"max", none, "", false},
		{"", none, "", false},
		{"", chunkenc.ValFloat, "20", true},
		{"30", chunkenc.ValHistogram, "30", false},
	}
	var it chunkenc.Iterator
	for i, s := range steps {
		if s.again {
			it = set.At().Iterator(it)
		}
		var kind chunkenc.ValueType
		if s.seek == "" {
			kind = it.Next()
		} else {
			t, err := parseTime(s.seek)
			p.fatal(err, "text of the case")
			kind = it.Seek(t)
		}
		if kind != s.kind {
			p.tb.Fatalf("step %d (seek %q): kind %v, want %v", i, s.seek, kind, s.kind)
		}
		if want, _ := parseTime(s.at); kind != none && it.AtT() != want {
			p.tb.Fatalf("step %d (seek %q): at %s, want %s", i, s.seek, formatTime(it.AtT()), s.at)
		}
		p.fatal(it.Err(), "iterator")
	}
}

func cancelledReads(p *probe) {
	p.append(`a{x="1"} 0:1`)
	ctx, cancel := context.WithCancel(p.ctx())
	r := p.reader("")
	cancel()
	want := func(what string, err error) {
		p.tb.Helper()
		if !errors.Is(err, context.Canceled) {
			p.tb.Errorf("%s: %v, want %v", what, err, context.Canceled)
		}
	}
	got, err := dump(r.Select(ctx, p.selection("{}")))
	want(fmt.Sprintf("select gives %q", got), err)
	chunks := r.SelectChunks(ctx, p.selection("{}"))
	if chunks.Next() {
		p.tb.Error("SelectChunks gives a series")
	}
	want("SelectChunks", chunks.Err())
	_, err = r.Series(ctx, store.Selection{})
	want("Series", err)
	_, err = r.LabelNames(ctx, store.Selection{})
	want("LabelNames", err)
	_, err = r.LabelValues(ctx, "x", store.Selection{})
	want("LabelValues", err)
	_, err = p.tenant().Aggregate(ctx, store.Aggregation{Range: store.AllTime(), Funcs: store.Funcs()})
	want("Aggregate", err)
}
