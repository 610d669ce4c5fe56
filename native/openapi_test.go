package native_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/store"
)

// document is the parsed description of the API, shared by all tests.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	// TestDescriptionExamples looks at the examples: some are meant to be refused.
	return doc, doc.Validate(loader.Context, openapi3.DisableExamplesValidation())
})

func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// described wants an answer to be one of those that the description allows for its route.
func described(t *testing.T, rt route, w *httptest.ResponseRecorder) {
	t.Helper()
	item := description(t).Paths.Value(braces(rt.path))
	if item == nil || item.GetOperation(rt.method) == nil {
		t.Errorf("%s %s is not described", rt.method, rt.path)
		return
	}
	op := item.GetOperation(rt.method)
	answer := op.Responses.Status(w.Code)
	if answer == nil && w.Code >= 400 {
		answer = op.Responses.Default()
	}
	if answer == nil {
		t.Errorf("%s %s: status %d is not described", rt.method, rt.path, w.Code)
		return
	}
	if w.Code == http.StatusNoContent && answer.Value.Content == nil && w.Body.Len() == 0 {
		return
	}
	media, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
	content := answer.Value.Content[media]
	if content == nil {
		t.Errorf("%s %s: content type %q of status %d is not described", rt.method, rt.path, media, w.Code)
		return
	}
	if !strings.HasSuffix(media, "json") {
		return
	}
	if err := fits(content.Schema, w.Body.Bytes()); err != nil {
		t.Errorf("%s %s: status %d is not as described: %v\n%s", rt.method, rt.path, w.Code, err, w.Body)
	}
}

func fits(schema *openapi3.SchemaRef, text []byte) error {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	return schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors())
}

// braces turns the path parameters of httprouter into those of OpenAPI.
func braces(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func TestDescriptionHasEveryRoute(t *testing.T) {
	var registered, written []string
	for _, r := range newFixture(t).routes {
		registered = append(registered, r.method+" "+braces(r.path))
	}
	for path, item := range description(t).Paths.Map() {
		for method := range item.Operations() {
			written = append(written, method+" "+path)
		}
	}
	slices.Sort(registered)
	slices.Sort(written)
	if diff := cmp.Diff(registered, written); diff != "" {
		t.Errorf("routes and description differ (-routes +description)\n%s", diff)
	}
}

func TestDescriptionNamesTheScope(t *testing.T) {
	for _, r := range newFixture(t).routes {
		op := description(t).Paths.Value(braces(r.path)).GetOperation(r.method)
		if r.scope == 0 {
			if op.Security == nil || len(*op.Security) != 1 || len((*op.Security)[0]) != 0 {
				t.Errorf("%s %s needs no scope, and the description does not say so", r.method, r.path)
			}
			continue
		}
		if want := "scope " + r.scope.String(); !strings.Contains(op.Description, want) {
			t.Errorf("%s %s: the description does not say %q", r.method, r.path, want)
		}
	}
}

func TestDescriptionIsServed(t *testing.T) {
	w := newFixture(t).do(http.MethodGet, root+"/openapi.yaml", "")
	file, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/yaml" || !bytes.Equal(w.Body.Bytes(), file) {
		t.Errorf("status %d, content type %q, %d bytes", w.Code, w.Header().Get("Content-Type"), w.Body.Len())
	}
}

// TestDescriptionLists compares the closed lists in the description with those in the code.
func TestDescriptionLists(t *testing.T) {
	doc := description(t)
	list := func(name string, schema *openapi3.Schema, want []string) {
		t.Helper()
		var got []string
		for _, v := range schema.Enum {
			got = append(got, v.(string))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-code +description)\n%s", name, diff)
		}
	}
	schemas := doc.Components.Schemas
	var reasons, functions, codes []string
	for _, r := range metric.Reasons {
		reasons = append(reasons, string(r))
	}
	for _, f := range store.Funcs() {
		functions = append(functions, f.String())
	}
	for k := problem.Internal; k <= problem.Timeout; k++ {
		codes = append(codes, k.String())
	}
	list("Reason", schemas["Reason"].Value, reasons)
	list("Function", schemas["Function"].Value, functions)
	list("code", schemas["Problem"].Value.Properties["code"].Value, codes)
	list("op", schemas["Filter"].Value.Properties["op"].Value, []string{"=", "!=", "=~", "!~", "in", "exists"})
	if got, want := *schemas["Metric"].Value.Properties["name"].Value.MaxLength, uint64(metric.StrictRules("").MaxNameLength); got != want {
		t.Errorf("longest name %d, want %d", got, want)
	}
	if got, want := *schemas["Query"].Value.Properties["limit"].Value.Max, float64(native.DefaultLimits().Groups); got != want {
		t.Errorf("most groups %v, want %v", got, want)
	}
}

