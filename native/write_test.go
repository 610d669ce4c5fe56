package native_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

func TestWriteForms(t *testing.T) {
	const (
		a = `{"name":"a","value":1,"timestamp":1701259200000}`
		b = `{"name":"b","value":-2.5e3,"timestamp":1701259200001,"dimensions":{"x":"y"}}`

		wantA = "{__name__=\"a\"} 1701259200000 1\n"
		wantB = "{__name__=\"b\", x=\"y\"} 1701259200001 -2500\n"
	)
	ok := func(body, stored string, accepted int, headers ...string) {
		t.Helper()
		f := newFixture(t)
		f.write(body, 200, fmt.Sprintf(`{"accepted":%d,"rejected":[]}`, accepted), headers...)
		if got := f.stored(tenancy.Default); got != stored {
			t.Errorf("%s: stored\n%swant\n%s", body, got, stored)
		}
	}
	ok(a, wantA, 1)
	ok(" \r\n\t"+a+"\n\n ", wantA, 1)
	ok("["+a+","+b+"]", wantA+wantB, 2)
	ok("[]", "", 0)
	ok(`{"metrics":[`+a+`,`+b+`]}`, wantA+wantB, 2)
	ok(`{"metrics":[]}`, "", 0)
	ok(`{"m\u0065trics":[`+a+`]}`, wantA, 1)
	ok(a+"\n"+b, wantA+wantB, 2)
	ok(a+"\r\n\r\n"+b+"\r\n", wantA+wantB, 2)
	ok("\n"+a+"\n  "+b+"  \n", wantA+wantB, 2, "Content-Type: application/x-ndjson")
	ok(a, wantA, 1, "Content-Type: application/x-ndjson; charset=UTF-8")
	ok(a, wantA, 1, "Content-Type: application/json; charset=utf-8")
	ok(a, wantA, 1, "Content-Type: application/vnd.acme.metrics+json")
	ok(a, wantA, 1, "Content-Type: application/x-www-form-urlencoded") // What curl -d says.

	// Optional fields, spellings of numbers and strings.
	ok(`{"value":1,"name":"a"}`, wantA, 1)
	ok(`{"name":"a","value":1,"timestamp":null,"dimensions":null}`, wantA, 1)
	ok(`{"name":"a","value":1,"dimensions":{}}`, wantA, 1)
	ok(`{"name":"a","value":1.0E0,"timestamp":1701259200000.0}`, wantA, 1)
	ok(`{"name":"a","value":1,"timestamp":1.7012592e12}`, wantA, 1)
	ok(`{"name":"a","value":1,"timestamp":"2023-11-29T12:00:00Z"}`, wantA, 1)
	ok(`{"name":"a","value":1,"timestamp":"2023-11-29T13:00:00.0009+01:00"}`, wantA, 1)
	ok(`{"n\u0061me":"\u0061","value":1,"dimensions":{"x":""}}`, wantA, 1)
	ok(`{"name":"a","value":-0}`, "{__name__=\"a\"} 1701259200000 -0\n", 1)
	ok(`{"name":"a","value":1e-400}`, "{__name__=\"a\"} 1701259200000 0\n", 1)
	ok(`{"name":"a","value":0.1,"dimensions":{"u":"\ud83d\ude00\n\"\\\/","z":"ü"}}`,
		"{__name__=\"a\", u=\"😀\\n\\\"\\\\/\", z=\"ü\"} 1701259200000 0.1\n", 1)

	// The window is inclusive at both ends.
	ok(fmt.Sprintf(`{"name":"a","value":1,"timestamp":%d}`, noon-7*24*3600*1000), "{__name__=\"a\"} 1700654400000 1\n", 1)
	ok(fmt.Sprintf(`{"name":"a","value":1,"timestamp":%d}`, noon+3600*1000), "{__name__=\"a\"} 1701262800000 1\n", 1)
}

