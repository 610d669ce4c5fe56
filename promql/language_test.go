package promql_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store/memory"
)

// restarting returns a store with one counter that began anew between two samples, which its values do not show.
func restarting(t *testing.T) promql.Source {
	t.Helper()
	st := memory.New(memory.Options{})
	t.Cleanup(func() { _ = st.Close() })
	b := metric.NewBatch(metric.NewHasher(7))
	b.StartSeries(metric.EncodeLabels(nil, ls("__name__", "x_total")), 0)
	for i := range int64(5) {
		start := int64(1)
		if i >= 3 {
			start = 25_000
		}
		b.AddSample(metric.Sample{Timestamp: 10_000 * i, Value: float64(i), Start: start})
	}
	if _, err := st.Tenant(tenant).Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return source{st}
}

func TestStartTimestampsAreUsedOnRequest(t *testing.T) {
	src := restarting(t)
	for _, c := range []struct {
		use  bool
		want string
	}{{false, "0"}, {true, "1"}} { // Prometheus has it off.
		api := newAPI(t, promql.Options{Source: src, Language: promql.Language{UseStartTimestamps: c.use}})
		api.get("/api/v1/query", "query", "resets(x_total[1m])", "time", "40").
			data(`{"resultType":"vector","result":[{"metric":{},"value":[40,"` + c.want + `"]}]}`)
	}
}

func TestNamesAreRemovedLateOnRequest(t *testing.T) {
	src := restarting(t)
	for _, c := range []struct {
		late bool
		want string
	}{{false, `{}`}, {true, `{"name":"x_total"}`}} { // Prometheus has it off.
		api := newAPI(t, promql.Options{Source: src, Language: promql.Language{DelayedNameRemoval: c.late}})
		api.get("/api/v1/query", "query", `label_replace(resets(x_total[1m]), "name", "$1", "__name__", "(.+)")`, "time", "40").
			data(`{"resultType":"vector","result":[{"metric":` + c.want + `,"value":[40,"0"]}]}`)
	}
}

func TestWordsOfTheExperimentalLanguageAreNames(t *testing.T) {
	api := newAPI(t, promql.Options{})
	for _, name := range []string{"fill", "fill_left", "fill_right", "anchored", "smoothed", "limitk_x", "step", "range"} {
		var text string
		api.get("/api/v1/format_query", "query", "sum by ("+name+") (rate("+name+"{"+name+"=\"x\"}[5m]))").decode(&text)
		if want := "sum by (" + name + ") (rate(" + name + "{" + name + "=\"x\"}[5m]))"; text != want {
			t.Errorf("%s, want %s", text, want)
		}
	}
}

// recordingEngine is an engine in place of upstream's, as a planner is.
type recordingEngine struct {
	promengine.QueryEngine
	tenants []bool
}

func (e *recordingEngine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promengine.QueryOpts, qs string, ts time.Time) (promengine.Query, error) {
	own, ok := q.(*promql.Queryable)
	e.tenants = append(e.tenants, ok && own.Tenant() != nil)
	return e.QueryEngine.NewInstantQuery(ctx, q, opts, qs, ts)
}

func TestAnotherEngine(t *testing.T) {
	e := &recordingEngine{QueryEngine: promql.NewEngine(promql.Options{})}
	newAPI(t, promql.Options{Engine: e}).get("/api/v1/query", "query", "count(up)", "time", "1700000600").
		data(`{"resultType":"vector","result":[{"metric":{},"value":[1700000600,"2"]}]}`)
	if diff := cmp.Diff([]bool{true}, e.tenants); diff != "" {
		t.Errorf("an engine must be able to reach the tenant: %s", diff)
	}
}
