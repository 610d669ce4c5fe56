package native_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// waiting is a source whose aggregations last until they are let go.
type waiting struct {
	native.Source
	started, letGo chan struct{}
}

func (w waiting) Tenant(id tenancy.ID) store.Tenant { return waitingTenant{w.Source.Tenant(id), w} }

type waitingTenant struct {
	store.Tenant
	w waiting
}

func (t waitingTenant) Aggregate(ctx context.Context, q store.Aggregation) (store.AggregateResult, error) {
	t.w.started <- struct{}{}
	<-t.w.letGo
	return t.Tenant.Aggregate(ctx, q)
}

// Queries that come while too many run wait for their turn, and are told when it does not come in time.
func TestConcurrentQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const body = `{"metric":"m","aggregation":"SUM","from":"now-1h"}`
		w := waiting{started: make(chan struct{}, 3), letGo: make(chan struct{})}
		f := newFixture(t, func(o *native.Options) {
			w.Source = o.Source
			o.Source, o.Limits.Concurrent, o.Limits.Timeout = w, 1, time.Minute
		})
		send := func() *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, "/luminate/v1/query", strings.NewReader(body))
			out := httptest.NewRecorder()
			f.router.ServeHTTP(out, r.WithContext(tenancy.NewContext(r.Context(), tenancy.Identity{Tenant: "a", Scopes: tenancy.All})))
			return out
		}
		done := make(chan struct{})
		go func() {
			send()
			close(done)
		}()
		<-w.started
		if got := send(); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "the limit set by query.max_concurrent") {
			t.Errorf("a second query: %d %s", got.Code, got.Body)
		}
		close(w.letGo)
		<-done
		// The turn was given back, also by the one that did not get any.
		if got := send(); got.Code != http.StatusOK || len(w.started) != 1 {
			t.Errorf("the query after it: %d %s", got.Code, got.Body)
		}
	})
}

func TestRegularExpressionsAreBounded(t *testing.T) {
	f := newFixture(t)
	filter := func(op, value string) string { return `{"dimension":"a","op":"` + op + `",` + value + `}` }
	ask := func(filters string) string {
		return `{"metric":"m","aggregation":"SUM","from":"now-1h","filters":[` + filters + `]}`
	}
	long := strings.Repeat("x", 9000)
	for _, one := range []string{filter("=~", `"value":"`+long+`"`), filter("!~", `"value":"`+long+`"`)} {
		w := f.do(http.MethodPost, "/luminate/v1/query", ask(strings.Repeat(one+",", 39)+one))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "more than 262144 bytes of regular expressions") {
			t.Errorf("status %d: %.300s", w.Code, w.Body)
		}
	}
	equal := filter("=", `"value":"`+long+`"`)
	if w := f.do(http.MethodPost, "/luminate/v1/query", ask(strings.Repeat(equal+",", 39)+equal)); w.Code != http.StatusOK {
		t.Errorf("status %d: %.300s", w.Code, w.Body)
	}
}