// goodBefore and goodAfter stand around each bad one.
const goodBefore, goodAfter = `{"name":"a","value":1}`, `{"name":"z","value":2}`

// refuses sends a bad metric between two good ones, in each form, and wants exactly it to be refused.
func refuses(t *testing.T, item string, reason metric.Reason, detail string) {
	t.Helper()
	const kept = "{__name__=\"a\"} 1701259200000 1\n{__name__=\"z\"} 1701259200000 2\n"
	bodies := map[string]string{
		"array":    "[" + goodBefore + "," + item + "," + goodAfter + "]",
		"envelope": `{"metrics":[` + goodBefore + "," + item + "," + goodAfter + "]}",
		"lines":    goodBefore + "\n" + item + "\n" + goodAfter,
	}
	for form, body := range bodies {
		f := newFixture(t)
		f.write(body, 400, fmt.Sprintf(
			`{"detail":%q,"accepted":2,"rejected":[{"index":1,"reason":%q,"detail":%q}],"rejected_total":1}`,
			"1 metric was refused, 2 metrics were stored; first at index 1: "+detail, reason, detail))
		if got := f.stored(tenancy.Default); got != kept {
			t.Errorf("%s of %s: stored\n%s", form, item, got)
		}
	}
}

func TestWriteRefusesNames(t *testing.T) {
	bad := func(item string, reason metric.Reason, detail string) {
		t.Helper()
		refuses(t, item, reason, detail)
	}
	long := strings.Repeat("n", 257)
	shown := strings.Repeat("n", 64) + "..."

	bad(`{"value":1}`, metric.InvalidName, `field "name" is missing`)
	bad(`{"name":"","value":1}`, metric.InvalidName, `field "name" is empty`)
	bad(`{"name":7,"value":1}`, metric.InvalidName, `field "name" is a number: it must be a string`)
	bad(`{"name":"a-b","value":1}`, metric.InvalidName, `metric name "a-b" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$`)
	bad(`{"name":"1a","value":1}`, metric.InvalidName, `metric name "1a" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$`)
	bad(`{"name":"a:b","value":1}`, metric.InvalidName, `metric name "a:b" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$`)
	bad(`{"name":"\ud800","value":1}`, metric.InvalidName, `field "name" holds half of a surrogate pair`)
	bad(`{"name":"`+long+`","value":1}`, metric.InvalidName, `metric name "`+shown+`" is 257 bytes long: the limit is 256`)
}

