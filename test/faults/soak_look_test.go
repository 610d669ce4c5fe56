package faults_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/load"
	"github.com/luminate-metrics/luminate/test/process"
)

// A soakAsker asks one kind of question after another, now and then one about everything.
type soakAsker struct {
	plan   soak
	client *client.Client
	late   time.Duration
	failures

	took map[string][]time.Duration // Under failures.mu.
}

func newSoakAsker(plan soak, base string) *soakAsker {
	return &soakAsker{plan: plan, client: client.New(base, soakTenant), took: map[string][]time.Duration{}}
}

func (a *soakAsker) close() { a.client.Close() }

// ask asks the question of that number. The answer must be a success; in the beginning there may be nothing in it.
func (a *soakAsker) ask(ctx context.Context, i int) {
	now := time.Now()
	ago := now.Add(-5 * time.Minute)
	shard := strconv.Itoa(i * 7 % a.plan.shards())
	selector := soakMetric + `{shard="` + shard + `"}`
	kinds := []string{"instant", "range", "label values", "series", "native"}
	kind := kinds[i%len(kinds)]
	if i%200 == 199 {
		kind = "instant, all series"
	}
	var reply *client.Reply
	var err error
	want := `"status":"success"`
	switch kind {
	case "instant":
		reply, err = a.client.Query(ctx, `sum by (path) (rate(`+selector+`[1m]))`, now)
	case "instant, all series":
		reply, err = a.client.Query(ctx, `count(`+soakMetric+`)`, now)
	case "range":
		reply, err = a.client.QueryRange(ctx, `avg by (path) (`+selector+`)`, ago, now, 15*time.Second)
	case "label values":
		reply, err = a.client.Get(ctx, "/api/v1/label/pod/values", url.Values{
			"match[]": {selector}, "start": {client.Seconds(ago)}, "end": {client.Seconds(now)},
		})
	case "series":
		reply, err = a.client.Get(ctx, "/api/v1/series", url.Values{
			"match[]": {selector}, "start": {client.Seconds(ago)}, "end": {client.Seconds(now)},
		})
	case "native":
		want = `"groups":`
		reply, err = a.client.PostJSON(ctx, "/luminate/v1/query", `{"metric":"`+soakMetric+
			`","aggregations":["AVG","P95"],"from":"now-5m","step":"30s","group_by":["path"],`+
			`"filters":[{"dimension":"shard","op":"=","value":"`+shard+`"}]}`)
	}
	if err := replied(reply, err, want); err != nil {
		a.add(fmt.Errorf("%s: %w", kind, err))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.took[kind] = append(a.took[kind], time.Since(now))
}

// String is a table of how long the answers took.
func (a *soakAsker) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s %8s %10s %10s %10s (at most %v late)\n", "query", "asked", "p50", "p99", "max", a.late.Round(time.Millisecond))
	for kind, l := range a.took {
		slices.Sort(l)
		fmt.Fprintf(&b, "%-20s %8d %10v %10v %10v\n", kind, len(l), load.Quantile(l, 0.5), load.Quantile(l, 0.99), load.Quantile(l, 1))
	}
	return b.String()
}

// A reading is what a server takes at a time. Sizes are in MiB.
type reading struct {
	at                              time.Duration
	rss, peak, disk                 float64
	files, goroutines               float64
	heap, head, headSeries, flushes float64
}

// readings is all of them.
type readings struct {
	server *process.Process
	data   string
	client *client.Client
	began  time.Time
	failures

	rows []reading // Under failures.mu.
}

func newReadings(t *testing.T, server *process.Process, data string) *readings {
	t.Helper()
	return &readings{server: server, data: data, client: newClient(t, server.URL()), began: time.Now()}
}

