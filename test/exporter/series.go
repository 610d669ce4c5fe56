package exporter

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// scrape is one scrape under way.
type scrape struct {
	out     chan<- prometheus.Metric
	n       int64 // Number of the scrape, from 1.
	now     time.Time
	started time.Time
	hidden  bool
}

// sinceReset is the number of scrapes since the counters that reset last began again, from 1.
func (s *scrape) sinceReset() int64 { return (s.n-1)%ResetEvery + 1 }

// created is the time at which the counters that reset last began again, as far as the scrapes tell.
func (s *scrape) created() time.Time {
	return s.now.Add(-time.Duration(s.sinceReset()) * time.Second)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (s *scrape) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, values ...string) {
	s.out <- prometheus.MustNewConstMetric(d, kind, v, values...)
}

func (s *scrape) counters() {
	requests := desc("exporter_requests_total", "Requests by method and code; begins again every few scrapes.", "method", "code")
	k := float64(s.sinceReset())
	for i, method := range []string{"GET", "POST", "DELETE"} {
		for j, code := range []string{"200", "404", "500"} {
			step := float64(3*i + j + 1)
			m := prometheus.MustNewConstMetricWithCreatedTimestamp(requests, prometheus.CounterValue, k*step, s.created(), method, code)
			s.out <- prometheus.MustNewMetricWithExemplars(m, prometheus.Exemplar{
				Value:     step,
				Timestamp: s.now,
				Labels:    prometheus.Labels{"trace_id": fmt.Sprintf("%s-%s-%d", method, code, s.n)},
			})
		}
	}
	s.out <- prometheus.MustNewConstMetricWithCreatedTimestamp(
		desc("exporter_bytes_total", "Grows by a fraction that binary numbers can't hold.", "direction"),
		prometheus.CounterValue, float64(s.n)*1000.1, s.started, "in")
	s.out <- prometheus.MustNewConstMetricWithCreatedTimestamp(
		desc("exporter_bytes_total", "Grows by a fraction that binary numbers can't hold.", "direction"),
		prometheus.CounterValue, float64(s.n)*77.7, s.started, "out")
	s.send(desc("exporter_large_total", "Counts near the largest integer that a float holds exactly."),
		prometheus.CounterValue, float64(1<<53-1-1000+s.n%1000))
}

func (s *scrape) gauges() {
	temperature := desc("exporter_temperature_celsius", "Goes up and down.", "room")
	for i, room := range []string{"attic", "cellar", "hall", "kitchen"} {
		s.send(temperature, prometheus.GaugeValue, 20+5*math.Sin(float64(s.n)/5+float64(i)), room)
	}
	special := desc("exporter_special", "Values that need care.", "kind")
	for kind, v := range map[string]float64{
		"nan": math.NaN(), "inf": math.Inf(1), "negative_inf": math.Inf(-1), "zero": 0, "max_int": 1<<53 - 1,
		"smallest": math.SmallestNonzeroFloat64, "largest": math.MaxFloat64, "third": 1.0 / 3,
	} {
		s.send(special, prometheus.GaugeValue, v, kind)
	}
	s.send(desc("target_info", "About the target.", "version"), prometheus.GaugeValue, 1, "1.2.3")
	turns := []float64{math.NaN(), 1, math.Inf(1), 2, math.Inf(-1), 3}
	s.send(desc("exporter_turns", "Is a number at every other scrape only."), prometheus.GaugeValue, turns[s.n%int64(len(turns))])
	s.send(desc("exporter_scrapes", "Number of this scrape."), prometheus.GaugeValue, float64(s.n))
	if !s.hidden {
		s.send(desc("exporter_goes_away", "Disappears when it is told to."), prometheus.GaugeValue, float64(s.n))
	}
	if s.n%6 < 3 {
		s.send(desc("exporter_comes_and_goes", "Is there for three scrapes, then away for three.", "turn"),
			prometheus.GaugeValue, float64(s.n), fmt.Sprint(s.n/6%3))
	}
}

