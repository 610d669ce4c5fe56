package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// probe is one tenant of a store under test, with the calls of the contract in text form.
type probe struct {
	tb testing.TB
	st store.Store
	id tenancy.ID
}

func newProbe(tb testing.TB, st store.Store) *probe {
	tb.Helper()
	return &probe{tb, st, "acme"}
}

// as returns a probe of another tenant of the same store.
func (p *probe) as(id tenancy.ID) *probe { return &probe{p.tb, p.st, id} }

func (p *probe) tenant() store.Tenant { return p.st.Tenant(p.id) }

func (p *probe) ctx() context.Context { return p.tb.Context() }

// fatal ends the test if err is set.
func (p *probe) fatal(err error, doing string) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatalf("%s: %v", doing, err)
	}
}

// newBatch turns lines of the text form into a batch. Samples and histograms of one line are in one series of the batch.
func newBatch(hasher metric.Hasher, lines ...string) (*metric.Batch, error) {
	b := metric.NewBatch(hasher)
	return b, fillBatch(b, lines...)
}

func fillBatch(b *metric.Batch, lines ...string) error {
	for i, text := range lines {
		l, err := parseLine(text)
		if err != nil {
			return err
		}
		b.StartSeries(encode(b, l.labels), i)
		for _, s := range l.samples {
			if s.Int != nil || s.Float != nil {
				b.AddHistogram(metric.Histogram{Timestamp: s.Timestamp, Start: s.Start, Int: s.Int, Float: s.Float})
			} else {
				b.AddSample(metric.Sample{Timestamp: s.Timestamp, Start: s.Start, Value: s.Value})
			}
		}
		for _, x := range l.exemplars {
			b.AddExemplar(metric.Exemplar{Timestamp: x.timestamp, Value: x.value, Labels: encode(b, x.labels)})
		}
	}
	return nil
}

// encode puts labels into the arena of b.
func encode(b *metric.Batch, ls labels.Labels) []byte {
	canonical := metric.EncodeLabels(nil, ls)
	out := b.Alloc(len(canonical))
	copy(out, canonical)
	return out
}

// append writes lines and fails the test if a part of them is rejected.
func (p *probe) append(lines ...string) {
	p.tb.Helper()
	b, err := newBatch(Hasher(), lines...)
	p.fatal(err, "text of the case")
	p.appendBatch(b)
}

func (p *probe) appendBatch(b *metric.Batch) {
	p.tb.Helper()
	rejected, err := p.tenant().Append(p.ctx(), b)
	p.fatal(err, "append")
	if len(rejected) > 0 {
		p.tb.Fatalf("append rejected %+v", rejected)
	}
}

// selection parses a selector.
func (p *probe) selection(selector string) store.Selection {
	p.tb.Helper()
	matchers, err := parseSelector(selector)
	p.fatal(err, "selector "+selector)
	return store.Selection{Matchers: matchers, Sorted: true}
}

func (p *probe) rangeOf(text string) store.Range {
	p.tb.Helper()
	r, err := parseRange(text)
	p.fatal(err, "range "+text)
	return r
}

// reader opens a reader that is closed when the test ends.
func (p *probe) reader(in string) store.Reader {
	p.tb.Helper()
	r, err := p.tenant().Reader(p.rangeOf(in))
	p.fatal(err, "reader")
	p.tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			p.tb.Errorf("close of a reader: %v", err)
		}
	})
	return r
}

// read calls f with a reader of the range and closes it.
func (p *probe) read(in string, f func(store.Reader) error) {
	p.tb.Helper()
	r, err := p.tenant().Reader(p.rangeOf(in))
	p.fatal(err, "reader")
	err = f(r)
	if closeErr := r.Close(); closeErr != nil {
		p.tb.Errorf("close of a reader: %v", closeErr)
	}
	p.fatal(err, "read")
}

// selects compares what is read from the range, in label order, with lines of the text form.
func (p *probe) selects(in, selector string, want ...string) {
	p.tb.Helper()
	var got []string
	p.read(in, func(r store.Reader) (err error) {
		got, err = dump(r.Select(p.ctx(), p.selection(selector)))
		return err
	})
	p.same(got, want, "select %s in %q", selector, in)
}

// same compares lines.
func (p *probe) same(got, want []string, format string, args ...any) {
	p.tb.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.tb.Errorf("%s: -want +got\n%s", fmt.Sprintf(format, args...), diff)
	}
}

// dump reads a set to its end, one line a series.
func dump(set storage.SeriesSet) ([]string, error) {
	var out []string
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		run, err := collect(it)
		if err != nil {
			return out, err
		}
		out = append(out, formatSeries(s.Labels(), run))
	}
	return out, set.Err()
}

// collect reads an iterator to its end.
func collect(it chunkenc.Iterator) (series.Run, error) {
	var run series.Run
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		run = append(run, current(it, kind))
	}
	return run, it.Err()
}

func current(it chunkenc.Iterator, kind chunkenc.ValueType) series.Sample {
	s := series.Sample{Timestamp: it.AtT(), Start: it.AtST()}
	switch kind {
	case chunkenc.ValHistogram:
		_, s.Int = it.AtHistogram(nil)
	case chunkenc.ValFloatHistogram:
		_, s.Float = it.AtFloatHistogram(nil)
	default:
		_, s.Value = it.At()
	}
	return s
}