// look takes a reading, from the machine and from the server's own metrics.
func (r *readings) look(ctx context.Context, _ int) {
	row := reading{at: time.Since(r.began)}
	usage, err := process.UsageOf(r.server.PID())
	r.add(err)
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.server.PID()))
	r.add(err)
	disk, err := process.DiskUsage(r.data)
	r.add(err)
	row.rss, row.peak, row.disk = float64(usage.RSS)/(1<<20), float64(usage.Peak)/(1<<20), float64(disk)/(1<<20)
	row.files = float64(len(files))
	for name, to := range map[string]*float64{
		"go_goroutines ": &row.goroutines, "go_memstats_heap_inuse_bytes ": &row.heap,
		"luminate_storage_head_samples ": &row.head, "luminate_storage_head_series ": &row.headSeries,
		`luminate_storage_flushes_total{result="ok"} `: &row.flushes,
	} {
		v, err := gauge(ctx, r.client, name)
		r.add(err)
		*to = v
	}
	row.heap /= 1 << 20
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row)
}

// judge compares the median of the last third with that of the middle one: what comes in the beginning is to be
// expected, and a flush or a compaction may be under way at any time.
func (r *readings) judge() (bad []error) {
	for _, kind := range r.kinds() {
		_, middle, last := r.thirds(kind.of)
		if most := middle*1.1 + kind.more; last > most {
			bad = append(bad, fmt.Errorf("%s: the median of the last third is %.0f, that of the middle one %.0f: want at most %.0f",
				kind.name, last, middle, most))
		}
	}
	return bad
}

// A kind is something that must not grow.
type kind struct {
	name string
	of   func(reading) float64
	more float64 // That it may grow besides a tenth.
}

func (*readings) kinds() []kind {
	return []kind{
		{"RSS (MiB)", func(r reading) float64 { return r.rss }, 8},
		{"Go heap (MiB)", func(r reading) float64 { return r.heap }, 8},
		{"goroutines", func(r reading) float64 { return r.goroutines }, 10},
		{"open files", func(r reading) float64 { return r.files }, 10},
	}
}

// thirds is the median of each third.
func (r *readings) thirds(of func(reading) float64) (first, middle, last float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	median := func(rows []reading) float64 {
		var values []float64
		for _, row := range rows {
			values = append(values, of(row))
		}
		if len(values) == 0 {
			return 0
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	n := len(r.rows)
	return median(r.rows[:n/3]), median(r.rows[n/3 : 2*n/3]), median(r.rows[2*n/3:])
}

// String is a table of about 30 of them, and the medians of the thirds.
func (r *readings) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%8s %9s %9s %9s %6s %11s %12s %12s %8s %9s\n", "at", "RSS MiB", "peak MiB", "heap MiB", "files", "goroutines",
		"head samples", "head series", "flushes", "disk MiB")
	r.mu.Lock()
	for i, row := range r.rows {
		if i%max(1, len(r.rows)/30) == 0 || i == len(r.rows)-1 {
			fmt.Fprintf(&b, "%8v %9.1f %9.1f %9.1f %6.0f %11.0f %12.0f %12.0f %8.0f %9.1f\n", row.at.Round(time.Second), row.rss, row.peak,
				row.heap, row.files, row.goroutines, row.head, row.headSeries, row.flushes, row.disk)
		}
	}
	r.mu.Unlock()
	fmt.Fprintf(&b, "%-14s %12s %12s %12s\n", "median of the", "first third", "middle", "last")
	for _, kind := range r.kinds() {
		first, middle, last := r.thirds(kind.of)
		fmt.Fprintf(&b, "%-14s %12.1f %12.1f %12.1f\n", kind.name, first, middle, last)
	}
	return b.String()
}

// The rule finds what grows and leaves alone what only swings.
func TestSoakJudges(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rss  func(i int) float64
		want int
	}{
		"flat":                 {func(int) float64 { return 300 }, 0},
		"grows at first":       {func(i int) float64 { return float64(min(300, 10*i)) }, 0},
		"saw":                  {func(i int) float64 { return 300 + float64(i%12)*10 }, 0},
		"grows all the time":   {func(i int) float64 { return 100 + float64(i) }, 1},
		"grows at the end":     {func(i int) float64 { return 300 + float64(max(0, i-60))*3 }, 1},
		"one flush at the end": {func(i int) float64 { return 300 + float64(i/88)*500 }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r readings
			for i := range 90 {
				r.rows = append(r.rows, reading{rss: test.rss(i), goroutines: 30, files: 60})
			}
			if bad := r.judge(); len(bad) != test.want {
				t.Errorf("%v: want %d", bad, test.want)
			}
		})
	}
}
