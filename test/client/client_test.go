package client_test

import (
	"encoding/json"
	"testing"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decode returns the series of a request as "labels time value".
func decode(t *testing.T, p client.Protocol, body []byte) (string, client.Sample) {
	t.Helper()
	raw := body
	if p != client.JSON {
		var err error
		if raw, err = snappy.Decode(nil, body); err != nil {
			t.Fatal(err)
		}
	}
	var b labels.ScratchBuilder
	switch p {
	case client.RemoteWrite1:
		var r prompb.WriteRequest
		if err := r.Unmarshal(raw); err != nil {
			t.Fatal(err)
		}
		s := r.Timeseries[0]
		return s.ToLabels(&b, nil).String(), client.Sample{T: s.Samples[0].Timestamp, V: s.Samples[0].Value}
	case client.RemoteWrite2:
		var r writev2.Request
		if err := r.Unmarshal(raw); err != nil {
			t.Fatal(err)
		}
		s := r.Timeseries[0]
		lbls, err := s.ToLabels(&b, r.Symbols)
		if err != nil {
			t.Fatal(err)
		}
		return lbls.String(), client.Sample{T: s.Samples[0].Timestamp, V: s.Samples[0].Value}
	default:
		var m []struct {
			Name       string
			Value      float64
			Timestamp  int64
			Dimensions map[string]string
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		m[0].Dimensions[labels.MetricName] = m[0].Name
		return labels.FromMap(m[0].Dimensions).String(), client.Sample{T: m[0].Timestamp, V: m[0].Value}
	}
}

func TestEncodeInEachProtocol(t *testing.T) {
	s := client.One(17, 0.5, "__name__", "m", "a", "b c")
	for _, p := range client.Protocols() {
		_, _, body, err := client.Encode(p, []client.Series{s})
		if err != nil {
			t.Fatal(err)
		}
		lbls, sample := decode(t, p, body)
		if lbls != `{__name__="m", a="b c"}` {
			t.Errorf("%v: labels %s", p, lbls)
		}
		if d := cmp.Diff(client.Sample{T: 17, V: 0.5}, sample); d != "" {
			t.Errorf("%v: %s", p, d)
		}
	}
}

func TestStreams(t *testing.T) {
	r := client.Reply{Status: 200, Body: []byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1.25,"0.1"],[2,"-Inf"]]}]}}`)}
	got, err := r.Streams()
	if err != nil || len(got) != 1 || got[0].Values[0] != (client.Point{T: 1250, V: 0.1}) || got[0].Metric["a"] != "b" {
		t.Errorf("got %+v, %v", got, err)
	}
	r.Body = []byte(`{"status":"error","error":"why"}`)
	if _, err := r.Streams(); err == nil {
		t.Error("an error answer has no streams")
	}
}
