package promql_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/luminate-metrics/luminate/promql"
)

func TestQ22Federate(t *testing.T) {
	api := newAPI(t, promql.Options{Now: func() time.Time { return time.UnixMilli(base + 61*interval) }})
	r := api.get("/federate", "match[]", `{__name__=~"up|temperature|latency.*"}`, "match[]", "up", "match[]", `{nameless="yes"}`)
	// The cellar is stale, latency has no form in text, and the series without a name has no place.
	r.is(200, `# TYPE latency_bucket untyped
latency_bucket{le="+Inf",instance=""} 44 1700000915000
latency_bucket{le="0.1",instance=""} 11 1700000915000
latency_bucket{le="1",instance=""} 33 1700000915000
# TYPE latency_custom histogram
latency_custom_bucket{job="api",instance="",le="0.5"} 61 1700000915000
latency_custom_bucket{job="api",instance="",le="1"} 61 1700000915000
latency_custom_bucket{job="api",instance="",le="2.5"} 183 1700000915000
latency_custom_bucket{job="api",instance="",le="+Inf"} 183 1700000915000
latency_custom_sum{job="api",instance=""} 61 1700000915000
latency_custom_count{job="api",instance=""} 183 1700000915000
# TYPE temperature untyped
temperature{room="attic",instance=""} 19.817837495727904 1700000915000
# TYPE up untyped
up{instance="a:1",job="api"} 1 1700000915000
up{instance="b:1",job="api"} 1 1700000915000`)
	if ct := r.header.Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" && ct != "text/plain; version=0.0.4; charset=utf-8; escaping=values" {
		t.Errorf("Content-Type %q", ct)
	}
	api.get("/federate").is(200, "")
	api.get("/federate", "match[]", "up{").is(400, "1:4: parse error: unexpected end of input inside braces")
	late := newAPI(t, promql.Options{Now: func() time.Time { return time.UnixMilli(end).Add(time.Hour) }})
	late.get("/federate", "match[]", `{__name__!=""}`).is(200, "")
}

func TestQ22FederateProtobuf(t *testing.T) {
	api := newAPI(t, promql.Options{})
	r := httptest.NewRequest(http.MethodGet, "/federate?match[]=latency", nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	got := api.do(r)
	dec := expfmt.NewDecoder(bytes.NewReader([]byte(got.body)), expfmt.NewFormat(expfmt.TypeProtoDelim))
	var mf dto.MetricFamily
	if err := dec.Decode(&mf); err != nil {
		t.Fatal(err)
	}
	h := mf.Metric[0].Histogram
	n := float64(steps - 1)
	if mf.GetName() != "latency" || mf.GetType() != dto.MetricType_HISTOGRAM || h.GetSampleCountFloat() != 7*n || h.GetSchema() != 1 ||
		h.GetZeroCountFloat() != n || len(h.PositiveSpan) != 2 || h.PositiveCount[1] != 2*n || h.NegativeCount[0] != n || mf.Metric[0].GetTimestampMs() != end {
		t.Errorf("family %v", &mf)
	}
	if err := dec.Decode(&mf); !errors.Is(err, io.EOF) {
		t.Errorf("more than one family: %v", err)
	}
}
