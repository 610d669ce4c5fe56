package promql_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// spy records what is asked of a tenant.
type spy struct {
	store.Tenant
	ranges     []store.Range
	selections []store.Selection
	open       int
}

func (s *spy) Reader(r store.Range) (store.Reader, error) {
	s.ranges = append(s.ranges, r)
	s.open++
	rd, err := s.Tenant.Reader(r)
	return spyReader{rd, s}, err
}

type spyReader struct {
	store.Reader
	s *spy
}

func (r spyReader) Select(ctx context.Context, sel store.Selection) storage.SeriesSet {
	r.s.selections = append(r.s.selections, sel)
	return r.Reader.Select(ctx, sel)
}

func (r spyReader) LabelNames(ctx context.Context, sel store.Selection) (store.List[string], error) {
	r.s.selections = append(r.s.selections, sel)
	return r.Reader.LabelNames(ctx, sel)
}

func (r spyReader) Close() error {
	r.s.open--
	return r.Reader.Close()
}

// The corpus of upstream runs against every backend in the conformance suite; this is about the adapter alone.
func TestQ27QueryableAsksForWhatTheEngineNeeds(t *testing.T) {
	s := &spy{Tenant: newStore(t).Tenant(tenant)}
	api := newAPI(t, promql.Options{Unplanned: true, Source: tenantFunc(func(tenancy.ID) store.Tenant { return s })})
	api.get("/api/v1/query_range", "query", "sum by (code) (rate(http_requests_total{job=\"api\"}[2m] offset 1m))", "start", "1700000600", "end", "1700000660", "step", "30")
	if len(s.ranges) != 1 || s.ranges[0] != (store.Range{Min: 1700000420001, Max: 1700000600000}) || s.open != 0 {
		t.Errorf("ranges %v, %d left open", s.ranges, s.open)
	}
	sel := s.selections[0]
	if sel.Sorted || sel.Limit != 0 || len(sel.Matchers) != 2 || sel.Hints == nil || sel.Hints.Func != "rate" || sel.Hints.Range != 120_000 || sel.Hints.Step != 30_000 {
		t.Errorf("selection %+v, hints %+v", sel, sel.Hints)
	}
	// A limit reaches the store, and nothing is read where nothing can be.
	api.get("/api/v1/labels", "match[]", "up", "limit", "2", "start", "5", "end", "6")
	if sel := s.selections[1]; sel.Limit != 2 || s.ranges[1] != (store.Range{Min: 5000, Max: 6000}) {
		t.Errorf("selection %+v, ranges %v", sel, s.ranges)
	}
	if api.get("/api/v1/labels", "start", "6", "end", "5"); len(s.ranges) != 2 {
		t.Errorf("ranges %v", s.ranges)
	}
	// Readers are closed when a query fails, too.
	for _, q := range []string{"http_requests_total + on (job) up", "up", "label_replace(up, \"instance\", \"x\", \"\", \"\")"} {
		api.get("/api/v1/query", "query", q, "time", "1700000600")
	}
	api.get("/api/v1/series", "match[]", "up")
	api.get("/federate", "match[]", "up")
	if s.open != 0 {
		t.Errorf("%d readers are left open", s.open)
	}
}

func TestQueryable(t *testing.T) {
	s := &spy{Tenant: newStore(t).Tenant(tenant)}
	q := promql.NewQueryable(s)
	if q.Tenant() != store.Tenant(s) {
		t.Error("another tenant")
	}
	up := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	querier, err := q.Querier(base, end)
	if err != nil {
		t.Fatal(err)
	}
	set := querier.Select(t.Context(), true, &storage.SelectHints{Limit: 1}, up)
	if !set.Next() || set.At().Labels().Get("instance") != "a:1" || set.Next() || set.Err() != nil {
		t.Errorf("a limit of 1: %v", set.Err())
	}
	if sel := s.selections[0]; !sel.Sorted || sel.Limit != 1 {
		t.Errorf("selection %+v", sel)
	}
	names, _, err := querier.LabelNames(t.Context(), &storage.LabelHints{Limit: 2}, up)
	if err != nil || len(names) != 2 {
		t.Errorf("names %q %v", names, err)
	}
	values, _, err := querier.LabelValues(t.Context(), "instance", nil, up)
	if err != nil || len(values) != 2 {
		t.Errorf("values %q %v", values, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := querier.LabelNames(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := querier.Close(); err != nil || s.open != 0 {
		t.Errorf("close: %v, %d open", err, s.open)
	}

	// Nothing lies in a range that ends before it begins, and no reader is opened for it.
	querier, err = q.Querier(2, 1)
	if err != nil || querier.Select(t.Context(), false, nil, up).Next() || len(s.ranges) != 1 {
		t.Errorf("an empty range: %v, %v", err, s.ranges)
	}
	_ = querier.Close()
}

func TestQueryableOfClosedStore(t *testing.T) {
	st := newStore(t)
	_ = st.Close()
	_, err := promql.NewQueryable(st.Tenant(tenant)).Querier(0, 1)
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("querier of a closed store: %v", err)
	}
	api := newAPI(t, promql.Options{Source: source{st}})
	for _, target := range []string{"/api/v1/query", "/api/v1/query_exemplars"} {
		api.get(target, "query", "up").fails(503, "unavailable", "shutting down")
	}
	for _, target := range []string{"/api/v1/labels", "/api/v1/label/job/values", "/api/v1/series", "/api/v1/metadata", "/api/v1/status/tsdb"} {
		api.get(target, "match[]", "up").fails(503, "unavailable", "shutting down")
	}
	api.post("/api/v1/admin/tsdb/delete_series", "match[]", "up").fails(503, "unavailable", "shutting down")
}

// records is a log handler that keeps what it gets.
type records struct {
	slog.Handler
	list []slog.Record
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }

func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.list = append(r.list, rec)
	return nil
}

func TestQueryLogAndMetrics(t *testing.T) {
	log := &records{Handler: slog.DiscardHandler}
	reg := prometheus.NewRegistry()
	api := newAPI(t, promql.Options{QueryLog: log, Registerer: reg})
	api.get("/api/v1/query", "query", "sum(up)")
	api.get("/api/v1/query", "query", "up{")
	if len(log.list) != 1 {
		t.Fatalf("%d records", len(log.list))
	}
	attrs := map[string]slog.Value{}
	log.list[0].Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value
		return true
	})
	params, _ := attrs["params"].Any().(map[string]any)
	if attrs["tenant"].String() != string(tenant) || params["query"] != "sum(up)" {
		t.Errorf("attributes %v", attrs)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "prometheus_engine_query_samples_total" && f.Metric[0].Counter.GetValue() == 2 {
			return
		}
	}
	t.Errorf("the engine's metrics are not there or do not count: %v", families)
}
