package native_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// start is a minute before the time of the tests.
const start = noon - 60_000

// threeSeries returns a fixture with these samples of metric m, in seconds after start:
//
//	host=a region=eu   0s:1   10s:3   20s:5
//	host=b region=eu   0s:2           20s:8
//	host=c             5s:10
func threeSeries(t *testing.T, change ...func(*native.Options)) *fixture {
	t.Helper()
	f := newFixture(t, change...)
	var items []string
	add := func(dimensions string, seconds int64, value float64) {
		items = append(items, fmt.Sprintf(`{"name":"m","value":%v,"timestamp":%d,"dimensions":{%s}}`,
			value, start+seconds*1000, dimensions))
	}
	add(`"host":"a","region":"eu"`, 0, 1)
	add(`"host":"a","region":"eu"`, 10, 3)
	add(`"host":"a","region":"eu"`, 20, 5)
	add(`"host":"b","region":"eu"`, 0, 2)
	add(`"host":"b","region":"eu"`, 20, 8)
	add(`"host":"c"`, 5, 10)
	f.wrote("[" + strings.Join(items, ",") + "]")
	return f
}

// span is the range of threeSeries, as fields of a query.
var span = fmt.Sprintf(`"metric":"m","from":%d,"to":%d`, start, start+20_000)

// at replaces @n by the time n seconds after start.
func at(text string) string {
	for _, s := range []int64{0, 5, 10, 20} {
		text = strings.ReplaceAll(text, fmt.Sprintf("@%d,", s), fmt.Sprintf("%d,", start+s*1000))
	}
	return text
}

