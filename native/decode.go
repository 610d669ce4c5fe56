package native

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
)

// The fields of a metric.
const (
	fieldName       = "name"
	fieldValue      = "value"
	fieldTimestamp  = "timestamp"
	fieldDimensions = "dimensions"

	fieldMetrics = "metrics" // Of the envelope {"metrics":[...]}.

	// maxDimensions bounds what is kept of one metric until the rules look at it, which do not see dimensions of empty value.
	maxDimensions = 10_000

	metricFields = "the fields are name, value, timestamp and dimensions"
)

// A decoder turns a request body into a batch. A metric that can't be taken is a rejection; the rest goes on. Only a body
// that is not JSON is an error.
type decoder struct {
	scanner
	batch    *metric.Batch
	rules    *metric.Rules
	now      time.Time
	maxItems int

	rejected []metric.Rejection
	items    int // Read so far.
	line     int // Of a text with one metric a line, from 1; 0 for others.

	nameLabel []byte // The label of the metric's name.

	labels     metric.LabelBuilder
	scratch    []byte // Unescaped strings of the current metric.
	item       item
	dimensions int // Of the current metric.
}

// An item is what is known of the metric that is being read.
type item struct {
	seen      [4]bool // Whether name, value, timestamp, dimensions occurred.
	name      []byte
	value     float64
	timestamp int64
	reason    metric.Reason // Why it can't be taken; "" as long as it can.
	detail    string
}

// reject notes why the current metric can't be taken. The first reason stays.
func (d *decoder) reject(reason metric.Reason, format string, args ...any) {
	if d.item.reason == "" {
		d.item.reason, d.item.detail = reason, fmt.Sprintf(format, args...)
	}
}

// decode reads the whole body. With lines set, every line is a metric of its own; else that is found out.
func (d *decoder) decode(body []byte, lines bool) error {
	d.scanner = scanner{data: body, stack: d.stack}
	d.nameLabel = []byte(labels.MetricName)
	if lines {
		return d.readLines()
	}
	switch c := d.peek(); c {
	case 0:
		return d.fail("the body is empty")
	case '[':
		if err := d.elements(d.readItem); err != nil {
			return err
		}
		return d.end()
	case '{':
		return d.readObject()
	default:
		if err := d.skip(); err != nil {
			return err
		}
		d.pos = len(body) - len(bytes.TrimLeft(body, " \t\r\n"))
		return d.fail("the body is %s: send a metric, an array of metrics, {\"metrics\":[...]}, or one metric a line", kindOf(c))
	}
}

// readObject reads a body that starts with an object: a metric, an envelope, or the first of many lines.
func (d *decoder) readObject() error {
	start := d.pos
	envelope := false
	err := d.fields(func(raw []byte, escaped bool) error {
		envelope = envelope || d.is(raw, escaped, fieldMetrics)
		return d.skip()
	})
	if err != nil {
		return err
	}
	end := d.pos
	if d.peek() != 0 {
		oneLine := bytes.IndexByte(d.data[start:end], '\n') < 0
		if oneLine && bytes.IndexByte(d.data[end:d.pos], '\n') >= 0 {
			return d.readLines()
		}
		return d.fail("something follows the first object: send many metrics as an array, or one a line")
	}
	d.pos = start
	if !envelope {
		return d.readItem()
	}
	seen := false
	return d.fields(func(raw []byte, escaped bool) error {
		switch {
		case !d.is(raw, escaped, fieldMetrics):
			return d.fail("unknown field %q beside %q: the envelope has no others", clip(raw), fieldMetrics)
		case seen:
			return d.fail("field %q occurs twice", fieldMetrics)
		case d.peek() != '[':
			return d.fail("field %q is %s: it must be an array of metrics", fieldMetrics, kindOf(d.at()))
		}
		seen = true
		return d.elements(d.readItem)
	})
}

// is reports whether the field name that stands as raw in the text is want.
func (d *decoder) is(raw []byte, escaped bool, want string) bool {
	if !escaped {
		return string(raw) == want
	}
	name, ok := unescape(nil, raw)
	return ok && string(name) == want
}

// readLines reads a text with one metric a line. A line that is no JSON costs only itself.
func (d *decoder) readLines() error {
	all := d.data
	defer func() { d.data = all }()
	for start := 0; start < len(all); d.line++ {
		end := len(all)
		if n := bytes.IndexByte(all[start:], '\n'); n >= 0 {
			end = start + n
		}
		d.data, d.pos = all[:end], start
		start = end + 1
		if d.line == 0 {
			d.line = 1
		}
		if d.peek() == 0 {
			continue
		}
		if err := d.readLine(); err != nil {
			return err
		}
	}
	if d.items == 0 {
		d.pos = len(all)
		return d.fail("the body is empty")
	}
	return nil
}

