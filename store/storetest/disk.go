package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/store"
)

// A Disk opens stores that keep their data in a directory.
type Disk interface {
	// Open opens the store in dir, which is empty or holds what a store left there. The suite closes it.
	Open(tb testing.TB, dir string) store.Store
}

// A Reopener is a store that can be closed and opened again, for RunAgainst.
type Reopener interface {
	store.Store

	// Reopen closes the store and opens it again with the same data. No other call may run meanwhile.
	Reopen() error
}

// OnDisk makes an Opener of a Disk. Its stores are Reopeners.
func OnDisk(d Disk) Opener {
	return func(tb testing.TB) store.Store {
		tb.Helper()
		s := &diskStore{tb: tb, disk: d, dir: tb.TempDir()}
		s.Store = d.Open(tb, s.dir)
		tb.Cleanup(func() { closeAtEnd(tb, s) })
		return s
	}
}

type diskStore struct {
	store.Store
	tb   testing.TB
	disk Disk
	dir  string
}

func (s *diskStore) Reopen() error {
	if err := s.Close(); err != nil {
		return err
	}
	s.Store = s.disk.Open(s.tb, s.dir)
	return nil
}

func closeAtEnd(tb testing.TB, st store.Store) {
	tb.Helper()
	if err := st.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		tb.Errorf("close: %v", err)
	}
}

// RunDisk tests what a store on disk owes beyond Run: that all that was acknowledged is there after Close and after a
// crash. A crash is a copy of the directory that is made while the store is open.
func RunDisk(t *testing.T, d Disk) {
	t.Helper()
	for _, c := range slices.Concat(diskCases(), moreDiskCases()) {
		t.Run("after Close "+c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := openProbe(t, d, dir)
			c.run(p, func() *probe {
				p.tb.Helper()
				p.fatal(p.st.Close(), "close")
				p = openProbe(t, d, dir)
				return p
			})
		})
		t.Run("after a crash "+c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := openProbe(t, d, dir)
			c.run(p, func() *probe {
				p.tb.Helper()
				dir = CrashCopy(p.tb, dir)
				p = openProbe(t, d, dir)
				return p
			})
		})
	}
}

func openProbe(tb testing.TB, d Disk, dir string) *probe {
	tb.Helper()
	st := d.Open(tb, dir)
	tb.Cleanup(func() { closeAtEnd(tb, st) })
	return newProbe(tb, st)
}

// diskCase is a test that opens the store again by calling again, which returns the new one.
type diskCase struct {
	name string
	run  func(p *probe, again func() *probe)
}

func diskCases() []diskCase {
	return []diskCase{
		{"an empty store is empty", func(p *probe, again func() *probe) {
			p.selects("", "{}")
			p = again()
			p.selects("", "{}")
			p.append(`a 0:1`)
			again().selects("", "{}", `a 0:1`)
		}},
		{"samples of all kinds are there", func(p *probe, again func() *probe) {
			lines := []string{
				`a{x="1"} 0:1 1s:-0 2s:NaN(0x7ff8000000000abc) 3s:stale 1d:+Inf@5s`,
				`h 10:` + intHistogram + ` 20:` + floatHistogram + ` 30:` + customInt + `@7 40:` + customFloat + ` 50:` + staleInt + ` 60:1`,
				`{v="\x00\xff"} -1:1`,
			}
			p.append(lines...)
			check := func(p *probe) {
				p.tb.Helper()
				p.selects("", "{}", lines...)
				p.names("", "{}", "__name__", "v", "x")
			}
			p = again()
			check(p)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p = again()
			check(p)
			p.fatal(p.st.Compact(p.ctx()), "compact")
			check(again())
		}},
		{"exemplars and metadata are there", func(p *probe, again func() *probe) {
			p.append(`a{x="1"} 0:1 # 5:0.5{trace="1"}`, `b # 6:1`)
			p.describe("a", "counter", "help", "unit")
			check := func(p *probe) {
				p.tb.Helper()
				p.exemplars("", []string{"{}"}, `a{x="1"} # 5:0.5{trace="1"}`, `b # 6:1{}`)
				p.described(`a counter "help" "unit"`)
			}
			p = again()
			check(p)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			check(again())
		}},
		{"the last write has won", func(p *probe, again func() *probe) {
			p.append(`a 0:1 10s:1 20s:1`, `b 0:1`)
			p = again()
			p.append(`a 10s:2`, `b 0:`+intHistogram)
			p = again()
			p.selects("", "{}", `a 0:1 10s:2 20s:1`, `b 0:`+intHistogram)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.append(`a 20s:3`, `b 0:4`)
			again().selects("", "{}", `a 0:1 10s:2 20s:3`, `b 0:4`)
		}},
	}
}

