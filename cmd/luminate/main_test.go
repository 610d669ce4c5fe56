package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSecret = "0123456789abcdef0123456789abcdef"

// A buffer collects output of several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A booted is a running server.
type booted struct {
	*Main
	t      *testing.T
	stdout *buffer
	stderr *buffer
	result chan error
	client *http.Client
}

// boot runs a server in this process until the test ends. It keeps its data in memory unless settings say otherwise.
func boot(t *testing.T, settings map[string]string) *booted {
	t.Helper()
	b := begin(t, settings, open)
	select {
	case <-b.Ready():
	case err := <-b.result:
		t.Fatalf("the server did not start: %v\n%s", err, b.stderr)
	}
	return b
}

// begin is boot without waiting.
func begin(t *testing.T, settings map[string]string, open opener) *booted {
	t.Helper()
	flags := map[string]string{"server.listen": "127.0.0.1:0", "storage.backend": "memory"}
	maps.Copy(flags, settings)
	cfg, err := config.Load(config.Source{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	b := &booted{t: t, stdout: &buffer{}, stderr: &buffer{}, result: make(chan error, 1)}
	b.client = &http.Client{Transport: &http.Transport{}}
	b.Main = newMain(cfg, b.stdout, b.stderr)
	b.Main.open = open
	go func() { b.result <- b.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		b.Close()
	})
	return b
}

type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request; the path may be one with a parameter.
func (b *booted) do(method, path, body string, headers ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.URL()+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// TestSelfMetrics checks what a newcomer meets: the first query that the server suggests has an answer at once.
func TestSelfMetrics(t *testing.T) {
	b := boot(t, nil)
	if !strings.Contains(b.stdout.String(), "curl '"+b.URL()+"/api/v1/query?query=up'") {
		t.Errorf("no suggestion in:\n%s", b.stdout)
	}
	r := b.do("GET", "/api/v1/query?query=up", "")
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Data.Result) != 1 || answer.Data.Result[0].Value[1] != "1" ||
		"http://"+answer.Data.Result[0].Metric["instance"] != b.URL() || answer.Data.Result[0].Metric["job"] != "luminate" {
		t.Errorf("up: %s", r.body)
	}
	for _, q := range []string{"luminate_build_info", "go_goroutines", "process_start_time_seconds", "luminate_http_requests_in_flight"} {
		if r := b.do("GET", "/api/v1/query?query="+q, ""); !strings.Contains(r.body, `"value":[`) {
			t.Errorf("%s: %s", q, r.body)
		}
	}
	if r := b.do("GET", "/api/v1/query?query=up", "", "X-Scope-OrgID", "other"); strings.Contains(r.body, `"value":[`) {
		t.Errorf("another tenant sees them: %s", r.body)
	}

	off := boot(t, map[string]string{"self_metrics.enabled": "false"})
	if r := off.do("GET", "/api/v1/label/__name__/values", ""); !strings.Contains(r.body, `"data":[]`) {
		t.Errorf("switched off, and yet: %s", r.body)
	}
}

func TestPortTaken(t *testing.T) {
	b := boot(t, nil)
	cfg, err := config.Load(config.Source{Flags: map[string]string{
		"server.listen": strings.TrimPrefix(b.URL(), "http://"), "storage.backend": "memory",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := newMain(cfg, io.Discard, io.Discard).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}

type expiries chan int64

func (e expiries) Expire(_ context.Context, before int64) error {
	e <- before
	return nil
}

func TestRetention(t *testing.T) {
	dropped, ticks, done := make(expiries), make(chan time.Time), make(chan struct{})
	now := time.UnixMilli(1_700_000_000_000)
	b := newMain(config.Defaults(), io.Discard, io.Discard)
	if err := b.prepare(); err != nil {
		t.Fatal(err)
	}
	r := newRetention(dropped, 24*time.Hour, func() time.Time { return now }, b.log, b.registry)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		r.run(ctx, ticks)
	}()
	if got := <-dropped; got != now.Add(-24*time.Hour).UnixMilli() {
		t.Errorf("at the start: before %d", got)
	}
	ticks <- now
	<-dropped
	cancel()
	<-done
}

// TestRulesFollowRetention checks that nothing is acknowledged that is dropped right away.
func TestRulesFollowRetention(t *testing.T) {
	f := func(period, age string, want time.Duration) {
		t.Helper()
		cfg, err := config.Load(config.Source{Flags: map[string]string{"retention.period": period, "remote_write.limits.max_age": age}})
		if err != nil {
			t.Fatal(err)
		}
		rules := newMain(cfg, io.Discard, io.Discard).prometheusRules()
		if rules.MaxAge != want || rules.Reserved != "_tenant_id" || !rules.UTF8Names {
			t.Errorf("period %s, age %s: %+v", period, age, rules)
		}
	}
	f("0s", "0s", 0)
	f("0s", "2d", 48*time.Hour)
	f("1d", "0s", 24*time.Hour)
	f("1d", "2d", 24*time.Hour)
	f("3d", "2d", 48*time.Hour)
}