func formatSeries(ls labels.Labels, run series.Run) string {
	var b strings.Builder
	b.WriteString(formatLabels(ls))
	for i := range run {
		b.WriteByte(' ')
		b.WriteString(formatSample(&run[i]))
	}
	return b.String()
}

// formatLabels writes labels in the text form, the name in front if it needs no quotes.
func formatLabels(ls labels.Labels) string {
	var b strings.Builder
	name := ls.Get(labels.MetricName)
	if !plain(name) {
		name = ""
	}
	b.WriteString(name)
	var parts []string
	ls.Range(func(l labels.Label) {
		switch {
		case l.Name == labels.MetricName && name != "":
		case plain(l.Name):
			parts = append(parts, fmt.Sprintf("%s=%q", l.Name, l.Value))
		default:
			parts = append(parts, fmt.Sprintf("%q=%q", l.Name, l.Value))
		}
	})
	if len(parts) > 0 || name == "" {
		b.WriteString("{" + strings.Join(parts, ",") + "}")
	}
	return b.String()
}

func plain(name string) bool {
	for i, c := range name {
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return name != ""
}

// listed writes a list with a mark at the end if it was cut off.
func listed[T any](l store.List[T], format func(T) string) []string {
	var out []string
	for _, item := range l.Items {
		out = append(out, format(item))
	}
	if l.Truncated {
		out = append(out, "truncated")
	}
	return out
}

func itself(s string) string { return s }

// names compares the label names of what matches.
func (p *probe) names(in, selector string, want ...string) {
	p.tb.Helper()
	var got store.List[string]
	p.read(in, func(r store.Reader) (err error) {
		got, err = r.LabelNames(p.ctx(), p.selection(selector))
		return err
	})
	p.same(listed(got, itself), want, "label names of %s in %q", selector, in)
}

// values compares the values of a label.
func (p *probe) values(in, name, selector string, want ...string) {
	p.tb.Helper()
	var got store.List[string]
	p.read(in, func(r store.Reader) (err error) {
		got, err = r.LabelValues(p.ctx(), name, p.selection(selector))
		return err
	})
	p.same(listed(got, itself), want, "values of %s of %s in %q", name, selector, in)
}

// series compares the labels of what matches.
func (p *probe) series(in, selector string, want ...string) {
	p.tb.Helper()
	var got store.List[labels.Labels]
	p.read(in, func(r store.Reader) (err error) {
		got, err = r.Series(p.ctx(), p.selection(selector))
		return err
	})
	p.same(listed(got, formatLabels), want, "series of %s in %q", selector, in)
}

// delete removes what the range and the selector cover.
func (p *probe) delete(in, selector string) {
	p.tb.Helper()
	p.fatal(p.tenant().Delete(p.ctx(), p.rangeOf(in), p.selection(selector)), "delete")
}

// exemplars compares the exemplars of the series that match any of the selectors, a line each series.
func (p *probe) exemplars(in string, selectors []string, want ...string) {
	p.tb.Helper()
	var anyOf []store.Selection
	for _, s := range selectors {
		anyOf = append(anyOf, p.selection(s))
	}
	got, err := dumpExemplars(p.ctx(), p.tenant(), p.rangeOf(in), anyOf)
	p.fatal(err, "exemplars")
	p.same(got, want, "exemplars of %s in %q", selectors, in)
}

func dumpExemplars(ctx context.Context, t store.Tenant, r store.Range, anyOf []store.Selection) ([]string, error) {
	results, err := t.Exemplars(ctx, r, anyOf)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, res := range results {
		words := []string{formatLabels(res.SeriesLabels), "#"}
		for _, x := range res.Exemplars {
			words = append(words, formatTime(x.Ts)+":"+formatFloat(x.Value)+formatLabels(x.Labels))
		}
		out = append(out, strings.Join(words, " "))
	}
	return out, nil
}

// dumpAggregate writes a result, one line a group and function.
func dumpAggregate(q store.Aggregation, res store.AggregateResult) []string {
	var out []string
	for _, g := range res.Groups {
		for i, f := range q.Funcs {
			words := []string{formatLabels(g.By), f.String()}
			for _, s := range g.Values[i] {
				words = append(words, formatTime(s.Timestamp)+":"+formatFloat(s.Value))
			}
			out = append(out, strings.Join(words, " "))
		}
	}
	if res.Truncated {
		out = append(out, "truncated")
	}
	return append(out, fmt.Sprintf("read %d samples of %d series", res.Samples, res.Series))
}

// ranks writes a ranking on one line.
func ranks(name string, list []store.Rank) string {
	words := []string{name}
	for _, r := range list {
		words = append(words, fmt.Sprintf("%q:%d", r.Key, r.Count))
	}
	return strings.Join(words, " ")
}

func dumpCardinality(c store.Cardinality) []string {
	return []string{
		fmt.Sprintf("series %d, pairs %d", c.Series, c.LabelPairs),
		ranks("names", c.ByName), ranks("dimensions", c.ByDimension), ranks("bytes", c.ByBytes), ranks("pairs", c.ByPair),
	}
}
