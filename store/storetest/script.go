package storetest

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// rewriteVariable is the environment variable that makes RunScripts write what it sees into the scripts.
const rewriteVariable = "LUMINATE_REWRITE"

//go:embed testdata/*.txt
var scripts embed.FS

// RunScripts runs the scripts under testdata, each of them on a new store. A script is a sequence of commands: a line
// with a name and arguments, lines of input, "----", and the expected output up to an empty line. Lines with # in front
// of a command are comments. With LUMINATE_REWRITE=1 the expected output is replaced by what the store says.
func RunScripts(t *testing.T, open Opener) {
	t.Helper()
	entries, err := scripts.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(strings.TrimSuffix(e.Name(), ".txt"), func(t *testing.T) {
			text, err := scripts.ReadFile("testdata/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, open(t), string(text))
			if got == string(text) {
				return
			}
			if os.Getenv(rewriteVariable) == "" {
				t.Errorf("-want +got\n%s", cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")))
				return
			}
			_, here, _, _ := runtime.Caller(0)
			if err := os.WriteFile(filepath.Join(filepath.Dir(here), "testdata", e.Name()), []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// runScript returns the script with the output of the store in place of what is expected.
func runScript(tb testing.TB, st store.Store, text string) string {
	tb.Helper()
	var out strings.Builder
	rest := strings.Split(strings.TrimRight(text, "\n"), "\n")
	next := func() (string, bool) {
		if len(rest) == 0 {
			return "", false
		}
		first := rest[0]
		rest = rest[1:]
		return first, true
	}
	for {
		head, ok := next()
		if !ok {
			return out.String()
		}
		out.WriteString(head + "\n")
		if head == "" || strings.HasPrefix(head, "#") {
			continue
		}
		c := newCommand(tb, st, head)
		for in, ok := next(); ok && in != "----"; in, ok = next() {
			out.WriteString(in + "\n")
			c.input = append(c.input, in)
		}
		for want, ok := next(); ok && want != ""; want, ok = next() {
			continue
		}
		out.WriteString("----\n")
		for _, l := range c.run() {
			out.WriteString(l + "\n")
		}
		if len(rest) > 0 {
			out.WriteString("\n")
		}
	}
}

// command is one command of a script.
type command struct {
	*probe
	name  string
	args  map[string]string
	input []string
}

func newCommand(tb testing.TB, st store.Store, head string) *command {
	tb.Helper()
	words := strings.Fields(head)
	c := &command{probe: newProbe(tb, st), name: words[0], args: map[string]string{}}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		c.args[k] = v
	}
	if id := c.args["tenant"]; id != "" {
		c.probe = c.as(tenancy.ID(id))
	}
	return c
}

// run does what the command says and returns its output.
func (c *command) run() []string {
	c.tb.Helper()
	commands := map[string]func() ([]string, error){
		"append": c.runAppend, "describe": c.runDescribe, "metadata": c.runMetadata, "select": c.runSelect,
		"chunks": c.runChunks, "labels": c.runLabels, "values": c.runValues, "series": c.runSeries, "delete": c.runDelete,
		"expire": c.runExpire, "aggregate": c.runAggregate, "exemplars": c.runExemplars, "cardinality": c.runCardinality,
		"tenants": c.runTenants,
		"flush":   func() ([]string, error) { return []string{"ok"}, c.st.Flush(c.ctx()) },
		"compact": func() ([]string, error) { return []string{"ok"}, c.st.Compact(c.ctx()) },
	}
	f := commands[c.name]
	if f == nil {
		c.tb.Fatalf("script: unknown command %q", c.name)
	}
	out, err := f()
	if err != nil {
		return append(out, "error: "+err.Error())
	}
	if len(out) == 0 {
		return []string{"nothing"}
	}
	return out
}

func (c *command) number(name string) int {
	c.tb.Helper()
	if c.args[name] == "" {
		return 0
	}
	n, err := strconv.Atoi(c.args[name])
	c.fatal(err, "script: "+name)
	return n
}

func (c *command) in() store.Range {
	c.tb.Helper()
	return c.rangeOf(c.args["range"])
}

// selected returns the selection that the first line of the input says.
func (c *command) selected() store.Selection {
	c.tb.Helper()
	selector := "{}"
	if len(c.input) > 0 {
		selector = c.input[0]
	}
	sel := c.selection(selector)
	sel.Limit = c.number("limit")
	return sel
}

func (c *command) runAppend() ([]string, error) {
	b, err := newBatch(Hasher(), c.input...)
	c.fatal(err, "script")
	rejected, err := c.tenant().Append(c.ctx(), b)
	stored := b.Counts()
	var out []string
	for _, r := range rejected {
		stored.Sub(r.Lost)
		out = append(out, fmt.Sprintf("rejected series %d: %s", r.Series, r.Reason))
	}
	return append([]string{fmt.Sprintf("stored %d", stored.Total())}, out...), err
}

func (c *command) runDescribe() ([]string, error) {
	b := metric.NewBatch(Hasher())
	for _, in := range c.input {
		var m metric.Metadata
		if _, err := fmt.Sscanf(in, "%s %s %q %q", &m.Family, &m.Type, &m.Help, &m.Unit); err != nil {
			c.tb.Fatalf("script: %q: %v", in, err)
		}
		b.Metadata = append(b.Metadata, m)
	}
	_, err := c.tenant().Append(c.ctx(), b)
	return []string{fmt.Sprintf("stored %d", len(b.Metadata))}, err
}

func (c *command) runMetadata() ([]string, error) {
	return dumpMetadata(c.probe, store.MetadataQuery{Family: c.args["family"], Limit: c.number("limit")})
}

func (c *command) runSelect() ([]string, error) {
	return dump(c.reader(c.args["range"]).Select(c.ctx(), c.selected()))
}

func (c *command) runChunks() ([]string, error) {
	got, _, err := dumpChunks(c.reader(c.args["range"]).SelectChunks(c.ctx(), c.selected()))
	var out []string
	for _, s := range got {
		run := s.run.Between(c.in())
		for i := range run {
			forgetHint(&run[i])
		}
		out = append(out, formatSeries(s.labels, run))
	}
	return out, err
}

func (c *command) runLabels() ([]string, error) {
	l, err := c.reader(c.args["range"]).LabelNames(c.ctx(), c.selected())
	return listed(l, itself), err
}

func (c *command) runValues() ([]string, error) {
	l, err := c.reader(c.args["range"]).LabelValues(c.ctx(), c.args["name"], c.selected())
	return listed(l, strconv.Quote), err
}

func (c *command) runSeries() ([]string, error) {
	l, err := c.reader(c.args["range"]).Series(c.ctx(), c.selected())
	return listed(l, formatLabels), err
}

func (c *command) runDelete() ([]string, error) {
	return []string{"ok"}, c.tenant().Delete(c.ctx(), c.in(), c.selected())
}

func (c *command) runExpire() ([]string, error) {
	t, err := parseTime(c.args["before"])
	c.fatal(err, "script")
	return []string{"ok"}, c.st.Expire(c.ctx(), t)
}

func (c *command) runAggregate() ([]string, error) {
	q := store.Aggregation{Range: c.in(), Selection: c.selected(), MaxSamples: int64(c.number("max"))}
	for name := range strings.SplitSeq(c.args["func"], ",") {
		f, err := store.ParseFunc(name)
		c.fatal(err, "script")
		q.Funcs = append(q.Funcs, f)
	}
	if by := c.args["by"]; by != "" {
		q.GroupBy = strings.Split(by, ",")
	}
	for name, to := range map[string]*time.Duration{"step": &q.Step, "gap": &q.MaxGap} {
		if text := c.args[name]; text != "" {
			var err error
			*to, err = time.ParseDuration(text)
			c.fatal(err, "script")
		}
	}
	res, err := c.tenant().Aggregate(c.ctx(), q)
	if err != nil {
		return nil, err
	}
	return dumpAggregate(q, res), nil
}

func (c *command) runExemplars() ([]string, error) {
	var anyOf []store.Selection
	for _, in := range c.input {
		anyOf = append(anyOf, c.selection(in))
	}
	return dumpExemplars(c.ctx(), c.tenant(), c.in(), anyOf)
}

func (c *command) runCardinality() ([]string, error) {
	q := store.CardinalityQuery{Range: c.in(), Selection: c.selected(), Top: c.number("top")}
	res, err := c.tenant().Cardinality(c.ctx(), q)
	if err != nil {
		return nil, err
	}
	return dumpCardinality(res), nil
}

func (c *command) runTenants() ([]string, error) {
	ids, err := c.st.Tenants(c.ctx())
	var out []string
	for _, id := range ids {
		out = append(out, string(id))
	}
	return out, err
}
