package metric

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
)

// Rules say what a batch may hold. A zero limit means none.
type Rules struct {
	UTF8Names      bool // Names are any UTF-8; else ^[a-zA-Z_][a-zA-Z0-9_]*$.
	FiniteOnly     bool // Values are neither NaN nor infinite.
	MaxNameLength  int  // Bytes of a metric or dimension name.
	MaxValueLength int  // Bytes of a dimension value.
	MaxDimensions  int  // Dimensions of a series, the metric name not counted.

	MaxExemplarLength int           // Characters in the names and values of an exemplar's labels.
	MaxAge            time.Duration // How far a timestamp may lie before now.
	MaxAhead          time.Duration // How far a timestamp may lie after now.

	Reserved string // A dimension that only the server may set.
	Settings string // Configuration section of these limits, such as "native.limits"; rejections name it.
}

// StrictRules returns the profile of the native JSON API.
func StrictRules(reserved string) Rules {
	return Rules{
		FiniteOnly: true, MaxNameLength: 256, MaxValueLength: 2048, MaxDimensions: 20, MaxExemplarLength: 128,
		MaxAge: 7 * 24 * time.Hour, MaxAhead: time.Hour, Reserved: reserved,
	}
}

// PrometheusRules returns the profile of remote write: all that Prometheus sends.
func PrometheusRules(reserved string) Rules {
	return Rules{
		UTF8Names: true, MaxNameLength: 1024, MaxValueLength: 16384, MaxDimensions: 128, MaxExemplarLength: 128,
		MaxAhead: 10 * time.Minute, Reserved: reserved,
	}
}

// raise names the setting that raises a limit.
func (r *Rules) raise(name string) string {
	if r.Settings == "" {
		return ""
	}
	return ", set by " + r.Settings + "." + name
}

// Apply takes out of b what breaks r and says what it was. What is left in b keeps its order; a series of which nothing
// is left is gone. Native histograms of a resolution above the highest are reduced to it.
func (r *Rules) Apply(b *Batch, now time.Time) []Rejection {
	c := check{Rules: r, min: math.MinInt64, max: math.MaxInt64}
	if r.MaxAge > 0 {
		c.min = now.Add(-r.MaxAge).UnixMilli()
	}
	if r.MaxAhead > 0 {
		c.max = now.Add(r.MaxAhead).UnixMilli()
	}
	vetted := b.vetted == *r
	kept := 0
	for i := range b.Series {
		s := &b.Series[i]
		if (!vetted || !s.Vetted) && !r.takesASCII(s.Labels) {
			if reason, detail := r.checkLabels(s.Labels); reason != "" {
				c.out = append(c.out, Rejection{s.Origin, s.Counts(), reason, detail})
				continue
			}
		}
		c.samples(b, s)
		if s.Histograms.Len() > 0 {
			c.histograms(b, s)
		}
		if s.Exemplars.Len() > 0 {
			c.exemplars(b, s)
		}
		if s.Samples.Len() > 0 || s.Histograms.Len() > 0 || s.Exemplars.Len() > 0 {
			if kept != i {
				b.Series[kept] = *s
			}
			kept++
		}
	}
	b.Series = b.Series[:kept]
	return c.out
}

// checkLabels returns the reason why the labels of a series break r, or "".
func (r *Rules) checkLabels(canonical []byte) (Reason, string) {
	var metric []byte
	dimensions := 0
	it := Labels(canonical)
	for it.Next() {
		name, value := it.Name(), it.Value()
		if string(name) == labels.MetricName {
			metric = value
			if reason, detail := r.checkName("metric name", value); reason != "" {
				return reason, detail
			}
			continue
		}
		dimensions++
		if reason, detail := r.checkDimension(name, value); reason != "" {
			return reason, detail
		}
	}
	switch {
	case it.Err() != nil:
		return Malformed, it.Err().Error()
	case len(metric) == 0:
		return InvalidName, "the series has no metric name"
	case r.MaxDimensions > 0 && dimensions > r.MaxDimensions:
		return TooManyDimensions, fmt.Sprintf("metric %q has %d dimensions: the limit is %d%s", shorten(metric), dimensions, r.MaxDimensions, r.raise("max_dimensions"))
	}
	return "", ""
}

