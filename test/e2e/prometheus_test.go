package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/answer"
	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/exporter"
	"github.com/luminate-metrics/luminate/test/process"
)

// flags switch on, in Prometheus, what Luminate has always on.
func flags() []string {
	return []string{
		"--enable-feature=exemplar-storage,metadata-wal-records,promql-experimental-functions",
		"--web.enable-remote-write-receiver",
	}
}

// sinks are the tenants that Prometheus writes to, one for each protocol.
func sinks() map[string]string {
	return map[string]string{"one": "prometheus.WriteRequest", "two": "io.prometheus.write.v2.Request"}
}

// world is a Prometheus that scrapes itself and two exporters and writes to Luminate in both protocols at once, up to a
// time that both have data for.
type world struct {
	prometheus *client.Client
	luminate   map[string]*client.Client // By tenant.
	at         time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	// Two exporters: what one answers depends on the number of scrapes.
	plain, converted := exporter.New(nil), exporter.New(nil)
	backends := startBackends(t)
	dir := t.TempDir()
	prom := startPrometheus(t, dir, "", flags()...)
	// Only now is its own address known.
	config := scrapeConfig(serve(t, plain), serve(t, converted), prom.Address(), refusing(t)) + writeConfig(backends)
	if err := process.Reconfigure(t.Context(), prom, dir, config); err != nil {
		t.Fatal(err)
	}
	w := &world{prometheus: newClient(t, prom.URL(), ""), luminate: map[string]*client.Client{}}
	for tenant, base := range backends {
		w.luminate[tenant] = newClient(t, base, tenant)
	}
	scraped := func(n int64) {
		eventually(t, 90*time.Second, func(context.Context) error {
			if plain.Scrapes() < n || converted.Scrapes() < n {
				return fmt.Errorf("scraped %d and %d times: want %d", plain.Scrapes(), converted.Scrapes(), n)
			}
			return nil
		})
	}
	scraped(exporter.ResetEvery + 4)
	plain.Hide(true)
	scraped(2*exporter.ResetEvery + 6)
	// Far enough back that no scrape of that time is still under way.
	w.at = time.Now().Add(-3 * time.Second).Truncate(100 * time.Millisecond)
	w.settle(t)
	return w
}

