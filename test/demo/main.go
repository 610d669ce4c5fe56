// Command demo shows Luminate beside a real Prometheus: the same questions, the same answers.
//
// It starts both, lets Prometheus scrape both and write to Luminate, and asks both. It ends with code 0 if all answers
// are equal. LUMINATE names the server's binary, LUMINATE_PROMETHEUS that of Prometheus.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/luminate-metrics/luminate/test/answer"
	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/process"
)

func main() {
	keep := flag.Bool("keep", false, "leave both running until Ctrl-C, to look around")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// questions are asked of both.
func questions() []string {
	return []string{
		`up`,
		`count({job=~"luminate|prometheus"})`,
		`sum by (job) (rate(process_cpu_seconds_total[10s]))`,
		`max by (job) (process_resident_memory_bytes)`,
		`topk(1, sum by (handler) (rate(prometheus_http_requests_total[10s])))`,
		`histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[10s])))`,
		`sum(rate(prometheus_remote_storage_samples_total[10s]))`,
		`count by (__name__) ({__name__=~"go_memstats_heap_.*_bytes"})`,
	}
}

// A demo is the two programs.
type demo struct {
	luminate, prometheus *process.Process
	out                  io.Writer
}

func run(ctx context.Context, out io.Writer, keep bool) error {
	dir, err := os.MkdirTemp("", "luminate-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	d := &demo{out: out}
	defer d.close()
	if err := d.start(ctx, dir); err != nil {
		return err
	}
	fmt.Fprintf(out, "Luminate    %s\nPrometheus  %s  scrapes both every second and writes to Luminate\n\n", d.luminate.URL(), d.prometheus.URL())
	if err := d.compare(ctx); err != nil {
		return err
	}
	if keep {
		fmt.Fprintln(out, "\nBoth go on running: Ctrl-C ends them.")
		<-ctx.Done()
	}
	return nil
}

func (d *demo) start(ctx context.Context, dir string) error {
	bin := os.Getenv("LUMINATE")
	if bin == "" {
		return errors.New("LUMINATE does not name the server's binary: use `make demo`")
	}
	var err error
	if d.luminate, err = process.StartLuminate(ctx, bin, dir, "LUMINATE_SELF_METRICS_ENABLED=false"); err != nil {
		return err
	}
	if d.prometheus, err = process.StartPrometheus(ctx, dir, ""); err != nil {
		return err
	}
	return process.Reconfigure(ctx, d.prometheus, dir, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: luminate
  static_configs: [{targets: [%q]}]
- job_name: prometheus
  static_configs: [{targets: [%q]}]
remote_write:
- url: %s/api/v1/write
  queue_config: {batch_send_deadline: 500ms}
`, d.luminate.Address(), d.prometheus.Address(), d.luminate.URL()))
}

func (d *demo) close() {
	for _, p := range []*process.Process{d.prometheus, d.luminate} {
		if p != nil {
			_, _ = p.Stop(20 * time.Second)
		}
	}
}

// compare waits until both have the same ten seconds of data, then asks both every question.
func (d *demo) compare(ctx context.Context) error {
	p, l := client.New(d.prometheus.URL(), ""), client.New(d.luminate.URL(), "")
	defer p.Close()
	defer l.Close()
	at, err := d.settle(ctx, p, l)
	if err != nil {
		return err
	}
	equal := 0
	w := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "PromQL\tPrometheus\tLuminate\t")
	for _, q := range questions() {
		a, err := p.Query(ctx, q, at)
		if err != nil {
			return err
		}
		b, err := l.Query(ctx, q, at)
		if err != nil {
			return err
		}
		verdict := "equal"
		// Sums depend on the order of the series in the last digit.
		if diff := answer.Diff(a.Body, b.Body, answer.Options{Tolerance: 1e-12}); diff != "" {
			verdict = "DIFFERENT " + diff
		} else {
			equal++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", q, brief(a), brief(b), verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nequal: %d of %d answers are the same on Luminate and on Prometheus\n", equal, len(questions()))
	if equal < len(questions()) {
		return errors.New("the answers differ")
	}
	return nil
}

// settle returns a time for which both have all samples of the last ten seconds.
func (d *demo) settle(ctx context.Context, p, l *client.Client) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fmt.Fprintln(d.out, "waiting for a few seconds of data ...")
	var at time.Time
	err := process.Poll(ctx, func(ctx context.Context) error {
		at = time.Now().Add(-2 * time.Second).Truncate(time.Second)
		reply, err := p.Query(ctx, `min(count_over_time(up[20s])) > 10`, at)
		if err != nil {
			return err
		}
		if streams, err := reply.Streams(); err != nil || len(streams) == 0 {
			return errors.New("not both were scraped ten times yet")
		}
		return nil
	})
	if err != nil {
		return at, err
	}
	const raw = `{__name__=~".+"}[1m]`
	want, err := p.Query(ctx, raw, at)
	if err != nil {
		return at, err
	}
	return at, process.Poll(ctx, func(ctx context.Context) error {
		got, err := l.Query(ctx, raw, at)
		if err != nil {
			return err
		}
		if diff := answer.Diff(want.Body, got.Body, answer.Options{}); diff != "" {
			return errors.New("the samples differ: " + diff)
		}
		return nil
	})
}

// brief shows the first value of an answer and how many there are.
func brief(r *client.Reply) string {
	streams, err := r.Streams()
	switch {
	case err != nil:
		return fmt.Sprintf("status %d", r.Status)
	case len(streams) == 0:
		return "nothing"
	case len(streams) == 1:
		return fmt.Sprintf("%.6g", streams[0].Value.V)
	default:
		return fmt.Sprintf("%.6g and %d more", streams[0].Value.V, len(streams)-1)
	}
}
