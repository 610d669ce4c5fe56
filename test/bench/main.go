// Command bench measures a whole server under remote write: CPU, memory, disk, delay, and a restart after a kill.
//
//	bench                          # builds Luminate, and starts it on an empty directory
//	bench -bin bin/luminate        # the same with this binary
//	bench -name peer -url http://127.0.0.1:8428 -pid 4711 -dir /var/lib/peer -flush 'GET /internal/force_flush'
//
// docs/architecture/performance.md says what the columns mean. It needs Linux, and root or the same user.
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
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out io.Writer) error {
	b := bench{out: out, fleet: load.Fleet{Protocol: client.RemoteWrite1}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&b.fleet.Series, "series", 100_000, "active series")
	flags.IntVar(&b.samples, "samples", 60, "samples of each series in a window")
	flags.IntVar(&b.windows, "windows", 3, "windows of time, one after another; the first one registers the series")
	flags.Float64Var(&b.fleet.Churn, "churn", 0, "share of the series that new ones replace at each interval, 0 to 1")
	flags.IntVar(&b.fleet.Batch, "batch", 2000, "samples in a request")
	flags.IntVar(&b.fleet.Connections, "connections", 2, "connections, each with its own part of the series")
	flags.DurationVar(&b.fleet.Interval, "interval", 15*time.Second, "time between the samples of a series")
	version := flags.Int("remote-write", 1, "version of remote write, 1 or 2")
	flags.StringVar(&b.bin, "bin", "", "binary of Luminate; empty builds one")
	flags.DurationVar(&b.settle, "settle", 3*time.Second, "time that the server has for itself before each flush")
	flags.StringVar(&b.server.name, "name", "luminate", "name in the table")
	flags.StringVar(&b.server.url, "url", "", "measure the server that runs here, instead of starting Luminate")
	flags.IntVar(&b.server.pid, "pid", 0, "its process")
	flags.StringVar(&b.server.dir, "dir", "", "its data directory")
	flags.StringVar(&b.server.flush, "flush", "", "'METHOD /path' that makes it write what it holds in memory; empty: nothing does")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version == 2 {
		b.fleet.Protocol = client.RemoteWrite2
	}
	if err := b.valid(*version); err != nil {
		return err
	}
	return b.run(ctx)
}

func (b *bench) valid(version int) error {
	f := b.fleet
	switch {
	case f.Connections < 1 || f.Series < f.Connections || f.Batch < 1 || b.samples < 1 || b.windows < 1 || f.Interval < time.Millisecond:
		return errors.New("-series, -samples, -windows, -batch, -connections and -interval must be positive, and each connection needs a series")
	case f.Churn < 0 || f.Churn > 1:
		return fmt.Errorf("-churn is %v: it is a share, from 0 to 1", f.Churn)
	case version != 1 && version != 2:
		return fmt.Errorf("-remote-write is %d: it is 1 or 2", version)
	case b.server.url != "" && (b.server.pid == 0 || b.server.dir == ""):
		return errors.New("-url needs -pid and -dir: what the server takes is read from there")
	}
	return nil
}
