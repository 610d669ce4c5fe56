package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// RunAgainst does the same random operations on two stores and compares their answers to the bit; want is the oracle,
// usually store/memory. If got is a Reopener, it is also closed and opened again. A sequence that fails is shrunk and
// printed. The flags -rapid.checks, -rapid.steps and -rapid.seed say how much is tried, and LUMINATE_RANDOM_TIME, a
// duration such as 10m, for how long at most; without it one minute.
func RunAgainst(t *testing.T, want, got Opener) {
	t.Helper()
	most := time.Minute
	if text := os.Getenv("LUMINATE_RANDOM_TIME"); text != "" {
		var err error
		if most, err = time.ParseDuration(text); err != nil {
			t.Fatalf("LUMINATE_RANDOM_TIME: %v", err)
		}
	}
	enough, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	failed := false
	rapid.Check(t, func(rt *rapid.T) {
		if enough.Err() != nil && !failed {
			return // A failure is shrunk after the time as well.
		}
		passed := false
		defer func() { failed = failed || !passed }()
		tb := &scope{TB: t}
		defer tb.end()
		d := &duel{
			want: want(tb), got: got(tb), ever: memory.New(memory.Options{}), ctx: t.Context(), rt: rt, id: "acme",
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append":      d.append,
			"append more": d.append,
			"delete":      d.delete,
			"expire":      d.expire,
			"flush":       d.flush,
			"compact":     d.compact,
			"reopen":      d.reopen,
			"select":      d.compareSelect,
			"chunks":      d.compareChunks,
			"names":       d.compareNames,
			"aggregate":   d.compareAggregate,
			"exemplars":   d.compareExemplars,
			"metadata":    d.compareMetadata,
		})
		d.everything()
		passed = true
	})
}

// scope is a test that ends before its time: what was opened for one sequence is closed after it, so that a failing
// sequence fails alone, and can be shrunk.
type scope struct {
	testing.TB
	atEnd []func()
}

func (s *scope) Cleanup(f func()) { s.atEnd = append(s.atEnd, f) }

func (s *scope) TempDir() string {
	s.Helper()
	dir, err := os.MkdirTemp("", "storetest")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Errorf("remove of a directory: %v", err)
		}
	})
	return dir
}

func (s *scope) end() {
	for _, f := range slices.Backward(s.atEnd) {
		f()
	}
}

// duel is one sequence of operations on two stores, and on a third that remembers what a store may still list: it lacks
// only what was deleted of whole days.
type duel struct {
	want, got, ever store.Store

	ctx context.Context
	rt  *rapid.T
	id  tenancy.ID
}

const day = 24 * int64(time.Hour/time.Millisecond)

// Values to draw from: few, so that samples meet.
func drawTime(t *rapid.T, label string) int64 {
	days := []int64{0, 0, 0, 1, 2, -1, 19_000}
	into := []int64{0, 1, 1000, 15_000, 30_000, 45_000, 60_000, 300_000, 301_000, 3_600_000, 7_200_000, day - 1, day / 2}
	return rapid.SampledFrom(days).Draw(t, label+" day")*day + rapid.SampledFrom(into).Draw(t, label+" offset")
}

func drawRange(t *rapid.T) store.Range {
	if rapid.Bool().Draw(t, "all time") {
		return store.AllTime()
	}
	a, b := drawTime(t, "from"), drawTime(t, "to")
	return store.Range{Min: min(a, b), Max: max(a, b)}
}

func drawValue(t *rapid.T) float64 {
	text := rapid.SampledFrom([]string{
		"0", "-0", "1", "2", "3", "-1.5", "1e300", "-1e300", "1.7e308", "5e-324", "+Inf", "-Inf", "NaN", "stale", "NaN(0x7ff8000000000abc)", "any",
	}).Draw(t, "value")
	if text == "any" {
		return rapid.Float64().Draw(t, "float")
	}
	v, err := parseFloat(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func drawLabels(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		`{}`, `m`, `m{a="1"}`, `m{a="2"}`, `m{a="1",b="x"}`, `m{a="1",b="y"}`, `m{b="x"}`, `n{a="1"}`, `n{a="1|2"}`, `m{ab="1"}`,
		`m{a="\x00"}`, `m{a="\xff"}`, `{a="1"}`, `m{"ü.ü"="1"}`,
	}).Draw(t, "series")
}

func drawSelector(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		`{}`, `{}`, `m`, `n`, `m{a="1"}`, `{a=""}`, `{a!=""}`, `{a=~"1|2"}`, `{a=~".*"}`, `{a=~".+"}`, `{a!~"1.*"}`, `{b!="x"}`, `m{a="1",b!=""}`,
		`{__name__=""}`, `{nothing=""}`, `{nothing!=""}`, `{a=~"1?"}`,
	}).Draw(t, "selector")
}

