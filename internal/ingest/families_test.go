package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A describer writes metadata, and reads it back.
type describer struct {
	*testing.T
	store    store.Store
	pipeline *ingest.Pipeline
	log      strings.Builder
}

// newDescriber opens a pipeline into st with room for three families of 10 bytes.
func newDescriber(t *testing.T, st store.Store) *describer {
	t.Helper()
	d := &describer{T: t, store: st}
	d.pipeline = ingest.New(st, metric.NewHasher(1), func() time.Time { return now }, prometheus.NewRegistry())
	d.pipeline.LimitMetadata(3*(128+10), slog.New(slog.NewTextHandler(&d.log, nil)))
	return d
}

// write sends a sample, and a family of 10 bytes for each of the names, whose length is 2.
func (d *describer) write(id tenancy.ID, help string, families ...string) ingest.Outcome {
	d.Helper()
	b := d.pipeline.Batch()
	defer d.pipeline.Release(b)
	add(b, "up", now)
	for _, f := range families {
		b.Metadata = append(b.Metadata, metric.Metadata{Family: f, Type: "gauge", Help: help})
	}
	req := request(b)
	req.Tenant = id
	out, err := d.pipeline.Ingest(context.Background(), req)
	if err != nil {
		d.Fatal(err)
	}
	return out
}

// kept wants a tenant to have families with their help.
func (d *describer) kept(id tenancy.ID, want ...string) {
	d.Helper()
	list, err := d.store.Tenant(id).Metadata(context.Background(), store.MetadataQuery{})
	if err != nil {
		d.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, m.Family+" "+m.Help)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.Error(diff)
	}
}

func TestMetadataIsBounded(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	defer st.Close()
	d := newDescriber(t, st)
	all := func(out ingest.Outcome, metadata int) {
		t.Helper()
		if diff := cmp.Diff(ingest.Outcome{Stored: metric.Counts{Samples: 1, Metadata: metadata}}, out); diff != "" {
			t.Error(diff)
		}
	}
	refused := func(out ingest.Outcome, stored int, detail string) {
		t.Helper()
		want := ingest.Outcome{
			Stored:   metric.Counts{Samples: 1, Metadata: stored},
			Rejected: []metric.Rejection{{Lost: metric.Counts{Metadata: 2}, Reason: metric.MetadataLimit, Detail: detail}},
		}
		if diff := cmp.Diff(want, out); diff != "" {
			t.Error(diff)
		}
	}
	all(d.write("a", "abc", "f1", "f2"), 2)
	refused(d.write("a", "abc", "f3", "f4", "f1", "f5"), 2, `metadata of metric family "f4": the tenant has 3 families with 414 bytes of metadata, and the limit set by storage.max_metadata_bytes is 414: samples are stored all the same`)
	d.kept("a", "f1 abc", "f2 abc", "f3 abc")
	if n := strings.Count(d.log.String(), "tenant=a families=3 bytes=414 limit=414 setting=storage.max_metadata_bytes"); n != 1 {
		t.Errorf("the log: %s", d.log.String())
	}
	all(d.write("a", "xyz", "f1"), 1) // Not more than it was.
	all(d.write("b", "abc", "f4"), 1) // Another tenant.

	// A longer text needs room, and a shorter one makes some.
	refused(d.write("a", "abcd", "f1", "f2"), 0, `metadata of metric family "f1": the tenant has 3 families with 414 bytes of metadata, and the limit set by storage.max_metadata_bytes is 414: samples are stored all the same`)
	all(d.write("a", "xy", "f1"), 1)
	all(d.write("a", "wxyz", "f2"), 1)
	d.kept("a", "f1 xy", "f2 wxyz", "f3 abc")
	if n := strings.Count(d.log.String(), "\n"); n != 1 {
		t.Errorf("the log has %d lines: %s", n, d.log.String())
	}

	// A new start knows what is there.
	refused(newDescriber(t, st).write("a", "abc", "f4", "f5"), 0, `metadata of metric family "f4": the tenant has 3 families with 414 bytes of metadata, and the limit set by storage.max_metadata_bytes is 414: samples are stored all the same`)
	d.kept("a", "f1 xy", "f2 wxyz", "f3 abc")
}

func TestMetadataWithoutALimit(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	defer st.Close()
	d := newDescriber(t, st)
	d.pipeline.LimitMetadata(0, slog.New(slog.DiscardHandler))
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("f%d", i))
	}
	if out := d.write("a", "", many...); out.Stored.Metadata != 1000 {
		t.Errorf("outcome %+v", out)
	}
}

// TestMetadataOfAStoreThatIsAway can't tell what is there.
func TestMetadataOfAStoreThatIsAway(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	d := newDescriber(t, st)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	b := d.pipeline.Batch()
	defer d.pipeline.Release(b)
	b.Metadata = append(b.Metadata, metric.Metadata{Family: "f1"})
	if out, err := d.pipeline.Ingest(context.Background(), request(b)); !errors.Is(err, store.ErrClosed) || out.Stored.Total() != 0 {
		t.Errorf("outcome %+v, error %v", out, err)
	}
}
