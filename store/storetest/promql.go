package storetest

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// RunPromQL runs the test scripts of Prometheus's engine over the store: every file of them, none left out.
func RunPromQL(t *testing.T, open Opener) {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	promqltest.RunBuiltinTestsWithStorage(t, engine, func(tb testing.TB) storage.Storage {
		tb.Helper()
		return Bridge(open(tb), "promql")
	})
}

// Bridge makes a tenant of st look like Prometheus's own storage, for tests that want one. Its Close closes st.
func Bridge(st store.Store, id tenancy.ID) storage.Storage { return bridge{st, st.Tenant(id)} }

type bridge struct {
	st     store.Store
	tenant store.Tenant
}

func (b bridge) Querier(mint, maxt int64) (storage.Querier, error) {
	r, err := b.tenant.Reader(store.Range{Min: mint, Max: maxt})
	return bridgeQuerier{r}, err
}

func (b bridge) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	r, err := b.tenant.Reader(store.Range{Min: mint, Max: maxt})
	return bridgeChunkQuerier{bridgeQuerier{r}}, err
}

// Appender is the interface before AppenderV2; no test needs it.
func (b bridge) Appender(context.Context) storage.Appender { return nil }

func (b bridge) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &bridgeAppender{ctx, b.tenant, metric.NewBatch(Hasher())}
}

func (b bridge) StartTime() (int64, error) { return math.MinInt64, nil }

func (b bridge) Close() error { return b.st.Close() }

type bridgeAppender struct {
	ctx    context.Context
	tenant store.Tenant
	batch  *metric.Batch
}

func (a *bridgeAppender) Append(
	_ storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AOptions,
) (storage.SeriesRef, error) {
	a.batch.StartSeries(encode(a.batch, ls), len(a.batch.Series))
	if h != nil || fh != nil {
		a.batch.AddHistogram(metric.Histogram{Timestamp: t, Start: st, Int: h, Float: fh})
	} else {
		a.batch.AddSample(metric.Sample{Timestamp: t, Start: st, Value: v})
	}
	return 1, nil
}

func (a *bridgeAppender) Commit() error {
	rejected, err := a.tenant.Append(a.ctx, a.batch)
	if err == nil && len(rejected) > 0 {
		err = fmt.Errorf("storetest: append rejected %+v", rejected)
	}
	return err
}

func (a *bridgeAppender) Rollback() error {
	a.batch.Reset()
	return nil
}

type bridgeQuerier struct{ r store.Reader }

func (q bridgeQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return q.r.Select(ctx, store.Selection{Matchers: ms, Sorted: sorted, Hints: hints})
}

func (q bridgeQuerier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	list, err := q.r.LabelValues(ctx, name, store.Selection{Matchers: ms})
	return list.Items, nil, err
}

func (q bridgeQuerier) LabelNames(ctx context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	list, err := q.r.LabelNames(ctx, store.Selection{Matchers: ms})
	return list.Items, nil, err
}

func (q bridgeQuerier) Close() error { return q.r.Close() }

type bridgeChunkQuerier struct{ bridgeQuerier }

func (q bridgeChunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	return q.r.SelectChunks(ctx, store.Selection{Matchers: ms, Sorted: sorted, Hints: hints})
}
