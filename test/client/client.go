// Package client is a caller of the HTTP interfaces: it writes in three protocols and asks the Prometheus API.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Client calls one server for one tenant. It may be used by several goroutines; Close it.
type Client struct {
	Base   string // Root of the server, without a slash at the end.
	Tenant string // Sent as X-Scope-OrgID unless empty.
	Token  string // Sent as a bearer token unless empty.

	http *http.Client
}

// New returns a client of the server at base.
func New(base, tenant string) *Client {
	return &Client{Base: base, Tenant: tenant, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 8},
		Timeout:   60 * time.Second,
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// A Reply is an answer whose body has been read.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK reports whether the status is 2xx.
func (r *Reply) OK() bool { return r.Status/100 == 2 }

// String is the status and the body, for messages.
func (r *Reply) String() string {
	return fmt.Sprintf("status %d: %s", r.Status, bytes.TrimSpace(r.Body))
}

// Do sends one request. The header may be nil; it wins over the client's own.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte) (*Reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if c.Tenant != "" {
		req.Header.Set("X-Scope-OrgID", c.Tenant)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("client: read the answer: %w", err)
	}
	return &Reply{Status: resp.StatusCode, Header: resp.Header, Body: out}, nil
}

// Get asks a path with parameters in the URL.
func (c *Client) Get(ctx context.Context, path string, params url.Values) (*Reply, error) {
	if len(params) > 0 {
		path += "?" + params.Encode()
	}
	return c.Do(ctx, http.MethodGet, path, nil, nil)
}

// PostForm asks a path with parameters in the body.
func (c *Client) PostForm(ctx context.Context, path string, params url.Values) (*Reply, error) {
	return c.Do(ctx, http.MethodPost, path,
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(params.Encode()))
}

// PostJSON sends a JSON body.
func (c *Client) PostJSON(ctx context.Context, path, body string) (*Reply, error) {
	return c.Do(ctx, http.MethodPost, path, http.Header{"Content-Type": {"application/json"}}, []byte(body))
}

// Query asks an instant query.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (*Reply, error) {
	return c.PostForm(ctx, "/api/v1/query", url.Values{"query": {expr}, "time": {Seconds(at)}})
}

// QueryRange asks a range query.
func (c *Client) QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) (*Reply, error) {
	return c.PostForm(ctx, "/api/v1/query_range", url.Values{
		"query": {expr}, "start": {Seconds(start)}, "end": {Seconds(end)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
}

// Seconds writes a time as the Prometheus API takes it.
func Seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// A Stream is one series of a vector or a matrix.
type Stream struct {
	Metric map[string]string `json:"metric"`
	Value  *Point            `json:"value"`
	Values []Point           `json:"values"`
}

// A Point is a sample as the Prometheus API writes it.
type Point struct {
	T int64 // Milliseconds.
	V float64
}

// UnmarshalJSON reads [seconds, "value"].
func (p *Point) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil {
		return fmt.Errorf("timestamp %s: %w", pair[0], err)
	}
	p.T = int64(seconds*1000 + 0.5)
	if p.V, err = strconv.ParseFloat(strings.Trim(string(pair[1]), `"`), 64); err != nil {
		return fmt.Errorf("value %s: %w", pair[1], err)
	}
	return nil
}

// Streams reads the answer to a query whose result is a vector or a matrix of floats.
func (r *Reply) Streams() ([]Stream, error) {
	var envelope struct {
		Status string `json:"status"`
		Data   struct {
			Result []Stream `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(r.Body, &envelope); err != nil {
		return nil, fmt.Errorf("client: read streams of %v: %w", r, err)
	}
	if envelope.Status != "success" {
		return nil, fmt.Errorf("client: read streams: %v", r)
	}
	return envelope.Data.Result, nil
}
