package exporter_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/exporter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func fixed() time.Time { return time.Unix(1_800_000_000, 0) }

func TestSameScrapesSameAnswers(t *testing.T) {
	a, b := exporter.New(fixed), exporter.New(fixed)
	for i := range 3 * exporter.ResetEvery {
		if got, want := scrape(t, a), scrape(t, b); got != want {
			t.Fatalf("scrape %d: two exporters differ:\n%s\n%s", i, got, want)
		}
	}
}

func TestShowsEveryKind(t *testing.T) {
	text := scrape(t, exporter.New(fixed))
	for _, want := range []string{
		`exporter_requests_total{code="200",method="GET"} 1.0 # {trace_id="GET-200-1"} 1.0`,
		`exporter_special{kind="nan"} NaN`,
		`exporter_special{kind="negative_inf"} -Inf`,
		`exporter_special{kind="max_int"} 9.007199254740991e+15`,
		`{"exporter.utf8 name with spaces","größe"="b","label.with.dots"="a"} 1.0`,
		`exporter_odd_values{value="two\nlines"} 2.0`,
		`exporter_classic_seconds_bucket{path="/",le="0.1"}`,
		`exporter_summary_seconds{path="/",quantile="0.99"} NaN`,
		`exporter_goes_away 1.0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestCountersBeginAgain(t *testing.T) {
	e := exporter.New(fixed)
	for range exporter.ResetEvery {
		scrape(t, e)
	}
	if text := scrape(t, e); !strings.Contains(text, `exporter_requests_total{code="200",method="GET"} 1.0 `) {
		t.Errorf("no reset after %d scrapes:\n%s", e.Scrapes(), text)
	}
}

func TestHide(t *testing.T) {
	e := exporter.New(fixed)
	e.Hide(true)
	if strings.Contains(scrape(t, e), "\nexporter_goes_away ") {
		t.Error("exporter_goes_away is still there after Hide(true)")
	}
	e.Hide(false)
	if !strings.Contains(scrape(t, e), "\nexporter_goes_away ") {
		t.Error("exporter_goes_away did not come back after Hide(false)")
	}
}
