package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/exporter"
	"github.com/luminate-metrics/luminate/test/process"
)

// A front is an address that stays while the server behind it is killed and comes back on another port.
type front struct{ target atomic.Pointer[url.URL] }

func (f *front) to(t *testing.T, base string) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	f.target.Store(u)
}

// ServeHTTP passes a request on. Without a server behind it, it answers 502, which senders retry.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	proxy := httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(f.target.Load()) },
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	proxy.ServeHTTP(w, r)
}

// What a real Prometheus sends arrives whole and once, however often the server is killed meanwhile.
func TestKillUnderPrometheus(t *testing.T) {
	t.Parallel()
	plain, converted := exporter.New(nil), exporter.New(nil)
	dir, promDir := t.TempDir(), t.TempDir()
	server := start(t, dir, small()...)
	f := &front{}
	f.to(t, server.URL())
	base := "http://" + serve(t, f)

	prom := startPrometheus(t, promDir, "", flags()...)
	w := &world{prometheus: newClient(t, prom.URL(), ""), luminate: map[string]*client.Client{}}
	backends := map[string]string{}
	for tenant := range sinks() {
		backends[tenant] = base
		w.luminate[tenant] = newClient(t, base, tenant)
	}
	config := scrapeConfig(serve(t, plain), serve(t, converted), prom.Address(), refusing(t)) + writeConfig(backends)
	if err := process.Reconfigure(t.Context(), prom, promDir, config); err != nil {
		t.Fatal(err)
	}
	moreScrapes := func(n int64) {
		t.Helper()
		want := plain.Scrapes() + n
		eventually(t, 30*time.Second, func(context.Context) error {
			if got := plain.Scrapes(); got < want {
				return fmt.Errorf("scraped %d times: want %d", got, want)
			}
			return nil
		})
	}
	for range 4 {
		moreScrapes(3)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		moreScrapes(1) // It is sent to nobody at first.
		server = start(t, dir, small()...)
		f.to(t, server.URL())
	}
	moreScrapes(2)
	w.at = time.Now().Add(-3 * time.Second).Truncate(100 * time.Millisecond)
	w.settle(t)
	for _, l := range w.luminate {
		w.compareExemplars(t, l)
	}
}