// moreDiskCases are about what was removed, and about quantity.
func moreDiskCases() []diskCase {
	return []diskCase{
		{"what was deleted is gone, what came later is there", func(p *probe, again func() *probe) {
			p.append(`a 0:1 10s:2 2d:3 # 5:1{t="1"} 2d:1{t="2"}`, `b 0:1`)
			p.delete("min..1d", "a")
			p.append(`a 0:9`)
			check := func(p *probe) {
				p.tb.Helper()
				p.selects("", "{}", `a 0:9 2d:3`, `b 0:1`)
				p.exemplars("", []string{"{}"}, `a # 2d:1{t="2"}`)
			}
			p = again()
			check(p)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p = again()
			check(p)
			p.delete("0..0", "{}")
			p = again()
			p.selects("", "{}", `a 2d:3`)
		}},
		{"what expired is gone", func(p *probe, again func() *probe) {
			p.append(`a 0:1 5d:2 # 0:1 5d:2`)
			p.fatal(p.st.Expire(p.ctx(), 2*86_400_000), "expire")
			p = again()
			p.selects("", "{}", `a 5d:2`)
			p.exemplars("", []string{"{}"}, `a # 5d:2{}`)
			p.append(`b 6d:1`)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			p.fatal(p.st.Expire(p.ctx(), 6*86_400_000), "expire")
			again().selects("", "{}", `b 6d:1`)
		}},
		{"tenants are there", func(p *probe, again func() *probe) {
			for i, id := range manyTenants() {
				p.as(id).append(fmt.Sprintf(`m 0:%d`, i))
			}
			p = again()
			for i, id := range manyTenants() {
				p.as(id).selects("", "{}", fmt.Sprintf(`m 0:%d`, i))
			}
		}},
		{"many samples are there", func(p *probe, again func() *probe) {
			const series, rounds = 40, 300
			for r := range rounds {
				var lines []string
				for s := range series {
					lines = append(lines, fmt.Sprintf(`m{s="%02d"} %d:%d`, s, r*15_000, r*s))
				}
				p.append(lines...)
				if r == rounds/2 {
					p = again()
				}
			}
			p = again()
			var want []string
			for s := range series {
				var b strings.Builder
				for r := range rounds {
					fmt.Fprintf(&b, " %s:%s", formatTime(int64(r*15_000)), formatFloat(float64(r*s)))
				}
				want = append(want, fmt.Sprintf(`m{s="%02d"}`, s)+b.String())
			}
			p.selects("", "{}", want...)
			p.fatal(p.st.Flush(p.ctx()), "flush")
			again().selects("", "{}", want...)
		}},
		{"the store can be opened many times", func(p *probe, again func() *probe) {
			words := []string{"a"}
			for i := range 8 {
				words = append(words, fmt.Sprintf("%s:%d", formatTime(int64(i)), i))
				p.append("a " + words[i+1])
				p = again()
				p.selects("", "{}", strings.Join(words, " "))
				if i%3 == 2 {
					p.fatal(p.st.Flush(p.ctx()), "flush")
				}
			}
		}},
	}
}
