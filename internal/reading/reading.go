// Package reading is the bound on what all reads together hold in memory, whatever their protocol.
package reading

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// settingTotal is the configuration key of a Budget's size.
const settingTotal = "query.max_samples_total"

// A Budget bounds how many samples all reads that run hold in memory. Nobody waits for a part of it: a read that would
// have to is told to come again, since what it holds itself is what others would wait for. A nil Budget has no bound.
// Its methods may be called concurrently.
type Budget struct {
	most    int64
	used    atomic.Int64
	refused prometheus.Counter
}

// NewBudget returns a budget of the given number of samples.
func NewBudget(most int64, reg prometheus.Registerer) *Budget {
	b := &Budget{most: most, refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "luminate_query_overload_refused_requests_total",
		Help: "Queries and remote reads that were answered by 503 because those running held all the samples that they may.",
	})}
	reg.MustRegister(b.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_query_held_samples",
			Help: "Samples that running queries and remote reads hold in memory.",
		}, func() float64 { return float64(b.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_query_held_samples_limit",
			Help: "Samples that running queries and remote reads may hold in memory together.",
		}, func() float64 { return float64(b.most) }),
	)
	return b
}

// Hold returns an empty hold on b. Its owner must call Release.
func (b *Budget) Hold() *Hold { return &Hold{budget: b} }

// A Hold is the part of a budget that one read has. Add may be called concurrently.
type Hold struct {
	budget *Budget
	used   atomic.Int64
}

// Add takes n samples more. If the budget has too few left the error is Unavailable, and the hold is as before. A read
// that is alone is never refused: its protocol bounds it.
func (h *Hold) Add(n int64) error {
	if h == nil || h.budget == nil || n <= 0 {
		return nil
	}
	b := h.budget
	own := h.used.Add(n) - n // Before the budget's, so that Release never gives back less than was taken.
	for {
		used := b.used.Load()
		if used+n > b.most && used > own {
			h.used.Add(-n)
			b.refused.Inc()
			return &problem.Error{
				Of: problem.Unavailable,
				Detail: fmt.Sprintf("the queries that are running hold %d samples in memory, this one needs %d more, and the limit set by %s is %d: "+
					"try again later, or ask for fewer series, a shorter range or a longer step", used, n, settingTotal, b.most),
				Limit: &problem.Limit{Name: "samples in memory", Max: b.most, Observed: used + n, Setting: settingTotal},
			}
		}
		if b.used.CompareAndSwap(used, used+n) {
			return nil
		}
	}
}

// Keep gives back all but n samples: the read is done, and those are its answer. Nobody may add any more.
func (h *Hold) Keep(n int64) {
	if h == nil || h.budget == nil {
		return
	}
	if spare := h.used.Load() - max(n, 0); spare > 0 {
		h.used.Add(-spare)
		h.budget.used.Add(-spare)
	}
}

// Release gives everything back. It may be called many times.
func (h *Hold) Release() { h.Keep(0) }
