package promql_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/memory"
	"github.com/luminate-metrics/luminate/store/storetest"
)

// adapted is a store as upstream's storage, which is read through the Queryable.
type adapted struct {
	storage.Storage
	reads *promql.Queryable
}

func (a adapted) Tenant() store.Tenant { return a.reads.Tenant() }

func (a adapted) Querier(mint, maxt int64) (storage.Querier, error) {
	return a.reads.Querier(mint, maxt)
}

// TestQ27Corpus runs all scripts of upstream through this package's engine, planner and adapter. The conformance suite runs
// them against each backend; with both, nothing stands between a script and a backend that is not tested.
func TestQ27Corpus(t *testing.T) {
	o := promql.Options{
		Limits:     promql.Limits{MaxSamples: promqltest.DefaultMaxSamplesPerQuery},
		Language:   promql.Language{DelayedNameRemoval: true, UseStartTimestamps: true},
		Registerer: prometheus.NewRegistry(),
	}
	run := func(t *testing.T, engine promengine.QueryEngine) {
		t.Helper()
		promqltest.RunBuiltinTestsWithStorage(t, engine, func(testing.TB) storage.Storage {
			var st store.Store = memory.New(memory.Options{Hasher: storetest.Hasher()})
			return adapted{storetest.Bridge(st, tenant), promql.NewQueryable(store.Scope(st, tenant))}
		})
	}
	engine := promql.NewEngine(o)
	t.Run("engine", func(t *testing.T) { run(t, engine) })
	reg := prometheus.NewRegistry()
	o.Registerer = reg
	t.Run("planner", func(t *testing.T) { run(t, promql.NewPlanner(engine, o)) })
	if n := plannedParts(t, reg); n["evaluated"] < 2000 {
		t.Errorf("parts %v: too few were evaluated", n)
	}
}
