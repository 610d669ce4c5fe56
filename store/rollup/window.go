package rollup

import (
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/util/kahansum"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

// absent stands for no value. No function has it as a result: windows hold no stale markers.
var absent = math.Float64frombits(value.StaleNaN)

// A kernel is a function of one window; ok is false if it has no value there.
type kernel func(w *window) (v float64, ok bool)

// A window is a part of one series. Each sample of it is after start and not after end.
type window struct {
	timestamps []int64 // Of the series, as far as any window sees it, without stale markers.
	values     []float64
	from, to   int   // The window's own.
	start, end int64 // In milliseconds.
	seconds    float64
	arg        float64

	resets     []int // Of the series: places of values that are less than the one before.
	firstReset int   // In resets: the first that may be in this window or a later one.

	sorted []float64 // For quantiles.
}

func (w *window) own() []float64 { return w.values[w.from:w.to] }

// kernels are the functions that this package has. Those of counters, and the instant vector, need more than a window.
var kernels = map[string]kernel{
	"rate":               func(w *window) (float64, bool) { return w.extrapolated(true, true) },
	"increase":           func(w *window) (float64, bool) { return w.extrapolated(true, false) },
	"delta":              func(w *window) (float64, bool) { return w.extrapolated(false, false) },
	"irate":              func(w *window) (float64, bool) { return w.instantaneous(true) },
	"idelta":             func(w *window) (float64, bool) { return w.instantaneous(false) },
	"sum_over_time":      func(w *window) (float64, bool) { return sum(w.own()), true },
	"avg_over_time":      func(w *window) (float64, bool) { return avg(w.own()), true },
	"min_over_time":      func(w *window) (float64, bool) { return least(w.own()), true },
	"max_over_time":      func(w *window) (float64, bool) { return most(w.own()), true },
	"count_over_time":    func(w *window) (float64, bool) { return float64(w.to - w.from), true },
	"last_over_time":     func(w *window) (float64, bool) { return w.values[w.to-1], true },
	"first_over_time":    func(w *window) (float64, bool) { return w.values[w.from], true },
	"present_over_time":  func(*window) (float64, bool) { return 1, true },
	"stddev_over_time":   func(w *window) (float64, bool) { return math.Sqrt(variance(w.own())), true },
	"stdvar_over_time":   func(w *window) (float64, bool) { return variance(w.own()), true },
	"quantile_over_time": func(w *window) (float64, bool) { return w.quantile(), true },
}

// counts says of which functions start timestamps change the result, if the engine looks at them.
func counts(function string) bool {
	return function == "rate" || function == "increase" || function == "irate"
}

// keepsName says after which functions a series keeps its name.
func keepsName(function string) bool {
	return function == "" || function == "last_over_time" || function == "first_over_time"
}

// extrapolated is upstream's extrapolatedRate, operation by operation, but for start timestamps.
func (w *window) extrapolated(counter, rate bool) (float64, bool) {
	n := w.to - w.from
	if n < 2 {
		return 0, false
	}
	first, last := w.values[w.from], w.values[w.to-1]
	result := last - first
	if counter {
		for w.firstReset < len(w.resets) && w.resets[w.firstReset] <= w.from {
			w.firstReset++
		}
		for _, at := range w.resets[w.firstReset:] {
			if at >= w.to {
				break
			}
			result += w.values[at-1]
		}
	}
	toStart := float64(w.timestamps[w.from]-w.start) / 1000
	toEnd := float64(w.end-w.timestamps[w.to-1]) / 1000
	sampled := float64(w.timestamps[w.to-1]-w.timestamps[w.from]) / 1000
	between := sampled / float64(n-1)
	threshold := between * 1.1
	if toStart >= threshold {
		toStart = between / 2
	}
	if counter {
		toZero := toStart
		if result > 0 && first >= 0 {
			toZero = sampled * (first / result)
		}
		if toZero < toStart {
			toStart = toZero
		}
	}
	if toEnd >= threshold {
		toEnd = between / 2
	}
	factor := 1.0
	if sampled != 0 {
		factor = (sampled + toStart + toEnd) / sampled
	}
	if rate {
		factor /= w.seconds
	}
	return result * factor, true
}

// instantaneous is upstream's instantValue, but for start timestamps.
func (w *window) instantaneous(rate bool) (float64, bool) {
	if w.to-w.from < 2 {
		return 0, false
	}
	before, last := w.values[w.to-2], w.values[w.to-1]
	result := last
	if !rate || !(last < before) { // A comparison with NaN is no reset.
		result = last - before
	}
	if rate {
		result /= float64(w.timestamps[w.to-1]-w.timestamps[w.to-2]) / 1000
	}
	return result, true
}

func sum(values []float64) float64 {
	var sum, c float64
	for _, v := range values {
		sum, c = kahansum.Inc(v, sum, c)
	}
	if math.IsInf(sum, 0) {
		return sum
	}
	return sum + c
}

func avg(values []float64) float64 {
	m := mean{}
	for _, v := range values {
		m.add(v)
	}
	return m.result()
}

// mean is upstream's average: a compensated sum, until that overflows; from then on the mean itself.
type mean struct {
	n, sum, mean, c float64
	incremental     bool
}

func (m *mean) add(v float64) {
	m.n++
	if m.n == 1 {
		m.sum = v
		return
	}
	if !m.incremental {
		sum, c := kahansum.Inc(v, m.sum, m.c)
		if !math.IsInf(sum, 0) {
			m.sum, m.c = sum, c
			return
		}
		m.incremental = true
		m.mean = m.sum / (m.n - 1)
		m.c /= m.n - 1
	}
	q := (m.n - 1) / m.n
	m.mean, m.c = kahansum.Inc(v/m.n, q*m.mean, q*m.c)
}

func (m *mean) result() float64 {
	if m.incremental {
		return m.mean + m.c
	}
	return m.sum/m.n + m.c/m.n
}

func least(values []float64) float64 {
	out := values[0]
	for _, v := range values {
		if v < out || math.IsNaN(out) {
			out = v
		}
	}
	return out
}

func most(values []float64) float64 {
	out := values[0]
	for _, v := range values {
		if v > out || math.IsNaN(out) {
			out = v
		}
	}
	return out
}

func variance(values []float64) float64 {
	var n, mean, cMean, aux, cAux float64
	for _, v := range values {
		n++
		delta := v - (mean + cMean)
		mean, cMean = kahansum.Inc(delta/n, mean, cMean)
		aux, cAux = kahansum.Inc(delta*(v-(mean+cMean)), aux, cAux)
	}
	return (aux + cAux) / n
}

func (w *window) quantile() float64 {
	switch q := w.arg; {
	case math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	w.sorted = append(w.sorted[:0], w.own()...)
	slices.Sort(w.sorted) // NaN first.
	n := float64(len(w.sorted))
	rank := w.arg * (n - 1)
	lower := math.Max(0, math.Floor(rank))
	upper := math.Min(n-1, lower+1)
	weight := rank - math.Floor(rank)
	return w.sorted[int(lower)]*(1-weight) + w.sorted[int(upper)]*weight
}

// A slider evaluates a function over one series after another. It is for one goroutine.
type slider struct {
	steps   store.Steps
	span    int64 // Length of a window.
	kernel  kernel
	counter bool

	queried, fresh []int64 // By step, over all series so far.
	window         window
	clean          series.Columns // Without stale markers.
}

func newSlider(q *store.Rollup) *slider {
	n := q.Steps.Count()
	return &slider{
		steps: q.Steps, span: q.Window, kernel: kernels[q.Func], counter: q.Func == "rate" || q.Func == "increase",
		queried: make([]int64, n), fresh: make([]int64, n),
		window: window{seconds: float64(q.Window) / 1000, arg: q.Arg},
	}
}

// evaluate sets out to the values at all steps. It returns how many there are, and the samples in the last window.
func (s *slider) evaluate(c *series.Columns, out []float64) (values, last int) {
	ts, vs := s.cut(c)
	if s.kernel == nil {
		return s.instant(ts, vs, out), 0
	}
	ts, vs = s.unmarked(ts, vs)
	w := &s.window
	w.timestamps, w.values, w.from, w.to, w.firstReset = ts, vs, 0, 0, 0
	if s.counter {
		w.resets = w.resets[:0]
		for i := 1; i < len(vs); i++ {
			if vs[i] < vs[i-1] {
				w.resets = append(w.resets, i)
			}
		}
	}
	w.end = s.steps.Start
	for k := range out {
		w.start = w.end - s.span
		before := w.to
		for w.to < len(ts) && ts[w.to] <= w.end {
			w.to++
		}
		for w.from < w.to && ts[w.from] <= w.start {
			w.from++
		}
		out[k], last = absent, w.to-w.from
		if last > 0 {
			s.queried[k] += int64(last)
			s.fresh[k] += int64(w.to - max(w.from, before))
			if v, ok := s.kernel(w); ok {
				out[k] = v
				values++
			}
		}
		w.end += s.steps.Step
	}
	return values, last
}

// instant is evaluate for the instant vector: the latest sample, unless it is a stale marker.
func (s *slider) instant(ts []int64, vs []float64, out []float64) (values int) {
	next, end := 0, s.steps.Start
	for k := range out {
		for next < len(ts) && ts[next] <= end {
			next++
		}
		out[k] = absent
		if next > 0 && ts[next-1] > end-s.span && !value.IsStaleNaN(vs[next-1]) {
			out[k] = vs[next-1]
			s.queried[k]++
			s.fresh[k]++
			values++
		}
		end += s.steps.Step
	}
	return values
}

// cut returns what any window sees.
func (s *slider) cut(c *series.Columns) ([]int64, []float64) {
	ts := c.Timestamps
	to := sort.Search(len(ts), func(i int) bool { return ts[i] > s.steps.End })
	from := sort.Search(to, func(i int) bool { return ts[i] > s.steps.Start-s.span })
	return ts[from:to], c.Values[from:to]
}

// unmarked returns the columns without stale markers.
func (s *slider) unmarked(ts []int64, vs []float64) ([]int64, []float64) {
	i := slices.IndexFunc(vs, value.IsStaleNaN)
	if i < 0 {
		return ts, vs
	}
	s.clean.Timestamps = append(s.clean.Timestamps[:0], ts[:i]...)
	s.clean.Values = append(s.clean.Values[:0], vs[:i]...)
	for ; i < len(vs); i++ {
		if !value.IsStaleNaN(vs[i]) {
			s.clean.Timestamps = append(s.clean.Timestamps, ts[i])
			s.clean.Values = append(s.clean.Values, vs[i])
		}
	}
	return s.clean.Timestamps, s.clean.Values
}
