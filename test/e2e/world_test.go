package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
)

// A real Prometheus writes with both protocols at once; Luminate answers as that Prometheus does, and so does a second
// Prometheus that reads from Luminate.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for tenant, l := range w.luminate {
		t.Run(tenant, func(t *testing.T) {
			t.Run("expressions", func(t *testing.T) { w.compareExpressions(t, tenant, l) })
			t.Run("lists", func(t *testing.T) { w.compareLists(t, tenant, l) })
			t.Run("stale", func(t *testing.T) { w.compareStale(t, l) })
			t.Run("metadata", func(t *testing.T) { w.compareMetadata(t, tenant, l) })
			t.Run("exemplars", func(t *testing.T) { w.compareExemplars(t, l) })
			t.Run("remote read", func(t *testing.T) { w.compareExpressions(t, tenant, reader(t, l)) })
		})
	}
}

// reader returns a client of a Prometheus that has nothing of its own and reads from the server of l.
func reader(t *testing.T, l *client.Client) *client.Client {
	t.Helper()
	config := fmt.Sprintf("remote_read:\n- url: %s/api/v1/read\n  read_recent: true\n  headers: {X-Scope-OrgID: %s}\n", l.Base, l.Tenant)
	return newClient(t, startPrometheus(t, t.TempDir(), config, flags()...).URL(), "")
}

// compareStale checks that a series which its exporter no longer shows vanishes at once, though it has samples within
// the lookback.
func (w *world) compareStale(t *testing.T, l *client.Client) {
	t.Helper()
	count := func(expr string) int {
		t.Helper()
		streams, err := must(t)(l.Query(t.Context(), expr, w.at)).Streams()
		if err != nil {
			t.Fatal(err)
		}
		return len(streams)
	}
	if n := count(`count_over_time(exporter_goes_away{job="exporter"}[2m])`); n != 1 {
		t.Errorf("the series that went away has samples in %d series: want 1", n)
	}
	if n := count(`exporter_goes_away{job="exporter"}`); n != 0 {
		t.Errorf("the series that went away is still there, %d times", n)
	}
}

// compareMetadata checks type and help of the exporter's metrics. Remote write 2.0 carries them by series, so only the
// metrics without parts are looked at.
func (w *world) compareMetadata(t *testing.T, tenant string, l *client.Client) {
	t.Helper()
	type entry struct{ Type, Help, Unit string }
	read := func(c *client.Client) map[string][]entry {
		var m struct{ Data map[string][]entry }
		r := must(t)(c.Get(t.Context(), "/api/v1/metadata", nil))
		if err := json.Unmarshal(r.Body, &m); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		return m.Data
	}
	want := read(w.prometheus)
	eventually(t, 10*time.Second, func(context.Context) error {
		got := read(l)
		for name, entries := range want {
			whole := entries[0].Type == "counter" || entries[0].Type == "gauge"
			if !strings.HasPrefix(name, "exporter_") || tenant == "two" && !whole {
				continue
			}
			if len(got[name]) == 0 || got[name][0] != entries[0] {
				return fmt.Errorf("metadata of %s: want %+v, got %+v", name, entries, got[name])
			}
		}
		return nil
	})
}
