package remotewrite

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
)

// A decoder turns the protobuf messages of both protocol versions into a batch. It is for reuse; in steady state it
// allocates nothing for float samples of labels in the usual form.
type decoder struct {
	batch    *metric.Batch
	rejected []metric.Rejection
	rules    *metric.Rules

	items    int // What was decoded so far, counted against maxItems.
	maxItems int

	hold     *ingest.Hold // Grows with what is decoded; nil if its memory is not counted.
	bodySize int64        // Of the request, as it came and decompressed.
	bare     int          // Series without anything to store.
	weighed  int          // Items up to which the hold has grown, as far as they were expected.

	labelBytes    int // What symbols were resolved to, counted against maxLabelBytes.
	maxLabelBytes int

	longWay  bool          // Each series of version 2.0 is looked at field by field: for comparison.
	known    *metric.Known // Labels that need no second look; nil means none.
	expected expected

	builder  metric.LabelBuilder
	symbols  [][]byte     // Remote write 2.0: point into the body.
	said     []metadataV2 // What is noted already for series of the name in symbols.
	saidLast []byte       // The Metadata message of the series before, in the body.
	saysLast metadataV2   // What it says.
	pairs    pairs
	refs     []uint32 // Label references of the current series.
	exRefs   []uint32 // Label references of the current exemplar.
	hist     histogramParts
	strings  interner
	families map[string]int // Index into batch.Metadata.
}

// reset prepares d for the next request.
func (d *decoder) reset(b *metric.Batch, rules *metric.Rules, maxItems, maxLabelBytes int) {
	d.batch, d.rules, d.maxItems, d.items = b, rules, maxItems, 0
	d.maxLabelBytes, d.labelBytes = maxLabelBytes, 0
	b.Vet(rules)
	if d.known != nil && !d.known.Serves(b, rules) {
		d.known = nil
	}
	d.hold, d.bodySize, d.bare, d.weighed = nil, 0, 0, 0
	d.expected = expected{}
	d.saidLast = nil
	clear(d.rejected)
	clear(d.symbols)
	d.rejected, d.symbols = d.rejected[:0], d.symbols[:0]
	if d.families == nil {
		d.families = map[string]int{}
	}
	clear(d.families)
}

// malformed is the error for bytes that are not the message they should be.
func malformed(message string, origin int) error {
	return problem.New(problem.Invalid, "the body is not a valid %s message: malformed protobuf in element %d; nothing was stored", message, origin)
}

// mistaken is the error for a body that says nothing as the message that it is declared to be, but something as that of
// the other version. Without it the sender would lose its data and never know.
func mistaken(declared, seems string) error {
	return problem.New(problem.Invalid, "the body is declared to be a %s and seems to be a %s: "+
		"correct the Content-Type (application/x-protobuf;proto=%s); nothing was stored", declared, seems, seems)
}

// grow counts one more decoded item.
func (d *decoder) grow() error {
	if d.items++; d.items <= d.maxItems {
		if d.items%holdEvery == 0 && d.hold != nil {
			return d.hold.Grow(d.memory())
		}
		return nil
	}
	return &problem.Error{
		Of: problem.Invalid,
		Detail: fmt.Sprintf("the request holds more than %d series, samples, histograms, exemplars, symbols and metadata (remote_write.max_items): %s",
			d.maxItems, sendLess),
		Limit: &problem.Limit{Name: "remote write items", Max: int64(d.maxItems), Observed: int64(d.items), Setting: "remote_write.max_items"},
	}
}

// What is decoded takes memory that the size of a body says nothing about if its parts are tiny: two bytes of body are a
// series. These are the bytes of each, from above: with slices that grew, and with the rejection that may come of a series.
const (
	holdEvery       = 4096 // Items after which the hold grows.
	seriesWeight    = 320
	itemWeight      = 64
	histogramWeight = 512
	rejectionWeight = 256
)

// memory is what the request takes by now. For the requests of honest senders it is less than what the size of the body
// made them hold.
func (d *decoder) memory() int64 {
	b := d.batch
	return d.bodySize + int64(seriesWeight*len(b.Series)+itemWeight*(len(b.Samples)+len(b.Exemplars)+len(b.Metadata))+
		histogramWeight*len(b.Histograms)+rejectionWeight*len(d.rejected))
}

// maxBare is how many series without anything to store a request may have. Senders have none, and each takes a hundred
// times its two bytes.
const maxBare = 10_000

