// Package archtest is the set of rules about the source itself: layers, sizes, documentation, state and tests.
//
// A rule reads the parsed tree and returns complaints, each of which says what to do instead. The rules need no build
// and no type information, so that they run in about a second and also on a tree that does not compile.
package archtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Module is the import path of the project.
const Module = "github.com/luminate-metrics/luminate"

// A Rule is one property that the whole tree must have.
type Rule struct {
	Name  string
	check func(*Tree) []Complaint
}

// A Complaint is one place that breaks a rule.
type Complaint struct {
	Rule    string
	Path    string // Slash-separated, relative to the root of the tree.
	Line    int    // From 1; 0 when the complaint is about the whole file or directory.
	What    string
	Instead string
}

// String returns the complaint in the form path:line: [rule] what; what to do instead.
func (c Complaint) String() string {
	at := c.Path
	if c.Line > 0 {
		at = fmt.Sprintf("%s:%d", c.Path, c.Line)
	}
	return fmt.Sprintf("%s: [%s] %s; %s", at, c.Rule, c.What, c.Instead)
}

// An Exception allows one file or directory to break one rule.
type Exception struct {
	Rule   string
	Path   string // A file, or a directory with everything below it.
	Reason string
}

func (e Exception) covers(c Complaint) bool {
	return e.Rule == c.Rule && (e.Path == c.Path || strings.HasPrefix(c.Path, e.Path+"/"))
}

// Rules returns all rules, in the order of their names.
func Rules() []Rule {
	return []Rule{
		{"doc-exported", checkExportedDocs},
		{"doc-links", checkLinks},
		{"doc-orphans", checkOrphans},
		{"doc-package", checkPackageDocs},
		{"flags", checkFlags},
		{"imports", checkImports},
		{"init", checkInit},
		{"layers", checkLayers},
		{"leaks", checkLeaks},
		{"names", checkNames},
		{"size", checkSizes},
		{"skips", checkSkips},
		{"sleep", checkSleep},
		{"state", checkState},
		{"todo", checkTodo},
		{"top-level", checkTopLevel},
	}
}

// Check applies the rule to the tree and drops what the exceptions cover. The second result holds the exceptions of
// this rule that covered nothing.
func (r Rule) Check(tree *Tree, exceptions []Exception) (complaints []Complaint, unused []Exception) {
	used := make([]bool, len(exceptions))
	for _, c := range r.check(tree) {
		c.Rule = r.Name
		i := slices.IndexFunc(exceptions, func(e Exception) bool { return e.covers(c) })
		if i >= 0 {
			used[i] = true
			continue
		}
		complaints = append(complaints, c)
	}
	for i, e := range exceptions {
		if e.Rule == r.Name && !used[i] {
			unused = append(unused, e)
		}
	}
	slices.SortFunc(complaints, func(a, b Complaint) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.What, b.What))
	})
	return complaints, unused
}
