package storetest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

// The text form in which cases and scripts write data, and in which they compare what they read. It tells apart all
// that a store must keep, to the bit:
//
//	name{label="value","any name"="\x00"} TIME:VALUE TIME:VALUE@START ... # TIME:VALUE{label="value"} ...
//
// TIME is in milliseconds, or has one of the units ms, s, m, h and d, or is min or max. VALUE is a float, stale, or
// NaN(0x7ff8000000000002); or a histogram: h[...] of integers, f[...] of floats, with the fields of histogramText. What
// follows # are exemplars.

// line is a parsed line of the text form.
type line struct {
	labels    labels.Labels
	samples   []series.Sample
	exemplars []textExemplar
}

type textExemplar struct {
	labels    labels.Labels
	timestamp int64
	value     float64
}

// scanner walks over a line.
type scanner struct{ rest string }

func (s *scanner) space() { s.rest = strings.TrimLeft(s.rest, " \t") }

// take removes prefix and reports whether it was there.
func (s *scanner) take(prefix string) bool {
	rest, ok := strings.CutPrefix(s.rest, prefix)
	s.rest = rest
	return ok
}

// until removes what stands before the first of the bytes.
func (s *scanner) until(ends string) string {
	i := strings.IndexAny(s.rest, ends)
	if i < 0 {
		i = len(s.rest)
	}
	word := s.rest[:i]
	s.rest = s.rest[i:]
	return word
}

// quoted removes a quoted string, or what stands before the first of the bytes if there is no quote.
func (s *scanner) quoted(ends string) (string, error) {
	if !strings.HasPrefix(s.rest, `"`) {
		return s.until(ends), nil
	}
	q, err := strconv.QuotedPrefix(s.rest)
	if err != nil {
		return "", fmt.Errorf("at %q: %w", s.rest, err)
	}
	s.rest = s.rest[len(q):]
	return strconv.Unquote(q)
}

// pairs reads name{label OP "value",...}, both parts of which may be missing, and calls f with each pair.
func (s *scanner) pairs(f func(name, op, value string) error) error {
	if name := s.until("{ \t"); name != "" {
		if err := f(labels.MetricName, "=", name); err != nil {
			return err
		}
	}
	if !s.take("{") {
		return nil
	}
	for !s.take("}") {
		if s.rest == "" {
			return errors.New("a } is missing")
		}
		s.take(",")
		s.space()
		name, err := s.quoted("=!~ ")
		if err != nil {
			return err
		}
		op := s.until(`" `)
		v, err := s.quoted(",} ")
		if err != nil {
			return err
		}
		if err := f(name, op, v); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) labels() (labels.Labels, error) {
	b := labels.NewScratchBuilder(4)
	err := s.pairs(func(name, op, v string) error {
		if op != "=" {
			return fmt.Errorf("label %s has the operator %q", name, op)
		}
		if v != "" { // The same as no label.
			b.Add(name, v)
		}
		return nil
	})
	b.Sort()
	return b.Labels(), err
}

// parseSelector reads name{label="value",label!="value",label=~"value",label!~"value"}.
func parseSelector(text string) ([]*labels.Matcher, error) {
	ops := map[string]labels.MatchType{
		"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp,
	}
	var out []*labels.Matcher
	s := scanner{text}
	err := s.pairs(func(name, op, v string) error {
		kind, ok := ops[op]
		if !ok {
			return fmt.Errorf("unknown operator %q", op)
		}
		m, err := labels.NewMatcher(kind, name, v)
		out = append(out, m)
		return err
	})
	return out, err
}

// parseLine reads one series with its items.
func parseLine(text string) (line, error) {
	var l line
	s := scanner{text}
	var err error
	if l.labels, err = s.labels(); err != nil {
		return l, err
	}
	exemplars := false
	for s.space(); s.rest != ""; s.space() {
		if s.take("#") {
			exemplars = true
			continue
		}
		if exemplars {
			err = s.exemplar(&l)
		} else {
			err = s.sample(&l)
		}
		if err != nil {
			return l, fmt.Errorf("in %q: %w", text, err)
		}
	}
	return l, nil
}

func (s *scanner) exemplar(l *line) error {
	t, err := parseTime(s.until(":"))
	if err != nil {
		return err
	}
	s.take(":")
	v, err := parseFloat(s.until("{ "))
	if err != nil {
		return err
	}
	ls, err := s.labels()
	l.exemplars = append(l.exemplars, textExemplar{ls, t, v})
	return err
}

func (s *scanner) sample(l *line) error {
	t, err := parseTime(s.until(":"))
	if err != nil {
		return err
	}
	s.take(":")
	out := series.Sample{Timestamp: t}
	if kind := s.rest; strings.HasPrefix(kind, "h[") || strings.HasPrefix(kind, "f[") {
		s.rest = s.rest[2:]
		h, err := parseHistogram(s.until("]"))
		if err != nil {
			return err
		}
		s.take("]")
		if out.Float = h; kind[0] == 'h' {
			out.Float, out.Int = nil, toInt(h)
		}
	} else if out.Value, err = parseFloat(s.until("@ ")); err != nil {
		return err
	}
	if s.take("@") {
		if out.Start, err = parseTime(s.until(" ")); err != nil {
			return err
		}
	}
	l.samples = append(l.samples, out)
	return nil
}

func parseTime(text string) (int64, error) {
	switch text {
	case "min":
		return math.MinInt64, nil
	case "max":
		return math.MaxInt64, nil
	}
	units := []struct {
		name string
		ms   int64
	}{{"ms", 1}, {"s", 1000}, {"m", 60_000}, {"h", 3_600_000}, {"d", 86_400_000}, {"", 1}}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("time %q: %w", text, err)
		}
		return n * u.ms, nil
	}
	return 0, fmt.Errorf("time %q", text)
}

