package storetest

import (
	"fmt"
	"strings"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// describe writes metadata of one family.
func (p *probe) describe(family, kind, help, unit string) {
	p.tb.Helper()
	b := metric.NewBatch(Hasher())
	b.Metadata = append(b.Metadata, metric.Metadata{Family: family, Type: kind, Help: help, Unit: unit})
	p.appendBatch(b)
}

// described compares all metadata.
func (p *probe) described(want ...string) {
	p.tb.Helper()
	got, err := dumpMetadata(p, store.MetadataQuery{})
	p.fatal(err, "metadata")
	p.same(got, want, "metadata")
}

func dumpMetadata(p *probe, q store.MetadataQuery) ([]string, error) {
	list, err := p.tenant().Metadata(p.ctx(), q)
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprintf("%s %s %q %q", m.Family, m.Type, m.Help, m.Unit))
	}
	return out, err
}

// cardinality compares the counts of everything.
func (p *probe) cardinality(in, selector string, top int, want ...string) {
	p.tb.Helper()
	q := store.CardinalityQuery{Range: p.rangeOf(in), Selection: p.selection(selector), Top: top}
	got, err := p.tenant().Cardinality(p.ctx(), q)
	p.fatal(err, "cardinality")
	if got.Approximate {
		return // The figures are then the backend's own.
	}
	p.same(dumpCardinality(got), want, "cardinality of %s in %q", selector, in)
}

// extraCases are about exemplars.
func extraCases() []contractCase {
	return []contractCase{
		{"exemplars are ordered by series, time and labels", func(p *probe) {
			p.append(`b 0:1 # 20:2{t="z"} 10:1{t="x"} 20:3{t="a"}`, `a{y="1"} # 5:-0`, `a # 7:NaN{k="1",j="2"}`)
			p.exemplars("", []string{"{}"}, `a # 7:NaN{j="2",k="1"}`, `a{y="1"} # 5:-0{}`, `b # 10:1{t="x"} 20:3{t="a"} 20:2{t="z"}`)
		}},
		{"exemplars are of the range, both ends included", func(p *probe) {
			p.append(`a # 9:1 10:2 20:3 21:4`)
			p.exemplars("10..20", []string{"a"}, `a # 10:2{} 20:3{}`)
			p.exemplars("11..19", []string{"a"})
			p.exemplars("20..10", []string{"a"})
		}},
		{"exemplars are of the series that match any selection", func(p *probe) {
			p.append(`a{x="1"} # 1:1`, `a{x="2"} # 1:2`, `b # 1:3`)
			p.exemplars("", []string{`a{x="1"}`, "b"}, `a{x="1"} # 1:1{}`, `b # 1:3{}`)
			p.exemplars("", []string{`a{x="1"}`, `{x=~".+"}`}, `a{x="1"} # 1:1{}`, `a{x="2"} # 1:2{}`)
			p.exemplars("", []string{"c"})
			p.exemplars("", nil)
		}},
		{"an exemplar with the series, time and labels of another replaces it", func(p *probe) {
			p.append(`a # 10:1{t="1"} 10:1{t="1"} 10:1{t="2"}`)
			p.append(`a # 10:5{t="1"} 11:1{t="1"}`)
			p.exemplars("", []string{"a"}, `a # 10:5{t="1"} 10:1{t="2"} 11:1{t="1"}`)
		}},
		{"exemplars are bounded in number", func(p *probe) {
			const batches, each = 120, 1000
			for i := range batches {
				var b strings.Builder
				b.WriteString("a #")
				for j := range each {
					fmt.Fprintf(&b, " %d:1", i*each+j)
				}
				p.append(b.String())
			}
			got, err := p.tenant().Exemplars(p.ctx(), store.AllTime(), []store.Selection{{}})
			p.fatal(err, "exemplars")
			if len(got) != 1 {
				p.tb.Fatalf("%d series", len(got))
			}
			kept := got[0].Exemplars
			if len(kept) < 100 || len(kept) > 100_000 {
				p.tb.Fatalf("%d of %d exemplars are kept", len(kept), batches*each)
			}
			if last := kept[len(kept)-1].Ts; last != batches*each-1 {
				p.tb.Errorf("the newest exemplar that is kept is %d", last)
			}
			if kept[0].Ts == 0 {
				p.tb.Error("the oldest exemplar is kept")
			}
		}},
	}
}

