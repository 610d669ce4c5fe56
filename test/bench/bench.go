package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/load"
	"github.com/luminate-metrics/luminate/test/process"
)

const (
	// ownFlush makes Luminate write what it holds in memory.
	ownFlush = "POST /luminate/v1/admin/flush"
	// patience is how long the ends of a window may take to be visible, and a server to stop.
	patience = time.Minute
)

// A server is a process that is measured.
type server struct {
	name, url, dir, flush string
	pid                   int
}

// A bench is one run.
type bench struct {
	out              io.Writer
	fleet            load.Fleet
	samples, windows int
	bin              string
	settle           time.Duration
	server           server

	generator *load.Generator
	end       time.Time // Of the next window.
	accepted  int       // Samples so far.
}

// A row is the measurement of one window.
type row struct {
	window         int
	played         *load.Played
	sending, all   time.Duration // CPU while sending, and until after the flush.
	usage          process.Usage // At the end.
	visible        time.Duration
	bytesPerSample float64 // On disk, of all samples so far.
	bytesSent      float64 // For a sample.
	load1          float64
}

func (b *bench) run(ctx context.Context) error {
	if b.server.url != "" {
		return b.measure(ctx)
	}
	dir, err := os.MkdirTemp("", "luminate-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if b.bin == "" {
		if b.bin, err = process.Build(ctx, dir); err != nil {
			return err
		}
	}
	p, err := b.start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = p.Kill() }()
	b.server.url, b.server.pid, b.server.flush = p.URL(), p.PID(), ownFlush
	if err := b.measure(ctx); err != nil {
		return fmt.Errorf("%w; the end of the server's output:\n%s", err, tail(p.Output()))
	}
	return b.restart(ctx, p, dir)
}

// start runs Luminate as it runs for anybody, but for the ballast, which is no data, and its own metrics, which are none
// of the samples that are counted.
func (b *bench) start(ctx context.Context, dir string) (*process.Process, error) {
	b.server.dir = dir + "/data"
	return process.StartLuminate(ctx, b.bin, dir, "LUMINATE_AUTH_HEADER_ADMIN=true",
		"LUMINATE_STORAGE_BADGER_BALLAST_BYTES=0", "LUMINATE_SELF_METRICS_ENABLED=false")
}

// measure sends the windows and prints a row for each.
func (b *bench) measure(ctx context.Context) error {
	f := b.fleet
	fmt.Fprintf(b.out, "%d series x %d samples x %d windows every %v, churn %g, %v, %d samples a request, %d connections; %d CPUs\n",
		f.Series, b.samples, b.windows, f.Interval, f.Churn, f.Protocol, f.Batch, f.Connections, runtime.NumCPU())
	if err := b.pause(ctx); err != nil {
		return err
	}
	empty, err := process.UsageOf(b.server.pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%s before the load: RSS %.0f MiB\n", b.server.name, mib(empty.RSS))
	fmt.Fprintf(b.out, header, "server", "window", "samples", "samples/s", "p50 ms", "p99 ms", "cpu-s/M", "settled", "RSS MiB", "peak MiB",
		"B/series", "visible s", "B/sample", "wire B", "refused", "load")
	b.generator = load.NewGenerator(b.fleet)
	// The window before the restart ends now: nothing lies in the future, which servers refuse.
	b.end = time.Now().Truncate(f.Interval).Add(-time.Duration(b.windows*b.samples) * f.Interval)
	for range b.windows {
		w, err := b.next()
		if err != nil {
			return err
		}
		r, err := b.window(ctx, w)
		if err != nil {
			return err
		}
		b.print(r)
	}
	return nil
}

func (b *bench) next() (*load.Window, error) {
	w, err := b.generator.Next(b.samples, b.end)
	b.end = b.end.Add(time.Duration(b.samples) * b.fleet.Interval)
	return w, err
}

func (b *bench) window(ctx context.Context, w *load.Window) (row, error) {
	r := row{window: w.Number, bytesSent: float64(w.Bytes) / float64(w.Samples)}
	if err := process.ResetPeak(b.server.pid); err != nil {
		return r, err
	}
	before, err := process.UsageOf(b.server.pid)
	if err != nil {
		return r, err
	}
	if r.played, err = load.Play(ctx, b.server.url, "", w); err != nil {
		return r, err
	}
	after, err := process.UsageOf(b.server.pid)
	if err != nil {
		return r, err
	}
	r.load1 = loadAverage()
	c := client.New(b.server.url, "")
	defer c.Close()
	visible, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if r.visible, err = load.Visible(visible, c, w); err != nil {
		return r, err
	}
	if err := b.flush(ctx, c); err != nil {
		return r, err
	}
	if r.usage, err = process.UsageOf(b.server.pid); err != nil {
		return r, err
	}
	r.sending, r.all = after.CPU-before.CPU, r.usage.CPU-before.CPU
	b.accepted += r.played.Samples
	disk, err := process.DiskUsage(b.server.dir)
	r.bytesPerSample = float64(disk) / float64(b.accepted)
	return r, err
}

// flush gives the server time for itself, and then has it write what it holds in memory.
func (b *bench) flush(ctx context.Context, c *client.Client) error {
	if err := b.pause(ctx); err != nil || b.server.flush == "" {
		return err
	}
	method, path, _ := strings.Cut(b.server.flush, " ")
	reply, err := c.Do(ctx, method, path, nil, nil)
	if err == nil && !reply.OK() {
		err = fmt.Errorf("%s: %v", b.server.flush, reply)
	}
	return err
}

func (b *bench) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.settle):
		return nil
	}
}