func formatTime(t int64) string {
	switch {
	case t == math.MinInt64:
		return "min"
	case t == math.MaxInt64:
		return "max"
	case t == 0:
		return "0"
	case t%86_400_000 == 0:
		return strconv.FormatInt(t/86_400_000, 10) + "d"
	case t%1000 == 0:
		return strconv.FormatInt(t/1000, 10) + "s"
	default:
		return strconv.FormatInt(t, 10)
	}
}

// parseRange reads FROM..TO; an empty text is all time.
func parseRange(text string) (store.Range, error) {
	if text == "" {
		return store.AllTime(), nil
	}
	from, to, ok := strings.Cut(text, "..")
	if !ok {
		return store.Range{}, fmt.Errorf("range %q lacks the two dots", text)
	}
	lo, err := parseTime(from)
	if err != nil {
		return store.Range{}, err
	}
	hi, err := parseTime(to)
	return store.Range{Min: lo, Max: hi}, err
}

func parseFloat(text string) (float64, error) {
	if text == "stale" {
		return math.Float64frombits(value.StaleNaN), nil
	}
	if bits, ok := strings.CutPrefix(text, "NaN("); ok {
		u, err := strconv.ParseUint(strings.TrimSuffix(bits, ")"), 0, 64)
		return math.Float64frombits(u), err
	}
	return strconv.ParseFloat(text, 64)
}

func formatFloat(v float64) string {
	switch {
	case value.IsStaleNaN(v):
		return "stale"
	case math.IsNaN(v) && math.Float64bits(v) != value.NormalNaN:
		return fmt.Sprintf("NaN(0x%016x)", math.Float64bits(v))
	default:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
}

func formatSample(s *series.Sample) string {
	var b strings.Builder
	b.WriteString(formatTime(s.Timestamp))
	b.WriteByte(':')
	switch {
	case s.Int != nil:
		b.WriteString("h[" + histogramText(s.Int.Schema, s.Int.CounterResetHint, fields{
			"count": strconv.FormatUint(s.Int.Count, 10), "sum": formatFloat(s.Int.Sum),
			"zt": formatFloat(s.Int.ZeroThreshold), "zc": strconv.FormatUint(s.Int.ZeroCount, 10),
			"ps": spansText(s.Int.PositiveSpans), "ns": spansText(s.Int.NegativeSpans),
			"p": floatsText(absolute(s.Int.PositiveBuckets)), "n": floatsText(absolute(s.Int.NegativeBuckets)),
			"cv": floatsText(s.Int.CustomValues),
		}) + "]")
	case s.Float != nil:
		b.WriteString("f[" + histogramText(s.Float.Schema, s.Float.CounterResetHint, fields{
			"count": formatFloat(s.Float.Count), "sum": formatFloat(s.Float.Sum),
			"zt": formatFloat(s.Float.ZeroThreshold), "zc": formatFloat(s.Float.ZeroCount),
			"ps": spansText(s.Float.PositiveSpans), "ns": spansText(s.Float.NegativeSpans),
			"p": floatsText(s.Float.PositiveBuckets), "n": floatsText(s.Float.NegativeBuckets),
			"cv": floatsText(s.Float.CustomValues),
		}) + "]")
	default:
		b.WriteString(formatFloat(s.Value))
	}
	if s.Start != 0 {
		b.WriteString("@" + formatTime(s.Start))
	}
	return b.String()
}

// fields are the parts of a histogram by their names in the text form.
type fields map[string]string

// histogramText writes the parts that are not zero, in a fixed order: schema, hint (gauge, reset), count, sum, zt and zc
// (threshold and count of the zero bucket), ps and ns (spans as offset/length), p and n (buckets), cv (custom bounds).
func histogramText(schema int32, hint histogram.CounterResetHint, f fields) string {
	if schema != 0 {
		f["schema"] = strconv.Itoa(int(schema))
	}
	f["hint"] = map[histogram.CounterResetHint]string{
		histogram.GaugeType: "gauge", histogram.CounterReset: "reset", histogram.NotCounterReset: "none",
	}[hint]
	var parts []string
	for _, name := range []string{"schema", "hint", "count", "sum", "zt", "zc", "ps", "p", "ns", "n", "cv"} {
		if f[name] != "" && f[name] != "0" {
			parts = append(parts, name+"="+f[name])
		}
	}
	return strings.Join(parts, " ")
}

func spansText(spans []histogram.Span) string {
	parts := make([]string, len(spans))
	for i, s := range spans {
		parts[i] = fmt.Sprintf("%d/%d", s.Offset, s.Length)
	}
	return strings.Join(parts, ",")
}

func floatsText(values []float64) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = formatFloat(v)
	}
	return strings.Join(parts, ",")
}