// metadataCases are about metadata and cardinality.
func metadataCases() []contractCase {
	return []contractCase{
		{"metadata is in the order of families, the last one wins", func(p *probe) {
			p.described()
			p.describe("b", "gauge", "old", "")
			p.describe("a_total", "counter", "with \"quotes\"\nand ü", "seconds")
			p.describe("b", "histogram", "new", "bytes")
			p.described(`a_total counter "with \"quotes\"\nand ü" "seconds"`, `b histogram "new" "bytes"`)
		}},
		{"the last metadata of a family in a batch wins", func(p *probe) {
			b := metric.NewBatch(Hasher())
			for _, help := range []string{"1", "2", "3"} {
				b.Metadata = append(b.Metadata, metric.Metadata{Family: "a", Type: "gauge", Help: help})
			}
			p.appendBatch(b)
			p.described(`a gauge "3" ""`)
		}},
		{"metadata can be asked for by family and with a limit", func(p *probe) {
			for _, family := range []string{"c", "a", "b"} {
				p.describe(family, "gauge", family, "")
			}
			for _, c := range []struct {
				q    store.MetadataQuery
				want []string
			}{
				{store.MetadataQuery{Family: "b"}, []string{`b gauge "b" ""`}},
				{store.MetadataQuery{Family: "d"}, nil},
				{store.MetadataQuery{Limit: 1}, []string{`a gauge "a" ""`}},
				{store.MetadataQuery{Limit: 3}, []string{`a gauge "a" ""`, `b gauge "b" ""`, `c gauge "c" ""`}},
				{store.MetadataQuery{Limit: 4}, []string{`a gauge "a" ""`, `b gauge "b" ""`, `c gauge "c" ""`}},
			} {
				got, err := dumpMetadata(p, c.q)
				p.fatal(err, "metadata")
				p.same(got, c.want, "metadata %+v", c.q)
			}
		}},
		{"metadata belongs to a tenant", func(p *probe) {
			p.describe("a", "gauge", "mine", "")
			p.as("other").described()
		}},
		{"cardinality counts series, pairs, values and bytes", func(p *probe) {
			p.append(`m{a="1",b="xx"} 0:1`, `m{a="2",b="xx"} 0:1`, `m{a="3"} 10d:1`, `n{a="1"} 10d:1`, `{a="1"} 0:1`)
			p.cardinality("", "{}", 0, "series 5, pairs 6", `names "m":3 "n":1`, `dimensions "a":3 "__name__":2 "b":1`,
				`bytes "a":3 "__name__":2 "b":2`, `pairs "__name__=m":3 "a=1":3 "b=xx":2 "__name__=n":1 "a=2":1 "a=3":1`)
			p.cardinality("", "{}", 2, "series 5, pairs 6", `names "m":3 "n":1`, `dimensions "a":3 "__name__":2`,
				`bytes "a":3 "__name__":2`, `pairs "__name__=m":3 "a=1":3`)
			p.cardinality("", `{a="1"}`, 10, "series 3, pairs 4", `names "m":1 "n":1`, `dimensions "__name__":2 "a":1 "b":1`,
				`bytes "__name__":2 "b":2 "a":1`, `pairs "a=1":3 "__name__=m":1 "__name__=n":1 "b=xx":1`)
			p.cardinality("10d..10d", "{}", 1, "series 2, pairs 4", `names "m":1`, `dimensions "__name__":2`, `bytes "__name__":2`, `pairs "__name__=m":1`)
			p.cardinality("", "nothing", 0, "series 0, pairs 0", "names", "dimensions", "bytes", "pairs")
		}},
	}
}