// startBackends returns the address for each tenant. It is one server, except when Prometheus stands in.
func startBackends(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	if selfCheck() {
		for tenant := range sinks() {
			out[tenant] = startPrometheus(t, t.TempDir(), "storage: {tsdb: {out_of_order_time_window: 1h}}\n", flags()...).URL()
		}
		return out
	}
	p := start(t, t.TempDir())
	for tenant := range sinks() {
		out[tenant] = p.URL()
	}
	return out
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func scrapeConfig(plain, converted, self, down string) string {
	return fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, scrape_native_histograms: true}
scrape_configs:
- job_name: exporter
  always_scrape_classic_histograms: true
  static_configs: [{targets: [%q]}]
- job_name: nhcb
  convert_classic_histograms_to_nhcb: true
  static_configs: [{targets: [%q]}]
- job_name: prometheus
  static_configs: [{targets: [%q]}]
- job_name: down
  static_configs: [{targets: [%q]}]
`, plain, converted, self, down)
}

func writeConfig(backends map[string]string) string {
	var b strings.Builder
	b.WriteString("remote_write:\n")
	for tenant, message := range sinks() {
		fmt.Fprintf(&b, `- url: %s/api/v1/write
  name: %s
  protobuf_message: %s
  headers: {X-Scope-OrgID: %s}
  send_exemplars: true
  send_native_histograms: true
  queue_config: {batch_send_deadline: 200ms, max_backoff: 1s}
  metadata_config: {send: true, send_interval: 2s}
`, backends[tenant], tenant, message, tenant)
	}
	return b.String()
}

// refusing returns an address that refuses connections.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// all selects what a protocol carries: 1.0 has no histograms with custom buckets, which only the job nhcb has.
func all(tenant string) string {
	if tenant == "one" {
		return `job!="nhcb"`
	}
	return `job!=""`
}

// settle waits until Luminate has the samples up to w.at that Prometheus has.
func (w *world) settle(t *testing.T) {
	t.Helper()
	for tenant, l := range w.luminate {
		raw := fmt.Sprintf(`{__name__=~".+",%s}[5m]`, all(tenant))
		want := must(t)(w.prometheus.Query(t.Context(), raw, w.at))
		eventually(t, 30*time.Second, func(ctx context.Context) error {
			got, err := l.Query(ctx, raw, w.at)
			if err != nil {
				return err
			}
			if d := answer.Diff(want.Body, got.Body, answer.Options{}); d != "" {
				return fmt.Errorf("tenant %s: %s: %s", tenant, raw, d)
			}
			return nil
		})
	}
}

var orderMatters = regexp.MustCompile(`\b(sum|avg|stddev|stdvar)\b`)

// options says how exact the answer to an expression is: additions depend on the order of the series.
func options(expr string) answer.Options {
	o := answer.Options{Ordered: strings.HasPrefix(expr, "sort")}
	if orderMatters.MatchString(expr) {
		o.Tolerance = 1e-12
	}
	return o
}

func expressions(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("testdata/expressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d expressions", len(out))
	}
	return out
}

// compare fails the test if the servers answer one call differently.
func compare(t *testing.T, what string, want, got *client.Client, o answer.Options, call func(*client.Client) (*client.Reply, error)) {
	t.Helper()
	w, errW := call(want)
	g, errG := call(got)
	if err := errors.Join(errW, errG); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if w.Status != g.Status {
		t.Errorf("%s: Prometheus answers %.400v\n\tbut this one %.400v", what, w, g)
		return
	}
	if d := answer.Diff(w.Body, g.Body, o); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

// carried leaves out the expressions about what the protocol of a tenant does not carry.
func carried(tenant string, exprs []string) []string {
	return slices.DeleteFunc(slices.Clone(exprs), func(expr string) bool {
		return tenant == "one" && strings.Contains(expr, `job="nhcb"`)
	})
}

// readable leaves out what no Prometheus can answer from remote read: info() selects once more while it reads, which
// upstream's querier refuses.
func readable(exprs []string) []string {
	return slices.DeleteFunc(slices.Clone(exprs), func(expr string) bool { return strings.HasPrefix(expr, "info(") })
}

// compareExpressions asks both servers every expression, for one instant and for a range.
func (w *world) compareExpressions(t *testing.T, got *client.Client, exprs []string) {
	t.Helper()
	for _, expr := range exprs {
		compare(t, "instant "+expr, w.prometheus, got, options(expr), func(c *client.Client) (*client.Reply, error) {
			return c.Query(t.Context(), expr, w.at)
		})
		o := options(expr)
		o.Ordered = true // A matrix is sorted by labels.
		compare(t, "range "+expr, w.prometheus, got, o, func(c *client.Client) (*client.Reply, error) {
			return c.QueryRange(t.Context(), expr, w.at.Add(-20*time.Second), w.at, 2*time.Second)
		})
	}
}

// compareLists asks both servers for series, label names and label values.
func (w *world) compareLists(t *testing.T, tenant string, got *client.Client) {
	t.Helper()
	window := func(match ...string) url.Values {
		return url.Values{
			"match[]": match, "start": {client.Seconds(w.at.Add(-time.Minute))}, "end": {client.Seconds(w.at)},
		}
	}
	calls := []struct {
		path   string
		params url.Values
	}{
		{"/api/v1/series", window(`{job="exporter"}`)},
		{"/api/v1/series", window(`{__name__=~"exporter_.*",`+all(tenant)+`}`, `up`)},
		{"/api/v1/series", window(`exporter_odd_values{value!=""}`)},
		{"/api/v1/series", window(`nosuch_metric`)},
		{"/api/v1/labels", window()},
		{"/api/v1/labels", window(`exporter_requests_total`)},
		{"/api/v1/labels", window(`exporter_requests_total`, `{"exporter.utf8 name with spaces"}`)},
		{"/api/v1/labels", window(`nosuch_metric`)},
		{"/api/v1/label/__name__/values", window("{" + all(tenant) + "}")},
		{"/api/v1/label/__name__/values", window(`{job="exporter"}`)},
		{"/api/v1/label/value/values", window()},
		{"/api/v1/label/code/values", window(`exporter_requests_total{method="GET"}`)},
		{"/api/v1/label/nosuch/values", window()},
		{"/api/v1/label/U__label_2e_with_2e_dots/values", window()},
		{"/api/v1/label/bad-name%FF/values", window()},
		{"/api/v1/series", url.Values{}},
		{"/api/v1/series", window(`{}`)},
		{"/api/v1/format_query", url.Values{"query": {`sum(rate(a{b="c"}[5m]))by(d)`}}},
		{"/api/v1/parse_query", url.Values{"query": {`sum(rate(a{b="c"}[5m])) by (d) / on (d) group_left b`}}},
	}
	for _, c := range calls {
		compare(t, c.path+"?"+c.params.Encode(), w.prometheus, got, answer.Options{}, func(to *client.Client) (*client.Reply, error) {
			return to.Get(t.Context(), c.path, c.params)
		})
	}
}

// compareExemplars asks both servers for exemplars.
func (w *world) compareExemplars(t *testing.T, got *client.Client) {
	t.Helper()
	for _, query := range []string{"exporter_requests_total", `{__name__=~"exporter_.*",job="exporter"}`, "rate(exporter_classic_seconds_bucket[5m])", "nosuch"} {
		params := url.Values{
			"query": {query}, "start": {client.Seconds(w.at.Add(-15 * time.Second))}, "end": {client.Seconds(w.at)},
		}
		compare(t, "exemplars of "+query, w.prometheus, got, answer.Options{}, func(to *client.Client) (*client.Reply, error) {
			return to.Get(t.Context(), "/api/v1/query_exemplars", params)
		})
	}
}