// absolute turns the deltas of integer buckets into counts.
func absolute(deltas []int64) []float64 {
	out := make([]float64, len(deltas))
	var n int64
	for i, d := range deltas {
		n += d
		out[i] = float64(n)
	}
	return out
}

func deltas(counts []float64) []int64 {
	if counts == nil {
		return nil
	}
	out := make([]int64, len(counts))
	var last int64
	for i, c := range counts {
		out[i] = int64(c) - last
		last = int64(c)
	}
	return out
}

func toInt(f *histogram.FloatHistogram) *histogram.Histogram {
	return &histogram.Histogram{
		CounterResetHint: f.CounterResetHint, Schema: f.Schema, ZeroThreshold: f.ZeroThreshold, ZeroCount: uint64(f.ZeroCount),
		Count: uint64(f.Count), Sum: f.Sum, PositiveSpans: f.PositiveSpans, NegativeSpans: f.NegativeSpans,
		PositiveBuckets: deltas(f.PositiveBuckets), NegativeBuckets: deltas(f.NegativeBuckets), CustomValues: f.CustomValues,
	}
}

func parseHistogram(text string) (*histogram.FloatHistogram, error) {
	h := new(histogram.FloatHistogram)
	for part := range strings.FieldsSeq(text) {
		name, v, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "schema":
			var n int
			n, err = strconv.Atoi(v)
			h.Schema = int32(n)
		case "hint":
			h.CounterResetHint, err = parseHint(v)
		case "count":
			h.Count, err = parseFloat(v)
		case "sum":
			h.Sum, err = parseFloat(v)
		case "zt":
			h.ZeroThreshold, err = parseFloat(v)
		case "zc":
			h.ZeroCount, err = parseFloat(v)
		case "ps":
			h.PositiveSpans, err = parseSpans(v)
		case "ns":
			h.NegativeSpans, err = parseSpans(v)
		case "p":
			h.PositiveBuckets, err = parseFloats(v)
		case "n":
			h.NegativeBuckets, err = parseFloats(v)
		case "cv":
			h.CustomValues, err = parseFloats(v)
		default:
			err = errors.New("unknown field")
		}
		if err != nil {
			return nil, fmt.Errorf("histogram field %q: %w", part, err)
		}
	}
	return h, nil
}

func parseHint(text string) (histogram.CounterResetHint, error) {
	switch text {
	case "gauge":
		return histogram.GaugeType, nil
	case "reset":
		return histogram.CounterReset, nil
	case "none":
		return histogram.NotCounterReset, nil
	default:
		return 0, errors.New("unknown hint")
	}
}

func parseSpans(text string) ([]histogram.Span, error) {
	var out []histogram.Span
	for part := range strings.SplitSeq(text, ",") {
		var s histogram.Span
		if _, err := fmt.Sscanf(part, "%d/%d", &s.Offset, &s.Length); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func parseFloats(text string) ([]float64, error) {
	var out []float64
	for part := range strings.SplitSeq(text, ",") {
		v, err := parseFloat(part)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