func TestWriteRefusesValuesAndTimes(t *testing.T) {
	bad := func(item string, reason metric.Reason, detail string) {
		t.Helper()
		refuses(t, item, reason, detail)
	}
	bad(`{"name":"b"}`, metric.Malformed, `field "value" is missing`)
	bad(`{"name":"b","value":null}`, metric.Malformed, `field "value" is null: it must be a number`)
	bad(`{"name":"b","value":true}`, metric.Malformed, `field "value" is a boolean: it must be a number`)
	bad(`{"name":"b","value":"1"}`, metric.Malformed, `field "value" is the string "1": it must be a number`)
	bad(`{"name":"b","value":"NaN"}`, metric.ValueNotFinite, `value "NaN" is not a finite number: this API takes none`)
	bad(`{"name":"b","value":"-Inf"}`, metric.ValueNotFinite, `value "-Inf" is not a finite number: this API takes none`)
	bad(`{"name":"b","value":1e999}`, metric.ValueNotFinite, `value 1e999 is too large for a 64-bit floating-point number`)

	bad(`{"name":"b","value":1,"timestamp":"yesterday"}`, metric.Malformed,
		`timestamp "yesterday" is not RFC 3339, such as 2023-11-29T05:00:34.567Z; milliseconds since the Unix epoch are a number without quotes`)
	bad(`{"name":"b","value":1,"timestamp":1701259200000.5}`, metric.Malformed,
		`timestamp 1701259200000.5 is not a whole number of milliseconds since the Unix epoch`)
	bad(`{"name":"b","value":1,"timestamp":99999999999999999999}`, metric.Malformed,
		`timestamp 99999999999999999999 is not a whole number of milliseconds since the Unix epoch`)
	bad(`{"name":"b","value":1,"timestamp":[]}`, metric.Malformed,
		`field "timestamp" is an array: it must be a number of milliseconds or an RFC 3339 string`)
	bad(`{"name":"b","value":1,"timestamp":1701259200}`, metric.TimestampTooOld,
		`timestamp 1701259200 looks like seconds: timestamps are milliseconds since the Unix epoch`)
	bad(`{"name":"b","value":1,"timestamp":1701259200000000}`, metric.TimestampTooNew,
		`timestamp 1701259200000000 looks like microseconds: timestamps are milliseconds since the Unix epoch`)
	bad(`{"name":"b","value":1,"timestamp":1701259200000000000}`, metric.TimestampTooNew,
		`timestamp 1701259200000000000 looks like nanoseconds: timestamps are milliseconds since the Unix epoch`)
	bad(`{"name":"b","value":1,"timestamp":1700654399999}`, metric.TimestampTooOld,
		`timestamp 1700654399999 is before 1700654400000, the oldest taken (168h0m0s before now)`)
	bad(`{"name":"b","value":1,"timestamp":1701262800001}`, metric.TimestampTooNew,
		`timestamp 1701262800001 is after 1701262800000, the newest taken (1h0m0s after now)`)
	bad(`{"name":"b","value":1,"timestamp":-9223372036854775808}`, metric.TimestampTooOld,
		`timestamp -9223372036854775808 is before 1700654400000, the oldest taken (168h0m0s before now)`)
}

