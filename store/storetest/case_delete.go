package storetest

// deleteCases are about Delete.
func deleteCases() []contractCase {
	return []contractCase{
		{"deleting removes what range and selector cover, both ends included", func(p *probe) {
			p.append(`a{x="1"} 9:1 10:2 15:3 20:4 21:5`, `a{x="2"} 15:6`, `b 15:7`)
			p.delete("10..20", `a{x="1"}`)
			p.selects("", "{}", `a{x="1"} 9:1 21:5`, `a{x="2"} 15:6`, `b 15:7`)
			p.selects("10..20", "{}", `a{x="2"} 15:6`, `b 15:7`)
		}},
		{"deleting all of a series makes it vanish", func(p *probe) {
			p.append(`a{x="1"} 0:1 10d:2`, `b{y="2"} 0:1`)
			p.delete("", "a")
			p.selects("", "{}", `b{y="2"} 0:1`)
			p.series("", "{}", `b{y="2"}`)
			p.names("", "{}", "__name__", "y")
			p.values("", "x", "{}")
		}},
		{"deleting without matchers removes everything in the range", func(p *probe) {
			p.append(`a 0:1 1d:2`, `{} 0:1 1d:3`)
			p.delete("min..86399999", "{}")
			p.selects("", "{}", `{} 1d:3`, `a 1d:2`)
		}},
		{"deleting removes histograms too", func(p *probe) {
			p.append(`a 10:` + intHistogram + ` 20:` + floatHistogram + ` 30:` + customInt)
			p.delete("10..20", "a")
			p.selects("", "{}", `a 30:`+customInt)
		}},
		{"deleting removes exemplars too", func(p *probe) {
			p.append(`a 10:1 # 10:1{t="1"} 20:1{t="2"} 30:1{t="3"}`, `b 10:1 # 10:1{t="4"}`)
			p.delete("min..20", "a")
			p.exemplars("", []string{"{}"}, `a # 30:1{t="3"}`, `b # 10:1{t="4"}`)
		}},
		{"what is appended after a delete stays", func(p *probe) {
			p.append(`a 10:1 20:2 30:3`)
			p.delete("", "a")
			p.append(`a 20:5 40:6`)
			p.selects("", "{}", `a 20:5 40:6`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.selects("", "{}", `a 20:5 40:6`)
			p.fatal(p.st.Compact(p.ctx()), "compact")
			p.selects("", "{}", `a 20:5 40:6`)
			p.delete("20..20", "{}")
			p.append(`a 20:7`)
			p.selects("", "{}", `a 20:7 40:6`)
		}},
	}
}

// moreDeleteCases are about deletes that meet other operations.
func moreDeleteCases() []contractCase {
	return []contractCase{
		{"a replaced sample does not come back by deleting", func(p *probe) {
			p.append(`a 10:1 20:1`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.append(`a 10:2`)
			p.delete("10..10", "a")
			p.selects("", "{}", `a 20:1`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.fatal(p.st.Compact(p.ctx()), "compact")
			p.selects("", "{}", `a 20:1`)
		}},
		{"deletes reach what is flushed and what is not", func(p *probe) {
			p.append(`a 0:1 10:2 1d:3`, `b 0:1 10:2 1d:3`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.append(`a 5:4 86400005:5`, `b 5:4`)
			p.delete("5..1d", "a")
			p.selects("", "{}", `a 0:1 86400005:5`, `b 0:1 5:4 10:2 1d:3`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.fatal(p.st.Compact(p.ctx()), "compact")
			p.selects("", "{}", `a 0:1 86400005:5`, `b 0:1 5:4 10:2 1d:3`)
		}},
		{"several deletes add up", func(p *probe) {
			p.append(`a 0:0 1:1 2:2 3:3 4:4 5:5 6:6 7:7 8:8 9:9`)
			p.delete("1..2", "a")
			p.delete("2..3", "{}")
			p.delete("8..max", "a")
			p.delete("5..4", "a")
			p.selects("", "{}", `a 0:0 4:4 5:5 6:6 7:7`)
		}},
		{"deleting by a missing label", func(p *probe) {
			p.append(`a{x="1"} 0:1`, `a 0:2`, `b 0:3`)
			p.delete("", `{x=""}`)
			p.selects("", "{}", `a{x="1"} 0:1`)
		}},
		{"deleting leaves metadata", func(p *probe) {
			p.append(`a 0:1`)
			p.describe("a", "counter", "help", "")
			p.delete("", "{}")
			p.described(`a counter "help" ""`)
		}},
	}
}

// expireCases are about Expire.
func expireCases() []contractCase {
	return []contractCase{
		{"expiry removes days that end before the time", func(p *probe) {
			p.append(`a 0:1 86399999:2 1d:3 3d:4`, `b 2:5`)
			p.fatal(p.st.Expire(p.ctx(), 86_400_000), "expire")
			p.selects("", "{}", `a 1d:3 3d:4`)
			p.series("", "{}", `a`)
			p.fatal(p.st.Expire(p.ctx(), 0), "expire")
			p.selects("", "{}", `a 1d:3 3d:4`)
			p.fatal(p.st.Expire(p.ctx(), 10*86_400_000), "expire")
			p.selects("", "{}")
		}},
		{"expiry in the middle of a day leaves what comes after", func(p *probe) {
			p.append(`a 0:1 10d:2`)
			p.fatal(p.st.Expire(p.ctx(), 5*86_400_000+1000), "expire")
			p.selects("5d..max", "{}", `a 10d:2`)
			p.selects("0..4d", "{}")
		}},
		{"expiry reaches all tenants and exemplars, and time before the epoch", func(p *probe) {
			p.append(`a -2d:1 -1:2 0:3 # 1:1{t="1"} 1d:1{t="2"}`)
			p.as("other").append(`b 0:4 1d:5`)
			p.fatal(p.st.Expire(p.ctx(), -86_400_000), "expire")
			p.selects("", "{}", `a -1:2 0:3`)
			p.fatal(p.st.Expire(p.ctx(), 86_400_000), "expire")
			p.selects("", "{}")
			p.exemplars("", []string{"{}"}, `a # 1d:1{t="2"}`)
			p.as("other").selects("", "{}", `b 1d:5`)
		}},
		{"what is appended after expiry is stored or rejected", func(p *probe) {
			p.append(`a 0:1 5d:2`)
			p.fatal(p.st.Expire(p.ctx(), 2*86_400_000), "expire")
			b, err := newBatch(Hasher(), `a 10:3`)
			p.fatal(err, "text of the case")
			rejected, err := p.tenant().Append(p.ctx(), b)
			p.fatal(err, "append")
			if len(rejected) > 0 {
				p.selects("", "{}", `a 5d:2`)
			} else {
				p.selects("", "{}", `a 10:3 5d:2`)
			}
		}},
	}
}