func (d *decoder) readLine() error {
	from := bytes.LastIndexByte(d.data, '\n') + 1
	before := len(d.rejected)
	series := len(d.batch.Series)
	samples := len(d.batch.Samples)
	err := d.readItem()
	if err == nil {
		err = d.end()
	}
	if err == nil {
		return nil
	}
	var syntax *syntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	// The metric may be complete and be followed by something else.
	d.batch.Series, d.batch.Samples = d.batch.Series[:series], d.batch.Samples[:samples]
	d.rejected = append(d.rejected[:before], metric.Rejection{
		Series: d.items - 1, Lost: metric.Counts{Samples: 1}, Reason: metric.Malformed,
		Detail: fmt.Sprintf("line %d, column %d: %s", d.line, syntax.offset-from+1, syntax.what),
	})
	return nil
}

// readItem reads one metric and adds it to the batch or to the rejections.
func (d *decoder) readItem() error {
	index := d.items
	d.items++
	if d.items > d.maxItems {
		return &problem.Error{
			Of: problem.TooLarge,
			Detail: fmt.Sprintf("the request holds more than %d metrics, the limit set by %s: send them in several requests",
				d.maxItems, settingItems),
			Limit: &problem.Limit{Name: "items", Max: int64(d.maxItems), Observed: int64(d.items), Setting: settingItems},
		}
	}
	d.item = item{timestamp: d.now.UnixMilli()}
	d.scratch, d.dimensions = d.scratch[:0], 0
	d.labels.Reset()
	if c := d.peek(); c == '{' {
		if err := d.fields(d.readField); err != nil {
			return err
		}
		d.finish(index)
	} else {
		if err := d.skip(); err != nil {
			return err
		}
		d.reject(metric.Malformed, "a metric must be an object, not %s", kindOf(c))
	}
	if d.item.reason != "" {
		d.rejected = append(d.rejected, metric.Rejection{
			Series: index, Lost: metric.Counts{Samples: 1}, Reason: d.item.reason, Detail: d.item.detail,
		})
	}
	return nil
}

// finish checks the parts of a metric against each other and adds it to the batch.
func (d *decoder) finish(index int) {
	it := &d.item
	switch {
	case it.reason != "":
		return
	case !it.seen[0]:
		d.reject(metric.InvalidName, "field %q is missing", fieldName)
		return
	case !it.seen[1]:
		d.reject(metric.Malformed, "field %q is missing", fieldValue)
		return
	}
	d.labels.Add(d.nameLabel, it.name)
	canonical, dup, ok := d.labels.Encode(d.batch)
	if !ok {
		d.reject(metric.DuplicateName, "dimension %q occurs twice", clip(dup))
		return
	}
	d.batch.StartSeries(canonical, index)
	d.batch.AddSample(metric.Sample{Timestamp: it.timestamp, Value: it.value})
}

// fieldNames lists the fields of a metric in the order of item.seen.
var fieldNames = []string{fieldName, fieldValue, fieldTimestamp, fieldDimensions}

// readField reads the value of one field of a metric.
func (d *decoder) readField(raw []byte, escaped bool) error {
	name, ok := d.text(raw, escaped)
	which := -1
	for i, known := range fieldNames {
		if ok && string(name) == known {
			which = i
		}
	}
	if which < 0 {
		d.reject(metric.Malformed, "unknown field %q: %s", clip(name), metricFields)
		return d.skip()
	}
	if d.item.seen[which] {
		d.reject(metric.Malformed, "field %q occurs twice", name)
		return d.skip()
	}
	d.item.seen[which] = true
	switch which {
	case 0:
		return d.readName()
	case 1:
		return d.readValue()
	case 2:
		return d.readTimestamp()
	default:
		return d.readDimensions()
	}
}

// mistyped moves over a value of the wrong type and refuses the metric for it.
func (d *decoder) mistyped(reason metric.Reason, field, wanted string) error {
	kind := kindOf(d.at())
	if err := d.skip(); err != nil {
		return err
	}
	d.reject(reason, "field %q is %s: it must be %s", field, kind, wanted)
	return nil
}

// isNumber reports whether a value that starts with c is a number.
func isNumber(c byte) bool { return c == '-' || '0' <= c && c <= '9' }

// text returns the meaning of a string; ok is false if it has none.
func (d *decoder) text(raw []byte, escaped bool) (text []byte, ok bool) {
	if !escaped {
		return raw, true
	}
	start := len(d.scratch)
	d.scratch, ok = unescape(d.scratch, raw)
	return d.scratch[start:len(d.scratch):len(d.scratch)], ok
}

func (d *decoder) readName() error {
	if d.peek() != '"' {
		return d.mistyped(metric.InvalidName, fieldName, "a string")
	}
	raw, escaped, err := d.str("a string")
	if err != nil {
		return err
	}
	name, ok := d.text(raw, escaped)
	switch {
	case !ok:
		d.reject(metric.InvalidName, "field %q holds half of a surrogate pair", fieldName)
	case len(name) == 0:
		d.reject(metric.InvalidName, "field %q is empty", fieldName)
	}
	d.item.name = name
	return nil
}