func TestWriteRefusesDimensionsAndFields(t *testing.T) {
	bad := func(item string, reason metric.Reason, detail string) {
		t.Helper()
		refuses(t, item, reason, detail)
	}
	bad(`{"name":"b","value":1,"dimensions":[]}`, metric.Malformed, `field "dimensions" is an array: it must be an object of strings`)
	bad(`{"name":"b","value":1,"dimensions":{"x":1}}`, metric.Malformed, `the value of dimension "x" is a number: it must be a string`)
	bad(`{"name":"b","value":1,"dimensions":{"x":null}}`, metric.Malformed, `the value of dimension "x" is null: it must be a string`)
	bad(`{"name":"b","value":1,"dimensions":{"x":{"y":[1,{"z":[]}]}}}`, metric.Malformed,
		`the value of dimension "x" is an object: it must be a string`)
	bad(`{"name":"b","value":1,"dimensions":{"x":"1","\u0078":"2"}}`, metric.DuplicateName, `dimension "x" occurs twice`)
	bad(`{"name":"b","value":1,"dimensions":{"x":"","x":"2"}}`, metric.DuplicateName, `dimension "x" occurs twice`)
	bad(`{"name":"b","value":1,"dimensions":{"":"1"}}`, metric.InvalidName, `dimension name is empty`)
	bad(`{"name":"b","value":1,"dimensions":{"x-y":"1"}}`, metric.InvalidName,
		`dimension name "x-y" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$`)
	bad(`{"name":"b","value":1,"dimensions":{"x-y":""}}`, metric.InvalidName,
		`dimension name "x-y" does not match ^[a-zA-Z_][a-zA-Z0-9_]*$`)
	bad(`{"name":"b","value":1,"dimensions":{"x":"\udead"}}`, metric.InvalidValue, `the value of dimension "x" holds half of a surrogate pair`)
	bad("{\"name\":\"b\",\"value\":1,\"dimensions\":{\"x\":\"\xff\"}}", metric.InvalidValue, `the value of dimension "x" is not valid UTF-8`)
	bad(`{"name":"b","value":1,"dimensions":{"x":"`+strings.Repeat("v", 2049)+`"}}`, metric.InvalidValue,
		`the value of dimension "x" is 2049 bytes long: the limit is 2048`)
	bad(`{"name":"b","value":1,"dimensions":{"__name__":"c"}}`, metric.ReservedName,
		`dimension "__name__" is the metric's name: use field "name"`)
	bad(`{"name":"b","value":1,"dimensions":{"_tenant_id":"other"}}`, metric.ReservedName,
		`dimension "_tenant_id" is set by the server from the request's tenant: leave it out`)
	bad(`{"name":"b","value":1,"dimensions":{"_tenant_id":""}}`, metric.ReservedName,
		`dimension "_tenant_id" is set by the server from the request's tenant: leave it out`)
	var many []string
	for i := range 21 {
		many = append(many, fmt.Sprintf(`"d%d":"x"`, i))
	}
	bad(`{"name":"b","value":1,"dimensions":{`+strings.Join(many, ",")+`}}`, metric.TooManyDimensions,
		`metric "b" has 21 dimensions: the limit is 20`)

	many = many[:0]
	for i := range 10_001 {
		many = append(many, fmt.Sprintf(`"d%d":""`, i))
	}
	bad(`{"name":"b","value":1,"dimensions":{`+strings.Join(many, ",")+`}}`, metric.TooManyDimensions,
		`the metric has more than 10000 dimensions, those of empty value among them`)

	// Long names are cut in messages, not within a character.
	bad(`{"name":"b","value":1,"`+strings.Repeat("x", 63)+`ü":2}`, metric.Malformed,
		`unknown field "`+strings.Repeat("x", 63)+`...": the fields are name, value, timestamp and dimensions`)
	bad(`{"name":"b","value":1,"\n\t\b\f\r\/\ud83d\uDE00\ud83dx":2}`, metric.Malformed,
		`unknown field "\n\t\b\f\r/😀": the fields are name, value, timestamp and dimensions`)
	bad(`{"name":"b","value":1,"dimension":{"x":"y"}}`, metric.Malformed,
		`unknown field "dimension": the fields are name, value, timestamp and dimensions`)
	bad(`{"name":"b","value":1,"Name":"c"}`, metric.Malformed,
		`unknown field "Name": the fields are name, value, timestamp and dimensions`)
	bad(`{"name":"b","value":1,"value\ud800":2}`, metric.Malformed,
		`unknown field "value": the fields are name, value, timestamp and dimensions`)
	bad(`{"name":"b","value":1,"value":2}`, metric.Malformed, `field "value" occurs twice`)
	bad(`{}`, metric.InvalidName, `field "name" is missing`)
	bad(`17`, metric.Malformed, `a metric must be an object, not a number`)
	bad(`[{"name":"b","value":1}]`, metric.Malformed, `a metric must be an object, not an array`)
	bad(`{"metrics":[{"name":"b","value":1}]}`, metric.Malformed,
		`unknown field "metrics": the fields are name, value, timestamp and dimensions`)
}

func TestWriteBadLines(t *testing.T) {
	f := newFixture(t)
	body := strings.Join([]string{
		`{"name":"a","value":1}`,
		`{"name":"b","value":}`,
		``,
		`{"name":"c","value":3} {"name":"d","value":4}`,
		`not json`,
		`{"name":"e","value":5}`,
	}, "\n")
	f.write(body, 400, `{
		"detail":"3 metrics were refused, 2 metrics were stored; first at index 1: line 2, column 21: unexpected '}' where a value should be",
		"accepted":2,"rejected_total":3,"rejected":[
			{"index":1,"reason":"malformed","detail":"line 2, column 21: unexpected '}' where a value should be"},
			{"index":2,"reason":"malformed","detail":"line 4, column 24: unexpected '{' where the end of the text should be"},
			{"index":3,"reason":"malformed","detail":"line 5, column 1: unexpected 'n' where a value should be"}]}`)
	const want = "{__name__=\"a\"} 1701259200000 1\n{__name__=\"e\"} 1701259200000 5\n"
	if got := f.stored(tenancy.Default); got != want {
		t.Errorf("stored\n%s", got)
	}
}