// An example is a named request of the description, with the answer that goes by the same name.
type example struct {
	name, method, target, contentType, body string
	status                                  int
	answer                                  string
	schema                                  *openapi3.SchemaRef // Of the body.
}

// TestDescriptionExamples sends each example to the handlers and wants the answer that is written there.
func TestDescriptionExamples(t *testing.T) {
	doc := description(t)
	seed := jsonOf(t, doc.Paths.Value(root + "/metrics").Post.RequestBody.Value.Content["application/json"].Examples["array"].Value.Value)
	total := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			found := examples(t, path, method, item, op)
			ok := op.Responses.Status(http.StatusOK) // Without one there is nothing to show.
			if len(found) == 0 && op.Security == nil && ok != nil && ok.Value.Content[native.ArchiveType] == nil {
				t.Errorf("%s %s has no example", method, path)
			}
			for _, e := range found {
				total++
				f := newFixture(t)
				if method == http.MethodGet || path != root+"/metrics" {
					f.wrote(seed)
				}
				if e.contentType == "application/json" {
					if err := fits(e.schema, []byte(e.body)); (err == nil) != (e.status == http.StatusOK) {
						t.Errorf("%s %s, %s: status %d, but the schema says %v", method, path, e.name, e.status, err)
					}
				}
				w := f.do(e.method, e.target, e.body, "Content-Type: "+e.contentType)
				if w.Code != e.status {
					t.Errorf("%s %s, %s: status %d, want %d: %s", method, path, e.name, w.Code, e.status, w.Body)
					continue
				}
				if diff := cmp.Diff(anyOf(t, e.answer), anyOf(t, w.Body.String())); diff != "" {
					t.Errorf("%s %s, %s: (-described +served)\n%s", method, path, e.name, diff)
				}
			}
		}
	}
	if total < 12 {
		t.Errorf("only %d examples were found", total)
	}
}

// examples returns the examples of one operation. Each answer must have its request, and the other way round.
func examples(t *testing.T, path, method string, item *openapi3.PathItem, op *openapi3.Operation) []example {
	t.Helper()
	byName := map[string]example{}
	for status, answer := range op.Responses.Map() {
		for _, content := range answer.Value.Content {
			for name, x := range content.Examples {
				e := example{name: name, method: method, answer: jsonOf(t, x.Value.Value)}
				if _, err := fmt.Sscan(status, &e.status); err != nil {
					t.Fatal(err)
				}
				byName[name] = e
			}
		}
	}
	requests := map[string]bool{}
	if op.RequestBody != nil {
		for contentType, content := range op.RequestBody.Value.Content {
			for name, x := range content.Examples {
				requests[name] = true
				e := byName[name]
				e.contentType, e.schema = contentType, content.Schema
				if text, ok := x.Value.Value.(string); ok {
					e.body = text
				} else {
					e.body = jsonOf(t, x.Value.Value)
				}
				byName[name] = e
			}
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(requests)), slices.Sorted(maps.Keys(byName))); diff != "" {
			t.Errorf("%s %s: requests and answers do not go together\n%s", method, path, diff)
		}
	}
	var out []example
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		e := byName[name]
		e.target = target(path, name, append(slices.Clone(item.Parameters), op.Parameters...))
		out = append(out, e)
	}
	return out
}

// target fills in the parameters that have an example of the given name.
func target(path, name string, params openapi3.Parameters) string {
	query := url.Values{}
	for _, p := range params {
		x := p.Value.Examples[name]
		switch {
		case x == nil:
		case p.Value.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(fmt.Sprint(x.Value.Value)))
		default:
			query.Set(p.Value.Name, fmt.Sprint(x.Value.Value))
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func anyOf(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
