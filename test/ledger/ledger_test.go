package ledger_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server takes one request of remote write 1.0 and answers queries with what edit makes of its samples.
type server struct {
	t       *testing.T
	edit    func([]prompb.Sample) []prompb.Sample
	index   string // Further series of the index.
	written prompb.WriteRequest
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	var out []string
	switch r.URL.Path {
	case "/api/v1/write":
		raw, err := snappy.Decode(nil, body)
		if err == nil {
			err = s.written.Unmarshal(raw)
		}
		if err != nil {
			s.t.Error(err)
		}
	case "/api/v1/query":
		for i, series := range s.written.Timeseries {
			samples := series.Samples
			if i == 0 {
				samples = s.edit(samples)
			}
			var values []string
			for _, v := range samples {
				values = append(values, fmt.Sprintf(`[%d.%03d,"%v"]`, v.Timestamp/1000, v.Timestamp%1000, v.Value))
			}
			out = append(out, fmt.Sprintf(`{"metric":%s,"values":[%s]}`, labelsOf(series), strings.Join(values, ",")))
		}
		fmt.Fprintf(w, `{"status":"success","data":{"result":[%s]}}`, strings.Join(out, ","))
	case "/api/v1/series":
		for _, series := range s.written.Timeseries {
			out = append(out, labelsOf(series))
		}
		fmt.Fprintf(w, `{"status":"success","data":[%s]}`, strings.Join(out, ",")+s.index)
	}
}

func labelsOf(s prompb.TimeSeries) string {
	var pairs []string
	for _, l := range s.Labels {
		pairs = append(pairs, fmt.Sprintf("%q:%q", l.Name, l.Value))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func TestCompare(t *testing.T) {
	same := func(s []prompb.Sample) []prompb.Sample { return s }
	for name, c := range map[string]struct {
		edit  func([]prompb.Sample) []prompb.Sample
		index string
		want  string // In the error; "" for none.
	}{
		"all there": {edit: same},
		"lost":      {edit: func(s []prompb.Sample) []prompb.Sample { return s[1:] }, want: "1 samples are lost"},
		"wrong": {edit: func(s []prompb.Sample) []prompb.Sample {
			return append([]prompb.Sample{{Timestamp: s[0].Timestamp, Value: -1}}, s[1:]...)
		}, want: "1 samples are wrong"},
		"invented": {edit: func(s []prompb.Sample) []prompb.Sample {
			return append([]prompb.Sample{{Timestamp: 7}}, s...)
		}, want: "1 samples are invented"},
		"twice":           {edit: func(s []prompb.Sample) []prompb.Sample { return append(s[:1:1], s...) }, want: "1 samples are twice there"},
		"invented series": {edit: same, index: `,{"__name__":"ghost"}`, want: "ghost"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(&server{t: t, edit: c.edit, index: c.index})
			defer s.Close()
			l := ledger.New("a")
			if err := ledger.Once(t.Context(), ledger.Writers(1, ledger.Small, l), s.URL, 1); err != nil {
				t.Fatal(err)
			}
			if got, want := l.Acknowledged(), ledger.Small.Series*ledger.Small.Samples; got != want {
				t.Fatalf("%d samples are acknowledged, not %d", got, want)
			}
			err := l.Verify(t.Context(), s.URL)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("%v; want %q", err, c.want)
			}
		})
	}
}

// What was refused is not acknowledged, and an answer that is neither a success nor 503 is an error.
func TestLoadReports(t *testing.T) {
	statuses := []int{http.StatusServiceUnavailable, http.StatusBadRequest}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
	}))
	defer s.Close()
	l := ledger.New("a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := ledger.Writers(1, ledger.Small, l)
	if err := ledger.Once(ctx, w, s.URL, 1); err == nil {
		t.Fatal("a refused batch is no error")
	}
	if err := ledger.Once(ctx, w, s.URL, 1); err == nil || !strings.Contains(err.Error(), "status 400") {
		t.Fatal(err)
	}
	if l.Acknowledged() != 0 {
		t.Fatal("a refused sample is acknowledged")
	}
}
