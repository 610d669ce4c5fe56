// Package e2e tests the whole program over HTTP, together with a real Prometheus and a real promtool.
//
// Nothing of Luminate is imported: what works here works for a user. LUMINATE_TEST_BINARY names a server to test in
// place of one that is built; LUMINATE_TEST_STORAGE is the backend that it uses in place of badger;
// LUMINATE_TEST_KILL_CYCLES is how often it is killed; LUMINATE_TEST_BACKEND=prometheus checks the comparisons
// themselves, with Prometheus as the server.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/process"
)

// binaryVariable names the server under test.
const binaryVariable = "LUMINATE_TEST_BINARY"

// selfCheck reports whether Prometheus stands in for Luminate.
func selfCheck() bool { return os.Getenv("LUMINATE_TEST_BACKEND") == "prometheus" }

func TestMain(m *testing.M) {
	remove := func() {}
	if os.Getenv(binaryVariable) == "" && !selfCheck() {
		dir, err := os.MkdirTemp("", "luminate-e2e-")
		if err == nil {
			remove = func() { _ = os.RemoveAll(dir) }
			var bin string
			if bin, err = process.Build(context.Background(), dir); err == nil {
				err = os.Setenv(binaryVariable, bin)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		remove()
		os.Exit(code)
	}))
}

// start runs the server with its data below dir, and kills it at the end of the test.
func start(t *testing.T, dir string, settings ...string) *process.Process {
	t.Helper()
	if selfCheck() {
		return startPrometheus(t, dir, "", flags()...)
	}
	if backend := os.Getenv("LUMINATE_TEST_STORAGE"); backend != "" {
		settings = append(settings, "LUMINATE_STORAGE_BACKEND="+backend)
	}
	p, err := process.StartLuminate(t.Context(), os.Getenv(binaryVariable), dir, settings...)
	return cleanUp(t, p, err)
}

// startPrometheus runs a real Prometheus with its files below dir, and kills it at the end of the test.
func startPrometheus(t *testing.T, dir, config string, flags ...string) *process.Process {
	t.Helper()
	p, err := process.StartPrometheus(t.Context(), dir, config, flags...)
	return cleanUp(t, p, err)
}

func cleanUp(t *testing.T, p *process.Process, err error) *process.Process {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopped := p.Asked() // What a test has ended itself has nothing to say.
		_ = p.Kill()
		if t.Failed() && !stopped {
			t.Logf("output of %s, its last part:\n%s", p.URL(), tail(p.Output(), 4000))
		}
	})
	return p
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "..." + s[len(s)-n:]
}

// newClient returns a client whose connections are closed at the end of the test.
func newClient(t *testing.T, base, tenant string) *client.Client {
	t.Helper()
	c := client.New(base, tenant)
	t.Cleanup(c.Close)
	return c
}

// eventually calls f until it returns nil, and fails the test with its last error when that takes longer than the limit.
func eventually(t *testing.T, limit time.Duration, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := process.Poll(ctx, f); err != nil {
		t.Fatalf("not within %v: %v", limit, err)
	}
}

// must returns the reply of a call and fails the test if there was none.
func must(t *testing.T) func(*client.Reply, error) *client.Reply {
	t.Helper()
	return func(r *client.Reply, err error) *client.Reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}
