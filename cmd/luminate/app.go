package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	collectversion "github.com/prometheus/client_golang/prometheus/collectors/version"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/selfmetrics"
	"github.com/luminate-metrics/luminate/internal/server"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Main is the whole server. Run it once.
type Main struct {
	cfg    *config.Config
	stdout io.Writer
	log    *slog.Logger
	now    func() time.Time
	open   opener

	registry *prometheus.Registry
	server   *server.Server
	store    openStore
	started  time.Time

	mu    sync.Mutex
	addr  net.Addr      // Where it listens; nil before.
	ready chan struct{} // Closed when it serves.
	stop  context.CancelFunc
	done  chan struct{} // Closed when Run has returned.
}

// newMain returns a server that does not run yet. What people read goes to stdout, the log to stderr.
func newMain(cfg *config.Config, stdout, stderr io.Writer) *Main {
	return &Main{
		cfg: cfg, stdout: stdout, log: newLogger(cfg.Log, stderr), now: time.Now, open: open,
		ready: make(chan struct{}), done: make(chan struct{}),
	}
}

// Ready is closed when the server serves.
func (m *Main) Ready() <-chan struct{} { return m.ready }

// URL is the root of the server's address, without a slash at the end; empty before it listens.
func (m *Main) URL() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.addr == nil {
		return ""
	}
	return "http://" + reachable(m.addr)
}

// Close stops the server as the end of Run's context does, and waits until Run has returned.
func (m *Main) Close() {
	m.mu.Lock()
	stop := m.stop
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-m.done
	}
}

// Run serves until ctx ends, or until something fails that serving can't go on without.
func (m *Main) Run(ctx context.Context) error {
	defer close(m.done)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m.mu.Lock()
	m.stop = stop
	m.mu.Unlock()
	m.started = m.now()
	limitMemory(ctx, m.cfg.Memory, available, m.log)
	defer collectOften()()

	if err := m.prepare(); err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", m.cfg.Server.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	m.mu.Lock()
	m.addr = ln.Addr()
	m.mu.Unlock()
	m.log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("address", ln.Addr().String()), slog.String("version", buildVersion()))

	served := make(chan error, 1)
	var serving sync.WaitGroup
	serving.Go(func() { served <- m.server.Serve(ln) })
	err = m.operate(ctx, served)
	serving.Wait() // It has shut the server down, perhaps before serving had begun.
	m.log.LogAttrs(ctx, slog.LevelInfo, "stopped")
	return err
}

// prepare makes what does not need the store.
func (m *Main) prepare() error {
	m.registry = prometheus.NewRegistry()
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectversion.NewCollector("luminate"),
	)
	authenticator, err := newAuthenticator(m.cfg.Auth, m.now, m.log, m.registry)
	if err != nil {
		return err
	}
	s := m.cfg.Server
	m.server, err = server.New(server.Options{
		Auth: authenticator, Registry: m.registry, Logger: m.log, Now: m.now,
		Timeouts: server.Timeouts{
			ReadHeader: s.ReadHeaderTimeout.Std(), Read: s.ReadTimeout.Std(), Write: s.WriteTimeout.Std(), Idle: s.IdleTimeout.Std(),
		},
		MaxHeader: int(s.MaxHeaderBytes), MaxBody: int64(s.MaxBodyBytes), CORSOrigin: s.CORSOrigin, Version: buildVersion(),
		MaxConns: maxConnections(s.MaxConnections),
	})
	return err
}

