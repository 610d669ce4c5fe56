package ingest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
)

var now = time.UnixMilli(1_701_234_567_890)

func add(b *metric.Batch, name string, at time.Time) {
	b.StartSeries(metric.EncodeLabels(nil, labels.FromStrings("__name__", name)), len(b.Series))
	b.AddSample(metric.Sample{Timestamp: at.UnixMilli(), Value: 1})
}

func request(b *metric.Batch) ingest.Request {
	rules := metric.StrictRules("_tenant_id")
	return ingest.Request{Tenant: "a", Protocol: "native", Rules: &rules, Batch: b}
}

func names(t *testing.T, st store.Store) []string {
	t.Helper()
	rd, err := st.Tenant("a").Reader(store.AllTime())
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	list, err := rd.LabelValues(context.Background(), "__name__", store.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestTheOutcomeNamesEveryItem(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	defer st.Close()
	reg := prometheus.NewRegistry()
	p := ingest.New(st, metric.NewHasher(1), func() time.Time { return now }, reg)
	b := p.Batch()
	defer p.Release(b)
	add(b, "good", now)
	add(b, "old", now.Add(-8*24*time.Hour))
	add(b, "fine", now)
	req := request(b)
	req.Rejected = []metric.Rejection{{Series: 9, Reason: metric.Malformed, Lost: metric.Counts{Samples: 2}}}

	out, err := p.Ingest(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	for i := range out.Rejected {
		out.Rejected[i].Detail = ""
	}
	want := ingest.Outcome{
		Stored: metric.Counts{Samples: 2},
		Rejected: []metric.Rejection{
			{Series: 9, Reason: metric.Malformed, Lost: metric.Counts{Samples: 2}},
			{Series: 1, Reason: metric.TimestampTooOld, Lost: metric.Counts{Samples: 1}},
		},
	}
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"fine", "good"}, names(t, st)); d != "" {
		t.Error(d)
	}
	expected := `
# HELP luminate_ingested_items_total Samples, native histograms, exemplars and metadata that were stored.
# TYPE luminate_ingested_items_total counter
luminate_ingested_items_total{kind="sample",protocol="native"} 2
# HELP luminate_rejected_items_total Samples, native histograms, exemplars and metadata that were refused for good.
# TYPE luminate_rejected_items_total counter
luminate_rejected_items_total{protocol="native",reason="malformed"} 2
luminate_rejected_items_total{protocol="native",reason="timestamp_too_old"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(expected)); err != nil {
		t.Error(err)
	}
}

func TestAFailedStoreStoresNothing(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	p := ingest.New(st, metric.NewHasher(1), func() time.Time { return now }, reg)
	b := p.Batch()
	defer p.Release(b)
	add(b, "good", now)
	add(b, "old", time.Time{})
	out, err := p.Ingest(context.Background(), request(b))
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if out.Stored.Total() != 0 || len(out.Rejected) != 1 {
		t.Errorf("outcome %+v", out)
	}
	if n := testutil.CollectAndCount(reg, "luminate_ingest_failed_requests_total"); n != 1 {
		t.Errorf("%d failed requests are counted", n)
	}
}

func TestNothingLeftIsNoWrite(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	p := ingest.New(st, metric.NewHasher(1), func() time.Time { return now }, prometheus.NewRegistry())
	b := p.Batch()
	defer p.Release(b)
	add(b, "no-name", now)
	if out, err := p.Ingest(context.Background(), request(b)); err != nil || len(out.Rejected) != 1 {
		t.Errorf("a request of refused items only went to the closed store: %+v, %v", out, err)
	}
}