func (s *scrape) names() {
	odd := desc("exporter_odd_values", "Label values that need care.", "value")
	for i, value := range []string{
		"", `a "quoted" word`, "two\nlines", `back\slash`, "tab\tbed", "größe", "数", "🐟", " leading and trailing ", "{a=\"b\"}",
		"_tenant_id", "it's",
	} {
		s.send(odd, prometheus.GaugeValue, float64(i), value)
	}
	s.send(desc("exporter.utf8 name with spaces", "A name that only UTF-8 rules take.", "label.with.dots", "größe"),
		prometheus.GaugeValue, float64(s.n), "a", "b")
	s.send(desc("exporter_many_labels", "More labels than the native API takes.", manyNames()...),
		prometheus.GaugeValue, 1, manyNames()...)
}

func manyNames() []string {
	names := make([]string, 32)
	for i := range names {
		names[i] = fmt.Sprintf("label_%02d", i)
	}
	return names
}

func (s *scrape) histograms() {
	classic := desc("exporter_classic_seconds", "A classic histogram with exemplars.", "path")
	native := desc("exporter_native_seconds", "A native histogram that begins again every few scrapes.", "path")
	both := desc("exporter_combined_seconds", "One histogram in both forms.", "path")
	for i, path := range []string{"/", "/login"} {
		o := observe(s.sinceReset(), i)
		s.out <- prometheus.MustNewMetricWithExemplars(o.classic(classic, s.created(), path), prometheus.Exemplar{
			Value: o.last, Timestamp: s.now, Labels: prometheus.Labels{"trace_id": fmt.Sprintf("%s-%d", path, s.n)},
		})
		s.out <- o.native(native, s.created(), path)
		s.out <- combined{o.classic(both, s.created(), path), o.native(both, s.created(), path)}
	}
	s.out <- prometheus.MustNewConstNativeHistogram(
		desc("exporter_native_signed", "A native histogram with negative buckets and a zero bucket."),
		uint64(6*s.n), float64(-2*s.n), map[int]int64{0: s.n, 3: 2 * s.n}, map[int]int64{-4: s.n, 1: s.n}, uint64(s.n), 2, 1e-6, s.started)
	s.out <- prometheus.MustNewConstNativeHistogram(
		desc("exporter_native_empty", "A native histogram that saw nothing."), 0, 0, nil, nil, 0, 3, 0.5, s.started)
	s.out <- prometheus.MustNewConstSummaryWithCreatedTimestamp(
		desc("exporter_summary_seconds", "A summary; one of its quantiles is not a number.", "path"),
		uint64(10*s.n), 1.5*float64(s.n), map[float64]float64{0.5: 0.1 * float64(s.n%7), 0.9: 0.7, 0.99: math.NaN()}, s.started, "/")
}

// observations is what a histogram has seen.
type observations struct {
	count  uint64
	sum    float64
	last   float64
	le     map[float64]uint64 // Cumulative.
	powers map[int]int64      // By bucket index of schema 3: 8 buckets for each power of two.
}

const schema = 3

// observe returns what a histogram has seen after k scrapes: seven more values at each, spread over three decades.
func observe(k int64, seed int) observations {
	o := observations{le: map[float64]uint64{0.01: 0, 0.1: 0, 0.5: 0, 1: 0, 5: 0}, powers: map[int]int64{}}
	for i := range 7 * k {
		v := 0.004 * math.Pow(10, float64((i*37+int64(seed)*11)%300)/100)
		o.count++
		o.sum += v
		o.last = v
		for bound := range o.le {
			if v <= bound {
				o.le[bound]++
			}
		}
		o.powers[int(math.Ceil(math.Log2(v)*(1<<schema)))]++
	}
	return o
}

func (o observations) classic(d *prometheus.Desc, created time.Time, values ...string) prometheus.Metric {
	return prometheus.MustNewConstHistogramWithCreatedTimestamp(d, o.count, o.sum, o.le, created, values...)
}

func (o observations) native(d *prometheus.Desc, created time.Time, values ...string) prometheus.Metric {
	return prometheus.MustNewConstNativeHistogram(d, o.count, o.sum, o.powers, nil, 0, schema, 1e-9, created, values...)
}

// combined is one histogram in classic and native form.
type combined struct{ classic, native prometheus.Metric }

// Desc returns the description that both forms share.
func (c combined) Desc() *prometheus.Desc { return c.classic.Desc() }

// Write writes the native form with the classic buckets beside it.
func (c combined) Write(out *dto.Metric) error {
	if err := c.native.Write(out); err != nil {
		return err
	}
	var m dto.Metric
	if err := c.classic.Write(&m); err != nil {
		return err
	}
	out.Histogram.Bucket = m.GetHistogram().GetBucket()
	return nil
}