// operate opens the store, serves, and stops in an order that loses nothing. The listener is up all the time, so that
// probes are answered while the store is being opened.
func (m *Main) operate(ctx context.Context, served <-chan error) error {
	// Who can guess the seed can make series that pass for others.
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // It never fails.
	hasher := metric.NewHasher(binary.NativeEndian.Uint64(seed[:]))
	opened, err := m.open(m.cfg, hasher, m.now, m.log, m.registry)
	if err != nil {
		return errors.Join(fmt.Errorf("open the store: %w", err), m.shutdown(ctx, served, 0, giveUp))
	}
	m.store = opened
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	tasks, err := m.start(background, hasher)
	if err == nil {
		err = m.wait(ctx, served)
	}
	if err != nil {
		m.log.LogAttrs(ctx, slog.LevelError, "the server has to stop", slog.Any("error", err))
	}
	delay, patience := m.cfg.Server.ShutdownDelay.Std(), m.cfg.Server.ShutdownTimeout.Std()
	if err != nil {
		delay, patience = 0, min(patience, giveUp)
	}
	err = errors.Join(err, m.shutdown(ctx, served, delay, patience))
	stopBackground()
	tasks.Wait()
	if closeErr := m.closeStore(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close the store: %w", closeErr))
	}
	return err
}

// closeStore waits for the store, but not for ever for one that failed: what was acknowledged is durable without it.
func (m *Main) closeStore() error {
	done := make(chan error, 1)
	go func() { done <- m.store.Close() }()
	select {
	case err := <-done:
		return err
	case <-m.store.failed:
	}
	timer := time.NewTimer(giveUp / 2)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errors.New("it does not end, its disk has failed")
	}
}

// start mounts the APIs, starts what runs beside requests, and tells everybody that the server is ready.
func (m *Main) start(ctx context.Context, hasher metric.Hasher) (tasks *sync.WaitGroup, err error) {
	tasks = &sync.WaitGroup{}
	pipeline := ingest.New(m.store, hasher, m.now, m.registry)
	pipeline.LimitMetadata(int64(m.cfg.Storage.MaxMetadataBytes), m.log)
	if err := m.server.Mount(m.groups(pipeline)...); err != nil {
		return tasks, err
	}
	m.server.Health().Watch("store", m.store.Ping)
	every(ctx, tasks, roomInterval, leaveRoom(m.store.offHeap))
	if m.cfg.SelfMetrics.Enabled {
		rules := m.prometheusRules()
		w := selfmetrics.New(selfmetrics.Options{
			Sink: pipeline, Gatherer: m.registry, Tenant: tenancy.ID(m.cfg.SelfMetrics.Tenant), Instance: m.instance(),
			Rules: &rules, Now: m.now, Logger: m.log,
		})
		// Before the server is ready, so that the first query that somebody types has an answer.
		if err := w.Write(ctx); err != nil {
			m.log.LogAttrs(ctx, slog.LevelWarn, "own metrics were not written", slog.Any("error", err))
		}
		every(ctx, tasks, m.cfg.SelfMetrics.Interval.Std(), w.Run)
	}
	if m.cfg.Retention.Period > 0 {
		r := newRetention(m.store, m.cfg.Retention.Period.Std(), m.now, m.log, m.registry)
		every(ctx, tasks, m.cfg.Retention.Interval.Std(), r.run)
	}
	m.server.Health().Set("server", "")
	m.announce()
	close(m.ready)
	return tasks, nil
}

// every runs task with a ticker beside the caller until ctx ends.
func every(ctx context.Context, tasks *sync.WaitGroup, interval time.Duration, task func(context.Context, <-chan time.Time)) {
	tasks.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		task(ctx, ticker.C)
	})
}

// wait returns nil when ctx ends, or what makes serving impossible.
func (m *Main) wait(ctx context.Context, served <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return err
	case <-m.store.failed:
		return fmt.Errorf("the store failed: %w", m.store.Ping(context.WithoutCancel(ctx)))
	}
}

// giveUp is how long requests may take to end after something failed: they can't succeed any more.
const giveUp = 2 * time.Second

// shutdown goes on serving for the delay, and then lets the requests in flight end.
func (m *Main) shutdown(ctx context.Context, served <-chan error, delay, patience time.Duration) error {
	m.server.Drain()
	var failure error
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case failure = <-served:
		case <-m.store.failed:
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(failure, m.server.Shutdown(ctx))
}

// source gives the protocols the views of tenants.
type source struct{ store store.Store }

// Tenant returns the view of one tenant with the reserved dimension understood.
func (s source) Tenant(id tenancy.ID) store.Tenant { return store.Scope(s.store, id) }
