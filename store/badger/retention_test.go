package badger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger"
	"github.com/luminate-metrics/luminate/tenancy"
)

// shortLived is a store in which tenant a keeps two days and tenant b four, and a clock that stands at the start of day 10.
func shortLived(t *testing.T, dir string) (s *badger.Store, now *time.Time) {
	t.Helper()
	clock := time.UnixMilli(10 * day)
	return openAt(t, dir, func(o *badger.Options) {
		o.TenantRetention = map[tenancy.ID]time.Duration{"a": 48 * time.Hour, "b": 96 * time.Hour}
		o.Now = func() time.Time { return clock }
	}), &clock
}

func TestTenantRetention(t *testing.T) {
	s, now := shortLived(t, t.TempDir())
	b := batchOf(sample{series: "up,i=1", t: 8*day - 1, v: 1}, sample{series: "up,i=2", t: 8 * day, v: 2}, sample{series: "up,i=2", t: 9*day + 5, v: 3})
	rejected, err := s.Tenant("a").Append(t.Context(), b)
	if err != nil || len(rejected) != 1 || rejected[0].Reason != metric.PastRetention {
		t.Fatal(rejected, err)
	}
	appendTo(t, s, "b", sample{series: "up,i=1", t: 8*day - 1, v: 1})
	appendTo(t, s, "c", sample{series: "up,i=1", t: 1, v: 1})
	x := metric.NewBatch(metric.NewHasher(7))
	x.StartSeries(metric.EncodeLabels(nil, labelsOf("up,i=2")), 0)
	x.AddExemplar(metric.Exemplar{Timestamp: 8*day + 1, Value: 1})
	if rejected, err := s.Tenant("a").Append(t.Context(), x); err != nil || len(rejected) > 0 {
		t.Fatal(rejected, err)
	}

	check := func(a, names, tenants string, exemplars int) {
		t.Helper()
		if got := dump(t, s, "a", everything); got != a {
			t.Errorf("got\n%swant\n%s", got, a)
		}
		rd, err := s.Tenant("a").Reader(everything)
		if err != nil {
			t.Fatal(err)
		}
		list, err := rd.LabelValues(t.Context(), "i", store.Selection{})
		if got := strings.Join(list.Items, " "); err != nil || got != names {
			t.Errorf("values %q, want %q; %v", got, names, err)
		}
		if err := rd.Close(); err != nil {
			t.Fatal(err)
		}
		ids, err := s.Tenants(t.Context())
		if got := fmt.Sprint(ids); err != nil || got != tenants {
			t.Errorf("tenants %s, want %s; %v", got, tenants, err)
		}
		found, err := s.Tenant("a").Exemplars(t.Context(), everything, []store.Selection{{}})
		if err != nil || len(found) != exemplars {
			t.Errorf("%d series with exemplars, want %d; %v", len(found), exemplars, err)
		}
		c, err := s.Tenant("a").Cardinality(t.Context(), store.CardinalityQuery{Range: everything, Top: 1})
		if want := min(len(a), 1); err != nil || int(c.Series) != want {
			t.Errorf("%d series are counted, want %d; %v", c.Series, want, err)
		}
		wantDump(t, s, "b", everything, `{__name__="up", i="1"} 691199999 1 start=0`)
		wantDump(t, s, "c", everything, `{__name__="up", i="1"} 1 1 start=0`)
	}
	first, second := "{__name__=\"up\", i=\"2\"} 691200000 2 start=0\n", "{__name__=\"up\", i=\"2\"} 777600005 3 start=0\n"
	for range 2 { // In memory, and in partitions.
		*now = time.UnixMilli(10 * day)
		check(first+second, "2", "[a b c]", 1)
		*now = time.UnixMilli(10*day + 1)
		check(second, "2", "[a b c]", 1)
		*now = time.UnixMilli(10*day + 2)
		check(second, "2", "[a b c]", 0)
		*now = time.UnixMilli(11*day + 6)
		check("", "", "[a b c]", 0) // The exemplar is hidden, and there.
		// What was asked for lies wholly before what is kept.
		wantDump(t, s, "a", store.Range{Min: 8 * day, Max: 8 * day})
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("", "", "[b c]", 0)
}

// TestTenantRetentionReclaims has the space of a tenant go when it is a good part of a partition, and when all of it is old.
func TestTenantRetentionReclaims(t *testing.T) {
	dir := t.TempDir()
	s, now := shortLived(t, dir)
	partitions := func() []string {
		t.Helper()
		list, err := os.ReadDir(filepath.Join(dir, "partitions"))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range list {
			out = append(out, e.Name())
		}
		slices.Sort(out)
		return out
	}
	reclaim := func(want ...string) {
		t.Helper()
		if err := s.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, partitions()); diff != "" {
			t.Errorf("partitions (-want +got):\n%s", diff)
		}
	}
	for i := range 30 {
		series := fmt.Sprint("up,i=", i)
		if i < 2 {
			appendTo(t, s, "a", sample{series: series, t: 8 * day, v: 1}, sample{series: series, t: 9 * day, v: 1})
		}
		appendTo(t, s, "c", sample{series: series, t: 8 * day, v: 1})
		if i < 3 {
			appendTo(t, s, "c", sample{series: series, t: 9 * day, v: 1})
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := dump(t, s, "c", everything)
	reclaim("8.000001", "9.000002")
	*now = time.UnixMilli(11*day - 1)
	reclaim("8.000001", "9.000002") // A part of the day is kept.
	*now = time.UnixMilli(11 * day)
	reclaim("8.000001", "9.000002") // 2 of 32 series are not worth it.
	*now = time.UnixMilli(12 * day)
	reclaim("8.000001", "9.000003") // 2 of 5 are.
	reclaim("8.000001", "9.000003")
	wantDump(t, s, "a", everything)
	if got := dump(t, s, "c", everything); got != c {
		t.Errorf("got\n%swant\n%s", got, c)
	}
	closed(t, s)
	// Without the setting shows what is there still.
	s = openAt(t, dir)
	if got := dump(t, s, "a", everything); strings.Contains(got, fmt.Sprint(9*day)) || strings.Count(got, "\n") != 2 {
		t.Errorf("of a tenant is left:\n%s", got)
	}
	if got := dump(t, s, "c", everything); got != c {
		t.Errorf("got\n%swant\n%s", got, c)
	}
}
