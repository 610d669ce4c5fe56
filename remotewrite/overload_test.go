package remotewrite_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/remotewrite"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// TestOverload has another request hold the memory that writes may take.
func TestOverload(t *testing.T) {
	budget := ingest.NewBudget(10_000, prometheus.NewRegistry())
	r := newRig(t, func(o *remotewrite.Options) { o.Budget = budget })
	r.send(body1(t)).is(t, 204)

	other := budget.Hold()
	if err := other.Grow(9_990); err != nil {
		t.Fatal(err)
	}
	for _, contentType := range []string{typeV1, typeV2} {
		answer := r.send(body1(t), "Content-Type", contentType).is(t, 503, "ingest.max_in_flight_bytes", "nothing of it was stored")
		if answer.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	// What is declared is reserved before it is decompressed.
	other.Release()
	if err := other.Grow(1); err != nil {
		t.Fatal(err)
	}
	r.send(snappy.Encode(nil, make([]byte, 4_000))).is(t, 503)
	r.send(body1(t)).is(t, 204)
	other.Release()

	r.send(snappy.Encode(nil, make([]byte, 4_000))).is(t, 400) // Alone it is decoded, and refused for what it is.
	last := budget.Hold()
	if other.Grow(5_000) != nil || last.Grow(5_000) != nil {
		t.Error("requests that are done hold something")
	}
}

// TestTinyPartsCountForWhatTheyTake sends a small body that stands for many series.
func TestTinyPartsCountForWhatTheyTake(t *testing.T) {
	const most = 8 << 20
	budget := ingest.NewBudget(most, prometheus.NewRegistry())
	r := newRig(t, func(o *remotewrite.Options) { o.Budget = budget })
	other := budget.Hold()
	if err := other.Grow(most - 1<<20); err != nil {
		t.Fatal(err)
	}
	series := append([]byte{0x0a, 0, 0x0a, 13}, "\x0a\x08__name__\x12\x01m\x12\x00\x10"...)
	series = binary.AppendUvarint(series, uint64(now)) // The time of a sample, six bytes long; its value is 0.
	series[1], series[18] = byte(len(series)-2), byte(len(series)-19)
	body := snappy.Encode(nil, bytes.Repeat(series, 5000)) // 130 KB, which let it hold 520 KB.
	r.send(body).is(t, 503, "ingest.max_in_flight_bytes", "nothing of it was stored")
	other.Release()
	r.send(body).is(t, 204)
	a, b := budget.Hold(), budget.Hold()
	if a.Grow(most/2) != nil || b.Grow(most/2) != nil {
		t.Error("requests that are done hold something")
	}
}

// TestSeriesWithoutAnything sends two bytes for each series.
func TestSeriesWithoutAnything(t *testing.T) {
	r := newRig(t)
	bare := func(n int) []byte { return snappy.Encode(nil, bytes.Repeat([]byte{0x0a, 0}, n)) }
	r.send(bare(10_000)).is(t, 400, "partial write", "of 10000 series")
	r.send(bare(10_001)).is(t, 400, "more than 10000 series with neither samples nor native histograms nor exemplars", "nothing was stored")

	v2 := snappy.Encode(nil, append([]byte("\x22\x00\x22\x08__name__\x22\x01m"), bytes.Repeat([]byte("\x2a\x04\x0a\x02\x01\x02"), 10_001)...))
	r.send(v2, "Content-Type", typeV2).is(t, 400, "more than 10000 series with neither samples nor native histograms nor exemplars", "nothing was stored")
}

// TestSlowSenderGivesBack has a sender that never sends all of its body.
func TestSlowSenderGivesBack(t *testing.T) {
	budget := ingest.NewBudget(1_000, prometheus.NewRegistry())
	hasher := metric.NewHasher(1)
	st := memory.New(memory.Options{Hasher: hasher})
	defer st.Close()
	mux := http.NewServeMux()
	remotewrite.New(remotewrite.Options{
		Sink: ingest.New(st, hasher, time.Now, prometheus.NewRegistry()), Budget: budget,
	}).Register(func(method, path string, _ tenancy.Scopes, h http.Handler) {
		mux.Handle(method+" "+path, authenticate(h))
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	defer server.Close()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n%0500d", 0); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503: a slow sender must not drop its data", resp.StatusCode)
	}
	conn.Close()
	server.Close() // It waits for the handler.
	a, b := budget.Hold(), budget.Hold()
	if a.Grow(500) != nil || b.Grow(500) != nil {
		t.Error("the budget is not whole again")
	}
}
