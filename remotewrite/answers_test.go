package remotewrite_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/remotewrite"
	"github.com/luminate-metrics/luminate/store"
)

func TestW08NoContent(t *testing.T) {
	r := newRig(t)
	if a := r.v1(named("up", at(0, 1))).is(t, 204); a.header.Get("Content-Type") != "" {
		t.Errorf("204 with Content-Type %q", a.header.Get("Content-Type"))
	}
	q := newV2()
	q.add(name("up"), atV2(1, 2))
	r.v2(q.done()).is(t, 204)
	// Nothing at all is written as a whole, too.
	r.v1().is(t, 204)
	r.v2(&writev2.Request{}).is(t, 204).wrote(t, 0, 0, 0)
	r.v2(&writev2.Request{Symbols: []string{""}}).is(t, 204).wrote(t, 0, 0, 0)
	r.holds(`{__name__="up"} @0 1`, `{__name__="up"} @1 2`)
}

func TestW09WrittenHeaders(t *testing.T) {
	r := newRig(t)
	q := newV2()
	q.add(name("a"), atV2(0, 1), atV2(1, 2), atV2(2, 3))
	q.add(name("h")).Histograms = []writev2.Histogram{histogramV2(0), histogramV2(1)}
	q.add(name("a"), atV2(3, 4)).Exemplars = []writev2.Exemplar{{LabelsRefs: q.refs("trace_id", "1"), Value: 1, Timestamp: now}}
	r.v2(q.done()).is(t, 204).wrote(t, 4, 2, 1)

	q = newV2()
	q.add(name("a"), atV2(4, 1), atV2(3_600_000, 2)) // One of them too far ahead.
	q.add(nil, atV2(0, 1))                           // No name.
	r.v2(q.done()).is(t, 400).wrote(t, 1, 0, 0)

	for _, err := range []error{store.ErrUnavailable, errQuota, errors.New("disk on fire")} {
		failed := newRig(t, failWith(err))
		a := failed.v2(q.done()).wrote(t, 0, 0, 0)
		if a.status < 400 {
			t.Errorf("%v: status %d", err, a.status)
		}
	}
}

func TestW10DuplicateCounts(t *testing.T) {
	r := newRig(t)
	q := newV2()
	q.add(name("a"), atV2(0, 1), atV2(1, 2)).Exemplars = []writev2.Exemplar{{Value: 1, Timestamp: now}}
	q.add(name("h")).Histograms = []writev2.Histogram{histogramV2(0)}
	body := q.done()
	for range 3 {
		r.v2(body).is(t, 204).wrote(t, 2, 1, 1)
	}
	if n := len(r.stored(team)); n != 3 {
		t.Errorf("%d samples are stored, want 3: %q", n, r.stored(team))
	}
	if n := len(r.exemplars()); n != 1 {
		t.Errorf("%d exemplars are stored, want 1", n)
	}
	// Another value for the same time replaces the first.
	q = newV2()
	q.add(name("a"), atV2(0, 9))
	r.v2(q.done()).is(t, 204).wrote(t, 1, 0, 0)
	if got := r.stored(team)[0]; got != `{__name__="a"} @0 9` {
		t.Errorf("stored %s", got)
	}
}

func TestW11NoHeadersForV1(t *testing.T) {
	r := newRig(t)
	r.v1(named("up", at(0, 1))).is(t, 204).wroteNothingSaid(t)
	r.v1(series(nil, at(0, 1))).is(t, 400).wroteNothingSaid(t)
	r.send([]byte("rubbish")).is(t, 400).wroteNothingSaid(t)
	failed := newRig(t, failWith(store.ErrUnavailable))
	failed.v1(named("up", at(0, 1))).is(t, 503).wroteNothingSaid(t)
}

func TestW12TextOfPartialWrites(t *testing.T) {
	r := newRig(t)
	var all []prompb.TimeSeries
	for i := range 500 {
		all = append(all,
			series([]string{"__name__", "up", "_tenant_id", fmt.Sprint(i)}, at(0, 1), at(1, 1)),
			series([]string{"__name__", "up", "a", "1", "a", strings.Repeat("long", 100)}, at(0, 1)),
			named("future", at(7_200_000, 1)),
			named(fmt.Sprintf("good_%03d", i), at(0, 1)))
	}
	a := r.v1(all...).is(t, 400,
		"partial write: stored 500 samples; refused for good 2000 samples",
		"reserved_dimension: 1000 samples of 500 series, such as series 0: dimension \"_tenant_id\"",
		"duplicate_dimension: 500 samples of 500 series",
		"timestamp_too_new: 500 samples of 500 series")
	if len(a.body) > 1024 {
		t.Errorf("the text has %d bytes: senders show 1024", len(a.body))
	}
	if n := len(r.stored(team)); n != 500 {
		t.Errorf("%d samples are stored, want 500", n)
	}
}

