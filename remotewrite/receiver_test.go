package remotewrite_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// A receiverCase is a request that conformance suites for receivers send, with the answer that must come.
type receiverCase struct {
	name   string
	build  func(q *request2)
	status int
	want   metric.Counts
}

func exemplarV2(q *request2, v float64, pairs ...string) []writev2.Exemplar {
	return []writev2.Exemplar{{LabelsRefs: q.refs(pairs...), Value: v, Timestamp: now}}
}

func acceptedCases() []receiverCase {
	return []receiverCase{
		{"sample with metadata and exemplar", func(q *request2) {
			s := q.add(name("requests_total"), writev2.Sample{Timestamp: now, Value: 9, StartTimestamp: now - 9})
			s.Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: q.refs("Requests.")[0]}
			s.Exemplars = exemplarV2(q, 1, "trace_id", "a", "span_id", "b")
		}, 204, metric.Counts{Samples: 1, Exemplars: 1}},
		{"histogram with metadata and exemplar", func(q *request2) {
			s := q.add(name("latency"))
			s.Histograms = []writev2.Histogram{histogramV2(0)}
			s.Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM, UnitRef: q.refs("seconds")[0]}
			s.Exemplars = exemplarV2(q, 0.5, "trace_id", "a")
		}, 204, metric.Counts{Histograms: 1, Exemplars: 1}},
		{"exemplar without labels", func(q *request2) {
			q.add(name("a"), atV2(0, 1)).Exemplars = exemplarV2(q, 1)
		}, 204, metric.Counts{Samples: 1, Exemplars: 1}},
		{"exemplar with odd labels", func(q *request2) {
			q.add(name("a"), atV2(0, 1)).Exemplars = exemplarV2(q, 1, "user.name", "müller 🙂", "quote", "\"\\\n")
		}, 204, metric.Counts{Samples: 1, Exemplars: 1}},
		{"exemplars with special values", func(q *request2) {
			for i, v := range []float64{0, math.NaN(), math.Inf(1), math.Inf(-1), -1.5} {
				q.add(name(fmt.Sprintf("e%d", i)), atV2(0, 1)).Exemplars = exemplarV2(q, v, "trace_id", "a")
			}
		}, 204, metric.Counts{Samples: 5, Exemplars: 5}},
		{"series of a batch at different times", func(q *request2) {
			for i, ms := range []int64{0, -3_600_000, -1, -60_000} {
				q.add(name(fmt.Sprintf("t%d", i)), atV2(ms, 1))
			}
		}, 204, metric.Counts{Samples: 4}},
		{"many samples of one series", func(q *request2) {
			s := q.add(name("many"))
			for i := range int64(1000) {
				s.Samples = append(s.Samples, atV2(i, float64(i)))
			}
		}, 204, metric.Counts{Samples: 1000}},
		{"many histograms", func(q *request2) {
			for i := range 200 {
				q.add([]string{"__name__", "many", "i", fmt.Sprint(i)}).Histograms = []writev2.Histogram{histogramV2(0)}
			}
		}, 204, metric.Counts{Histograms: 200}},
		{"histogram of negative observations", func(q *request2) {
			h := histogramV2(0)
			h.NegativeSpans, h.NegativeDeltas, h.PositiveSpans, h.PositiveDeltas = []writev2.BucketSpan{{Length: 2}}, h.PositiveDeltas, nil, nil
			q.add(name("negative")).Histograms = []writev2.Histogram{h}
		}, 204, metric.Counts{Histograms: 1}},
		{"empty histogram", func(q *request2) {
			q.add(name("empty")).Histograms = []writev2.Histogram{{Timestamp: now}}
		}, 204, metric.Counts{Histograms: 1}},
	}
}

func refusedCases() []receiverCase {
	return []receiverCase{
		{"bad count", func(q *request2) {
			h := histogramV2(0)
			h.Count = &writev2.Histogram_CountInt{CountInt: 23}
			q.add(name("bad")).Histograms = []writev2.Histogram{h}
		}, 400, metric.Counts{}},
		{"exemplar on a series without name", func(q *request2) {
			q.add([]string{"job", "x"}, atV2(0, 1)).Exemplars = exemplarV2(q, 1, "trace_id", "a")
		}, 400, metric.Counts{}},
		{"metadata without data", func(q *request2) {
			q.add(name("orphan")).Metadata = writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE}
		}, 400, metric.Counts{}},
		{"one of four without name", func(q *request2) {
			q.add([]string{"job", "x"}, atV2(0, 1))
			for i := range 3 {
				q.add(name(fmt.Sprintf("m%d", i)), atV2(0, 1))
			}
		}, 400, metric.Counts{Samples: 3}},
		{"all kinds, some bad", func(q *request2) {
			q.add(name("a"), atV2(0, 1), atV2(7_200_000, 1))
			h := histogramV2(0)
			h.PositiveDeltas = nil
			q.add(name("h")).Histograms = []writev2.Histogram{histogramV2(0), h}
			q.add(name("x")).Exemplars = append(exemplarV2(q, 1, "trace_id", "a"), exemplarV2(q, 1, "trace_id", strings.Repeat("x", 200))...)
		}, 400, metric.Counts{Samples: 1, Histograms: 1, Exemplars: 1}},
	}
}

// TestW31Receiver asks for what a conformance suite for receivers asks for, but for exact answers where such a suite lets
// several pass, and reads back what was acknowledged.
func TestW31Receiver(t *testing.T) {
	for _, c := range append(acceptedCases(), refusedCases()...) {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			q := newV2()
			c.build(q)
			body := q.done()
			for range 2 { // A retry is told the same and changes nothing.
				r.v2(body).is(t, c.status).wrote(t, c.want.Samples, c.want.Histograms, c.want.Exemplars)
			}
			if got := len(r.stored(team)); got != c.want.Samples+c.want.Histograms {
				t.Errorf("%d samples and histograms are stored, want %d", got, c.want.Samples+c.want.Histograms)
			}
			if got := len(r.exemplars()); got != c.want.Exemplars {
				t.Errorf("%d exemplars are stored, want %d", got, c.want.Exemplars)
			}
		})
	}
}
