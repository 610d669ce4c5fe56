package promql

import (
	"log/slog"
	"time"

	promengine "github.com/prometheus/prometheus/promql"
)

// defaultSubqueryStep is the step of a subquery that names none: Prometheus's default evaluation interval.
const defaultSubqueryStep = time.Minute

// NewEngine returns upstream's engine with the limits and the language of o. Besides these, only the loggers and the
// registerer of o are used.
func NewEngine(o Options) *promengine.Engine {
	limits := o.Limits.withDefaults()
	e := promengine.NewEngine(promengine.EngineOpts{
		Logger:                   o.Logger,
		Reg:                      o.Registerer,
		MaxSamples:               limits.MaxSamples,
		Timeout:                  limits.Timeout,
		ActiveQueryTracker:       newGate(limits.MaxConcurrent),
		LookbackDelta:            limits.Lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return defaultSubqueryStep.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		EnablePerStepStats:       true,
		EnableDelayedNameRemoval: o.Language.DelayedNameRemoval,
		UseStartTimestamps:       o.Language.UseStartTimestamps,
		Parser:                   o.Language.parser(),
	})
	if o.QueryLog != nil {
		e.SetQueryLogger(queryLog{o.QueryLog})
	}
	return e
}

// queryLog is a log handler that the engine need not close.
type queryLog struct{ slog.Handler }

func (queryLog) Close() error { return nil }