// countBare counts one of them.
func (d *decoder) countBare() error {
	if d.bare++; d.bare <= maxBare {
		return nil
	}
	return &problem.Error{
		Of:     problem.Invalid,
		Detail: fmt.Sprintf("the request has more than %d series with neither samples nor native histograms nor exemplars, which no setting allows: leave them out; nothing was stored", maxBare),
		Limit:  &problem.Limit{Name: "series without samples", Max: maxBare, Observed: int64(d.bare)},
	}
}

// claim counts bytes that symbols are resolved to. If it is false, the request has too many and must be given up.
func (d *decoder) claim(n int) bool {
	d.labelBytes += n
	return d.labelBytes <= d.maxLabelBytes
}

func (d *decoder) tooManyLabelBytes() error {
	return &problem.Error{
		Of: problem.Invalid,
		Detail: fmt.Sprintf("the labels and metadata of the request have more than %d bytes with their symbols put in (remote_write.max_label_bytes): %s",
			d.maxLabelBytes, sendLess),
		Limit: &problem.Limit{Name: "remote write label bytes", Max: int64(d.maxLabelBytes), Observed: int64(d.labelBytes), Setting: "remote_write.max_label_bytes"},
	}
}

func (d *decoder) reject(origin int, lost metric.Counts, reason metric.Reason, format string, args ...any) {
	d.rejected = append(d.rejected, metric.Rejection{
		Series: origin, Lost: lost, Reason: reason, Detail: fmt.Sprintf(format, args...),
	})
}

// A mark remembers where the items of the current series begin in the batch.
type mark struct{ samples, histograms, exemplars int }

func (d *decoder) mark() mark {
	return mark{len(d.batch.Samples), len(d.batch.Histograms), len(d.batch.Exemplars)}
}

// since counts the items that were decoded after m.
func (d *decoder) since(m mark) metric.Counts {
	return metric.Counts{
		Samples:    len(d.batch.Samples) - m.samples,
		Histograms: len(d.batch.Histograms) - m.histograms,
		Exemplars:  len(d.batch.Exemplars) - m.exemplars,
	}
}

// drop takes the items after m out of the batch.
func (d *decoder) drop(m mark) {
	b := d.batch
	clear(b.Histograms[m.histograms:])
	b.Samples, b.Histograms, b.Exemplars = b.Samples[:m.samples], b.Histograms[:m.histograms], b.Exemplars[:m.exemplars]
}

// startSeries makes the items after m those of a series. Items come first since the fields of a message may come in any
// order.
func (d *decoder) startSeries(canonical []byte, origin int, m mark) {
	d.batch.StartSeries(canonical, origin)
	s := &d.batch.Series[len(d.batch.Series)-1]
	s.Samples.Start, s.Histograms.Start, s.Exemplars.Start = m.samples, m.histograms, m.exemplars
}

// sample decodes the Sample message of either version: version 1.0 has no start timestamp.
func (d *decoder) sample(msg []byte, version int) bool {
	if s, ok := usualSample(msg, version); ok {
		d.batch.Samples = append(d.batch.Samples, s)
		return true
	}
	var s metric.Sample
	r := reader{b: msg}
	for r.next() {
		switch {
		case r.num == 1:
			s.Value = r.double()
		case r.num == 2:
			s.Timestamp = r.int64()
		case r.num == 3 && version == 2:
			s.Start = r.int64()
		}
	}
	d.batch.Samples = append(d.batch.Samples, s)
	return !r.bad
}

// usualSample decodes a Sample message whose fields come in order. If ok is false, somebody else must look at it.
func usualSample(msg []byte, version int) (s metric.Sample, ok bool) {
	pos := 0
	if len(msg) >= 9 && msg[0] == 1<<3|wireFixed64 {
		s.Value = math.Float64frombits(binary.LittleEndian.Uint64(msg[1:]))
		pos = 9
	}
	if pos+1+6 == len(msg) && pos > 0 {
		if w := binary.LittleEndian.Uint64(msg[len(msg)-8:]); w&tailMask == tail {
			s.Timestamp = tailTime(w)
			return s, true
		}
	}
	var u uint64
	if pos < len(msg) && msg[pos] == 2<<3|wireVarint {
		if u, pos = uvarint(msg, pos+1); pos < 0 {
			return s, false
		}
		s.Timestamp = int64(u)
	}
	if version == 2 && pos < len(msg) && msg[pos] == 3<<3|wireVarint {
		if u, pos = uvarint(msg, pos+1); pos < 0 {
			return s, false
		}
		s.Start = int64(u)
	}
	return s, pos == len(msg)
}

