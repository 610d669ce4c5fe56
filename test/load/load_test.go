package load_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/load"
	"github.com/luminate-metrics/luminate/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// number returns the value of a variable, so that make test-load can be told to do more.
func number(t *testing.T, variable string, standard int) int {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return standard
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// Every acknowledged sample of a load is counted by the query that follows it. What it prints is for people.
func TestLoad(t *testing.T) {
	bin, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := process.StartLuminate(t.Context(), bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })

	start := time.Now().Add(-6 * time.Hour)
	report, err := load.Run(t.Context(), load.Options{
		Base: server.URL(), Tenant: "load", Start: start,
		Writers:  number(t, "LUMINATE_LOAD_WRITERS", 6),
		Series:   number(t, "LUMINATE_LOAD_SERIES", 500),
		Batch:    number(t, "LUMINATE_LOAD_BATCH", 500),
		Requests: number(t, "LUMINATE_LOAD_REQUESTS", 40),
		Rate:     float64(number(t, "LUMINATE_LOAD_RATE", 0)),
	})
	t.Logf("writes\n%v", report)
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(server.URL(), "load")
	defer c.Close()
	streams, err := ask(t, c, fmt.Sprintf("sum(count_over_time(%s[7h]))", load.Metric), start.Add(6*time.Hour+59*time.Minute))
	if err != nil || len(streams) != 1 || int(streams[0].Value.V) != report.Samples {
		t.Fatalf("want %d samples, got %v, %v", report.Samples, streams, err)
	}
	queries(t, c, start)
}

func ask(t *testing.T, c *client.Client, expr string, at time.Time) ([]client.Stream, error) {
	t.Helper()
	reply, err := c.Query(t.Context(), expr, at)
	if err != nil {
		return nil, err
	}
	return reply.Streams()
}

// queries prints how long some questions take.
func queries(t *testing.T, c *client.Client, start time.Time) {
	t.Helper()
	end := start.Add(time.Minute)
	for _, expr := range []string{
		load.Metric + `{writer="0",path="/api/v1/resource/7"}`,
		"count(" + load.Metric + ")",
		"sum by (path) (rate(" + load.Metric + "[1m]))",
		"quantile by (pod) (0.95, " + load.Metric + ")",
	} {
		var took []time.Duration
		for range number(t, "LUMINATE_LOAD_QUERIES", 20) {
			began := time.Now()
			reply, err := c.QueryRange(t.Context(), expr, start, end, 15*time.Second)
			if err != nil || !reply.OK() {
				t.Fatalf("%s: %v, %v", expr, reply, err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("query p50 %v p95 %v: %s", load.Quantile(took, 0.5), load.Quantile(took, 0.95), expr)
	}
}

func TestQuantile(t *testing.T) {
	var l []time.Duration
	for i := range 100 {
		l = append(l, time.Duration(i+1)*time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.95: 95, 0.99: 99, 1: 100} {
		if got := load.Quantile(l, q); got != want*time.Millisecond {
			t.Errorf("quantile %v: want %vms, got %v", q, int64(want), got)
		}
	}
	if got := load.Quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing: want 0, got %v", got)
	}
}
