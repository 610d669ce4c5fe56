package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// topLevel lists the directories that may stand in the root; names with a leading dot are free.
var topLevel = []string{
	"cmd", "config", "deploy", "docs", "grafana-plugin", "internal", "native", "promql", "remoteread", "remotewrite",
	"store", "tenancy", "test",
}

// buildProducts lists the git-ignored directories that make leaves in the root.
var buildProducts = []string{"bin", "data"}

// A row gives the packages below a directory their place. Lower layers sort first.
type row struct {
	dir   string
	layer string
}

// layers is the one place that says which package may import which: an import must point to a lower layer. The longest
// directory that fits decides. Packages below one directory of the table may import each other.
var layers = []row{
	{"internal/metric", "0"},
	{"tenancy", "0"},
	{"internal/problem", "0"},
	{"config", "0"},
	{"tenancy/auth", "1"},
	{"tenancy/limits", "1"},
	{"tenancy/cardinality", "1"},
	{"store", "1"},
	{"store/aggregate", "2a"},
	{"store/archive", "2a"},
	{"store/rollup", "2a"},
	{"store/series", "2"},
	{"store/memory", "2b"},
	{"store/badger", "2b"},
	{"store/clickhouse", "2b"},
	{"store/storetest", "2c"},
	{"internal/ingest", "3"},
	{"internal/reading", "3"},
	{"remotewrite", "4"},
	{"remoteread", "4"},
	{"native", "4"},
	{"promql", "4"},
	{"internal/selfmetrics", "4"},
	{"internal/server", "5"},
	{"cmd", "6"},
	{"test", outside},
	{"internal/archtest", outside},
}

// outside is the layer of packages that neither import the project nor are imported by it.
const outside = "outside"

// testSupport lists the packages that a test may import whatever its own layer is.
var testSupport = []string{"store/memory", "store/storetest"}

// placeOf returns the row of a package.
func placeOf(dir string) (row, bool) {
	var best row
	for _, r := range layers {
		if isBelow(dir, r.dir) && len(r.dir) > len(best.dir) {
			best = r
		}
	}
	return best, best.dir != ""
}

func checkTopLevel(t *Tree) []Complaint {
	var out []Complaint
	for _, dir := range t.TopLevel {
		if !slices.Contains(topLevel, dir) && !slices.Contains(buildProducts, dir) {
			out = append(out, Complaint{
				Path: dir, What: "the root holds a directory that is not in the agreed list",
				Instead: "put it below one of " + strings.Join(topLevel, ", "),
			})
		}
	}
	return out
}

func checkLayers(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		from, ok := placeOf(p.Dir)
		// A package below "store" or "tenancy" that has no row of its own would inherit the layer of the contract.
		if !ok || (p.Dir != from.dir && slices.Contains([]string{"store", "tenancy"}, from.dir)) {
			out = append(out, Complaint{
				Path: p.Dir, What: "the package has no layer",
				Instead: "give it a row in internal/archtest/layers.go and in CONTRIBUTING.md, or move it into a package that has one",
			})
			continue
		}
		for _, f := range p.Files {
			out = append(out, checkFileLayers(t, f, from)...)
		}
	}
	return append(out, checkLayerPage(t)...)
}

// checkLayerPage wants the table for people to name what the table for the test names.
func checkLayerPage(t *Tree) []Complaint {
	const page = "CONTRIBUTING.md"
	text, ok := t.Markdown[page]
	if !ok {
		return nil
	}
	var out []Complaint
	for _, r := range layers {
		if !strings.Contains(text, "`"+r.dir+"`") && !strings.Contains(text, "`"+r.dir+"/") {
			out = append(out, Complaint{
				Path: page, What: "the table of layers does not name " + r.dir,
				Instead: "add it, as in internal/archtest/layers.go",
			})
		}
	}
	return out
}

func checkFileLayers(t *Tree, f *File, from row) []Complaint {
	var out []Complaint
	for _, spec := range f.AST.Imports {
		target, own := strings.CutPrefix(importPath(spec), Module+"/")
		if !own {
			continue
		}
		to, ok := placeOf(target)
		if !ok {
			continue // Said once, for the package itself.
		}
		if instead := whyNot(f, from, to, target); instead != "" {
			what := fmt.Sprintf("%s (layer %s) imports %s (layer %s)", from.dir, from.layer, target, to.layer)
			out = append(out, t.at(f, spec.Pos(), what, instead))
		}
	}
	return out
}

// whyNot returns what to do instead of the import, or "" if it is allowed.
func whyNot(f *File, from, to row, target string) string {
	switch {
	case from.dir == to.dir:
		return ""
	case from.layer == outside:
		return "talk to the program over HTTP or its command line, as a user would"
	case to.layer == outside:
		return "move what you need out of the test code"
	case f.Test && slices.Contains(testSupport, to.dir):
		return ""
	case to.dir == "store/storetest":
		return "import the conformance suite from _test.go files only"
	case from.layer == to.layer:
		return "packages of one layer do not know each other: declare the two or three methods you need as an interface and let cmd/luminate pass " + target + " in"
	case from.layer < to.layer:
		return "imports only point down: declare the methods you need as an interface where you use them, or move the shared type down"
	}
	return ""
}
