package native_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	apiReference = "../docs/guides/api-reference.md"
	dataModel    = "../docs/architecture/data-model.md"
)

// golden compares a page with what it should be. LUMINATE_REWRITE=1 writes it anew.
func golden(t *testing.T, path string, rewrite func(string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := rewrite(string(text))
	if want == string(text) {
		return
	}
	if os.Getenv("LUMINATE_REWRITE") == "" {
		t.Errorf("%s is not up to date: run LUMINATE_REWRITE=1 go test ./native (-page +program)\n%s", path, cmp.Diff(string(text), want))
		return
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// between replaces what stands between <!-- name --> and <!-- /name -->.
func between(t *testing.T, page, name, content string) string {
	t.Helper()
	open, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(page, open)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("the page has no part %q", name)
	}
	return before + open + content + end + after
}

var (
	block    = regexp.MustCompile("(?s)```http\n(.*?)```\n\n```http\n(.*?)```")
	duration = regexp.MustCompile(`"duration_ms": 0\b`)
)

// TestAPIReference sends the examples of the page, in their order, and wants the answers that stand there.
func TestAPIReference(t *testing.T) {
	f := newFixture(t)
	golden(t, apiReference, func(page string) string {
		if n := len(block.FindAllString(page, -1)); n < 13 {
			t.Errorf("only %d examples were found", n)
		}
		page = block.ReplaceAllStringFunc(page, func(pair string) string {
			request := block.FindStringSubmatch(pair)[1]
			return "```http\n" + request + "```\n\n```http\n" + f.exchange(request) + "```"
		})
		return between(t, page, "codes", codes())
	})
}

// exchange sends a request as it stands in a page and returns the answer as it should stand there.
func (f *fixture) exchange(request string) string {
	f.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	line, headers, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\n")
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(strings.TrimSuffix(body, "\n")))
	s := bufio.NewScanner(strings.NewReader(headers))
	for s.Scan() {
		name, value, _ := strings.Cut(s.Text(), ": ")
		r.Header.Set(name, value)
	}
	w := f.send(r)
	answer := layout(f.T, w.Body.Bytes())
	// The tests' clock stands still.
	answer = duration.ReplaceAllString(answer, `"duration_ms": 3.1`)
	return fmt.Sprintf("HTTP/1.1 %d %s\nContent-Type: %s\n\n%s\n", w.Code, http.StatusText(w.Code), w.Header().Get("Content-Type"), answer)
}

var points = regexp.MustCompile(`\[\s+(\d+),\s+([^\s\]]+)\s+\]`)

// layout indents JSON, and keeps each point on one line.
func layout(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	out := points.ReplaceAllString(b.String(), "[$1, $2]")
	// Objects of one line read better.
	short := regexp.MustCompile(`\{\s+("[a-z]+": [^{}\[\]\n]+(?:,\s+"[a-z_]+": [^{}\[\]\n]+)*)\s+\}`)
	return short.ReplaceAllStringFunc(out, func(object string) string {
		if joined := strings.Join(strings.Fields(object), " "); len(joined) < 100 {
			return strings.NewReplacer("{ ", "{", " }", "}").Replace(joined)
		}
		return object
	})
}

// codes is the table of error codes.
func codes() string {
	advice := map[problem.Kind]string{
		problem.Internal:         "a bug, or a failure of ours that the server's log explains",
		problem.Invalid:          "correct the request as the detail says; sending it again gives the same answer",
		problem.Unauthenticated:  "send a valid token or tenant header",
		problem.Forbidden:        "use a token with the scope and the tenant",
		problem.NotFound:         "nothing has this name in the range",
		problem.MethodNotAllowed: "see the header Allow",
		problem.NotAcceptable:    "accept what is spoken here",
		problem.TooLarge:         "send smaller requests, or raise the limit that is named",
		problem.UnsupportedMedia: "use the content type or encoding that is named",
		problem.Execution:        "ask for less, or raise the limit that is named",
		problem.QuotaExceeded:    "the tenant's own quota: wait for Retry-After; nothing was stored",
		problem.Canceled:         "the client went away",
		problem.Unavailable:      "wait for Retry-After and send it again; a write may be repeated without harm",
		problem.Timeout:          "ask for less, or send it again later",
	}
	var b strings.Builder
	b.WriteString("| status | `code` | what to do |\n|---|---|---|\n")
	for k := problem.Internal; k <= problem.Timeout; k++ {
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", k.Status(), k, advice[k])
	}
	return b.String()
}

// TestDataModel compares the tables of the page with the code.
func TestDataModel(t *testing.T) {
	golden(t, dataModel, func(page string) string {
		page = between(t, page, "profiles", profiles())
		return between(t, page, "reasons", reasons(t))
	})
}

func reasons(t *testing.T) string {
	t.Helper()
	explained := map[metric.Reason]string{
		metric.InvalidName:       "the name of a metric or dimension breaks the syntax of the profile, is too long, or is missing",
		metric.InvalidValue:      "the value of a dimension is too long or is not UTF-8",
		metric.DuplicateName:     "a dimension occurs twice",
		metric.ReservedName:      "`_tenant_id`, which only the server may set, or `__name__` as a dimension of the native API",
		metric.TooManyDimensions: "more dimensions than the profile allows",
		metric.TimestampTooOld:   "before the window of the profile; often seconds that should be milliseconds",
		metric.TimestampTooNew:   "after the window of the profile; often microseconds, or a clock that is wrong",
		metric.ValueNotFinite:    "NaN, an infinity, or a number too large for 64 bits, in the native API",
		metric.InvalidHistogram:  "the parts of a native histogram do not fit together",
		metric.InvalidExemplar:   "an exemplar without a timestamp, or with labels that are too long or not UTF-8",
		metric.InvalidSymbols:    "remote write 2.0 refers to a symbol that is not there",
		metric.MixedSeries:       "samples and histograms in one series of a remote write 2.0 request",
		metric.EmptySeries:       "a series with nothing to store",
		metric.Malformed:         "what can't be understood: a field that is missing, unknown, twice there, or of another type",
		metric.PastRetention:     "older than what is kept",
		metric.SeriesLimit:       "a new series over the tenant's limit; known series are stored",
		metric.MetadataLimit:     "metadata over the tenant's limit, `storage.max_metadata_bytes`; what is known stays, and samples are stored",
		metric.Unsupported:       "something that the store can't keep",
	}
	var b strings.Builder
	b.WriteString("| reason | what was refused |\n|---|---|\n")
	for _, r := range metric.Reasons {
		if explained[r] == "" {
			t.Errorf("reason %q has no explanation", r)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", r, explained[r])
	}
	return b.String()
}

// profiles is the table of what the two profiles take.
func profiles() string {
	strict, prom := metric.StrictRules(tenancy.Dimension), metric.PrometheusRules(tenancy.Dimension)
	var b strings.Builder
	b.WriteString("| | native JSON | Prometheus |\n|---|---|---|\n")
	row := func(what string, of func(metric.Rules) string) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", what, of(strict), of(prom))
	}
	pick := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	window := func(d time.Duration) string { return pick(d > 0, d.String(), "no limit") }
	row("names", func(r metric.Rules) string { return pick(r.UTF8Names, "any UTF-8", "`^[a-zA-Z_][a-zA-Z0-9_]*$`") })
	row("longest name, in bytes", func(r metric.Rules) string { return fmt.Sprint(r.MaxNameLength) })
	row("longest dimension value, in bytes", func(r metric.Rules) string { return fmt.Sprint(r.MaxValueLength) })
	row("most dimensions, the name not counted", func(r metric.Rules) string { return fmt.Sprint(r.MaxDimensions) })
	row("values", func(r metric.Rules) string {
		return pick(r.FiniteOnly, "finite", "all, NaN and stale markers to the bit")
	})
	row("how far in the past", func(r metric.Rules) string { return window(r.MaxAge) })
	row("how far in the future", func(r metric.Rules) string { return window(r.MaxAhead) })
	return b.String()
}
