package promql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promengine "github.com/prometheus/prometheus/promql"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// queuePhase is what the engine's errors call the wait for a turn.
const queuePhase = "query queue"

// crowdRetry is when a client that got no turn may come again.
const crowdRetry = 5 * time.Second

// A gate lets only so many requests run at once; more wait. It is the engine's query tracker, too.
type gate struct{ slots chan struct{} }

func newGate(n int) gate { return gate{make(chan struct{}, n)} }

// enter waits for a free slot, no longer than ctx lasts. Whoever gets one calls Delete.
func (g gate) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// GetMaxConcurrent is how many queries may run at once.
func (g gate) GetMaxConcurrent() int { return cap(g.slots) }

// Insert waits for a free slot.
func (g gate) Insert(ctx context.Context, _ string) (int, error) {
	switch err := g.enter(ctx); {
	case err == nil:
		return 0, nil
	case errors.Is(err, context.DeadlineExceeded):
		return 0, promengine.ErrQueryTimeout(queuePhase)
	default:
		return 0, promengine.ErrQueryCanceled(queuePhase)
	}
}

// Delete frees a slot.
func (g gate) Delete(int) { <-g.slots }

// Close does nothing: a gate holds no file.
func (g gate) Close() error { return nil }

// inTurn serves h when fewer than Limits.MaxLookups requests read names, series, exemplars or latest samples. The turn
// ends before the answer is sent: a slow client must not keep others waiting.
func (a *API) inTurn(h handler) handler {
	return func(req *request) (*answer, error) {
		leave, err := a.turn(req.Context())
		if err != nil {
			return nil, err
		}
		defer leave()
		return h(req)
	}
}

// registerLookups makes the figures of the gate of lookups.
func (a *API) registerLookups(reg prometheus.Registerer) {
	a.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "luminate_lookup_refused_requests_total",
		Help: "Requests for names, series, exemplars and latest samples that got no turn in their time and were answered by 503.",
	})
	if reg != nil {
		reg.MustRegister(a.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_lookup_running_requests",
			Help: "Requests for names, series, exemplars and latest samples that run now; more than query.max_concurrent_lookups wait.",
		}, func() float64 { return float64(len(a.lookups.slots)) }))
	}
}

// turn waits for a turn as long as ctx lasts.
func (a *API) turn(ctx context.Context) (leave func(), err error) {
	err = a.lookups.enter(ctx)
	switch {
	case err == nil:
		return func() { a.lookups.Delete(0) }, nil
	case errors.Is(err, context.DeadlineExceeded):
		a.refused.Inc()
		return nil, crowded("lookup", "concurrent lookups", "query.max_concurrent_lookups", a.limits.MaxLookups, err)
	default:
		return nil, problem.Wrap(problem.Canceled, err, "the request was canceled while it waited for its turn")
	}
}

// crowded is the error for a request that got no turn in its time.
func crowded(what, name, setting string, most int, err error) error {
	return &problem.Error{
		Of: problem.Timeout,
		Detail: fmt.Sprintf("%s timed out in %s: %d are running, the limit set by %s, and none ended in time: try again later",
			what, queuePhase, most, setting),
		RetryAfter: crowdRetry,
		Limit:      &problem.Limit{Name: name, Max: int64(most), Observed: int64(most) + 1, Setting: setting},
		Err:        err,
	}
}
