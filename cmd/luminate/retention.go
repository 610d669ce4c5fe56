package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An expirer removes what is too old. A store is one.
type expirer interface {
	Expire(ctx context.Context, before int64) error
}

// A retention drops what is older than its period.
type retention struct {
	store  expirer
	period time.Duration
	now    func() time.Time
	log    *slog.Logger
	last   prometheus.Gauge
	failed prometheus.Counter
}

func newRetention(st expirer, period time.Duration, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) *retention {
	r := &retention{
		store: st, period: period, now: now, log: log,
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "luminate_retention_last_success_timestamp_seconds",
			Help: "When old samples were last looked for and dropped without an error.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "luminate_retention_failures_total",
			Help: "Attempts to drop old samples that failed.",
		}),
	}
	reg.MustRegister(r.last, r.failed)
	return r
}

// run drops old samples at once and then at each tick, until ctx ends.
func (r *retention) run(ctx context.Context, ticks <-chan time.Time) {
	for {
		r.drop(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
	}
}

func (r *retention) drop(ctx context.Context) {
	now := r.now()
	err := r.store.Expire(ctx, now.Add(-r.period).UnixMilli())
	switch {
	case err == nil:
		r.last.Set(float64(now.UnixMilli()) / 1000)
	case ctx.Err() == nil:
		r.failed.Inc()
		r.log.LogAttrs(ctx, slog.LevelError, "old samples could not be dropped", slog.Any("error", err))
	}
}