// drawLine draws a line of the text form.
func drawLine(t *rapid.T) string {
	var b strings.Builder
	b.WriteString(drawLabels(t))
	histograms := []string{intHistogram, floatHistogram, customInt, customFloat, staleInt, "h[count=3 ps=0/1 p=3]", "f[count=4 ps=0/1 p=4]", "h[hint=none count=2 ps=0/1 p=2]"}
	for range rapid.IntRange(0, 6).Draw(t, "samples") {
		at := formatTime(drawTime(t, "time"))
		if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
			b.WriteString(" " + at + ":" + rapid.SampledFrom(histograms).Draw(t, "histogram"))
		} else {
			b.WriteString(" " + at + ":" + formatFloat(drawValue(t)))
		}
		if rapid.IntRange(0, 5).Draw(t, "has start") == 0 {
			b.WriteString("@" + formatTime(drawTime(t, "start")))
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "has exemplar") == 0 {
		fmt.Fprintf(&b, ` # %s:%s{t=%q}`, formatTime(drawTime(t, "exemplar")), formatFloat(drawValue(t)), rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "trace"))
	}
	return b.String()
}

func (d *duel) selection(t *rapid.T) store.Selection {
	text := drawSelector(t)
	matchers, err := parseSelector(text)
	if err != nil {
		t.Fatal(err)
	}
	return store.Selection{Matchers: matchers, Sorted: true}
}

// both calls f with both views and compares what comes out.
func (d *duel) both(what string, f func(store.Tenant) ([]string, error)) {
	d.rt.Helper()
	want, wantErr := f(d.want.Tenant(d.id))
	got, gotErr := f(d.got.Tenant(d.id))
	if (wantErr == nil) != (gotErr == nil) {
		d.rt.Fatalf("%s: error %v, want %v", what, gotErr, wantErr)
	}
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		d.rt.Fatalf("%s: -want +got\n%s", what, diff)
	}
}

// all calls f with all three stores, none of which may fail.
func (d *duel) all(what string, f func(store.Store) error) {
	d.rt.Helper()
	for _, st := range []store.Store{d.want, d.got, d.ever} {
		if err := f(st); err != nil {
			d.rt.Fatalf("%s: %v", what, err)
		}
	}
}

func (d *duel) append(t *rapid.T) {
	lines := rapid.SliceOfN(rapid.Custom(drawLine), 1, 4).Draw(t, "lines")
	var described []metric.Metadata
	if rapid.IntRange(0, 5).Draw(t, "has metadata") == 0 {
		described = append(described, metric.Metadata{
			Family: rapid.SampledFrom([]string{"m", "n"}).Draw(t, "family"), Type: "gauge", Help: rapid.StringN(0, 3, -1).Draw(t, "help"),
		})
	}
	d.all("append", func(st store.Store) error {
		b, err := newBatch(Hasher(), lines...)
		if err != nil {
			return err
		}
		b.Metadata = append(b.Metadata, described...)
		rejected, err := st.Tenant(d.id).Append(d.ctx, b)
		if err == nil && len(rejected) > 0 {
			err = fmt.Errorf("rejected %+v", rejected)
		}
		return err
	})
}