// TestWriteNotJSON sends bodies that can't be understood as a whole.
func TestWriteNotJSON(t *testing.T) {
	const good = `{"name":"a","value":1}`
	bad := func(body string, offset, line, column int, what string, headers ...string) {
		t.Helper()
		f := newFixture(t)
		f.write(body, 400, fmt.Sprintf(
			`{"detail":%q,"accepted":0,"rejected":[],"position":{"offset":%d,"line":%d,"column":%d}}`,
			fmt.Sprintf("nothing was stored: line %d, column %d: %s", line, column, what), offset, line, column), headers...)
		if got := f.stored(tenancy.Default); got != "" {
			t.Errorf("%s: stored\n%s", body, got)
		}
	}
	bad("", 0, 1, 1, "the body is empty")
	bad(" \n", 2, 2, 1, "the body is empty")
	bad("\n \n", 3, 3, 1, "the body is empty", "Content-Type: application/x-ndjson")
	bad("hello", 0, 1, 1, "unexpected 'h' where a value should be")
	bad("\x00", 0, 1, 1, `unexpected '\x00' where a value should be`)
	bad("\xff\xfe", 0, 1, 1, `unexpected byte 0xff where a value should be`)
	bad("\xef\xbb\xbf"+good, 0, 1, 1, `byte-order mark where a value should be: send UTF-8 without one`)
	bad("17", 0, 1, 1, `the body is a number: send a metric, an array of metrics, {"metrics":[...]}, or one metric a line`)
	bad("\n null", 2, 2, 2, `the body is null: send a metric, an array of metrics, {"metrics":[...]}, or one metric a line`)
	bad("["+good+",\n"+good, 47, 2, 23, "the text ends where ',' or ']' should be")
	bad("["+good+"]]", 24, 1, 25, "unexpected ']' where the end of the text should be")
	bad("["+good+",]", 24, 1, 25, "unexpected ']' where a value should be")
	bad(`[{"name":"a","value":NaN}]`, 21, 1, 22, "NaN is not a JSON value")
	bad(`[{"name":"a","value":Infinity}]`, 21, 1, 22, "Inf is not a JSON value")
	bad(`[{"name":"a","value":01}]`, 22, 1, 23, "unexpected '1' where ',' or '}' should be")
	bad(`[{"name":"a","value":.5}]`, 21, 1, 22, "unexpected '.' where a value should be")
	bad(`[{"name":"a","value":1.}]`, 23, 1, 24, "unexpected '}' where a digit after the decimal point should be")
	bad(`[{"name":"a","value":1e}]`, 23, 1, 24, "unexpected '}' where a digit of the exponent should be")
	bad(`[{"name":"a","value":-}]`, 22, 1, 23, "unexpected '}' where a digit should be")
	bad(`[{'name':"a"}]`, 2, 1, 3, "single quote where a field name or '}' should be: JSON strings take double quotes")
	bad(`[{"name":"a",}]`, 13, 1, 14, "unexpected '}' where a field name should be")
	bad(`[{"name" "a"}]`, 9, 1, 10, "unexpected '\"' where ':' should be")
	bad("[{\"name\":\"a\nb\"}]", 11, 1, 12, "control character 0x0a in a string: write it as \\u000a")
	bad(`[{"name":"\x"}]`, 11, 1, 12, "unexpected 'x' where the rest of an escape sequence should be")
	bad(`[{"name":"\u12g4"}]`, 14, 1, 15, "unexpected 'g' where a hexadecimal digit of \\uXXXX should be")
	bad(`[{"name":"a`, 11, 1, 12, "the text ends inside a string")
	bad(`[{"name":"a\`, 12, 1, 13, "the text ends inside a string")
	bad(good+good, 22, 1, 23, "something follows the first object: send many metrics as an array, or one a line")
	bad("{\"name\":\"a\",\n\"value\":1}\n"+good, 24, 3, 1, "something follows the first object: send many metrics as an array, or one a line")
	bad(`{"metrics":[`+good+`],"source":"x"}`, 45, 1, 46, `unknown field "source" beside "metrics": the envelope has no others`)
	bad(`{"metrics":[`+good+`],"metrics":[]}`, 46, 1, 47, `field "metrics" occurs twice`)
	bad(`{"metrics":`+good+`}`, 11, 1, 12, `field "metrics" is an object: it must be an array of metrics`)
	bad(strings.Repeat("[", 10_005), 10_001, 1, 10_002, "values are nested deeper than 10000")
}

func TestWriteDefaultsToNow(t *testing.T) {
	f := newFixture(t)
	f.wrote(`{"name":"a","value":1}`)
	if got, want := f.stored(tenancy.Default), fmt.Sprintf("{__name__=\"a\"} %d 1\n", noon); got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}

func TestWriteLastValueWins(t *testing.T) {
	f := newFixture(t)
	f.wrote(`[{"name":"a","value":1},{"name":"a","value":2}]`)
	f.wrote(`{"name":"a","value":2}`)
	if got, want := f.stored(tenancy.Default), "{__name__=\"a\"} 1701259200000 2\n"; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}

func TestWriteListsRejectionsUpToALimit(t *testing.T) {
	f := newFixture(t)
	body := `{"name":"good","value":1}` + strings.Repeat("\n"+`{"name":"bad-name","value":1}`, 150)
	w := f.do(http.MethodPost, "/luminate/v1/metrics", body)
	if n := strings.Count(w.Body.String(), `"index"`); n != 100 {
		t.Errorf("%d rejections are listed, want 100", n)
	}
	for _, part := range []string{`"accepted":1`, `"rejected_total":150`, "150 metrics were refused, 1 metric was stored"} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("answer lacks %s:\n%s", part, w.Body)
		}
	}
}

func TestWriteTooManyItems(t *testing.T) {
	f := newFixture(t, func(o *native.Options) { o.Limits.Items = 2 })
	const item = `{"name":"a","value":1}`
	f.write("["+item+","+item+"]", 200, `{"accepted":2,"rejected":[]}`)
	f = newFixture(t, func(o *native.Options) { o.Limits.Items = 2 })
	for _, body := range []string{"[" + item + "," + item + "," + item + "]", item + "\n" + item + "\n" + item} {
		f.write(body, 413, `{
			"detail":"the request holds more than 2 metrics, the limit set by native.max_items: send them in several requests",
			"limit":{"name":"items","max":2,"observed":3,"setting":"native.max_items"}}`)
	}
	if got := f.stored(tenancy.Default); got != "" {
		t.Errorf("stored %s", got)
	}
}

func TestWriteTenants(t *testing.T) {
	f := newFixture(t)
	f.wrote(`{"name":"a","value":1}`, "X-Scope-OrgID: red")
	f.wrote(`{"name":"a","value":2}`, "X-Scope-OrgID: blue")
	for tenant, want := range map[tenancy.ID]string{
		"red":           "{__name__=\"a\"} 1701259200000 1\n",
		"blue":          "{__name__=\"a\"} 1701259200000 2\n",
		tenancy.Default: "",
	} {
		if got := f.stored(tenant); got != want {
			t.Errorf("tenant %s has %q, want %q", tenant, got, want)
		}
	}
}

// broken is a sink whose store is away.
type broken struct {
	native.Sink
	err error
}

func (b broken) Ingest(context.Context, ingest.Request) (ingest.Outcome, error) {
	return ingest.Outcome{}, fmt.Errorf("ingest: append: %w", b.err)
}

func TestWriteStoreFailures(t *testing.T) {
	fails := func(err error, status int, want string) http.Header {
		t.Helper()
		f := newFixture(t, func(o *native.Options) { o.Sink = broken{o.Sink, err} })
		w := f.do(http.MethodPost, "/luminate/v1/metrics", `{"name":"a","value":1}`)
		f.want(w, status, want)
		return w.Header()
	}
	h := fails(store.ErrUnavailable, 503, `{"detail":"the store is not available now: try again later","retry_after":5}`)
	if got := h.Get("Retry-After"); got != "5" {
		t.Errorf("Retry-After is %q", got)
	}
	fails(errors.New("secret path /var/lib"), 500, `{"detail":"internal error: the server's log has the cause"}`)
	fails(context.Canceled, 499, `{"detail":"ingest: append: context canceled"}`)
}

func TestInternalErrorsAreLogged(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, func(o *native.Options) {
		o.Sink = broken{o.Sink, errors.New("disk is odd")}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	f.do(http.MethodPost, "/luminate/v1/metrics", `{"name":"a","value":1}`, "X-Scope-OrgID: red")
	for _, part := range []string{"level=ERROR", "tenant=red", "path=/luminate/v1/metrics", "disk is odd"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("log lacks %q: %s", part, log.String())
		}
	}
	log.Reset()
	f.do(http.MethodPost, "/luminate/v1/metrics", `nonsense`)
	if log.Len() > 0 {
		t.Errorf("a client's mistake is logged: %s", log.String())
	}
}

func TestWriteRulesCanBeSet(t *testing.T) {
	rules := metric.StrictRules(tenancy.Dimension)
	rules.MaxAge = 0
	rules.MaxDimensions = 1
	f := newFixture(t, func(o *native.Options) { o.Rules = &rules })
	f.wrote(`{"name":"a","value":1,"timestamp":0}`)
	f.write(`{"name":"a","value":1,"dimensions":{"x":"1","y":"2"}}`, 400, `{
		"detail":"1 metric was refused, 0 metrics were stored; first at index 0: metric \"a\" has 2 dimensions: the limit is 1",
		"accepted":0,"rejected_total":1,
		"rejected":[{"index":0,"reason":"too_many_dimensions","detail":"metric \"a\" has 2 dimensions: the limit is 1"}]}`)
	if got, want := f.stored(tenancy.Default), "{__name__=\"a\"} 0 1\n"; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}

// TestWriteManyMetrics does not end if the decoder's time grows faster than its input.
func TestWriteManyMetrics(t *testing.T) {
	var body strings.Builder
	const n = 50_000
	for i := range n {
		fmt.Fprintf(&body, "{\"name\":\"m\",\"value\":%d,\"timestamp\":%d,\"dimensions\":{\"\\u0061\":\"%d\"}}\n", i, noon-n+int64(i), i%10)
	}
	newFixture(t).write(body.String(), 200, fmt.Sprintf(`{"accepted":%d,"rejected":[]}`, n))
}

// TestWriteConcurrently shows that requests do not share the memory that is kept for the next one.
func TestWriteConcurrently(t *testing.T) {
	f := newFixture(t)
	const clients, requests = 8, 50
	var done sync.WaitGroup
	for c := range clients {
		done.Go(func() {
			for i := range requests {
				body := fmt.Sprintf(`{"name":"c%d","value":%d,"timestamp":%d,"dimensions":{"\u0061":"%d"}}`, c, i, noon-int64(i), c)
				w := httptest.NewRecorder()
				f.router.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodPost, root+"/metrics", strings.NewReader(body)))
				if w.Code != http.StatusOK {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
			}
		})
	}
	done.Wait()
	var want strings.Builder
	for c := range clients {
		for i := requests - 1; i >= 0; i-- {
			fmt.Fprintf(&want, "{__name__=\"c%d\", a=\"%[1]d\"} %d %d\n", c, noon-int64(i), i)
		}
	}
	if got := f.stored(tenancy.Default); got != want.String() {
		t.Errorf("stored\n%s", got)
	}
}