// setStart gives the items after m that have no start timestamp the one of their series, which senders wrote before
// the start timestamp moved into the samples.
func (d *decoder) setStart(m mark, start int64) {
	if start == 0 {
		return
	}
	for i := m.samples; i < len(d.batch.Samples); i++ {
		if s := &d.batch.Samples[i]; s.Start == 0 {
			s.Start = start
		}
	}
	for i := m.histograms; i < len(d.batch.Histograms); i++ {
		if h := &d.batch.Histograms[i]; h.Start == 0 {
			h.Start = start
		}
	}
}

// metricTypes holds the names of the metric types of both versions by their numbers.
var metricTypes = [...]string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}

func metricType(n uint32) string {
	if n >= uint32(len(metricTypes)) {
		n = 0
	}
	return metricTypes[n]
}

// addMetadata notes what is said about a metric family, unless it breaks the rules. Within a request the last one wins.
func (d *decoder) addMetadata(origin int, family []byte, typ string, help, unit []byte) bool {
	if reason, detail := d.checkMetadata(family, help, unit); reason != "" {
		d.reject(origin, metric.Counts{Metadata: 1}, reason, "metadata: %s", detail)
		return false
	}
	m := metric.Metadata{
		Family: d.strings.get(family), Type: typ, Help: d.strings.get(help), Unit: d.strings.get(unit),
	}
	if i, ok := d.families[m.Family]; ok {
		if d.batch.Metadata[i] != m {
			clear(d.said) // Series of another name belong to the same family and contradict.
		}
		d.batch.Metadata[i] = m
		return true
	}
	d.families[m.Family] = len(d.batch.Metadata)
	d.batch.Metadata = append(d.batch.Metadata, m)
	return true
}

func (d *decoder) checkMetadata(family, help, unit []byte) (metric.Reason, string) {
	longest := d.rules.MaxValueLength
	switch {
	case len(family) == 0:
		return metric.InvalidName, "the metric family has no name"
	case !utf8.Valid(family):
		return metric.InvalidName, "the name of the metric family is not valid UTF-8"
	case d.rules.MaxNameLength > 0 && len(family) > d.rules.MaxNameLength:
		return metric.InvalidName, fmt.Sprintf("the name of a metric family is %d bytes long: the limit is %d", len(family), d.rules.MaxNameLength)
	case !utf8.Valid(help) || !utf8.Valid(unit):
		return metric.InvalidValue, fmt.Sprintf("help or unit of metric family %q is not valid UTF-8", family)
	case longest > 0 && max(len(help), len(unit)) > longest:
		return metric.InvalidValue, fmt.Sprintf("help or unit of metric family %q is %d bytes long: the limit is %d", family, max(len(help), len(unit)), longest)
	}
	return "", ""
}

// familySuffixes lists what the series of a metric family of each type add to its name.
var familySuffixes = map[string][]string{
	"histogram":      {"_bucket", "_sum", "_count"},
	"gaugehistogram": {"_bucket", "_gsum", "_gcount"},
	"summary":        {"_sum", "_count"},
}

// familyName returns the name of the metric family that a series belongs to. Remote write 2.0 sends metadata with each
// series and without that name, so that it is derived as Prometheus relates the two: the parts of a histogram or a
// summary lose their suffix. A counter keeps _total and an info metric _info, since the text format puts the suffix into
// the family name and the sender does not say which format it has scraped.
func familyName(name []byte, typ string) []byte {
	for _, suffix := range familySuffixes[typ] {
		if n := len(name) - len(suffix); n > 0 && string(name[n:]) == suffix {
			return name[:n]
		}
	}
	return name
}

// An interner turns bytes that come again and again into strings without allocating.
type interner struct {
	known map[string]string
	size  int
}

// maxInterned bounds the bytes that an interner holds.
const maxInterned = 1 << 20

func (in *interner) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := in.known[string(b)]; ok {
		return s
	}
	if in.size+len(b) > maxInterned || in.known == nil {
		in.known, in.size = map[string]string{}, 0
	}
	s := string(b)
	in.known[s] = s
	in.size += len(s)
	return s
}

// isMetricName reports whether a label's name is that of the metric name.
func isMetricName(name []byte) bool { return string(name) == labels.MetricName }