const header = "%-12s %6s %10s %10s %7s %7s %8s %8s %8s %9s %9s %10s %9s %7s %8s %6s\n"

func (b *bench) print(r row) {
	million := float64(r.played.Samples) / 1e6
	cell := func(format string, v any) string { return fmt.Sprintf(format, v) }
	ms := func(q float64) string {
		return cell("%.1f", float64(load.Quantile(r.played.Latencies, q).Microseconds())/1000)
	}
	fmt.Fprintf(b.out, header, b.server.name, cell("%d", r.window), cell("%d", r.played.Samples),
		cell("%.0f", float64(r.played.Samples)/r.played.Elapsed.Seconds()), ms(0.5), ms(0.99),
		cell("%.3f", r.sending.Seconds()/million), cell("%.3f", r.all.Seconds()/million),
		cell("%.0f", mib(r.usage.RSS)), cell("%.0f", mib(r.usage.Peak)), cell("%.0f", float64(r.usage.Peak)/float64(b.fleet.Series)),
		cell("%.3f", r.visible.Seconds()), cell("%.3f", r.bytesPerSample), cell("%.1f", r.bytesSent),
		cell("%d", r.played.Refusals), cell("%.1f", r.load1))
}

// restart kills the server after one more window, which only its log holds, and starts it again.
func (b *bench) restart(ctx context.Context, p *process.Process, dir string) error {
	w, err := b.next()
	if err != nil {
		return err
	}
	if _, err := load.Play(ctx, b.server.url, "", w); err != nil {
		return err
	}
	if err := p.Kill(); err != nil {
		return err
	}
	began := time.Now()
	again, err := b.start(ctx, dir)
	if err != nil {
		return err
	}
	took := time.Since(began)
	defer func() { _, _ = again.Stop(patience) }()
	u, err := process.UsageOf(again.PID())
	if err != nil {
		return err
	}
	c := client.New(again.URL(), "")
	defer c.Close()
	if _, err := load.Visible(ctx, c, w); err != nil {
		return fmt.Errorf("after the kill: %w", err)
	}
	fmt.Fprintf(b.out, "restart after kill -9 with %d samples in the log: ready after %.2f s, %.2f cpu-s, peak RSS %.0f MiB\n",
		w.Samples, took.Seconds(), u.CPU.Seconds(), mib(u.Peak))
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// loadAverage is that of the machine, to tell noisy runs.
func loadAverage() float64 {
	var v float64
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(string(text), &v)
	return v
}

func tail(s string) string { return s[max(0, len(s)-2000):] }
