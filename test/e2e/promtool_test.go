package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/process"
)

// runPromtool runs the real promtool and returns what it prints.
func runPromtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	bin, err := process.Promtool()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput()
	return string(out), err
}

// promtool runs the real promtool, which must succeed.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runPromtool(t, args...)
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// promtool writes and reads what it wrote.
func TestPromtool(t *testing.T) {
	t.Parallel()
	url := start(t, t.TempDir()).URL()
	contains := func(want string, args ...string) {
		t.Helper()
		if out := promtool(t, args...); !strings.Contains(out, want) {
			t.Errorf("promtool %s: want %q in:\n%s", strings.Join(args, " "), want, out)
		}
	}
	file := filepath.Join(t.TempDir(), "metrics.txt")
	text := "# HELP pushed_total Things.\n# TYPE pushed_total counter\npushed_total{a=\"b c\"} 42\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "push", "metrics", "--label=job=pushed", url, file)
	contains(`pushed_total{a="b c", job="pushed"} => 42`, "query", "instant", url, "pushed_total")
	contains("42 @[", "query", "range", "--step=15s", url, "pushed_total")
	contains(`pushed_total`, "query", "series", "--match=pushed_total", url)
	contains("pushed_total", "query", "labels", url, "__name__")
	contains("=> 1", "query", "instant", "--time="+client.Seconds(time.Now()), url, `count({job="pushed"})`)
	contains("SUCCESS", "check", "healthy", "--url="+url)
	contains("SUCCESS", "check", "ready", "--url="+url)

	// This promtool calls a 1.0 message a 2.0 message. Prometheus answers that nothing was wrong, and stores nothing.
	out, err := runPromtool(t, "push", "metrics", "--protobuf_message=io.prometheus.write.v2.Request", url, file)
	if err == nil || !strings.Contains(out, "prometheus.WriteRequest") {
		t.Errorf("a 1.0 message that claims to be 2.0: want an error that says so, got %v:\n%s", err, out)
	}
}