// However many reasons there are and however long their details, the text is short and names all reasons that fit.
func TestW12TextIsCapped(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 1000)
	q := newV2()
	q.add([]string{"__name__", "a", long, "v", long, "w"}, atV2(0, 1))
	q.add([]string{"__name__", "a", strings.Repeat("y", 1024), strings.Repeat("z", 20000)}, atV2(0, 1))
	q.add([]string{"__name__", "a", "_tenant_id", "b"}, atV2(0, 1))
	q.add([]string{"__name__", "a", "b", "\xff"}, atV2(0, 1))
	q.add(nil, atV2(0, 1))
	q.add(name("late"), atV2(7_200_000, 1))
	q.add(name("empty"))
	q.add(name("mixed"), atV2(0, 1)).Histograms = []writev2.Histogram{histogramV2(0)}
	q.add(name("odd"), atV2(0, 1)).LabelsRefs = []uint32{1}
	bad := histogramV2(0)
	bad.Count = &writev2.Histogram_CountInt{CountInt: 99}
	q.add(name("bad")).Histograms = []writev2.Histogram{bad}
	q.add(name("dup"), atV2(0, 1)).Exemplars = []writev2.Exemplar{{LabelsRefs: q.refs("a", "1", "a", "2"), Timestamp: now}}
	a := r.v2(q.done()).is(t, 400, "invalid_symbol_reference").wrote(t, 1, 0, 0)
	if len(a.body) > 1024 {
		t.Errorf("the text has %d bytes: senders show 1024", len(a.body))
	}
	for _, reason := range []metric.Reason{metric.DuplicateName, metric.MixedSeries, metric.EmptySeries, metric.InvalidExemplar} {
		if !strings.Contains(a.body, string(reason)) {
			t.Errorf("the text does not name %s: %s", reason, a.body)
		}
	}
}

func TestW13PartialWrite(t *testing.T) {
	r := newRig(t)
	r.v1(named("a", at(0, 1)), series([]string{"job", "x"}, at(0, 1)), named("b", at(0, 2), at(3_600_000, 3))).is(t, 400)
	q := newV2()
	q.add(name("c"), atV2(0, 1))
	q.add([]string{"job", "x"}, atV2(0, 1))
	q.add(name("d"), atV2(0, 2), atV2(3_600_000, 3))
	r.v2(q.done()).is(t, 400).wrote(t, 2, 0, 0)
	r.holds(`{__name__="a"} @0 1`, `{__name__="b"} @0 2`, `{__name__="c"} @0 1`, `{__name__="d"} @0 2`)
}

// A 5xx may come after the data is stored. The same request once more ends in the same samples.
func TestW13RetryAfterFailure(t *testing.T) {
	r := newRig(t, func(o *remotewrite.Options) { o.Sink = &forgetful{Sink: o.Sink} })
	q := newV2()
	q.add(name("a"), atV2(0, 1), atV2(1, 2))
	body := q.done()
	r.v2(body).is(t, 503).wrote(t, 0, 0, 0)
	r.v2(body).is(t, 204).wrote(t, 2, 0, 0)
	r.holds(`{__name__="a"} @0 1`, `{__name__="a"} @1 2`)
}

func TestW14StatusByCause(t *testing.T) {
	quota := *errQuota
	for _, c := range []struct {
		err    error
		status int
		retry  string
		text   string
	}{
		{store.ErrUnavailable, 503, "5", "try again later"},
		{store.ErrClosed, 503, "5", "shutting down"},
		{fmt.Errorf("ingest: append: %w", &problem.Error{Of: problem.Unavailable, Detail: "the disk is full", RetryAfter: time.Minute}), 503, "60", "disk is full"},
		{&quota, 429, "7", "limits.rate"},
		{errors.New("secret path /var/lib"), 500, "", "internal error"},
	} {
		r := newRig(t, failWith(c.err))
		q := newV2()
		q.add(name("a"), atV2(0, 1))
		a := r.v2(q.done()).is(t, c.status, c.text).wrote(t, 0, 0, 0)
		if got := a.header.Get("Retry-After"); got != c.retry {
			t.Errorf("%v: Retry-After %q, want %q", c.err, got, c.retry)
		}
		r.v1(named("a", at(0, 1))).is(t, c.status, c.text).wroteNothingSaid(t)
		if strings.Contains(a.body, "secret") {
			t.Errorf("the answer tells %q", a.body)
		}
	}
}

// Without an authenticator in front nothing is taken, and the body is not looked at.
func TestW14NoTenant(t *testing.T) {
	r := newRig(t)
	var handler http.Handler
	remotewrite.New(remotewrite.Options{}).Register(func(_, _ string, _ tenantScopes, h http.Handler) { handler = h })
	server := newServer(t, handler)
	r.base = server
	r.v1(named("a", at(0, 1))).is(t, 401)
}

func TestW15SeriesLimit(t *testing.T) {
	r := newRig(t, func(o *remotewrite.Options) { o.Sink = rejecting{o.Sink, metric.SeriesLimit} })
	q := newV2()
	q.add(name("known"), atV2(0, 1))
	q.add(name("new"), atV2(0, 1), atV2(1, 1))
	a := r.v2(q.done()).is(t, 400, "series_limit: 2 samples of 1 series, such as series 1: tenant has 10 of 10 series (limits.series)").wrote(t, 1, 0, 0)
	if a.header.Get("Retry-After") != "" {
		t.Error("a permanent refusal asks for a retry")
	}
	r.holds(`{__name__="known"} @0 1`)
}

func TestW16Timeout(t *testing.T) {
	if remotewrite.DefaultTimeout >= 30*time.Second {
		t.Errorf("the default of %v is not below the remote_timeout of senders", remotewrite.DefaultTimeout)
	}
	r := newRig(t, failWith(nil), func(o *remotewrite.Options) { o.Timeout = time.Millisecond })
	q := newV2()
	q.add(name("a"), atV2(0, 1))
	a := r.v2(q.done()).is(t, 503, "within 1ms").wrote(t, 0, 0, 0)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
