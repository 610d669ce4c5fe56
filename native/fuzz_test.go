package native_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/tenancy"
)

// seeds are bodies of every form, good and bad.
var seeds = []string{
	`{"name":"a","value":1,"timestamp":1701259200000,"dimensions":{"x":"y"}}`,
	`[{"name":"a","value":1},{"name":"b","value":-2.5e-3}]`,
	`{"metrics":[{"name":"a","value":1}]}`,
	"{\"name\":\"a\",\"value\":1}\n{\"name\":\"b\",\"value\":2}\n",
	"{\"name\":\"a\",\"value\":1}\nnonsense\n\n{\"name\":\"b\"}",
	`{"name":"\u0061\ud83d\ude00","value":1e999,"dimensions":{"\n":"\ud800"}}`,
	`{"name":"a","value":"NaN","timestamp":"2023-11-29T12:00:00Z"}`,
	`[1,null,true,"x",[[]],{"a":{"b":[1,2,{"c":null}]}}]`,
	`{"name":"a","value":1,"value":2,"dimensions":{"x":"1","x":"2"}}`,
	`{"name":"a","value":1,"unknown":{"deep":[{}]}}`,
	`[{"name":"a","value":1}`, `{"name":"a","value":01}`, `"a"`, ``, ` `, "\x00", "\xef\xbb\xbf[]", `[`, `{"a":`, `-`, `{"name":"a\`,
}

// reference is a metric as encoding/json reads it.
type reference struct {
	Name       string            `json:"name"`
	Value      *float64          `json:"value"`
	Timestamp  json.RawMessage   `json:"timestamp"`
	Dimensions map[string]string `json:"dimensions"`
}

// FuzzDecodeMetrics compares the decoder with encoding/json: it must refuse exactly what is not JSON, and what it takes
// must mean the same.
func FuzzDecodeMetrics(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		batch := metric.NewBatch(metric.NewHasher(1))
		rejected, items, err := native.Decode(batch, body, lines, time.UnixMilli(noon))
		if err == nil && items != len(batch.Series)+len(rejected) {
			t.Fatalf("%d items, but %d series and %d rejections", items, len(batch.Series), len(rejected))
		}
		if bytes.Contains(body, []byte("[[[[[[[[[[[[[[[[")) {
			return // Deep nesting is counted from another level.
		}
		texts := parts(body, lines, json.Valid(body))
		switch {
		case err != nil && texts != nil && !refusedForm(body):
			t.Fatalf("refused valid JSON: %v", err)
		case err == nil && texts == nil:
			t.Fatal("took a body that is not JSON")
		case err != nil:
			return
		}
		if len(texts) != items {
			t.Fatalf("%d items, encoding/json finds %d", items, len(texts))
		}
		for _, r := range rejected {
			if r.Series < 0 || r.Series >= items || r.Detail == "" || r.Reason == "" || r.Lost.Samples != 1 {
				t.Fatalf("odd rejection %+v", r)
			}
		}
		for i := range batch.Series {
			s := &batch.Series[i]
			if err := sameMetric(batch, s, texts[s.Origin]); err != nil {
				t.Fatalf("item %d: %v: %s", s.Origin, err, texts[s.Origin])
			}
		}
	})
}

// FuzzParseQuery wants the parser of queries to take only valid JSON objects, and to blame only the client.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{
		`{"metric":"m","aggregation":"AVG","from":0}`,
		`{"metric":"m","aggregations":["AVG","P95"],"from":"now-1h","to":"now","step":"1m","group_by":["a"],"limit":1,"max_gap":60000}`,
		`{"metric":"m","aggregation":"SUM","from":-1e3,"filters":[{"dimension":"a","op":"=~","value":"(a|b).*"},{"dimension":"b","op":"in","values":["x","y."]},{"dimension":"c","op":"exists"}]}`,
		`{"from":"9999-12-31T23:59:59Z","to":-9223372036854775808,"step":1}`,
		`{"metric":"\ud800","filters":[[]],"group_by":{}}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := native.ParseQuery(body, time.UnixMilli(noon))
		switch {
		case err == nil && !json.Valid(body):
			t.Fatal("took a query that is not JSON")
		case err != nil && problem.KindOf(err) != problem.Invalid:
			t.Fatalf("kind %v: %v", problem.KindOf(err), err)
		}
	})
}

// parts splits a body into the texts of its metrics by encoding/json; nil if it is not JSON in any form.
func parts(body []byte, lines, valid bool) [][]byte {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if !lines && valid {
		var list []json.RawMessage
		var envelope map[string]json.RawMessage
		switch {
		case json.Unmarshal(body, &list) == nil && list != nil:
		case json.Unmarshal(body, &envelope) == nil && envelope["metrics"] != nil:
			_ = json.Unmarshal(envelope["metrics"], &list)
		default:
			list = []json.RawMessage{body}
		}
		out := [][]byte{}
		for _, m := range list {
			out = append(out, m)
		}
		return out
	}
	first, _, many := bytes.Cut(trimmed, []byte("\n"))
	if !lines && !(many && len(first) > 0 && first[0] == '{' && json.Valid(first)) {
		return nil
	}
	var out [][]byte
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if len(bytes.Trim(line, " \t\r")) > 0 {
			out = append(out, line)
		}
	}
	return out
}

// refusedForm reports whether the body is JSON, but neither metrics nor an envelope that holds them.
func refusedForm(body []byte) bool {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '[' && trimmed[0] != '{' {
		return true
	}
	var envelope map[string]json.RawMessage
	_ = json.Unmarshal(body, &envelope)
	_, ok := envelope["metrics"]
	return ok
}

// sameMetric compares a series with what encoding/json reads.
func sameMetric(batch *metric.Batch, s *metric.Series, text []byte) error {
	var want reference
	if err := json.Unmarshal(text, &want); err != nil {
		return fmt.Errorf("encoding/json refuses it: %w", err)
	}
	got, err := metric.DecodeLabels(s.Labels)
	switch {
	case err != nil:
		return err
	case s.Samples.Len() != 1 || want.Value == nil:
		return errors.New("no value")
	}
	sample := batch.Samples[s.Samples.Start]
	if math.Float64bits(sample.Value) != math.Float64bits(*want.Value) {
		return fmt.Errorf("value %v, want %v", sample.Value, *want.Value)
	}
	if len(want.Timestamp) == 0 && sample.Timestamp != noon {
		return fmt.Errorf("timestamp %d without one in the text", sample.Timestamp)
	}
	if !utf8.Valid(s.Labels) || strings.Contains(string(text), `\u`) || !utf8.Valid(text) {
		return nil // encoding/json replaces what is not UTF-8; we keep it for the rules to refuse.
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, value := range want.Dimensions {
		b.Set(name, value)
	}
	b.Set(labels.MetricName, want.Name)
	if wanted := b.Labels(); !labels.Equal(got, wanted) {
		return fmt.Errorf("labels %v, want %v", got, wanted)
	}
	if got.Has(tenancy.Dimension) {
		return errors.New("the reserved dimension got through")
	}
	return nil
}
