package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// A Protocol is a way to write.
type Protocol int

// The protocols.
const (
	RemoteWrite1 Protocol = iota
	RemoteWrite2
	JSON
)

// Protocols lists all of them.
func Protocols() []Protocol { return []Protocol{RemoteWrite1, RemoteWrite2, JSON} }

// String names the protocol.
func (p Protocol) String() string {
	return [...]string{"remote-write-1.0", "remote-write-2.0", "json"}[p]
}

// A Series is labels with samples in time order.
type Series struct {
	Labels  labels.Labels
	Samples []Sample
}

// A Sample is a value at a time.
type Sample struct {
	T int64 // Milliseconds.
	V float64
}

// One returns a series with one sample. The labels are name, value, name, value and so on.
func One(t int64, v float64, labelPairs ...string) Series {
	return Series{Labels: labels.FromStrings(labelPairs...), Samples: []Sample{{t, v}}}
}

// Write sends the series in one request.
func (c *Client) Write(ctx context.Context, p Protocol, series ...Series) (*Reply, error) {
	path, header, body, err := Encode(p, series)
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, http.MethodPost, path, header, body)
}

// Encode returns the request that carries the series.
func Encode(p Protocol, series []Series) (path string, header http.Header, body []byte, err error) {
	switch p {
	case RemoteWrite1:
		body, err = encode1(series)
		return "/api/v1/write", remoteWriteHeader("application/x-protobuf", "0.1.0"), body, err
	case RemoteWrite2:
		body, err = encode2(series)
		return "/api/v1/write",
			remoteWriteHeader("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"), body, err
	case JSON:
		body, err = encodeJSON(series)
		return "/luminate/v1/metrics", http.Header{"Content-Type": {"application/json"}}, body, err
	default:
		return "", nil, nil, fmt.Errorf("client: unknown protocol %d", p)
	}
}

func remoteWriteHeader(contentType, version string) http.Header {
	return http.Header{
		"Content-Type":                      {contentType},
		"Content-Encoding":                  {"snappy"},
		"X-Prometheus-Remote-Write-Version": {version},
	}
}

func encode1(series []Series) ([]byte, error) {
	var req prompb.WriteRequest
	for _, s := range series {
		ts := prompb.TimeSeries{Labels: prompb.FromLabels(s.Labels, nil)}
		for _, v := range s.Samples {
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: v.T, Value: v.V})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	return Compress(&req)
}

func encode2(series []Series) ([]byte, error) {
	symbols := writev2.NewSymbolTable()
	var req writev2.Request
	for _, s := range series {
		ts := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(s.Labels, nil)}
		for _, v := range s.Samples {
			ts.Samples = append(ts.Samples, writev2.Sample{Timestamp: v.T, Value: v.V})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = symbols.Symbols()
	return Compress(&req)
}

// Compress returns the message as remote write and remote read send it.
func Compress(m interface{ Marshal() ([]byte, error) }) ([]byte, error) {
	raw, err := m.Marshal()
	if err != nil {
		return nil, fmt.Errorf("client: encode: %w", err)
	}
	return snappy.Encode(nil, raw), nil
}

func encodeJSON(series []Series) ([]byte, error) {
	type point struct {
		Name       string            `json:"name"`
		Value      float64           `json:"value"`
		Timestamp  int64             `json:"timestamp"`
		Dimensions map[string]string `json:"dimensions,omitempty"`
	}
	var points []point
	for _, s := range series {
		dimensions := s.Labels.Map()
		delete(dimensions, labels.MetricName)
		for _, v := range s.Samples {
			points = append(points, point{s.Labels.Get(labels.MetricName), v.V, v.T, dimensions})
		}
	}
	body, err := json.Marshal(points)
	if err != nil {
		return nil, fmt.Errorf("client: encode: %w", err)
	}
	return body, nil
}
