package ingest

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// settingInFlight is the configuration key of a Budget's size.
const settingInFlight = "ingest.max_in_flight_bytes"

// Weight is how many bytes a byte of a body takes from when it is decoded until it is stored, estimated from above: as it
// is, in the batch, and on its way to the disk.
const Weight = 4

// A Budget bounds the memory of all writes that are being served, whatever their protocol. Nobody waits for a part of it:
// who comes when it is used up is told to come again, so that a queue never takes the memory that the budget saves.
// A nil Budget has no bound. Its methods may be called concurrently.
type Budget struct {
	most    int64
	used    atomic.Int64
	refused prometheus.Counter
}

// NewBudget returns a budget of the given number of bytes.
func NewBudget(most int64, reg prometheus.Registerer) *Budget {
	b := &Budget{most: most, refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "luminate_ingest_overload_refused_requests_total",
		Help: "Write requests that were answered by 503 because those being served took all the memory that they may.",
	})}
	reg.MustRegister(b.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_ingest_in_flight_bytes",
			Help: "Memory that the write requests being served take, estimated from the size of their bodies.",
		}, func() float64 { return float64(b.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_ingest_in_flight_limit_bytes",
			Help: "Memory that the write requests being served may take together.",
		}, func() float64 { return float64(b.most) }),
	)
	return b
}

// Hold returns an empty hold on b. Its owner must call Release.
func (b *Budget) Hold() Hold { return Hold{budget: b} }

// A Hold is the part of a budget that one request has. It is for one goroutine at a time.
type Hold struct {
	budget *Budget
	bytes  int64
}

// Grow makes the hold at least so many bytes large. If the budget has too few left the error is Unavailable, the hold is
// as before, and nothing of the request may be stored. A request that is alone is served however large it is: the
// protocols bound that.
func (h *Hold) Grow(to int64) error {
	b, more := h.budget, to-h.bytes
	if b == nil || more <= 0 {
		return nil
	}
	for {
		used := b.used.Load()
		if used+more > b.most && used > h.bytes {
			b.refused.Inc()
			return &problem.Error{
				Of: problem.Unavailable,
				Detail: fmt.Sprintf("the write requests being served take %d bytes of memory, this one needs %d more, and the limit set by %s is %d: "+
					"nothing of it was stored, send it again later", used, more, settingInFlight, b.most),
				Limit: &problem.Limit{Name: "bytes in flight", Max: b.most, Observed: used + more, Setting: settingInFlight},
			}
		}
		if b.used.CompareAndSwap(used, used+more) {
			h.bytes = to
			return nil
		}
	}
}

// Release gives everything back. The hold may grow again afterwards.
func (h *Hold) Release() {
	if h.budget != nil {
		h.budget.used.Add(-h.bytes)
		h.bytes = 0
	}
}
