package remotewrite_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/remotewrite"
)

// A symbol is sent once and used many times: what it stands for is bounded, not what is sent.
func TestW05LabelBytes(t *testing.T) {
	r := newRig(t, func(o *remotewrite.Options) { o.MaxLabels = 5000 })
	long := strings.Repeat("x", 100)
	repeat := func(change func(q *request2, s *writev2.TimeSeries)) *request2 {
		q := newV2()
		for range 100 {
			change(q, q.add(name("up"), atV2(0, 1)))
		}
		return q
	}
	for what, change := range map[string]func(q *request2, s *writev2.TimeSeries){
		"labels":            func(q *request2, s *writev2.TimeSeries) { s.LabelsRefs = q.refs("__name__", "up", "a", long) },
		"labels, unordered": func(q *request2, s *writev2.TimeSeries) { s.LabelsRefs = q.refs("a", long, "__name__", "up") },
		"exemplars":         func(q *request2, s *writev2.TimeSeries) { s.Exemplars = exemplarV2(q, 1, "t", long) },
		"metadata": func(q *request2, s *writev2.TimeSeries) {
			n := string(rune('a'+len(q.req.Timeseries)%26)) + strings.Repeat("n", len(q.req.Timeseries)/26)
			s.LabelsRefs, s.Metadata.HelpRef = q.refs("__name__", n), q.refs(long)[0]
		},
	} {
		t.Run(what, func(t *testing.T) {
			r.v2(repeat(change).done()).is(t, 400, "more than 5000 bytes", "remote_write.max_label_bytes", "nothing was stored").wrote(t, 0, 0, 0)
		})
	}
	r.holds()
	r.v2(repeat(func(*request2, *writev2.TimeSeries) {}).done()).is(t, 204)
}

func TestW05LabelReferences(t *testing.T) {
	r := newRig(t)
	q := newV2()
	q.add(name("up"), atV2(0, 1))
	q.add(nil, atV2(0, 1)).LabelsRefs = slices.Repeat(q.refs("b", "a"), 10_001)
	r.v2(q.done()).is(t, 400, "20002 label references, more than 10000 labels need").wrote(t, 1, 0, 0)
	r.holds(`{__name__="up"} @0 1`)
}

// Senders that take their time must not fill the memory together.
func TestBytesInFlight(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := newRig(t, func(o *remotewrite.Options) { o.Budget = ingest.NewBudget(10_000, reg) })
	body, more := io.Pipe()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.base+"/api/v1/write", body)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := r.http.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Errorf("the slow one: status %d, want 204", resp.StatusCode)
		}
	}()
	// It is served though it is over the limit, because it is the only one. A sender that comes meanwhile is sent away.
	write := func(b []byte) {
		if _, err := more.Write(b); err != nil {
			t.Error(err)
		}
	}
	noise := make([]byte, 60_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // It never fails.
	// An unknown field of that length.
	padded := snappy.Encode(nil, slices.Concat(mustDecode(t, body1(t)), []byte("\xba\x06\xe0\xd4\x03"), noise))
	write(padded[:len(padded)-1])
	for inFlight(t, reg) < float64(len(padded)-1) {
		select {
		case <-answered:
			t.Fatal("the slow one was answered before its end")
		default:
		}
	}
	r.send(body1(t)).is(t, 503, "ingest.max_in_flight_bytes", "send it again later")
	write(padded[len(padded)-1:])
	if err := more.Close(); err != nil {
		t.Fatal(err)
	}
	<-answered
	r.send(body1(t)).is(t, 204)
}

func mustDecode(t *testing.T, b []byte) []byte {
	t.Helper()
	out, err := snappy.Decode(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// inFlight is what a budget says that it has given.
func inFlight(t *testing.T, reg prometheus.Gatherer) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "luminate_ingest_in_flight_bytes" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("there is no such metric")
	return 0
}
