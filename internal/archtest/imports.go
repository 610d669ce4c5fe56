package archtest

import (
	"path"
	"slices"
	"strings"
)

// A ban keeps an import path, and those below it, out of the tree.
type ban struct {
	path    string
	tests   bool // Tests may not import it either.
	instead string
}

var bans = []ban{
	{
		path:    "github.com/prometheus/prometheus/storage/remote",
		instead: "it pulls in over 500 packages: use prompb and the own framing in remotewrite and remoteread",
	},
	{
		path:    "github.com/prometheus/prometheus/web/api/v1",
		instead: "it pulls in over 600 packages: declare the few response types in promql",
	},
	{
		path:    "github.com/prometheus/prometheus/promql/promqltest",
		instead: "use it in _test.go files or in store/storetest",
	},
	{
		path: "github.com/stretchr/testify", tests: true,
		instead: "compare with the standard library and go-cmp",
	},
	{
		path: "github.com/pkg/errors", tests: true,
		instead: "use errors and fmt.Errorf with %w",
	},
	{
		path: "io/ioutil", tests: true,
		instead: "use io and os",
	},
	{
		path: "log", tests: true,
		instead: "take a *slog.Logger",
	},
	{
		path:    "testing",
		instead: "keep test code in _test.go files, store/storetest or test",
	},
}

func (b ban) covers(p string) bool {
	// The standard library's log/slog and testing/fstest are other packages, not parts.
	if !strings.Contains(b.path, ".") {
		return p == b.path
	}
	return isBelow(p, b.path)
}

func checkImports(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, spec := range f.AST.Imports {
				name := importPath(spec)
				for _, b := range bans {
					if b.covers(name) && (b.tests || !f.Test && !p.onlyForTests()) {
						out = append(out, t.at(f, spec.Pos(), "import of "+name, b.instead))
					}
				}
			}
		}
	}
	return out
}

// emptyNames lists package names that say nothing about what is inside.
var emptyNames = []string{
	"base", "common", "core", "helper", "helpers", "lib", "misc", "model", "models", "shared", "types", "util", "utils",
}

func checkNames(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		name := path.Base(p.Dir)
		if slices.Contains(emptyNames, name) || strings.HasSuffix(name, "util") || strings.HasSuffix(name, "utils") {
			out = append(out, Complaint{
				Path: p.Dir, What: "the package name " + name + " says nothing",
				Instead: "name the thing that the package provides, or move its code to where it is used",
			})
		}
	}
	return out
}
