package storetest

import (
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

func matchCases() []contractCase {
	data := []string{`m{a="1",b="x"} 0:1`, `m{a="2"} 0:2`, `m{b="y"} 0:3`, `n{a="1"} 0:4`, `{a="11"} 0:5`, `{} 0:6`}
	find := func(selector string, want ...int) contractCase {
		return contractCase{selector, func(p *probe) {
			p.append(data...)
			var lines []string
			for _, i := range want {
				lines = append(lines, data[i])
			}
			check := func() {
				p.tb.Helper()
				got, err := dump(p.reader("").Select(p.ctx(), p.selection(selector)))
				p.fatal(err, "select")
				p.same(got, lines, "select %s", selector)
				p.series("", selector, seriesOf(lines)...)
			}
			check()
			p.fatal(p.st.Flush(p.ctx()), "flush")
			check()
		}}
	}
	return []contractCase{
		// In label order: the empty set first, then those with a name.
		find(`{}`, 5, 0, 1, 2, 3, 4),
		find(`m`, 0, 1, 2),
		find(`{a="1"}`, 0, 3),
		find(`m{a="1"}`, 0),
		find(`{a!="1"}`, 5, 1, 2, 4),
		find(`{a=""}`, 5, 2),
		find(`{a!=""}`, 0, 1, 3, 4),
		find(`{a=~""}`, 5, 2),
		find(`{a!~""}`, 0, 1, 3, 4),
		find(`{a=~".*"}`, 5, 0, 1, 2, 3, 4),
		find(`{a!~".*"}`),
		find(`{a=~".+"}`, 0, 1, 3, 4),
		find(`{a!~".+"}`, 5, 2),
		find(`{a=~"1"}`, 0, 3),
		find(`{a=~"1.*"}`, 0, 3, 4),
		find(`{a=~"1|2"}`, 0, 1, 3),
		find(`{a=~"1|"}`, 5, 0, 2, 3),
		find(`{a!~"1|"}`, 1, 4),
		find(`{a=~"1?"}`, 5, 0, 2, 3),
		find(`{a=~"[12]"}`, 0, 1, 3),
		find(`{a=~"(?i)X|1"}`, 0, 3),
		find(`{b=~"(?i)X"}`, 0),
		find(`{a="1",b=""}`, 3),
		find(`{a="1",b!=""}`, 0),
		find(`{a="1",a="2"}`),
		find(`{a=~"1.*",a!="1"}`, 4),
		find(`{nothing=""}`, 5, 0, 1, 2, 3, 4),
		find(`{nothing!=""}`),
		find(`{nothing=~".*",a="2"}`, 1),
		find(`{__name__=""}`, 5, 4),
		find(`{__name__=~"m|n",a="1"}`, 0, 3),
		find(`{__name__!="m"}`, 5, 3, 4),
	}
}

// seriesOf returns the label part of lines.
func seriesOf(lines []string) []string {
	var out []string
	for _, text := range lines {
		l, err := parseLine(text)
		if err != nil {
			return []string{err.Error()}
		}
		out = append(out, formatLabels(l.labels))
	}
	return out
}

// nameCases are about the discovery of series and labels.
func nameCases() []contractCase {
	return []contractCase{
		{"names and values are of the matching series, sorted", func(p *probe) {
			p.append(`m{b="2",a="1"} 0:1`, `m{b="10",c="z"} 0:1`, `n{d="1"} 0:1`)
			p.names("", "{}", "__name__", "a", "b", "c", "d")
			p.names("", "m", "__name__", "a", "b", "c")
			p.names("", `m{c=""}`, "__name__", "a", "b")
			p.values("", "b", "{}", "10", "2")
			p.values("", "b", `{a="1"}`, "2")
			p.values("", "b", "n")
			p.values("", "nothing", "{}")
			p.values("", "__name__", "{}", "m", "n")
			p.values("", "__name__", `{d!=""}`, "n")
			p.series("", "m", `m{a="1",b="2"}`, `m{b="10",c="z"}`)
		}},
		{"only what has samples in the partitions of the range is found", func(p *probe) {
			p.append(`a{x="1"} 0:1`, `b{y="2"} 10d:1`, `c{z="3"} 0:1 20d:1`)
			p.names("0..1", "{}", "__name__", "x", "z")
			p.values("10d..10d", "__name__", "{}", "b")
			p.series("15d..30d", "{}", `c{z="3"}`)
			p.series("3d..7d", "{}")
		}},
		{"a limit cuts lists off and says so", func(p *probe) {
			p.append(`a{x="1"} 0:1`, `b{x="2"} 0:1`, `c{x="3",y="1"} 0:1`)
			for limit, mark := range []bool{false, true, true, false, false} {
				sel := store.Selection{Limit: limit}
				values, err := p.reader("").LabelValues(p.ctx(), "x", sel)
				p.fatal(err, "values")
				names, err := p.reader("").LabelNames(p.ctx(), sel)
				p.fatal(err, "names")
				list, err := p.reader("").Series(p.ctx(), sel)
				p.fatal(err, "series")
				want := 3
				if limit > 0 {
					want = min(limit, 3)
				}
				if len(values.Items) != want || values.Truncated != mark || values.Items[0] != "1" {
					p.tb.Errorf("limit %d: values %+v", limit, values)
				}
				if len(names.Items) != want || names.Truncated != mark || names.Items[0] != "__name__" {
					p.tb.Errorf("limit %d: names %+v", limit, names)
				}
				if len(list.Items) != want || list.Truncated != mark || formatLabels(list.Items[0]) != `a{x="1"}` {
					p.tb.Errorf("limit %d: series %+v", limit, list)
				}
			}
		}},
		{"an exemplar alone makes no series", func(p *probe) {
			p.append(`a{x="1"} # 5:1{t="1"}`, `b{y="1"} 5:1`)
			p.selects("", "{}", `b{y="1"} 5:1`)
			p.series("", "{}", `b{y="1"}`)
			p.names("", "{}", "__name__", "y")
			p.exemplars("", []string{"a"}, `a{x="1"} # 5:1{t="1"}`)
		}},
		{"values are sorted by bytes", func(p *probe) {
			p.append(`m{v="a"} 0:1`, `m{v="B"} 0:1`, `m{v="\xff"} 0:1`, `m{v="\x00"} 0:1`, `m{v="é"} 0:1`, `m{v="a\x00"} 0:1`, `m{v="aa"} 0:1`)
			p.values("", "v", "m", "\x00", "B", "a", "a\x00", "aa", "é", "\xff")
		}},
	}
}

// tenantCases are about the isolation of tenants.
func tenantCases() []contractCase {
	return []contractCase{
		{"tenants see only their own", func(p *probe) {
			ids := manyTenants()
			for i, id := range ids {
				v := formatTime(int64(i))
				p.as(id).append(`m{x="1"} 0:`+v+` # 0:`+v+`{t="1"}`, `only_`+sanitised(id)+` 0:1`)
			}
			for i, id := range ids {
				v := formatTime(int64(i))
				q := p.as(id)
				q.selects("", "m", `m{x="1"} 0:`+v)
				q.values("", "__name__", "{}", "m", "only_"+sanitised(id))
				q.exemplars("", []string{"{}"}, `m{x="1"} # 0:`+v+`{t="1"}`)
			}
			got, err := p.st.Tenants(p.ctx())
			p.fatal(err, "tenants")
			var text []string
			for _, id := range got {
				text = append(text, string(id))
			}
			p.same(text, []string{"0", "A", "a", "a-b", "a_b", "ab", "b", "default"}, "tenants")
		}},
		{"deleting of one tenant leaves the others", func(p *probe) {
			p.as("a").append(`m 0:1`)
			p.as("ab").append(`m 0:2`)
			p.as("a").delete("", "{}")
			p.as("a").selects("", "{}")
			p.as("ab").selects("", "{}", `m 0:2`)
		}},
		{"asking a tenant without data makes none", func(p *probe) {
			p.selects("", "{}")
			p.exemplars("", []string{"{}"})
			p.delete("", "{}")
			got, err := p.st.Tenants(p.ctx())
			p.fatal(err, "tenants")
			if len(got) != 0 {
				p.tb.Errorf("tenants %v", got)
			}
		}},
		{"a matcher on the reserved dimension may name the own tenant", scopedMatchers},
		{"many tenants", func(p *probe) {
			const n = 300
			for i := range n {
				p.as(tenancy.ID("t" + formatTime(int64(i)))).append(`m 0:` + formatTime(int64(i)))
			}
			got, err := p.st.Tenants(p.ctx())
			p.fatal(err, "tenants")
			if len(got) != n {
				p.tb.Errorf("%d tenants, want %d", len(got), n)
			}
			p.as("t17").selects("", "{}", "m 0:17")
		}},
	}
}

// manyTenants returns ids of which some begin with others.
func manyTenants() []tenancy.ID {
	return []tenancy.ID{"a", "ab", "b", "A", "a-b", "a_b", "0", "default"}
}

func sanitised(id tenancy.ID) string {
	out := []byte(id)
	for i, c := range out {
		if c == '-' {
			out[i] = 'D'
		}
	}
	return string(out)
}

func scopedMatchers(p *probe) {
	p.append(`m{x="1"} 0:1`)
	view := store.Scope(p.st, p.id)
	for selector, ok := range map[string]bool{
		`m{_tenant_id="acme"}`: true, `m{_tenant_id=~"ac.*"}`: true, `m{_tenant_id!="other"}`: true, `m`: true,
		`m{_tenant_id="other"}`: false, `m{_tenant_id!="acme"}`: false, `m{_tenant_id=""}`: false,
		`m{_tenant_id="acme",_tenant_id="other"}`: false,
	} {
		r, err := view.Reader(store.AllTime())
		p.fatal(err, "reader")
		got, err := dump(r.Select(p.ctx(), p.selection(selector)))
		p.fatal(r.Close(), "close")
		if ok {
			p.fatal(err, selector)
			p.same(got, []string{`m{x="1"} 0:1`}, "select %s", selector)
		} else if problem.KindOf(err) != problem.Invalid {
			p.tb.Errorf("select %s gives %q, %v, want a problem of the kind %s", selector, got, err, problem.Invalid)
		}
	}
}
