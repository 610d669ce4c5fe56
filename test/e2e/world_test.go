package e2e_test

import (
	"fmt"
	"testing"

	"github.com/luminate-metrics/luminate/test/client"
)

// A real Prometheus writes with both protocols at once; Luminate answers as that Prometheus does, and so does a second
// Prometheus that reads from Luminate.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for tenant, l := range w.luminate {
		t.Run(tenant, func(t *testing.T) {
			exprs := carried(tenant, expressions(t))
			t.Run("expressions", func(t *testing.T) { w.compareExpressions(t, l, exprs) })
			t.Run("lists", func(t *testing.T) { w.compareLists(t, tenant, l) })
			t.Run("stale", func(t *testing.T) { w.compareStale(t, l) })
			t.Run("marker", func(t *testing.T) { w.compareMarker(t, l) })
			if tenant == "one" {
				t.Run("metadata", func(t *testing.T) { w.compareMetadata(t, l) })
			}
			t.Run("exemplars", func(t *testing.T) { w.compareExemplars(t, l) })
			t.Run("remote read", func(t *testing.T) { w.compareExpressions(t, reader(t, l), readable(exprs)) })
		})
	}
}

// reader returns a client of a Prometheus that has nothing of its own and reads from the server of l.
func reader(t *testing.T, l *client.Client) *client.Client {
	t.Helper()
	config := fmt.Sprintf("remote_read:\n- url: %s/api/v1/read\n  read_recent: true\n  headers: {X-Scope-OrgID: %s}\n", l.Base, l.Tenant)
	return newClient(t, startPrometheus(t, t.TempDir(), config, flags()...).URL(), "")
}