func TestQueryFunctions(t *testing.T) {
	f := threeSeries(t)
	// The pooled values are 1 2 3 5 8 10.
	for name, want := range map[string]float64{
		"AVG":   29.0 / 6,
		"SUM":   29,
		"COUNT": 6,
		"MIN":   1,
		"MAX":   10,
		"P50":   4,   // Rank 2.5: half-way between 3 and 5.
		"P95":   9.5, // Rank 4.75: three quarters of the way from 8 to 10.
		"P99":   9.9, // Rank 4.95.
		// host=a: 10s * (1+3)/2 + 10s * (3+5)/2 = 60; host=b: 20s * (2+8)/2 = 100; host=c has no neighbours.
		"INTEGRAL": 160,
		"integral": 160,
	} {
		got := f.values(`{` + span + `,"aggregation":"` + name + `"}`)
		wanted := map[string][][2]float64{strings.ToUpper(name): {{float64(start), want}}}
		if diff := cmp.Diff([]map[string][][2]float64{wanted}, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// values posts a query and returns the values of each group.
func (f *fixture) values(body string) []map[string][][2]float64 {
	f.Helper()
	w := f.do(http.MethodPost, "/luminate/v1/query", body)
	var got struct {
		Groups []struct {
			Values map[string][][2]float64 `json:"values"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		f.Fatalf("query %s: status %d: %v: %s", body, w.Code, err, w.Body)
	}
	var out []map[string][][2]float64
	for _, g := range got.Groups {
		out = append(out, g.Values)
	}
	return out
}

func TestQueryAnswer(t *testing.T) {
	f := threeSeries(t)
	f.query(`{"metric":"m","aggregations":["SUM","count"],"from":"2023-11-29T11:59:00Z","to":"now","step":"10s","group_by":["region","host"],"limit":2}`, 200, at(`{
		"metric":"m","from":@0,"to":1701259200000,"step_ms":10000,
		"groups":[
			{"dimensions":{"region":"eu","host":"a"},"values":{"SUM":[[@0,1],[@10,3],[@20,5]],"COUNT":[[@0,1],[@10,1],[@20,1]]}},
			{"dimensions":{"region":"eu","host":"b"},"values":{"SUM":[[@0,2],[@20,8]],"COUNT":[[@0,1],[@20,1]]}}],
		"truncated":true,"stats":{"series":3,"samples":6,"duration_ms":0}}`))
	f.query(`{"metric":"unknown","aggregation":"AVG","from":0}`, 200, `{
		"metric":"unknown","from":0,"to":1701259200000,"step_ms":0,"groups":[],
		"truncated":false,"stats":{"series":0,"samples":0,"duration_ms":0}}`)
}

func TestQueryDuration(t *testing.T) {
	clock := noon * 1_000_000
	f := newFixture(t, func(o *native.Options) {
		o.Now = func() time.Time {
			clock += 1_234_567
			return time.Unix(0, clock)
		}
	})
	f.query(`{"metric":"m","aggregation":"AVG","from":0,"to":1}`, 200, `{"metric":"m","from":0,"to":1,"step_ms":0,
		"groups":[],"truncated":false,"stats":{"series":0,"samples":0,"duration_ms":1.235}}`)
}

func TestQuerySteps(t *testing.T) {
	f := threeSeries(t)
	groups := func(fields, want string) {
		t.Helper()
		f.groups(at(`{`+span+`,`+fields+`}`), at(want))
	}
	// A bucket holds its start and not its end; the last one ends with the range, inclusive.
	groups(`"step":"10s","aggregation":"SUM"`, `[{"dimensions":{},"values":{"SUM":[[@0,13],[@10,3],[@20,13]]}}]`)
	groups(`"step":10000,"aggregation":"COUNT"`, `[{"dimensions":{},"values":{"COUNT":[[@0,3],[@10,1],[@20,2]]}}]`)
	groups(`"step":"20s","aggregation":"COUNT"`, `[{"dimensions":{},"values":{"COUNT":[[@0,4],[@20,2]]}}]`)
	groups(`"step":"1h","aggregation":"COUNT"`, `[{"dimensions":{},"values":{"COUNT":[[@0,6]]}}]`)
	groups(`"step":"5s","aggregation":"MAX"`, `[{"dimensions":{},"values":{"MAX":[[@0,2],[@5,10],[@10,3],[@20,8]]}}]`)
	// host=b crosses 10s at 5: 10s * (2+5)/2 = 35 and 10s * (5+8)/2 = 65.
	groups(`"step":"10s","aggregation":"INTEGRAL","group_by":["host"]`, `[
		{"dimensions":{"host":"a"},"values":{"INTEGRAL":[[@0,20],[@10,40]]}},
		{"dimensions":{"host":"b"},"values":{"INTEGRAL":[[@0,35],[@10,65]]}}]`)
	// Both ends of the range are inside.
	f.groups(at(`{"metric":"m","from":@10,"to":@20,"aggregation":"SUM"}`), at(`[{"dimensions":{},"values":{"SUM":[[@10,16]]}}]`))
}

func TestQueryGaps(t *testing.T) {
	f := newFixture(t)
	for i, v := range []float64{1, 3} {
		f.wrote(fmt.Sprintf(`{"name":"m","value":%v,"timestamp":%d}`, v, noon-400_000+int64(i)*360_000))
	}
	f.groups(`{"metric":"m","aggregation":"INTEGRAL","from":"now-1h"}`, `[]`)
	f.groups(`{"metric":"m","aggregation":"INTEGRAL","from":"now-1h","max_gap":"6m"}`,
		`[{"dimensions":{},"values":{"INTEGRAL":[[1701255600000,720]]}}]`)
	f.groups(`{"metric":"m","aggregation":"INTEGRAL","from":"now-1h","max_gap":359999}`, `[]`)
}

func TestQueryGroupBy(t *testing.T) {
	f := threeSeries(t)
	groups := func(fields, want string) {
		t.Helper()
		f.groups(`{`+span+`,"aggregation":"SUM"`+fields+`}`, at(want))
	}
	groups(``, `[{"dimensions":{},"values":{"SUM":[[@0,29]]}}]`)
	groups(`,"group_by":[]`, `[{"dimensions":{},"values":{"SUM":[[@0,29]]}}]`)
	groups(`,"group_by":["region"]`, `[
		{"dimensions":{"region":""},"values":{"SUM":[[@0,10]]}},
		{"dimensions":{"region":"eu"},"values":{"SUM":[[@0,19]]}}]`)
	groups(`,"group_by":["nowhere"]`, `[{"dimensions":{"nowhere":""},"values":{"SUM":[[@0,29]]}}]`)
	groups(`,"group_by":["host","region"]`, `[
		{"dimensions":{"host":"a","region":"eu"},"values":{"SUM":[[@0,9]]}},
		{"dimensions":{"host":"b","region":"eu"},"values":{"SUM":[[@0,10]]}},
		{"dimensions":{"host":"c","region":""},"values":{"SUM":[[@0,10]]}}]`)
}

func TestQueryFilters(t *testing.T) {
	f := threeSeries(t)
	sum := func(filters string, want int) {
		t.Helper()
		wanted := fmt.Sprintf(`[{"dimensions":{},"values":{"SUM":[[@0,%d]]}}]`, want)
		if want == 0 {
			wanted = `[]`
		}
		f.groups(`{`+span+`,"aggregation":"SUM","filters":[`+filters+`]}`, at(wanted))
	}
	const a, b, c = 9, 10, 10
	sum(``, a+b+c)
	sum(`{"dimension":"host","op":"=","value":"a"}`, a)
	sum(`{"dimension":"host","op":"=","value":"A"}`, 0)
	sum(`{"dimension":"host","op":"!=","value":"a"}`, b+c)
	sum(`{"dimension":"host","op":"=~","value":"a|c"}`, a+c)
	sum(`{"dimension":"region","op":"=~","value":"e"}`, 0) // Anchored.
	sum(`{"dimension":"region","op":"=~","value":"e."}`, a+b)
	sum(`{"dimension":"host","op":"!~","value":"[ab]"}`, c)
	sum(`{"dimension":"host","op":"in","values":["a","b","zz"]}`, a+b)
	sum(`{"dimension":"host","op":"in","values":["c"]}`, c)
	sum(`{"dimension":"host","op":"in","values":[".*","[a-z]"]}`, 0) // No expressions.
	sum(`{"dimension":"region","op":"in","values":["","eu"]}`, a+b+c)
	sum(`{"dimension":"region","op":"exists"}`, a+b)
	sum(`{"dimension":"nowhere","op":"exists"}`, 0)
	// A missing dimension is one of empty value.
	sum(`{"dimension":"region","op":"=","value":""}`, c)
	sum(`{"dimension":"region","op":"!=","value":""}`, a+b)
	sum(`{"dimension":"region","op":"!=","value":"us"}`, a+b+c)
	sum(`{"dimension":"region","op":"=~","value":".*"}`, a+b+c)
	// All must hold.
	sum(`{"dimension":"region","op":"exists"},{"dimension":"host","op":"!=","value":"a"}`, b)
	// The own tenant is understood.
	sum(`{"dimension":"_tenant_id","op":"=","value":"default"}`, a+b+c)
	sum(`{"dimension":"_tenant_id","op":"exists"},{"dimension":"host","op":"=","value":"a"}`, a)
}

func TestQueryTenants(t *testing.T) {
	f := newFixture(t)
	f.wrote(`{"name":"m","value":1}`, "X-Scope-OrgID: red")
	f.wrote(`{"name":"m","value":2}`, "X-Scope-OrgID: blue")
	const sum = `{"metric":"m","aggregation":"SUM","from":"now"`
	const one = `[{"dimensions":{},"values":{"SUM":[[1701259200000,%d]]}}]`
	f.groups(sum+`}`, fmt.Sprintf(one, 1), "X-Scope-OrgID: red")
	f.groups(sum+`}`, fmt.Sprintf(one, 2), "X-Scope-OrgID: blue")
	f.groups(sum+`}`, `[]`)
	for _, filter := range []string{
		`{"dimension":"_tenant_id","op":"=","value":"blue"}`,
		`{"dimension":"_tenant_id","op":"in","values":["blue"]}`,
		`{"dimension":"_tenant_id","op":"!=","value":"red"}`,
	} {
		w := f.do(http.MethodPost, "/luminate/v1/query", sum+`,"filters":[`+filter+`]}`, "X-Scope-OrgID: red")
		if w.Code != 400 || !strings.Contains(w.Body.String(), "names a tenant that this request may not read") {
			t.Errorf("%s: status %d: %s", filter, w.Code, w.Body)
		}
	}
	f.groups(sum+`,"filters":[{"dimension":"_tenant_id","op":"=~","value":"red|blue"}]}`, fmt.Sprintf(one, 1), "X-Scope-OrgID: red")
}

func TestQueryOddValuesAndNames(t *testing.T) {
	f := newFixture(t)
	b := metric.NewBatch(f.hasher)
	add := func(name string, values ...float64) {
		ls := metric.AppendLabel(nil, "__name__", name)
		ls = metric.AppendLabel(ls, "d.<x>", "\"</script>\n")
		b.StartSeries(ls, 0)
		for i, v := range values {
			b.AddSample(metric.Sample{Timestamp: start + int64(i)*10_000, Value: v})
		}
	}
	add("job:rate:5m", math.NaN(), math.Inf(1), math.Inf(-1))
	add("größe.x y", 1e21, 1e-7, 123456789)
	if _, err := f.store.Tenant(tenancy.Default).Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	f.groups(`{"metric":"job:rate:5m","aggregation":"SUM","from":`+at("@0,")+`"step":"10s"}`,
		at(`[{"dimensions":{},"values":{"SUM":[[@0,"NaN"],[@10,"+Inf"],[@20,"-Inf"]]}}]`))
	f.groups(`{"metric":"größe.x y","aggregation":"MAX","from":`+at("@0,")+`"step":"10s","group_by":["d.<x>"]}`,
		at(`[{"dimensions":{"d.\u003cx\u003e":"\"\u003c/script\u003e\n"},"values":{"MAX":[[@0,1e+21],[@10,1e-07],[@20,123456789]]}}]`))
}

func TestQueryTimes(t *testing.T) {
	f := newFixture(t)
	spans := func(from, to string, wantFrom, wantTo int64) {
		t.Helper()
		f.query(`{"metric":"m","aggregation":"AVG","from":`+from+`,"to":`+to+`}`, 200, fmt.Sprintf(
			`{"metric":"m","from":%d,"to":%d,"step_ms":0,"groups":[],"truncated":false,"stats":{"series":0,"samples":0,"duration_ms":0}}`,
			wantFrom, wantTo))
	}
	const hour = 3_600_000
	spans(`"now-1h"`, `"now"`, noon-hour, noon)
	spans(`"now-1d12h"`, `"now+30m"`, noon-36*hour, noon+hour/2)
	spans(`1701234000000`, `1.7012376e12`, 1701234000000, 1701237600000)
	spans(`"1701234000000"`, `"2023-11-29T13:00:00.25+01:00"`, 1701234000000, noon+250)
	spans(`-1`, `0`, -1, 0)
	spans(`"now"`, `"now"`, noon, noon)
	spans(`"0001-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999Z"`, -62135596800000, 253402300799999)
}

// fine is what a valid query needs.
const fine = `"metric":"m","aggregation":"AVG","from":0`

// complains posts a query and wants a 400 that says all of this: pairs of field and detail.
func (f *fixture) complains(body string, want ...string) {
	f.Helper()
	w := f.do(http.MethodPost, "/luminate/v1/query", body)
	var got struct {
		Detail string
		Errors []struct{ Field, Detail string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 400 {
		f.Errorf("%s: status %d: %v: %s", body, w.Code, err, w.Body)
		return
	}
	var pairs, details []string
	for _, e := range got.Errors {
		pairs = append(pairs, e.Field, e.Detail)
		details = append(details, e.Field+": "+e.Detail)
	}
	if diff := cmp.Diff(want, pairs); diff != "" {
		f.Errorf("%s: (-want +got)\n%s", body, diff)
	}
	if got.Detail != strings.Join(details, "; ") {
		f.Errorf("%s: detail %s", body, got.Detail)
	}
}

func TestQueryComplaints(t *testing.T) {
	f := newFixture(t)
	const functions = "the aggregations are AVG, SUM, COUNT, MIN, MAX, P50, P95, P99, INTEGRAL"
	f.complains(`{}`, "metric", "is missing", "aggregation", "is missing: "+functions,
		"from", "is missing: use milliseconds since the Unix epoch, RFC 3339, or now-1h")
	f.complains(`{`+fine+`,"Step":"1m","groupby":[]}`,
		"Step", "unknown field: the fields are metric, aggregation, aggregations, from, to, step, filters, group_by, limit, max_gap",
		"groupby", "unknown field: the fields are metric, aggregation, aggregations, from, to, step, filters, group_by, limit, max_gap")
	f.complains(`{`+fine+`,"from":1}`, "from", "the field occurs twice")
	f.complains(`{"metric":"","aggregation":"AVG","from":0}`, "metric", "is empty")
	f.complains(`{"metric":1,"aggregation":[],"from":null}`, "metric", "is a number: it must be a string",
		"aggregation", "is an array: it must be a string",
		"from", "is null: it must be milliseconds since the Unix epoch, or a string: RFC 3339, now, or now-1h")
	f.complains("{\"metric\":\"\xff\",\"aggregation\":\"AVG\",\"from\":0}", "metric", "is not valid UTF-8")
	f.complains(`{"metric":"m","aggregation":"MEDIAN","from":0}`, "aggregation", `unknown aggregation "MEDIAN": `+functions)
	f.complains(`{"metric":"m","aggregations":[],"from":0}`, "aggregations", "is empty: "+functions)
	f.complains(`{"metric":"m","aggregations":["AVG","avg",1,"X"],"from":0}`, "aggregations[2]", "is a number: it must be a string",
		"aggregations[1]", "AVG occurs twice",
		"aggregations[3]", `unknown aggregation "X": `+functions)
	f.complains(`{`+fine+`,"aggregations":["AVG"]}`, "aggregations", "stands beside aggregation: give one of them")

	f.complains(`{"metric":"m","aggregation":"AVG","from":"1h ago","to":"now-1"}`,
		"from", `"1h ago" is no time: use milliseconds since the Unix epoch, RFC 3339, now, or now-1h`,
		"to", `"now-1" is no time: "1" is no duration such as 5m, 1h30m or 7d`)
	f.complains(`{"metric":"m","aggregation":"AVG","from":"now*2","to":1.5}`,
		"from", `"now*2" is no time: after now comes + or - and a duration, such as now-1h30m`,
		"to", `1.5 is not a whole number of milliseconds`)
	f.complains(`{"metric":"m","aggregation":"AVG","from":-9223372036854775808,"to":9223372036854775807}`,
		"from", `-9223372036854775808 is outside the years 1 to 9999: use milliseconds since the Unix epoch`,
		"to", `9223372036854775807 is outside the years 1 to 9999: use milliseconds since the Unix epoch`)
	f.complains(`{"metric":"m","aggregation":"AVG","from":2,"to":1}`, "from", "2 is after 1, the end of the range")
}

func TestQueryComplaintsAboutNumbers(t *testing.T) {
	f := newFixture(t)
	for step, detail := range map[string]string{
		`"1 minute"`: `"1 minute" is no duration such as 15s, 5m or 1h30m`,
		`""`:         `"" is no duration such as 15s, 5m or 1h30m`,
		`"0s"`:       `"0s" is not above 0`,
		`"-1m"`:      `"-1m" is no duration such as 15s, 5m or 1h30m`,
		`0`:          `0 milliseconds are not above 0 and below 292 years`,
		`1e18`:       `1e18 is not a whole number of milliseconds`,
		`1e15`:       `1000000000000000 milliseconds are not above 0 and below 292 years`,
		`0.5`:        `0.5 is not a whole number of milliseconds`,
		`[]`:         `is an array: it must be a duration such as "5m", or a number of milliseconds`,
	} {
		f.complains(`{`+fine+`,"step":`+step+`}`, "step", detail)
		f.complains(`{`+fine+`,"max_gap":`+step+`}`, "max_gap", detail)
	}
	for limit, detail := range map[string]string{
		`0`:     "0 is not a whole number from 1",
		`-1`:    "-1 is not a whole number from 1",
		`1.5`:   "1.5 is not a whole number from 1",
		`"10"`:  "is a string: it must be a number",
		`10001`: "10001 groups, more than 10000, the limit set by query.max_groups",
	} {
		f.complains(`{`+fine+`,"limit":`+limit+`}`, "limit", detail)
	}
}

func TestQueryComplaintsAboutDimensions(t *testing.T) {
	f := newFixture(t)
	f.complains(`{`+fine+`,"group_by":["a","","a","__name__","_tenant_id"]}`, "group_by[1]", "is empty", "group_by[2]", `"a" occurs twice`,
		"group_by[3]", "__name__ is the same in all series of a query", "group_by[4]", "_tenant_id is the same in all series of a query")
	f.complains(`{`+fine+`,"group_by":"a"}`, "group_by", "is a string: it must be an array")

	const operators = "the operators are = != =~ !~ in exists"
	f.complains(`{`+fine+`,"filters":[{},1,{"dimension":"a","op":"like","value":"x"},{"dimension":"","op":"=","vaule":"x"}]}`,
		"filters[0].dimension", "is missing", "filters[0].op", "is missing: "+operators,
		"filters[1]", "is a number: it must be an object with dimension, op, and value or values",
		"filters[2].op", `unknown operator "like": `+operators,
		"filters[3].vaule", "unknown field: the fields are dimension, op, value, values",
		"filters[3].dimension", "is empty", "filters[3].value", "is missing: operator = needs it")
	f.complains(`{`+fine+`,"filters":[{"dimension":"a","op":"exists","value":""},{"dimension":"a","op":"in","value":"x"},
		{"dimension":"a","op":"in","values":[]},{"dimension":"a","op":"in","values":[1]},{"dimension":"a","op":"=","value":"x","values":["x"]}]}`,
		"filters[0].value", "operator exists does not take it",
		"filters[1].value", "operator in does not take it", "filters[1].values", "is missing: operator in needs it",
		"filters[2].values", "is empty: no series could match",
		"filters[3].values[0]", "is a number: it must be a string",
		"filters[4].values", "operator = does not take it")
	f.complains(`{`+fine+`,"filters":[{"dimension":"__name__","op":"=","value":"x"}]}`,
		"filters[0].dimension", "__name__ is the metric's name: use the field metric")
	f.complains(`{`+fine+`,"filters":[{"dimension":"a","op":"=~","value":"(x"}]}`, "filters[0].value",
		"\"(x\" is no regular expression (RE2 syntax): error parsing regexp: missing closing ): `(x`")
	f.complains(`{`+fine+`,"filters":[{"dimension":"a","op":"=~","value":"`+strings.Repeat("x", 10_001)+`"}]}`, "filters[0].value",
		"the regular expression is 10001 bytes long, of at most 10000")
	f.complains(`{`+fine+`,"filters":[`+strings.Repeat(`{},`, 100)+`{}]}`, "filters", "101 filters, of at most 100")
}

func TestQueryNotJSON(t *testing.T) {
	f := newFixture(t)
	f.query(``, 400, `{"detail":"the body is empty: it must be a JSON object"}`)
	f.query(`[]`, 400, `{"detail":"the body is an array: it must be a JSON object"}`)
	f.query(`{"metric":"m"`, 400, `{"detail":"line 1, column 14: the text ends where ',' or '}' should be",
		"position":{"offset":13,"line":1,"column":14}}`)
	f.query("{}\n{}", 400, `{"detail":"line 2, column 1: unexpected '{' where the end of the text should be",
		"position":{"offset":3,"line":2,"column":1}}`)
	f.query(`{}`, 415, `{"detail":"a query is one JSON object: use application/json"}`, "Content-Type: application/x-ndjson")
}

func TestQuerySize(t *testing.T) {
	f := newFixture(t)
	f.query(`{"metric":"`+strings.Repeat("m", 1<<20)+`"}`, 413, `{
		"detail":"the body is longer than 1048576 bytes, the limit: send smaller requests",
		"limit":{"name":"body_bytes","max":1048576,"observed":1048589}}`)
	values := strings.Repeat(`"value.with-25-characters.",`, 10_000)
	in := func(values string) string {
		return `{"metric":"m","aggregation":"AVG","from":0,"filters":[{"dimension":"a","op":"in","values":[` + values + `]}]}`
	}
	f.groups(in(strings.TrimSuffix(values, ",")), `[]`)
	f.query(in(values+`"x"`), 400, `{"detail":"filters[0].values: 10001 values, of at most 10000",
		"errors":[{"field":"filters[0].values","detail":"10001 values, of at most 10000"}]}`)
}

func TestQueryLimits(t *testing.T) {
	f := threeSeries(t, func(o *native.Options) {
		o.Limits.Samples = 6
		o.Limits.Values = 8
		o.Limits.Range = 10 * 24 * time.Hour
	})
	f.query(`{"metric":"m","aggregation":"AVG","from":0,"to":11000,"step":1}`, 400, `{
		"detail":"step: the range holds 11001 steps, more than 11000, the limit set by query.max_points: use a longer step or a shorter range",
		"limit":{"name":"points","max":11000,"observed":11001,"setting":"query.max_points"}}`)
	f.groups(`{"metric":"m","aggregation":"AVG","from":0,"to":10999,"step":1}`, `[]`)
	f.query(`{"metric":"m","aggregation":"AVG","from":0}`, 400, `{
		"detail":"from: the range is 472572h0m0s long, more than 240h0m0s, the limit set by query.max_range",
		"errors":[{"field":"from","detail":"the range is 472572h0m0s long, more than 240h0m0s, the limit set by query.max_range"}]}`)
	f.groups(`{`+span+`,"aggregation":"COUNT"}`, at(`[{"dimensions":{},"values":{"COUNT":[[@0,6]]}}]`))
	f.query(`{`+span+`,"aggregation":"COUNT","step":"10s","group_by":["host"],"limit":1}`, 200, at(`{
		"metric":"m","from":@0,"to":1701259160000,"step_ms":10000,
		"groups":[{"dimensions":{"host":"a"},"values":{"COUNT":[[@0,1],[@10,1],[@20,1]]}}],
		"truncated":true,"stats":{"series":3,"samples":6,"duration_ms":0}}`))
	f.query(`{`+span+`,"aggregation":"COUNT","step":"10s","group_by":["host"]}`, 422, `{
		"detail":"the answer would hold more than 8 values, the limit set by query.max_values (3 for each group): use a longer step, fewer functions or a smaller limit",
		"limit":{"name":"values","max":8,"observed":9,"setting":"query.max_values"}}`)
	f.wrote(fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d}`, start+1))
	f.query(`{`+span+`,"aggregation":"COUNT"}`, 422, `{
		"detail":"the query needs more than 6 samples, the limit set by query.max_samples: select fewer series or a shorter range",
		"limit":{"name":"samples","max":6,"observed":7,"setting":"query.max_samples"}}`)
}

// slow is a tenant whose reads take until they are stopped.
type slow struct{ store.Tenant }

// stuck is a source of slow tenants.
type stuck struct{}

func (stuck) Tenant(tenancy.ID) store.Tenant { return slow{} }

func (slow) Aggregate(ctx context.Context, _ store.Aggregation) (store.AggregateResult, error) {
	<-ctx.Done()
	return store.AggregateResult{}, fmt.Errorf("aggregate: %w", ctx.Err())
}

func TestQueryTimeout(t *testing.T) {
	f := newFixture(t, func(o *native.Options) {
		o.Source = stuck{}
		o.Limits.Timeout = time.Nanosecond
	})
	f.query(`{"metric":"m","aggregation":"AVG","from":0}`, 503,
		`{"detail":"the request took longer than 1ns, the limit set by query.timeout: ask for fewer series or a shorter range"}`)
}
