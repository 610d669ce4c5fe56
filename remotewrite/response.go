package remotewrite

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
)

// writtenHeaders tells a sender of version 2.0 what was stored. Senders read a missing header as zero, and count a batch
// with zeros only as lost.
func writtenHeaders(h http.Header, stored metric.Counts) {
	h.Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(stored.Samples))
	h.Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(stored.Histograms))
	h.Set("X-Prometheus-Remote-Write-Exemplars-Written", strconv.Itoa(stored.Exemplars))
}

// maxText bounds the text of a partial write: Prometheus shows the first 1024 bytes.
const maxText = 1000

// partial describes a partial write: what is stored, and for each reason how much is not, with one example.
func partial(out ingest.Outcome) string {
	type tally struct {
		reason  metric.Reason
		series  int
		lost    metric.Counts
		example metric.Rejection
	}
	var tallies []tally
	var lost metric.Counts
	for _, r := range out.Rejected {
		i := slices.IndexFunc(tallies, func(t tally) bool { return t.reason == r.Reason })
		if i < 0 {
			i = len(tallies)
			tallies = append(tallies, tally{reason: r.Reason, example: r})
		}
		tallies[i].series++
		tallies[i].lost.Add(r.Lost)
		lost.Add(r.Lost)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "partial write: stored %s; refused for good %s", items(out.Stored), items(lost))
	for _, t := range tallies {
		line := fmt.Sprintf("; %s: %s of %d series, such as series %d: %s", t.reason, items(t.lost), t.series, t.example.Series, t.example.Detail)
		if b.Len()+len(line) > maxText {
			short := fmt.Sprintf("; %s: %s of %d series", t.reason, items(t.lost), t.series)
			if b.Len()+len(short) > maxText {
				b.WriteString("; and more")
				break
			}
			line = short
		}
		b.WriteString(line)
	}
	return b.String()
}

// items lists the counts of c that are not zero.
func items(c metric.Counts) string {
	var parts []string
	for _, p := range [...]struct {
		n    int
		name string
	}{{c.Samples, "samples"}, {c.Histograms, "histograms"}, {c.Exemplars, "exemplars"}, {c.Metadata, "metadata"}} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.name)
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// metrics are what the receiver tells about itself.
type metrics struct {
	requests *prometheus.CounterVec
	retries  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, known func() *metric.Known) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_remote_write_requests_total",
			Help: "Remote-write requests by protocol version and status code.",
		}, []string{"version", "code"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_remote_write_retried_requests_total",
			Help: "Remote-write requests that their sender declared to be a retry.",
		}, []string{"version"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_remote_write_received_bytes_total",
			Help: "Bytes of remote-write bodies, as they came (compressed) and after decompression (decoded).",
		}, []string{"form"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.retries, m.bytes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_remote_write_known_labels_bytes",
			Help: "Memory of the hashes by which labels are recognised that were found good before.",
		}, func() float64 { return float64(known().Bytes()) }))
	}
	return m
}
