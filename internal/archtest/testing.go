package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

func checkTodo(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, group := range f.AST.Comments {
				for _, c := range group.List {
					if mark := unfinished.FindString(c.Text); mark != "" {
						out = append(out, t.at(f, c.Pos(), "a comment says "+mark,
							"finish it, or say as a fact what the code does not do"))
					}
				}
			}
		}
	}
	return out
}

func checkSleep(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.imports("testing/synctest") {
				continue // Time is false there, and a sleep takes none.
			}
			for _, call := range f.calls("time", "Sleep") {
				out = append(out, t.at(f, call.Pos(), "time.Sleep",
					"wait for the event: a channel, a context, a polled condition with a ticker, an injected clock or testing/synctest"))
			}
		}
	}
	return out
}

func checkSkips(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if !f.Test && !p.onlyForTests() {
				continue
			}
			for _, pos := range skips(f) {
				out = append(out, t.at(f, pos, "the test can be skipped",
					"let make test install what it needs and fail when that is missing"))
			}
		}
	}
	return out
}

// skips returns the calls of t.Skip, t.Skipf, t.SkipNow and testing.Short.
func skips(f *File) []token.Pos {
	var found []token.Pos
	for _, call := range f.calls("testing", "Short") {
		found = append(found, call.Pos())
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || (!isIdent(sel.X, "t") && !isIdent(sel.X, "b") && !isIdent(sel.X, "tb")) {
			return true
		}
		if name := sel.Sel.Name; name == "Skip" || name == "Skipf" || name == "SkipNow" {
			found = append(found, call.Pos())
		}
		return true
	})
	return found
}

// checkLeaks wants the tests of every package to fail when they leave a goroutine behind.
func checkLeaks(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		tested, guarded := "", false
		for _, f := range p.Files {
			if !f.Test {
				continue
			}
			for _, decl := range f.AST.Decls {
				d, ok := decl.(*ast.FuncDecl)
				if !ok || d.Recv != nil {
					continue
				}
				if d.Name.Name == "TestMain" {
					guarded = guarded || len(f.calls("go.uber.org/goleak", "VerifyTestMain")) > 0
				} else if strings.HasPrefix(d.Name.Name, "Test") && tested == "" {
					tested = f.Path
				}
			}
		}
		if tested != "" && !guarded {
			out = append(out, Complaint{
				Path: tested, What: "the tests of the package are not checked for goroutines that they leave behind",
				Instead: "add func TestMain(m *testing.M) { goleak.VerifyTestMain(m) } to a file main_test.go",
			})
		}
	}
	return out
}
