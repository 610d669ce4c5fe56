package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/process"
)

// soakVariable is how long the soak takes; without it, it is a short one that judges nothing that needs time.
const soakVariable = "LUMINATE_TEST_SOAK_TIME"

// leastToJudge is the shortest soak whose memory says something.
const leastToJudge = 5 * time.Minute

// A soak is a steady load: each series gets a sample each interval, and a tenth of the series goes and comes.
type soak struct {
	time     time.Duration
	series   int // Active at a time, a multiple of shardSeries.
	interval time.Duration
	headAge  string  // Setting.
	queries  float64 // A second.
}

// shortSoak has the pace of a long one with less of everything.
func shortSoak() soak {
	return soak{time: 4 * time.Second, series: 10 * shardSeries, interval: time.Second, headAge: "1s", queries: 20}
}

// longSoak is 20,000 samples a second.
func longSoak(t time.Duration) soak {
	return soak{time: t, series: 400 * shardSeries, interval: 10 * time.Second, headAge: "2m", queries: 20}
}

// passes is how many samples each series gets.
func (s soak) passes() int { return int(s.time / s.interval) }

// shards is how many groups of series there are, each one request of each pass.
func (s soak) shards() int { return s.series / shardSeries }

// A server under steady load and churn, with queries all the time, takes no more memory, goroutines and files at the end
// than in the middle, and answers everything.
func TestSoak(t *testing.T) {
	t.Parallel()
	plan := shortSoak()
	if v := os.Getenv(soakVariable); v != "" {
		long, err := time.ParseDuration(v)
		if err != nil || long < time.Minute {
			t.Fatalf("%s=%s: want a duration of at least 1m: %v", soakVariable, v, err)
		}
		plan = longSoak(long)
	}
	dir := t.TempDir()
	settings := []string{
		"LUMINATE_SELF_METRICS_ENABLED=true",
		"LUMINATE_MEMORY_LIMIT=1GiB", // What suits so many series; on a large machine, half an hour would fit into memory.
		"LUMINATE_STORAGE_BADGER_MAX_HEAD_AGE=" + plan.headAge,
	}
	server := start(t, dir, settings...)
	written := newSoakWriter(plan, server.URL())
	readings, asked := plan.run(t, server, filepath.Join(dir, "data"), written)
	t.Log(written, "\n", asked, "\n", readings)
	if plan.time >= leastToJudge {
		for _, err := range readings.judge() {
			t.Error(err)
		}
	}
	written.verify(t, server)
	stopped(t, server)
	server = start(t, dir, settings...)
	written.verify(t, server)
	stopped(t, server)
	t.Logf("%d samples of %d series are there, also after a new start", written.samples(), written.everSeries())
}

// run writes, asks and looks, each at its own pace, until the time is over. A server that ends cuts it short.
func (s soak) run(t *testing.T, server *process.Process, data string, w *soakWriter) (*readings, *soakAsker) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	go func() {
		select {
		case <-server.Done():
			cancel(errors.New("the server has ended"))
		case <-ctx.Done():
		}
	}()
	a := newSoakAsker(s, server.URL())
	defer a.close()
	defer w.close()
	r := newReadings(t, server, data)
	requests := s.passes() * s.shards()
	looks := max(3, int(s.time/(5*time.Second)))
	var wg sync.WaitGroup
	wg.Go(func() { w.late = pace(ctx, requests, s.time, 4, w.write) })
	wg.Go(func() { a.late = pace(ctx, int(s.queries*s.time.Seconds()), s.time, 8, a.ask) })
	wg.Go(func() { pace(ctx, looks, s.time, 1, r.look) })
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("%v; output:\n%s", err, tail(server.Output(), 4000))
	}
	for who, failed := range map[string]*failures{"writes": &w.failures, "queries": &a.failures, "looks at it": &r.failures} {
		if err := failed.err(); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
	return r, a
}

// pace calls do n times at equal distances, from several goroutines, and returns by how much the latest call was late.
// A call that is due is made also if it is late.
func pace(ctx context.Context, n int, span time.Duration, workers int, do func(context.Context, int)) time.Duration {
	due := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range due {
				do(ctx, i)
			}
		})
	}
	var late time.Duration
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range n {
		at := began.Add(time.Duration(float64(i) / float64(n) * float64(span)))
		timer.Reset(time.Until(at))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		due <- i
		late = max(late, time.Since(at))
	}
	close(due)
	wg.Wait()
	return late
}

// failures counts what went wrong and keeps the first ones.
type failures struct {
	mu    sync.Mutex
	n     int
	first []error
}

func (f *failures) add(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if len(f.first) < 5 {
		f.first = append(f.first, err)
	}
}

func (f *failures) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		return nil
	}
	return fmt.Errorf("%d failed, the first ones: %w", f.n, errors.Join(f.first...))
}

// replied is what is wrong about an answer that is to hold some text.
func replied(reply *client.Reply, err error, want string) error {
	switch {
	case err != nil:
		return err
	case !reply.OK():
		return errors.New(tail(reply.String(), 500))
	case !strings.Contains(string(reply.Body), want):
		return fmt.Errorf("want %q in the answer: %.500s", want, reply.Body)
	default:
		return nil
	}
}
