package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/tenancy"
)

// fill stores one sample and one exemplar of the series {__name__="up", of=tenant} for each tenant.
func fill(t *testing.T, st store.Store, tenants ...tenancy.ID) {
	t.Helper()
	for _, id := range tenants {
		b := metric.NewBatch(metric.NewHasher(1))
		b.StartSeries(metric.EncodeLabels(nil, labels.FromStrings("__name__", "up", "of", string(id))), 0)
		b.AddSample(metric.Sample{Timestamp: 1000, Value: 1})
		b.AddExemplar(metric.Exemplar{Timestamp: 1000, Value: 1})
		if rejected, err := st.Tenant(id).Append(context.Background(), b); err != nil || rejected != nil {
			t.Fatal(rejected, err)
		}
	}
}

// calls reads and deletes through every method that takes matchers and returns what each call saw or its error.
func calls(t *testing.T, v store.Tenant, ms ...*labels.Matcher) map[string]string {
	t.Helper()
	ctx := context.Background()
	sel := store.Selection{Matchers: ms}
	rd, err := v.Reader(store.AllTime())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rd.Close(); err != nil {
			t.Error(err)
		}
	}()
	out := map[string]string{}
	note := func(call string, saw []string, err error) {
		out[call] = strings.Join(saw, " ")
		if err != nil {
			out[call] = problem.Describe(err).Detail
			if problem.KindOf(err) != problem.Invalid {
				t.Errorf("%s: %v is no invalid request", call, err)
			}
		}
	}

	var saw []string
	set := rd.Select(ctx, sel)
	for set.Next() {
		saw = append(saw, set.At().Labels().Get("of"))
	}
	note("Select", saw, set.Err())

	saw = nil
	chunks := rd.SelectChunks(ctx, sel)
	for chunks.Next() {
		saw = append(saw, chunks.At().Labels().Get("of"))
	}
	note("SelectChunks", saw, chunks.Err())

	saw = nil
	series, err := rd.Series(ctx, sel)
	for _, ls := range series.Items {
		saw = append(saw, ls.Get("of"))
	}
	note("Series", saw, err)

	values, err := rd.LabelValues(ctx, "of", sel)
	note("LabelValues", values.Items, err)
	names, err := rd.LabelNames(ctx, sel)
	note("LabelNames", names.Items, err)

	saw = nil
	exemplars, err := v.Exemplars(ctx, store.AllTime(), []store.Selection{sel})
	for _, e := range exemplars {
		saw = append(saw, e.SeriesLabels.Get("of"))
	}
	note("Exemplars", saw, err)

	saw = nil
	groups, err := v.Aggregate(ctx, store.Aggregation{
		Range: store.Range{Min: 0, Max: 2000}, Selection: sel, Funcs: []store.Func{store.Count}, GroupBy: []string{"of", tenancy.Dimension},
	})
	for _, g := range groups.Groups {
		saw = append(saw, g.By.String())
	}
	note("Aggregate", saw, err)

	saw = nil
	cost, err := v.Cardinality(ctx, store.CardinalityQuery{Range: store.AllTime(), Selection: sel})
	for _, r := range cost.ByPair {
		if strings.HasPrefix(r.Key, "of=") {
			saw = append(saw, r.Key)
		}
	}
	note("Cardinality", saw, err)
	return out
}

func TestScopeSeesOneTenantOnly(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	defer st.Close()
	fill(t, st, "a", "ab")
	matcher := func(mt labels.MatchType, v string) *labels.Matcher {
		return labels.MustNewMatcher(mt, tenancy.Dimension, v)
	}
	own := map[string]string{
		"Select": "a", "SelectChunks": "a", "Series": "a", "LabelValues": "a", "LabelNames": "__name__ of", "Exemplars": "a",
		"Aggregate": `{of="a"}`, "Cardinality": "of=a",
	}
	for _, ms := range [][]*labels.Matcher{
		nil,
		{matcher(labels.MatchEqual, "a")},
		{matcher(labels.MatchRegexp, ".*")},
		{matcher(labels.MatchRegexp, "a|ab")},
		{matcher(labels.MatchNotEqual, "ab"), matcher(labels.MatchNotEqual, "")},
		{matcher(labels.MatchNotRegexp, "b")},
		{labels.MustNewMatcher(labels.MatchEqual, "__name__", "up"), matcher(labels.MatchEqual, "a")},
	} {
		if d := cmp.Diff(own, calls(t, store.Scope(st, "a"), ms...)); d != "" {
			t.Errorf("%v: %s", ms, d)
		}
	}
	for _, m := range []*labels.Matcher{
		matcher(labels.MatchEqual, "ab"), matcher(labels.MatchEqual, ""), matcher(labels.MatchRegexp, "ab.*"),
		matcher(labels.MatchNotEqual, "a"), matcher(labels.MatchNotRegexp, "a.*"),
	} {
		for call, got := range calls(t, store.Scope(st, "a"), m) {
			if !strings.Contains(got, "names a tenant that this request may not read") || !strings.Contains(got, `"a"`) {
				t.Errorf("%s with %s: %s", call, m, got)
			}
		}
	}
}

func TestScopedDelete(t *testing.T) {
	st := memory.New(memory.Options{Hasher: metric.NewHasher(1)})
	defer st.Close()
	fill(t, st, "a", "b")
	other := labels.MustNewMatcher(labels.MatchEqual, tenancy.Dimension, "b")
	if err := store.Scope(st, "a").Delete(context.Background(), store.AllTime(), store.Selection{Matchers: []*labels.Matcher{other}}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("deleting from another tenant: %v", err)
	}
	own := labels.MustNewMatcher(labels.MatchEqual, tenancy.Dimension, "a")
	if err := store.Scope(st, "a").Delete(context.Background(), store.AllTime(), store.Selection{Matchers: []*labels.Matcher{own}}); err != nil {
		t.Error(err)
	}
	if got := calls(t, store.Scope(st, "a"))["Select"]; got != "" {
		t.Errorf("the deleted series %q is still there", got)
	}
	if got := calls(t, store.Scope(st, "b"))["Select"]; got != "b" {
		t.Errorf("the other tenant has %q left", got)
	}
}

func TestFuncs(t *testing.T) {
	for _, f := range store.Funcs() {
		if got, err := store.ParseFunc(strings.ToLower(f.String())); err != nil || got != f {
			t.Errorf("ParseFunc(%s) = %v, %v", f, got, err)
		}
	}
	if _, err := store.ParseFunc("MEDIAN"); err == nil || !strings.Contains(err.Error(), "INTEGRAL") {
		t.Errorf("unknown function: %v", err)
	}
}

func TestSteps(t *testing.T) {
	f := func(s store.Steps, want int) {
		t.Helper()
		if got := s.Count(); got != want {
			t.Errorf("%+v has %d steps, want %d", s, got, want)
		}
	}
	f(store.Steps{Start: 0, End: 0, Step: 1}, 1)
	f(store.Steps{Start: -10, End: 10, Step: 5}, 5)
	f(store.Steps{Start: 0, End: 9, Step: 5}, 2)
	f(store.Steps{Start: 1, End: 0, Step: 5}, 0)
}
