package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/config"
)

var (
	description = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"),.*variableLabels: \{([^}]*)\}\}$`)
	ownMetric   = regexp.MustCompile(`\bluminate_[a-z0-9_]+`)
	metricTable = regexp.MustCompile(`(?s)(<!-- metrics: begin[^>]*-->\n).*(<!-- metrics: end -->)`)
)

// TestMetricsPage compares the table of own metrics with what the program registers. LUMINATE_REWRITE=1 writes it anew.
func TestMetricsPage(t *testing.T) {
	b := boot(t, map[string]string{"storage.backend": "badger", "storage.badger.path": t.TempDir(), "retention.period": "30d"})
	descs := make(chan *prometheus.Desc)
	go func() {
		b.registry.Describe(descs)
		close(descs)
	}()
	lines := map[string]string{}
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Errorf("can't read %s", d)
			continue
		}
		help, err := strconv.Unquote(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if name := m[1]; strings.HasPrefix(name, "luminate_") {
			if !strings.HasSuffix(help, ".") {
				t.Errorf("the help of %s is no sentence: %q", name, help)
			}
			labels := ""
			if m[3] != "" {
				labels = "`" + strings.ReplaceAll(m[3], ",", "`, `") + "`"
			}
			lines[name] = fmt.Sprintf("| `%s` | %s | %s |\n", name, labels, help)
		}
	}
	var table strings.Builder
	table.WriteString("| metric | labels | meaning |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		table.WriteString(lines[name])
	}

	const page = "../../docs/operations/monitoring.md"
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ownMetric.FindAllString(string(have), -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if lines[name] == "" && lines[base] == "" {
			t.Errorf("%s names %s, which is not there", page, name)
		}
	}
	want := metricTable.ReplaceAllString(string(have), "${1}"+strings.ReplaceAll(table.String(), "$", "$$")+"${2}")
	if os.Getenv("LUMINATE_REWRITE") != "" {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("%s does not list the metrics; run LUMINATE_REWRITE=1 go test ./cmd/luminate (-program +page):\n%s", page, diff)
	}
}

var settingName = regexp.MustCompile(`\b(?:server|auth|storage|ingest|remote_write|remote_read|native|query|promql|retention|self_metrics|memory|log|limits)(?:\.[a-z_]+)+\b`)

// TestNamedSettingsExist checks that a setting that an error or a page names can be set.
func TestNamedSettingsExist(t *testing.T) {
	known := map[string]bool{}
	for _, s := range config.Defaults().Sections() {
		known[s.Path] = true
		for _, x := range s.Settings {
			known[x.Path] = true
		}
	}
	found := 0
	check := func(where, text string) {
		for _, name := range settingName.FindAllString(text, -1) {
			if found++; !known[name] {
				t.Errorf("%s names the setting %s, which is not there", where, name)
			}
		}
	}
	root := "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || slices.Contains([]string{"test", "testdata", "archtest"}, d.Name())):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			return literals(path, check)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d names of settings found", found)
	}
}

// literals calls check for each text in a source file, comments and tags left out.
func literals(path string, check func(where, text string)) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				check(path, text)
			}
		}
		return true
	})
	return nil
}
