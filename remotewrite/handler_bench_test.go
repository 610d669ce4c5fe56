package remotewrite

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A discarding store takes everything and keeps nothing.
type discarding struct{ store.Store }

func (d discarding) Tenant(tenancy.ID) store.Tenant { return discardingTenant{} }

type discardingTenant struct{ store.Tenant }

func (discardingTenant) Append(context.Context, *metric.Batch) ([]metric.Rejection, error) {
	return nil, nil
}

// cpuTime is the processor time of this thread, which other load on the machine does not count into.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// A sender sends the same requests again and again, past net/http.
type sender struct {
	tb       testing.TB
	api      *API
	request  *http.Request
	response discardingResponse
	bodies   [][]byte
	next     int
	body     bytes.Reader
}

type discardingResponse struct {
	header http.Header
	status int
}

func (r *discardingResponse) Header() http.Header         { return r.header }
func (r *discardingResponse) Write(p []byte) (int, error) { return len(p), nil }
func (r *discardingResponse) WriteHeader(status int)      { r.status = status }

func newSender(tb testing.TB, contentType string, bodies ...[]byte) *sender {
	tb.Helper()
	pipeline := ingest.New(discarding{}, metric.NewHasher(1), func() time.Time { return time.UnixMilli(1_700_000_000_000) }, prometheus.NewRegistry())
	s := &sender{tb: tb, api: New(Options{Sink: pipeline}), response: discardingResponse{header: http.Header{}}}
	for _, body := range bodies {
		s.bodies = append(s.bodies, snappy.Encode(nil, body))
	}
	ctx := tenancy.NewContext(context.Background(), tenancy.Identity{Tenant: "team", Scopes: tenancy.Write})
	s.request = httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/write", io.NopCloser(&s.body))
	s.request.Header.Set("Content-Type", contentType)
	s.request.Header.Set("Content-Encoding", "snappy")
	return s
}

// send sends the next request.
func (s *sender) send() {
	body := s.bodies[s.next%len(s.bodies)]
	s.next++
	s.body.Reset(body)
	s.request.ContentLength = int64(len(body))
	s.api.write(&s.response, s.request)
	if s.response.status != http.StatusNoContent {
		s.tb.Fatalf("status %d", s.response.status)
	}
}

const (
	contentV1 = "application/x-protobuf"
	contentV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// What a request allocates does not depend on how much is in it.
func TestHandlerAllocations(t *testing.T) {
	// The deadline and the headers of the answer take some; with the race detector pools lose what they hold now and then.
	const most = 50
	f := func(contentType string, one func(testing.TB, []int) []byte) {
		t.Helper()
		s := newSender(t, contentType, one(t, fleetOrder(2000, false)))
		for range 10 {
			s.send()
		}
		if n := testing.AllocsPerRun(50, s.send); n > most {
			t.Errorf("%s: a request of 2,000 series allocates %v times, want at most %v", contentType, n, most)
		}
	}
	f(contentV1, fleetV1)
	f(contentV2, fleetV2)
}

// BenchmarkHandler is the whole way from a compressed body to the store's Append: 100,000 series in requests of 2,000.
func BenchmarkHandler(b *testing.B) {
	const n, each = 100_000, 2000
	bodies := func(random bool, one func(testing.TB, []int) []byte) (out [][]byte) {
		ids := fleetOrder(n, random)
		for at := 0; at < n; at += each {
			out = append(out, one(b, ids[at:at+each]))
		}
		return out
	}
	f := func(name, contentType string, random bool, one func(testing.TB, []int) []byte) {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			s := newSender(b, contentType, bodies(random, one)...)
			for range s.bodies {
				s.send()
			}
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				s.send()
			}
			b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(b.N)/each, "cpu-ns/sample")
		})
	}
	f("1.0", contentV1, false, fleetV1)
	f("1.0 random order", contentV1, true, fleetV1)
	f("2.0", contentV2, false, fleetV2)
	f("2.0 random order", contentV2, true, fleetV2)
}