func (d *decoder) readValue() error {
	switch c := d.peek(); {
	case c == '"':
		return d.readQuotedValue()
	case !isNumber(c):
		return d.mistyped(metric.Malformed, fieldValue, "a number")
	}
	raw, err := d.number()
	if err != nil {
		return err
	}
	if d.item.value, err = strconv.ParseFloat(string(raw), 64); err != nil {
		d.reject(metric.ValueNotFinite, "value %s is too large for a 64-bit floating-point number", clip(raw))
	}
	return nil
}

// readQuotedValue refuses a value that is a string, with a text that fits what is in it.
func (d *decoder) readQuotedValue() error {
	raw, escaped, err := d.str("a string")
	if err != nil {
		return err
	}
	text, _ := d.text(raw, escaped)
	v, err := strconv.ParseFloat(string(text), 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		d.reject(metric.ValueNotFinite, "value %q is not a finite number: this API takes none", clip(text))
	} else {
		d.reject(metric.Malformed, "field %q is the string %q: it must be a number", fieldValue, clip(text))
	}
	return nil
}

func (d *decoder) readTimestamp() error {
	switch c := d.peek(); {
	case c == 'n':
		return d.literal() // null: as if it were not there.
	case c == '"':
		return d.readTime()
	case !isNumber(c):
		return d.mistyped(metric.Malformed, fieldTimestamp, "a number of milliseconds or an RFC 3339 string")
	}
	raw, err := d.number()
	if err != nil {
		return err
	}
	ms, ok := wholeNumber(raw)
	if !ok {
		d.reject(metric.Malformed, "timestamp %s is not a whole number of milliseconds since the Unix epoch", clip(raw))
		return nil
	}
	d.item.timestamp = ms
	if unit := otherUnit(d.rules, ms, d.now); unit != "" {
		reason := metric.TimestampTooOld
		if ms > d.now.UnixMilli() {
			reason = metric.TimestampTooNew
		}
		d.reject(reason, "timestamp %d looks like %s: timestamps are milliseconds since the Unix epoch", ms, unit)
	}
	return nil
}

func (d *decoder) readTime() error {
	raw, escaped, err := d.str("a string")
	if err != nil {
		return err
	}
	text, _ := d.text(raw, escaped)
	t, malformed := time.Parse(time.RFC3339Nano, string(text))
	if malformed != nil {
		d.reject(metric.Malformed, "timestamp %q is not RFC 3339, such as 2023-11-29T05:00:34.567Z; milliseconds since the Unix epoch are a number without quotes",
			clip(text))
	}
	d.item.timestamp = t.UnixMilli()
	return nil
}

func (d *decoder) readDimensions() error {
	switch d.peek() {
	case '{':
		return d.fields(d.readDimension)
	case 'n':
		return d.literal() // null: as if it were not there.
	default:
		return d.mistyped(metric.Malformed, fieldDimensions, "an object of strings")
	}
}

// readDimension reads the value of one dimension.
func (d *decoder) readDimension(raw []byte, escaped bool) error {
	name, ok := d.text(raw, escaped)
	if !ok {
		d.reject(metric.InvalidName, "dimension name %q holds half of a surrogate pair", clip(raw))
	}
	if c := d.peek(); c != '"' {
		if err := d.skip(); err != nil {
			return err
		}
		d.reject(metric.Malformed, "the value of dimension %q is %s: it must be a string", clip(name), kindOf(c))
		return nil
	}
	raw, escaped, err := d.str("a string")
	if err != nil {
		return err
	}
	value, ok := d.text(raw, escaped)
	switch {
	case !ok:
		d.reject(metric.InvalidValue, "the value of dimension %q holds half of a surrogate pair", clip(name))
	case string(name) == labels.MetricName:
		d.reject(metric.ReservedName, "dimension %q is the metric's name: use field %q", name, fieldName)
	case string(name) == d.rules.Reserved && len(name) > 0:
		d.reject(metric.ReservedName, "dimension %q is set by the server from the request's tenant: leave it out", name)
	case len(value) == 0 && !d.rules.UTF8Names && !isPlain(name):
		// The batch leaves out dimensions of empty value, so that the rules do not see this one.
		d.reject(metric.InvalidName, "dimension name %q does not match ^[a-zA-Z_][a-zA-Z0-9_]*$", clip(name))
	}
	d.dimensions++
	if d.dimensions > max(maxDimensions, d.rules.MaxDimensions) {
		d.reject(metric.TooManyDimensions, "the metric has more than %d dimensions, those of empty value among them", d.dimensions-1)
	}
	if d.item.reason == "" {
		d.labels.Add(name, value)
	}
	return nil
}
