package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/internal/metric"
)

func TestReadiness(t *testing.T) {
	b := boot(t, nil)
	for _, path := range []string{"/-/ready", "/readyz", "/ready", "/-/healthy", "/healthz", "/livez", "/health"} {
		if r := b.do("GET", path, ""); r.status != 200 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	b.store.Close()
	if r := b.do("GET", "/-/ready", ""); r.status != 503 || !strings.Contains(r.body, `"component":"store"`) {
		t.Errorf("store away: %d %s", r.status, r.body)
	}
	if r := b.do("GET", "/-/healthy", ""); r.status != 200 {
		t.Errorf("store away: %d %s", r.status, r.body)
	}
}

// TestStarting looks at a server whose store takes its time to open.
func TestStarting(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	b := begin(t, nil, func(cfg *config.Config, h metric.Hasher, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) (openStore, error) {
		close(entered)
		<-release
		return open(cfg, h, now, log, reg)
	})
	<-entered
	for path, want := range map[string]string{
		"/-/ready": "the server is starting", "/api/v1/query?query=up": `"errorType":"unavailable"`, "/luminate/v1/metrics": `"code":"unavailable"`,
	} {
		if r := b.do("GET", path, ""); r.status != 503 || !strings.Contains(r.body, want) || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := b.do("GET", "/-/healthy", ""); r.status != 200 {
		t.Errorf("liveness: %d", r.status)
	}
	close(release)
	<-b.Ready()
	if r := b.do("GET", "/-/ready", ""); r.status != 200 {
		t.Errorf("ready: %d %s", r.status, r.body)
	}
}

func TestStoreDoesNotOpen(t *testing.T) {
	b := begin(t, nil, func(*config.Config, metric.Hasher, func() time.Time, *slog.Logger, prometheus.Registerer) (openStore, error) {
		return openStore{}, errors.New("the directory is in use")
	})
	if err := <-b.result; err == nil || !strings.Contains(err.Error(), "open the store: the directory is in use") {
		t.Errorf("error %v", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(b.URL(), "http://")); err == nil {
		t.Error("the port is still open")
	}
}

// failing opens a store in memory that fails when failed is closed.
func failing(failed chan struct{}) opener {
	return func(cfg *config.Config, h metric.Hasher, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) (openStore, error) {
		st, err := open(cfg, h, now, log, reg)
		st.failed = failed
		return st, err
	}
}

// TestStoreFailure checks that the server ends with an error when the store can't go on.
func TestStoreFailure(t *testing.T) {
	failed := make(chan struct{})
	b := begin(t, nil, failing(failed))
	<-b.Ready()
	close(failed)
	if err := <-b.result; err == nil || !strings.Contains(err.Error(), "the store failed") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(b.stderr.String(), "the server has to stop") {
		t.Errorf("log: %s", b.stderr)
	}
}

// TestShutdownDelay checks that a server which was told to stop goes on serving, but says that it is not ready.
func TestShutdownDelay(t *testing.T) {
	failed := make(chan struct{})
	b := begin(t, map[string]string{"server.shutdown_delay": "1d"}, failing(failed))
	<-b.Ready()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		b.Close()
	}()
	for b.do("GET", "/-/ready", "").status == 200 {
		// Until the signal has arrived.
	}
	if r := b.do("GET", "/api/v1/query?query=up", ""); r.status != 200 {
		t.Errorf("query: %d %s", r.status, r.body)
	}
	close(failed) // Ends the delay.
	<-closed
}

// TestStopLosesNothing stops a server under load: what was acknowledged is there afterwards, and what was refused was
// refused in a way that lets senders try again.
func TestStopLosesNothing(t *testing.T) {
	dir := t.TempDir()
	settings := map[string]string{"storage.backend": "badger", "storage.badger.path": dir, "storage.badger.min_free_bytes": "0", "self_metrics.enabled": "false"}
	now := time.Now().UnixMilli()
	var acknowledged []string
	for cycle := range 3 {
		b := boot(t, settings)
		const writers = 4
		started := make(chan struct{}, writers)
		var mu sync.Mutex
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				begun := sync.OnceFunc(func() { started <- struct{}{} })
				defer begun()
				for i := 0; ; i++ {
					name := fmt.Sprintf("m_%d_%d_%d", cycle, w, i)
					status, err := post(b.client, b.URL()+"/luminate/v1/metrics", fmt.Sprintf(`{"name":%q,"value":%d,"timestamp":%d}`, name, i, now))
					if i == 3 {
						begun()
					}
					switch {
					case err != nil || status == 503:
						return
					case status == 200:
						mu.Lock()
						acknowledged = append(acknowledged, name)
						mu.Unlock()
					default:
						t.Errorf("status %d", status)
						return
					}
				}
			})
		}
		for range writers {
			<-started
		}
		b.Close()
		if err := <-b.result; err != nil {
			t.Error(err)
		}
		group.Wait()
		b.client.CloseIdleConnections()
	}
	b := boot(t, settings)
	names := b.do("GET", "/api/v1/label/__name__/values", "").body
	for _, name := range acknowledged {
		if !strings.Contains(names, `"`+name+`"`) {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
	if len(acknowledged) < 3*4*3 {
		t.Errorf("only %d writes", len(acknowledged))
	}
}

// post sends a native write, and returns the status.
func post(client *http.Client, url, body string) (int, error) {
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
