package archtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/internal/archtest"
)

// TestSource holds the project to its own rules.
func TestSource(t *testing.T) {
	tree, err := archtest.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) == 0 {
		t.Fatal("no Go package was found: the test looks in the wrong directory")
	}
	exceptions := archtest.Exceptions()
	for _, rule := range archtest.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			complaints, unused := rule.Check(tree, exceptions)
			for _, c := range complaints {
				t.Error(c)
			}
			for _, e := range unused {
				t.Errorf("the exception of %s from rule %s covers nothing any more; remove it from exceptions.go", e.Path, e.Rule)
			}
		})
	}
	for _, e := range exceptions {
		if e.Reason == "" {
			t.Errorf("the exception of %s from rule %s gives no reason", e.Path, e.Rule)
		}
	}
}

// TestRules shows that each rule fails where it should, on small trees under testdata, and says what to do instead.
func TestRules(t *testing.T) {
	for _, rule := range archtest.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			tree, want := loadFixture(t, filepath.Join("testdata", rule.Name+".txt"))
			tree.Limits = archtest.Limits{FileLines: 50, TestFileLines: 60, FuncLines: 3, Methods: 2, Fields: 2, Params: 2}
			got, _ := rule.Check(tree, nil)
			if len(got) == 0 {
				t.Error("the rule finds nothing to complain about in its fixture")
			}
			var lines strings.Builder
			for _, c := range got {
				lines.WriteString(c.String() + "\n")
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(lines.String(), "\n")); diff != "" {
				t.Errorf("complaints differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCleanTree shows that no rule complains about code as it should be.
func TestCleanTree(t *testing.T) {
	tree, _ := loadFixture(t, "testdata/clean.txt")
	for _, rule := range archtest.Rules() {
		complaints, _ := rule.Check(tree, nil)
		for _, c := range complaints {
			t.Error(c)
		}
	}
}

func TestExceptions(t *testing.T) {
	tree, _ := loadFixture(t, "testdata/init.txt")
	var rule archtest.Rule
	for _, r := range archtest.Rules() {
		if r.Name == "init" {
			rule = r
		}
	}
	f := func(path, ruleName string, wantComplaints, wantUnused int) {
		t.Helper()
		complaints, unused := rule.Check(tree, []archtest.Exception{{Rule: ruleName, Path: path, Reason: "a test"}})
		if len(complaints) != wantComplaints || len(unused) != wantUnused {
			t.Errorf("exception of %q from %q: got complaints %v, unused %v; want %d and %d",
				path, ruleName, complaints, unused, wantComplaints, wantUnused)
		}
	}
	f("native/native.go", "init", 0, 0)
	f("native", "init", 0, 0)
	f("nat", "init", 1, 1)      // Not a directory above the file.
	f("promql", "init", 1, 1)   // Covers nothing.
	f("native", "state", 1, 0)  // Another rule's exception is not this rule's business.
	f("native/x", "init", 1, 1) // Below the file's directory, but not the file.
}

// loadFixture unpacks an archive of files, each opened by a line "-- path --", and loads it as a tree. The part named
// "want" is returned as it stands.
func loadFixture(t *testing.T, name string) (tree *archtest.Tree, want string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var path string
	files := map[string]*strings.Builder{}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "-- "); ok {
			path = strings.TrimSuffix(strings.TrimSpace(rest), " --")
			files[path] = &strings.Builder{}
		} else if path != "" {
			files[path].WriteString(line)
		}
	}
	for path, content := range files {
		if path == "want" {
			want = content.String()
			continue
		}
		full := filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err = archtest.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree, want
}
