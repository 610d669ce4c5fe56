package promql

import (
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	promengine "github.com/prometheus/prometheus/promql"
)

// flushSize is how much JSON is gathered before it is sent.
const flushSize = 64 << 10

// An encoder writes JSON piece by piece. After the first error it writes nothing more.
type encoder struct {
	w   io.Writer
	buf []byte
	err error
}

func newEncoder(w io.Writer) *encoder { return &encoder{w: w, buf: make([]byte, 0, 4096)} }

func (e *encoder) raw(s string) { e.buf = append(e.buf, s...) }

// more sends what is gathered if it is enough. It reports whether writing on has a point.
func (e *encoder) more() bool {
	if len(e.buf) >= flushSize {
		e.flush()
	}
	return e.err == nil
}

func (e *encoder) flush() {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// finish sends the rest and returns the first error.
func (e *encoder) finish() error {
	e.flush()
	return e.err
}

// list writes n elements as an array.
func (e *encoder) list(n int, element func(i int)) {
	e.raw(`[`)
	for i := 0; i < n && e.more(); i++ {
		if i > 0 {
			e.raw(`,`)
		}
		element(i)
	}
	e.raw(`]`)
}

func (e *encoder) strings(list []string) {
	e.list(len(list), func(i int) { e.buf = appendString(e.buf, list[i], true) })
}

func (e *encoder) labelSets(list []labels.Labels) {
	e.list(len(list), func(i int) { e.buf = appendLabels(e.buf, list[i]) })
}

func (e *encoder) vector(v promengine.Vector) {
	e.list(len(v), func(i int) {
		e.raw(`{"metric":`)
		e.buf = appendLabels(e.buf, v[i].Metric)
		if h := v[i].H; h != nil {
			e.raw(`,"histogram":`)
			e.buf = appendHistogramPoint(e.buf, v[i].T, h)
		} else {
			e.raw(`,"value":`)
			e.buf = appendFloatPoint(e.buf, v[i].T, v[i].F)
		}
		e.raw(`}`)
	})
}

func (e *encoder) matrix(m promengine.Matrix) {
	e.list(len(m), func(i int) {
		e.raw(`{"metric":`)
		e.buf = appendLabels(e.buf, m[i].Metric)
		if floats := m[i].Floats; len(floats) > 0 {
			e.raw(`,"values":`)
			e.list(len(floats), func(j int) { e.buf = appendFloatPoint(e.buf, floats[j].T, floats[j].F) })
		}
		if hs := m[i].Histograms; len(hs) > 0 {
			e.raw(`,"histograms":`)
			e.list(len(hs), func(j int) { e.buf = appendHistogramPoint(e.buf, hs[j].T, hs[j].H) })
		}
		e.raw(`}`)
	})
}

func (e *encoder) exemplars(list []exemplar.QueryResult) {
	e.list(len(list), func(i int) {
		e.raw(`{"seriesLabels":`)
		e.buf = appendLabels(e.buf, list[i].SeriesLabels)
		e.raw(`,"exemplars":`)
		e.list(len(list[i].Exemplars), func(j int) {
			x := &list[i].Exemplars[j]
			e.raw(`{"labels":`)
			e.buf = appendLabels(e.buf, x.Labels)
			e.raw(`,"value":`)
			e.buf = appendFloat(e.buf, x.Value)
			e.raw(`,"timestamp":`)
			e.buf = appendTimestamp(e.buf, x.Ts)
			e.raw(`}`)
		})
		e.raw(`}`)
	})
}

func appendFloatPoint(b []byte, t int64, v float64) []byte {
	b = append(b, '[')
	b = appendTimestamp(b, t)
	b = append(b, ',')
	b = appendFloat(b, v)
	return append(b, ']')
}

func appendHistogramPoint(b []byte, t int64, h *histogram.FloatHistogram) []byte {
	b = append(b, '[')
	b = appendTimestamp(b, t)
	b = append(b, ',')
	b = appendHistogram(b, h)
	return append(b, ']')
}

// appendTimestamp writes milliseconds as a number of seconds with three decimals, or none if they are all zero.
func appendTimestamp(b []byte, t int64) []byte {
	u := uint64(t)
	if t < 0 {
		b = append(b, '-')
		u = -u
	}
	b = strconv.AppendUint(b, u/1000, 10)
	if ms := u % 1000; ms != 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return b
}

// appendShortTimestamp is appendTimestamp with as few decimals as needed, the form for scalars and strings.
func appendShortTimestamp(b []byte, t int64) []byte {
	return strconv.AppendFloat(b, float64(t)/1000, 'f', -1, 64)
}

// appendFloat writes a value as a string, which JSON needs for NaN and the infinities.
func appendFloat(b []byte, v float64) []byte {
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	b = append(b, '"')
	b = strconv.AppendFloat(b, v, format, -1, 64)
	return append(b, '"')
}

// appendHistogram writes a native histogram. Empty buckets are left out.
func appendHistogram(b []byte, h *histogram.FloatHistogram) []byte {
	b = append(b, `{"count":`...)
	b = appendFloat(b, h.Count)
	b = append(b, `,"sum":`...)
	b = appendFloat(b, h.Sum)
	open := `,"buckets":[`
	found := false
	for it := h.AllBucketIterator(); it.Next(); {
		bucket := it.At()
		if bucket.Count == 0 {
			continue
		}
		b = append(b, open...)
		open, found = ",", true
		b = append(b, '[', boundaryRule(bucket.LowerInclusive, bucket.UpperInclusive), ',')
		b = appendFloat(b, bucket.Lower)
		b = append(b, ',')
		b = appendFloat(b, bucket.Upper)
		b = append(b, ',')
		b = appendFloat(b, bucket.Count)
		b = append(b, ']')
	}
	if found {
		b = append(b, ']')
	}
	return append(b, '}')
}

// boundaryRule is how Prometheus numbers the kinds of intervals.
func boundaryRule(lowerInclusive, upperInclusive bool) byte {
	switch {
	case lowerInclusive && upperInclusive:
		return '3'
	case lowerInclusive:
		return '1'
	case upperInclusive:
		return '0'
	default:
		return '2'
	}
}

func appendLabels(b []byte, ls labels.Labels) []byte {
	b = append(b, '{')
	first := true
	ls.Range(func(l labels.Label) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, l.Name, false)
		b = append(b, ':')
		b = appendString(b, l.Value, false)
	})
	return append(b, '}')
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. With html, characters that mean something in HTML are escaped, as Prometheus does
// everywhere but in label sets.
func appendString(b []byte, s string, html bool) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' || html && (c == '<' || c == '>' || c == '&') {
				b = append(b, s[start:i]...)
				b = appendEscaped(b, c)
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			start = i + 1
		} else if html && (r == '\u2028' || r == '\u2029') {
			b = append(b, s[start:i]...)
			b = append(b, '\\', 'u', '2', '0', '2', hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}