func (r *Rules) checkDimension(name, value []byte) (Reason, string) {
	if reason, detail := r.checkName("dimension name", name); reason != "" {
		return reason, detail
	}
	switch {
	case string(name) == r.Reserved:
		return ReservedName, fmt.Sprintf("dimension %q is set by the server from the request's tenant: leave it out", name)
	case r.MaxValueLength > 0 && len(value) > r.MaxValueLength:
		return InvalidValue, fmt.Sprintf("the value of dimension %q is %d bytes long: the limit is %d%s", name, len(value), r.MaxValueLength, r.raise("max_value_length"))
	case !utf8.Valid(value):
		return InvalidValue, fmt.Sprintf("the value of dimension %q is not valid UTF-8", name)
	}
	return "", ""
}

func (r *Rules) checkName(what string, name []byte) (Reason, string) {
	switch {
	case len(name) == 0:
		return InvalidName, what + " is empty"
	case r.MaxNameLength > 0 && len(name) > r.MaxNameLength:
		return InvalidName, fmt.Sprintf("%s %q is %d bytes long: the limit is %d%s", what, shorten(name), len(name), r.MaxNameLength, r.raise("max_name_length"))
	case r.UTF8Names && !utf8.Valid(name):
		return InvalidName, fmt.Sprintf("%s %q is not valid UTF-8", what, shorten(name))
	case !r.UTF8Names && !plainName(name):
		return InvalidName, fmt.Sprintf("%s %q does not match ^[a-zA-Z_][a-zA-Z0-9_]*$", what, shorten(name))
	}
	return "", ""
}

