package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/problem"
)

func TestKindOf(t *testing.T) {
	f := func(err error, want problem.Kind) {
		t.Helper()
		if got := problem.KindOf(err); got != want {
			t.Errorf("KindOf(%v) = %v, want %v", err, got, want)
		}
	}
	f(errors.New("x"), problem.Internal)
	f(context.Canceled, problem.Canceled)
	f(fmt.Errorf("badger: select: %w", context.DeadlineExceeded), problem.Timeout)
	f(problem.New(problem.NotFound, "no"), problem.NotFound)
	f(fmt.Errorf("op: %w", problem.New(problem.TooLarge, "big")), problem.TooLarge)
	f(problem.Wrap(problem.Unavailable, context.Canceled, "closing"), problem.Unavailable)
	f(kinded{}, problem.Execution)
}

type kinded struct{}

func (kinded) Error() string      { return "k" }
func (kinded) Kind() problem.Kind { return problem.Execution }

func TestStatuses(t *testing.T) {
	f := func(k problem.Kind, status int, prometheus string) {
		t.Helper()
		if k.Status() != status || k.PrometheusType() != prometheus || k.Title() == "" || k.String() == "" {
			t.Errorf("%v: status %d, type %q; want %d, %q", k, k.Status(), k.PrometheusType(), status, prometheus)
		}
	}
	f(problem.Internal, 500, "internal")
	f(problem.Invalid, 400, "bad_data")
	f(problem.Unauthenticated, 401, "unauthorized")
	f(problem.Forbidden, 403, "forbidden")
	f(problem.NotFound, 404, "not_found")
	f(problem.MethodNotAllowed, 405, "bad_data")
	f(problem.NotAcceptable, 406, "not_acceptable")
	f(problem.TooLarge, 413, "bad_data")
	f(problem.UnsupportedMedia, 415, "bad_data")
	f(problem.Execution, 422, "execution")
	f(problem.QuotaExceeded, 429, "too_many_requests")
	f(problem.Canceled, 499, "canceled")
	f(problem.Unavailable, 503, "unavailable")
	f(problem.Timeout, 503, "timeout")
}

func TestInternalErrorsStayInside(t *testing.T) {
	secret := errors.New("open /var/lib/luminate/key: permission denied")
	for _, write := range []func(*httptest.ResponseRecorder){
		func(w *httptest.ResponseRecorder) { problem.WritePrometheus(w, secret) },
		func(w *httptest.ResponseRecorder) { problem.WriteText(w, secret) },
		func(w *httptest.ResponseRecorder) { problem.WriteProblem(w, secret, nil) },
	} {
		w := httptest.NewRecorder()
		write(w)
		if w.Code != 500 || strings.Contains(w.Body.String(), "key") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestCauseIsForTheLogOnly(t *testing.T) {
	err := fmt.Errorf("append: %w", problem.Wrap(problem.Unavailable, errors.New("EIO on sda"), "the disk failed"))
	if d := problem.Describe(err); d.Detail != "the disk failed" || d.Status != 503 {
		t.Errorf("Describe = %+v", d)
	}
	if want := "append: the disk failed: EIO on sda"; err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
}

func TestRetryAfter(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		problem.WriteText(w, err)
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After %q, want %q", err, got, want)
		}
	}
	f(problem.New(problem.Unavailable, "full"), "5")
	f(&problem.Error{Of: problem.QuotaExceeded, Detail: "rate", RetryAfter: 1100 * time.Millisecond}, "2")
	f(problem.New(problem.Invalid, "bad"), "")
	f(problem.New(problem.Timeout, "slow"), "")
}

func TestWritePrometheus(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Encoding", "gzip")
	problem.WritePrometheus(w, problem.New(problem.Execution, "too many samples"))
	want := `{"status":"error","errorType":"execution","error":"too many samples"}` + "\n"
	if w.Code != 422 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestWriteProblem(t *testing.T) {
	f := func(err error, extra map[string]any, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		problem.WriteProblem(w, err, extra)
		if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
			t.Errorf("content type %q", ct)
		}
		var got, exp any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(want), &exp); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(exp, got); d != "" {
			t.Error(d)
		}
	}
	f(problem.New(problem.Invalid, "bad step"), nil,
		`{"type":"about:blank","title":"Invalid request","status":400,"detail":"bad step","code":"invalid"}`)
	f(problem.New(problem.Invalid, "part"), map[string]any{"accepted": 2},
		`{"type":"about:blank","title":"Invalid request","status":400,"detail":"part","code":"invalid","accepted":2}`)
	limited := &problem.Error{
		Of: problem.QuotaExceeded, Detail: "too fast", RetryAfter: 3 * time.Second,
		Limit: &problem.Limit{Name: "samples per second", Max: 10, Observed: 12, Setting: "limits.samples_per_second"},
	}
	want := `{"type":"about:blank","title":"Quota exceeded","status":429,"detail":"too fast","code":"quota_exceeded","retry_after":3,
		"limit":{"name":"samples per second","max":10,"observed":12,"setting":"limits.samples_per_second"}%s}`
	f(limited, nil, fmt.Sprintf(want, ""))
	f(limited, map[string]any{"accepted": 0}, fmt.Sprintf(want, `,"accepted":0`))
}

func TestUnauthenticatedNamesTheScheme(t *testing.T) {
	w := httptest.NewRecorder()
	problem.WriteProblem(w, problem.New(problem.Unauthenticated, "no token"), nil)
	if got := w.Header().Get("WWW-Authenticate"); got != `Bearer realm="luminate"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
}
