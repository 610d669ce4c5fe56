package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A badQuery is a question that can't be answered.
type badQuery struct {
	path   string
	params url.Values
	status int
	kind   string   // The errorType of the answer.
	texts  []string // Parts of the message.
}

func params(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func badQueries() []badQuery {
	const (
		query, queryRange, series = "/api/v1/query", "/api/v1/query_range", "/api/v1/series"

		badData = "bad_data"
	)
	rng := func(pairs ...string) url.Values {
		v := params("query", "up", "start", "0", "end", "100", "step", "1")
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	return []badQuery{
		{query, params(), 400, badData, []string{`invalid parameter "query"`}},
		{query, params("query", "sum("), 400, badData, []string{`invalid parameter "query": 1:5: parse error`}},
		{query, params("query", "nosuch(up)"), 400, badData, []string{"unknown function"}},
		{query, params("query", "up", "time", "yesterday"), 400, badData, []string{`invalid parameter "time"`}},
		{query, params("query", "up", "timeout", "soon"), 400, badData, []string{`invalid parameter "timeout"`}},
		{query, params("query", "up", "limit", "-1"), 400, badData, []string{"limit"}},
		{query, params("query", "up", "limit", "many"), 400, badData, []string{"limit"}},
		{query, params("query", "up", "lookback_delta", "x"), 400, badData, []string{"lookback"}},
		{queryRange, rng("start", ""), 400, badData, []string{`invalid parameter "start"`}},
		{queryRange, rng("end", "x"), 400, badData, []string{`invalid parameter "end"`}},
		{queryRange, rng("step", ""), 400, badData, []string{`invalid parameter "step"`}},
		{queryRange, rng("step", "0"), 400, badData, []string{"zero or negative query resolution step widths are not accepted. Try a positive integer"}},
		{queryRange, rng("step", "-5"), 400, badData, []string{"zero or negative query resolution step"}},
		{queryRange, rng("end", "-1"), 400, badData, []string{"end timestamp must not be before start time"}},
		{queryRange, rng("end", "1000000"), 400, badData, []string{"exceeded maximum resolution of 11,000 points per timeseries"}},
		{queryRange, rng("step", "1e99"), 400, badData, []string{"step"}},
		{queryRange, rng("query", "up[5m]"), 400, badData, []string{"range"}},
		{series, params(), 400, badData, []string{"no match[] parameter provided"}},
		{series, params("match[]", "{}"), 400, badData, []string{"match[] must contain at least one non-empty matcher"}},
		{series, params("match[]", "up{"), 400, badData, []string{"parse error"}},
		{series, params("match[]", "up", "start", "x"), 400, badData, []string{"start"}},
		{"/api/v1/labels", params("match[]", `{a=""}`), 400, badData, []string{"non-empty matcher"}},
		{"/api/v1/labels", params("limit", "-1"), 400, badData, []string{"limit"}},
		{"/api/v1/label/bad%FFname/values", params(), 400, badData, []string{"invalid label name"}},
		{"/api/v1/metadata", params("limit", "x"), 400, badData, []string{"limit must be a number"}},
		{"/api/v1/query_exemplars", params("query", "sum("), 400, badData, []string{"parse error"}},
		{"/api/v1/format_query", params("query", "sum("), 400, badData, []string{"parse error"}},
		{query, params("query", "a * on (x) b", "time", "1e400"), 400, badData, nil},
	}
}

// Every question that can't be answered gets the status, the kind and the text that Prometheus gives.
func TestBadQueries(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "")
	for _, b := range badQueries() {
		t.Run(strings.ReplaceAll(b.path+"?"+b.params.Encode(), "/", "_"), func(t *testing.T) {
			prefixes := []string{"", "/prometheus"}
			if selfCheck() {
				prefixes = prefixes[:1]
			}
			for _, prefix := range prefixes {
				reply := must(t)(c.Get(t.Context(), prefix+b.path, b.params))
				var e struct{ Status, ErrorType, Error string }
				if err := json.Unmarshal(reply.Body, &e); err != nil {
					t.Fatalf("%v: %v", reply, err)
				}
				if reply.Status != b.status || e.Status != "error" || e.ErrorType != b.kind {
					t.Errorf("want %d and %s, got %v", b.status, b.kind, reply)
				}
				for _, text := range b.texts {
					if !strings.Contains(e.Error, text) {
						t.Errorf("the answer does not say %q: %v", text, reply)
					}
				}
			}
		})
	}
}

// Native queries that can't be answered get a problem document that names what is wrong.
func TestBadNativeQueries(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "")
	for _, b := range []struct{ name, body, text string }{
		{"empty", ``, ""},
		{"not JSON", `avg of cpu`, ""},
		{"no metric", `{"aggregation":"AVG","from":0,"to":1000}`, "metric"},
		{"no aggregation", `{"metric":"a","from":0,"to":1000}`, "aggregation"},
		{"unknown aggregation", `{"metric":"a","aggregation":"MEDIAN","from":0,"to":1000}`, "MEDIAN"},
		{"unknown field", `{"metric":"a","aggregation":"AVG","from":0,"to":1000,"colour":"red"}`, "colour"},
		{"ends before it starts", `{"metric":"a","aggregation":"AVG","from":2000,"to":1000}`, "from"},
		{"unknown operator", `{"metric":"a","aggregation":"AVG","from":0,"to":1000,"filters":[{"dimension":"d","op":"like","value":"x"}]}`, "like"},
		{"bad expression", `{"metric":"a","aggregation":"AVG","from":0,"to":1000,"filters":[{"dimension":"d","op":"=~","value":"("}]}`, "d"},
		{"negative step", `{"metric":"a","aggregation":"AVG","from":0,"to":1000,"step":"-1m"}`, "step"},
		{"bad time", `{"metric":"a","aggregation":"AVG","from":"yesterday","to":"now"}`, "from"},
		{"tenant as filter", `{"metric":"a","aggregation":"AVG","from":0,"to":1000,"filters":[{"dimension":"_tenant_id","op":"=","value":"other"}]}`, "_tenant_id"},
	} {
		t.Run(b.name, func(t *testing.T) {
			reply := must(t)(c.PostJSON(t.Context(), "/luminate/v1/query", b.body))
			kind := reply.Header.Get("Content-Type")
			refused := reply.Status == http.StatusBadRequest || b.name == "tenant as filter" && reply.Status == http.StatusForbidden
			if !refused || kind != "application/problem+json" || !strings.Contains(string(reply.Body), b.text) {
				t.Errorf("want a 400 as application/problem+json that names %q, got %s, %v", b.text, kind, reply)
			}
		})
	}
}

// Remote reads that can't be answered are 400 with a text.
func TestBadRemoteReads(t *testing.T) {
	t.Parallel()
	c := newClient(t, start(t, t.TempDir()).URL(), "")
	for _, body := range []string{"", "no snappy", "\x10no protobuf at all"} {
		reply := must(t)(c.Do(t.Context(), http.MethodPost, "/api/v1/read", headers1(), []byte(body)))
		if reply.Status != http.StatusBadRequest {
			t.Errorf("%q: want a 400, got %v", body, reply)
		}
	}
	if reply := must(t)(c.Get(t.Context(), "/api/v1/read", nil)); reply.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: want a 405, got %v", reply)
	}
}