// plainName reports whether name matches ^[a-zA-Z_][a-zA-Z0-9_]*$.
func plainName(name []byte) bool {
	for i, c := range name {
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return len(name) > 0
}

// shorten keeps error texts short, whatever a client sends.
func shorten(b []byte) string {
	const most = 64
	if len(b) <= most {
		return string(b)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(b[cut]) {
		cut--
	}
	return string(b[:cut]) + "..."
}

// check is the state of one Apply.
type check struct {
	*Rules
	min, max int64 // Timestamps in milliseconds, inclusive.
	out      []Rejection
}

// reject notes that one item of s was lost. Items of a series that are lost for one reason share a rejection, whose
// detail is that of the first.
func (c *check) reject(s *Series, lost Counts, reason Reason, detail func() string) {
	for i := len(c.out) - 1; i >= 0 && c.out[i].Series == s.Origin; i-- {
		if c.out[i].Reason == reason {
			c.out[i].Lost.Add(lost)
			return
		}
	}
	c.out = append(c.out, Rejection{s.Origin, lost, reason, detail()})
}

// window returns why a timestamp is outside the window, or "".
func (c *check) window(t int64) (Reason, func() string) {
	switch {
	case t < c.min:
		return TimestampTooOld, func() string {
			return fmt.Sprintf("timestamp %d is before %d, the oldest taken (%v before now%s)", t, c.min, c.MaxAge, c.raise("max_age"))
		}
	case t > c.max:
		return TimestampTooNew, func() string {
			return fmt.Sprintf("timestamp %d is after %d, the newest taken (%v after now%s)", t, c.max, c.MaxAhead, c.raise("max_ahead"))
		}
	}
	return "", nil
}

func (c *check) samples(b *Batch, s *Series) {
	keep := s.Samples.Start
	for keep < s.Samples.End && c.takesSample(&b.Samples[keep]) {
		keep++
	}
	for i := keep; i < s.Samples.End; i++ {
		v := b.Samples[i]
		reason, detail := c.window(v.Timestamp)
		if reason == "" && c.FiniteOnly && !finite(v.Value) {
			reason, detail = ValueNotFinite, func() string { return fmt.Sprintf("value %v is not a finite number", v.Value) }
		}
		if reason != "" {
			c.reject(s, Counts{Samples: 1}, reason, detail)
			continue
		}
		b.Samples[keep] = v
		keep++
	}
	s.Samples.End = keep
}

// takesSample reports whether nothing is wrong with v.
func (c *check) takesSample(v *Sample) bool {
	return v.Timestamp >= c.min && v.Timestamp <= c.max && (!c.FiniteOnly || finite(v.Value))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (c *check) histograms(b *Batch, s *Series) {
	keep := s.Histograms.Start
	for i := s.Histograms.Start; i < s.Histograms.End; i++ {
		h := b.Histograms[i]
		reason, detail := c.window(h.Timestamp)
		if reason == "" {
			if err := h.normalise(); err != nil {
				reason, detail = InvalidHistogram, err.Error
			}
		}
		if reason != "" {
			c.reject(s, Counts{Histograms: 1}, reason, detail)
			continue
		}
		b.Histograms[keep] = h
		keep++
	}
	s.Histograms.End = keep
}

// indices are the buckets that a histogram can have: from first, and before end.
type indices struct{ first, end int64 }

func bucketsOf(schema int32, custom []float64) indices {
	if histogram.IsCustomBucketsSchema(schema) {
		return indices{0, int64(len(custom)) + 1} // The last one goes to infinity.
	}
	// Far more than there are between the smallest and the largest number. The differences of two fit into 32 bits.
	return indices{-1 << 29, 1 << 29}
}

// checkBounds refuses what Validate lets pass and the arithmetic of histograms does not bear: it widens zero buckets until
// two are equally wide, which NaN never is, and counts buckets in 32 bits.
func checkBounds(threshold float64, buckets indices, sides ...[]histogram.Span) error {
	if !(threshold >= 0) || math.IsInf(threshold, 1) {
		return fmt.Errorf("the zero threshold of the histogram is %v: it must be a finite number from 0", threshold)
	}
	for _, spans := range sides {
		var index int64
		for _, s := range spans {
			index += int64(s.Offset)
			if index < buckets.first || index+int64(s.Length) > buckets.end {
				return fmt.Errorf("the spans of the histogram go from bucket %d to %d: there can be those from %d to %d",
					index, index+int64(s.Length)-1, buckets.first, buckets.end-1)
			}
			index += int64(s.Length)
		}
	}
	return nil
}

// normalise reduces h to the highest resolution that is kept and checks that its parts fit together.
func (h *Histogram) normalise() error {
	switch {
	case h.Int != nil:
		if err := checkBounds(h.Int.ZeroThreshold, bucketsOf(h.Int.Schema, h.Int.CustomValues), h.Int.PositiveSpans, h.Int.NegativeSpans); err != nil {
			return err
		}
		if tooFine(h.Int.Schema) {
			if err := h.Int.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return err
			}
		}
		return h.Int.Validate()
	case h.Float != nil:
		if err := checkBounds(h.Float.ZeroThreshold, bucketsOf(h.Float.Schema, h.Float.CustomValues), h.Float.PositiveSpans, h.Float.NegativeSpans); err != nil {
			return err
		}
		if tooFine(h.Float.Schema) {
			if err := h.Float.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return err
			}
		}
		return h.Float.Validate()
	default:
		return fmt.Errorf("histogram at %d has no content", h.Timestamp)
	}
}

func tooFine(schema int32) bool {
	return schema > histogram.ExponentialSchemaMax && schema <= histogram.ExponentialSchemaMaxReserved
}

func (c *check) exemplars(b *Batch, s *Series) {
	keep := s.Exemplars.Start
	for i := s.Exemplars.Start; i < s.Exemplars.End; i++ {
		e := b.Exemplars[i]
		reason, detail := c.window(e.Timestamp)
		if reason == "" {
			if msg := c.checkExemplar(e); msg != "" {
				reason, detail = InvalidExemplar, func() string { return msg }
			}
		}
		if reason != "" {
			c.reject(s, Counts{Exemplars: 1}, reason, detail)
			continue
		}
		b.Exemplars[keep] = e
		keep++
	}
	s.Exemplars.End = keep
}

func (c *check) checkExemplar(e Exemplar) string {
	if e.Timestamp == 0 {
		return "exemplar has no timestamp"
	}
	size := 0
	it := Labels(e.Labels)
	for it.Next() {
		switch {
		case len(it.Name()) == 0:
			return "exemplar has an empty label name"
		case !utf8.Valid(it.Name()) || !utf8.Valid(it.Value()):
			return "exemplar has a label that is not valid UTF-8"
		}
		size += utf8.RuneCount(it.Name()) + utf8.RuneCount(it.Value())
	}
	switch {
	case it.Err() != nil:
		return it.Err().Error()
	case c.MaxExemplarLength > 0 && size > c.MaxExemplarLength:
		return fmt.Sprintf("exemplar has %d characters of labels: the limit is %d%s", size, c.MaxExemplarLength, c.raise("max_exemplar_length"))
	}
	return ""
}
