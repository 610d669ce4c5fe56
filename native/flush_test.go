package native_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

const flushPath = "/luminate/v1/admin/flush"

// A recorder notes what it is asked for. A call blocks until it is let go, where that is asked for.
type recorder struct {
	calls                  []string
	flushError, sealsError error
	begun, letGo           chan struct{}
}

func (r *recorder) Flush(context.Context) error {
	r.calls = append(r.calls, "flush")
	if r.begun != nil {
		r.begun <- struct{}{}
		<-r.letGo
	}
	return r.flushError
}

func (r *recorder) Seal(context.Context) error {
	r.calls = append(r.calls, "compact")
	return r.sealsError
}

func withMaintenance(m native.Maintenance) func(*native.Options) {
	return func(o *native.Options) { o.Maintenance = m }
}

func TestFlush(t *testing.T) {
	full := fmt.Errorf("badger: flush: %w", store.ErrReadOnly)
	for _, c := range []struct {
		query  string
		rec    recorder
		status int
		calls  string
		detail string
	}{
		{"", recorder{}, 204, "flush", ""},
		{"?seal=false", recorder{}, 204, "flush", ""},
		{"?seal=true", recorder{}, 204, "flush compact", ""},
		{"?seal=yes", recorder{}, 400, "", "seal"},
		{"?seal", recorder{}, 400, "", "seal"},
		{"?seal=true&seal=true", recorder{}, 400, "", "once"},
		{"?compact=true", recorder{}, 400, "", "the only one is seal"},
		{"?seal=%zz", recorder{}, 400, "", "malformed"},
		{"?seal=true", recorder{flushError: full}, 503, "flush", "the disk is full"},
		{"?seal=true", recorder{sealsError: full}, 503, "flush compact", "the disk is full"},
		{"", recorder{flushError: context.Canceled}, 499, "flush", ""},
		{"", recorder{flushError: errors.New("table 7")}, 500, "flush", ""},
	} {
		w := newFixture(t, withMaintenance(&c.rec)).do(http.MethodPost, flushPath+c.query, "")
		if got := strings.Join(c.rec.calls, " "); w.Code != c.status || got != c.calls || !strings.Contains(w.Body.String(), c.detail) {
			t.Errorf("%q: status %d, want %d; calls %q, want %q; %s", c.query, w.Code, c.status, got, c.calls, w.Body)
		}
		if w.Code == 204 && w.Body.Len() > 0 {
			t.Errorf("%q: a body: %s", c.query, w.Body)
		}
	}
	if w := newFixture(t).do(http.MethodPost, flushPath+"?seal=true", ""); w.Code != 204 {
		t.Errorf("nothing to flush: status %d, %s", w.Code, w.Body)
	}
}

// A request that waits for another one's flush ends when its client goes away.
func TestFlushOneAtATime(t *testing.T) {
	rec := &recorder{begun: make(chan struct{}), letGo: make(chan struct{})}
	f := newFixture(t, withMaintenance(rec))
	first := httptest.NewRecorder()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.router.ServeHTTP(first, httptest.NewRequestWithContext(t.Context(), http.MethodPost, flushPath, nil))
	}()
	<-rec.begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w := f.send(httptest.NewRequestWithContext(ctx, http.MethodPost, flushPath, nil)); w.Code != 499 {
		t.Errorf("the second one: status %d, %s", w.Code, w.Body)
	}
	close(rec.letGo)
	<-ended
	if first.Code != 204 || len(rec.calls) != 1 {
		t.Errorf("the first one: status %d, calls %v", first.Code, rec.calls)
	}
}

// What is flushed and sealed is still there.
func TestFlushChangesNoAnswer(t *testing.T) {
	f := newFixture(t, func(o *native.Options) { o.Maintenance = o.Source.(source).st })
	f.wrote(fmt.Sprintf(`{"name":"kept","value":7,"timestamp":%d}`, noon))
	if w := f.do(http.MethodPost, flushPath+"?seal=true", "", "X-Scopes: "+tenancy.Admin.String()); w.Code != 204 {
		t.Fatalf("status %d, %s", w.Code, w.Body)
	}
	f.groups(fmt.Sprintf(`{"metric":"kept","aggregation":"SUM","from":%d,"to":%d}`, noon-1000, noon),
		fmt.Sprintf(`[{"dimensions":{},"values":{"SUM":[[%d,7]]}}]`, noon-1000))
}
