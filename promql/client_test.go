package promql_test

import (
	"errors"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/api"
	clientv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/luminate-metrics/luminate/promql"
)

// TestTypedClient asks all that the typed Go client can ask.
func TestTypedClient(t *testing.T) {
	server := newAPI(t, promql.Options{}).server()
	c, err := client.NewClient(client.Config{Address: server.URL, Client: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	api, ctx := clientv1.NewAPI(c), t.Context()
	at, from := time.UnixMilli(base+600_000), time.UnixMilli(base)

	v, warnings, _, err := api.Query(ctx, "up", at, clientv1.WithTimeout(time.Minute), clientv1.WithLimit(1))
	if vec, ok := v.(model.Vector); err != nil || !ok || len(vec) != 1 || vec[0].Value != 1 || len(warnings) != 1 {
		t.Errorf("query: %v %v %v", v, warnings, err)
	}
	v, _, infos, err := api.QueryRange(ctx, "rate(temperature[1m])", clientv1.Range{Start: from, End: at, Step: time.Minute})
	if m, ok := v.(model.Matrix); err != nil || !ok || len(m) != 2 || len(m[0].Values) != 10 || len(infos) != 1 {
		t.Errorf("query range: %v %v", v, err)
	}
	v, _, _, err = api.Query(ctx, "latency", at)
	if vec, ok := v.(model.Vector); err != nil || !ok || vec[0].Histogram.Count != 280 || len(vec[0].Histogram.Buckets) != 5 {
		t.Errorf("histogram: %v %v", v, err)
	}
	series, _, _, err := api.Series(ctx, []string{"up", "temperature"}, from, at)
	check(t, "series", err, len(series) == 4)
	names, _, _, err := api.LabelNames(ctx, []string{"up"}, from, at)
	check(t, "label names", err, len(names) == 3)
	values, _, _, err := api.LabelValues(ctx, "room", nil, from, at)
	check(t, "label values", err, len(values) == 2 && values[0] == "attic")
	exemplars, err := api.QueryExemplars(ctx, "http_requests_total", from, at)
	check(t, "exemplars", err, len(exemplars) == 2 && len(exemplars[0].Exemplars) == 4)
	metadata, err := api.Metadata(ctx, "", "")
	check(t, "metadata", err, metadata["latency"][0].Type == clientv1.MetricTypeHistogram)
	rules, err := api.Rules(ctx, nil)
	check(t, "rules", err, len(rules.Groups) == 0)
	alerts, err := api.Alerts(ctx)
	check(t, "alerts", err, len(alerts.Alerts) == 0)
	managers, err := api.AlertManagers(ctx)
	check(t, "alertmanagers", err, len(managers.Active) == 0)
	targets, err := api.Targets(ctx)
	check(t, "targets", err, len(targets.Active) == 0)
	targetMetadata, err := api.TargetsMetadata(ctx, "", "", "")
	check(t, "target metadata", err, len(targetMetadata) == 0)
	build, err := api.Buildinfo(ctx)
	check(t, "build info", err, build.Version == "0.1.0")
	runtime, err := api.Runtimeinfo(ctx)
	check(t, "runtime info", err, runtime.ReloadConfigSuccess)
	_, err = api.Config(ctx)
	check(t, "config", err, true)
	_, err = api.Flags(ctx)
	check(t, "flags", err, true)
	tsdb, err := api.TSDB(ctx)
	check(t, "tsdb", err, tsdb.HeadStats.NumSeries == 28)
	blocks, err := api.TSDBBlocks(ctx)
	check(t, "blocks", err, len(blocks.Blocks) == 0)
	text, err := api.FormatQuery(ctx, "sum( up )")
	check(t, "format query", err, text == `"sum(up)"`)
	replay, err := api.WalReplay(ctx)
	check(t, "WAL replay", err, replay.Max == 0)
	check(t, "clean tombstones", api.CleanTombstones(ctx), true)
	check(t, "delete series", api.DeleteSeries(ctx, []string{"temperature"}, from, at), true)
	series, _, _, err = api.Series(ctx, []string{"temperature"}, from, at)
	check(t, "series after the deletion", err, len(series) == 0)

	_, _, _, err = api.Query(ctx, "up{", at)
	if e, ok := errors.AsType[*clientv1.Error](err); !ok || e.Type != clientv1.ErrBadData {
		t.Errorf("a bad query: %v", err)
	}
	_, _, _, err = api.Query(ctx, "http_requests_total + on (job) up", at)
	if e, ok := errors.AsType[*clientv1.Error](err); !ok || e.Type != clientv1.ErrExec {
		t.Errorf("a query that fails: %v", err)
	}
	_, err = api.Snapshot(ctx, false)
	if err == nil {
		t.Error("a snapshot of nothing")
	}
}

func check(t *testing.T, what string, err error, ok bool) {
	t.Helper()
	if err != nil || !ok {
		t.Errorf("%s: %v, as expected: %v", what, err, ok)
	}
}