func (d *duel) delete(t *rapid.T) {
	r, sel := drawRange(t), d.selection(t)
	for _, st := range []store.Store{d.want, d.got} {
		if err := st.Tenant(d.id).Delete(d.ctx, r, sel); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	if whole := wholeDays(r); whole.Min <= whole.Max {
		if err := d.ever.Tenant(d.id).Delete(d.ctx, whole, sel); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
}

// wholeDays shrinks a range to whole days.
func wholeDays(r store.Range) store.Range {
	if r == store.AllTime() {
		return r
	}
	return store.Range{Min: -floorDay(-r.Min), Max: floorDay(r.Max+1) - 1}
}

// widen grows a range to whole days.
func widen(r store.Range) store.Range {
	if r == store.AllTime() {
		return r
	}
	return store.Range{Min: floorDay(r.Min), Max: floorDay(r.Max) + day - 1}
}

func floorDay(t int64) int64 { return int64(math.Floor(float64(t)/float64(day))) * day }

func (d *duel) expire(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		return // Else little would stay to be looked at.
	}
	before := rapid.SampledFrom([]int64{-1, 0, 1, 2, 100}).Draw(t, "before day") * day
	d.all("expire", func(st store.Store) error { return st.Expire(d.ctx, before) })
}

func (d *duel) flush(*rapid.T) {
	d.all("flush", func(st store.Store) error { return st.Flush(d.ctx) })
}

func (d *duel) compact(t *rapid.T) {
	if rapid.Bool().Draw(t, "seal") {
		d.all("seal", func(st store.Store) error { return st.Seal(d.ctx) })
		return
	}
	d.all("compact", func(st store.Store) error { return st.Compact(d.ctx) })
}

func (d *duel) reopen(t *rapid.T) {
	r, ok := d.got.(Reopener)
	if ok && rapid.IntRange(0, 2).Draw(t, "really") == 0 { // It is slow.
		if err := r.Reopen(); err != nil {
			t.Fatalf("reopen: %v", err)
		}
	}
}

// withReader reads and closes.
func withReader(tenant store.Tenant, r store.Range, f func(store.Reader) ([]string, error)) ([]string, error) {
	rd, err := tenant.Reader(r)
	if err != nil {
		return nil, err
	}
	out, err := f(rd)
	return out, errors.Join(err, rd.Close())
}

func (d *duel) compareSelect(t *rapid.T) { d.sameSelect(drawRange(t), d.selection(t)) }

func (d *duel) sameSelect(r store.Range, sel store.Selection) {
	d.rt.Helper()
	d.both("select", func(tenant store.Tenant) ([]string, error) {
		return withReader(tenant, r, func(rd store.Reader) ([]string, error) { return dumpWithoutHints(d.ctx, rd, sel) })
	})
}

// dumpWithoutHints is dump of a selection without the hints that depend on whether the sample before is known.
func dumpWithoutHints(ctx context.Context, rd store.Reader, sel store.Selection) ([]string, error) {
	lines, err := dump(rd.Select(ctx, sel))
	for i := range lines {
		lines[i] = strings.ReplaceAll(strings.ReplaceAll(lines[i], "[hint=none ", "["), " hint=none", "")
	}
	return lines, err
}

func (d *duel) compareChunks(t *rapid.T) {
	r, sel := drawRange(t), d.selection(t)
	d.both("chunks", func(tenant store.Tenant) ([]string, error) {
		return withReader(tenant, r, func(rd store.Reader) ([]string, error) {
			got, _, err := dumpChunks(rd.SelectChunks(d.ctx, sel))
			var out []string
			for _, s := range got {
				run := slices.Clone(s.run.Between(r))
				for i := range run {
					forgetHint(&run[i])
				}
				out = append(out, formatSeries(s.labels, run))
			}
			return out, err
		})
	})
}

// compareNames compares discovery, which may be coarse by the partition: it must give what is there, and may give what
// was there that day.
func (d *duel) compareNames(t *rapid.T) {
	r, sel := drawRange(t), d.selection(t)
	asks := map[string]func(store.Reader) ([]string, error){
		"series": func(rd store.Reader) ([]string, error) {
			l, err := rd.Series(d.ctx, sel)
			return listed(l, formatLabels), err
		},
		"label names": func(rd store.Reader) ([]string, error) {
			l, err := rd.LabelNames(d.ctx, sel)
			return l.Items, err
		},
		"values of a": func(rd store.Reader) ([]string, error) {
			l, err := rd.LabelValues(d.ctx, "a", sel)
			return l.Items, err
		},
		"values of __name__": func(rd store.Reader) ([]string, error) {
			l, err := rd.LabelValues(d.ctx, "__name__", sel)
			return l.Items, err
		},
	}
	for what, ask := range asks {
		least, err := withReader(d.want.Tenant(d.id), r, ask)
		if err != nil {
			t.Fatal(err)
		}
		most, err := withReader(d.ever.Tenant(d.id), widen(r), ask)
		if err != nil {
			t.Fatal(err)
		}
		got, err := withReader(d.got.Tenant(d.id), r, ask)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if what != "series" && !slices.IsSorted(got) {
			t.Fatalf("%s are not sorted: %q", what, got)
		}
		for _, s := range least {
			if !slices.Contains(got, s) {
				t.Fatalf("%s in %v: %q is missing in %q", what, r, s, got)
			}
		}
		for _, s := range got {
			if !slices.Contains(most, s) {
				t.Fatalf("%s in %v: %q should not be in %q", what, r, s, got)
			}
		}
	}
}

func (d *duel) compareAggregate(t *rapid.T) {
	q := store.Aggregation{
		Range: drawRange(t), Selection: d.selection(t), Funcs: store.Funcs(),
		GroupBy: rapid.SampledFrom([][]string{nil, {"a"}, {"b", "a"}, {"__name__"}}).Draw(t, "by"),
		Step:    rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, 7 * time.Second, 24 * time.Hour}).Draw(t, "step"),
		MaxGap:  rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "gap"),
	}
	q.Limit = rapid.IntRange(0, 3).Draw(t, "limit")
	d.both("aggregate", func(tenant store.Tenant) ([]string, error) {
		res, err := tenant.Aggregate(d.ctx, q)
		return dumpAggregate(q, res), err
	})
}

func (d *duel) compareExemplars(t *rapid.T) {
	r, anyOf := drawRange(t), []store.Selection{d.selection(t), d.selection(t)}
	d.both("exemplars", func(tenant store.Tenant) ([]string, error) { return dumpExemplars(d.ctx, tenant, r, anyOf) })
}

func (d *duel) compareMetadata(*rapid.T) {
	d.both("metadata", func(tenant store.Tenant) ([]string, error) {
		list, err := tenant.Metadata(d.ctx, store.MetadataQuery{})
		var out []string
		for _, m := range list {
			out = append(out, fmt.Sprintf("%+v", m))
		}
		return out, err
	})
}

// everything compares all that the stores hold of the tenant.
func (d *duel) everything() {
	d.sameSelect(store.AllTime(), store.Selection{Sorted: true})
	d.both("exemplars", func(tenant store.Tenant) ([]string, error) {
		return dumpExemplars(d.ctx, tenant, store.AllTime(), []store.Selection{{}})
	})
	d.compareMetadata(d.rt)
}
