package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// pureCalls lists the functions whose result a package variable may hold, because nothing changes it afterwards.
var pureCalls = []string{
	"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "template.Must", "crc32.MakeTable",
	"math.Float64frombits", "math.Inf", "math.NaN", "netip.MustParseAddr", "netip.MustParsePrefix", "reflect.TypeFor",
}

// statefulTypes lists packages whose types hold state that changes behind a composite literal.
var statefulTypes = []string{"sync", "atomic", "bytes", "http", "rand"}

const readOnlyAdvice = "only errors, compiled expressions and tables that nobody writes to may stand at package level: " +
	"make it a constant, a function, or a field of the type that uses it"

func checkInit(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, decl := range f.AST.Decls {
				if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
					out = append(out, t.at(f, d.Pos(), "the package has an init function",
						"do the work in a constructor that main calls, so that it can fail and tests can repeat it"))
				}
			}
		}
	}
	return out
}

func checkState(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		tables := map[string]bool{}
		files := p.production()
		for _, f := range files {
			if f.Generated {
				continue
			}
			for _, decl := range f.AST.Decls {
				d, ok := decl.(*ast.GenDecl)
				if !ok || d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					out = append(out, checkVar(t, f, d, spec.(*ast.ValueSpec), tables)...)
				}
			}
		}
		for _, f := range files {
			out = append(out, checkWrites(t, f, tables)...)
		}
	}
	return out
}

// checkVar looks at one package-level variable and adds the ones it accepts to tables.
func checkVar(t *Tree, f *File, d *ast.GenDecl, spec *ast.ValueSpec, tables map[string]bool) []Complaint {
	if isEmbedded(d.Doc) || isEmbedded(spec.Doc) {
		return nil
	}
	var out []Complaint
	for i, name := range spec.Names {
		if name.Name == "_" {
			continue
		}
		tables[name.Name] = true
		if i >= len(spec.Values) {
			out = append(out, t.at(f, name.Pos(), "package variable "+name.Name+" has no value of its own", readOnlyAdvice))
			continue
		}
		if why := whyMutable(name.Name, spec.Values[i]); why != "" {
			out = append(out, t.at(f, name.Pos(), fmt.Sprintf("package variable %s %s", name.Name, why), readOnlyAdvice))
		}
	}
	return out
}

func isEmbedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// whyMutable returns why the initial value makes the variable state, or "" if it is a table.
func whyMutable(name string, value ast.Expr) string {
	isError := strings.HasPrefix(strings.ToLower(name), "err")
	switch v := value.(type) {
	case *ast.CompositeLit:
		if sel, ok := v.Type.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok && slices.Contains(statefulTypes, pkg.Name) {
				return "is a " + pkg.Name + "." + sel.Sel.Name + ", which is state"
			}
		}
		return ""
	case *ast.CallExpr:
		return whyImpure(v)
	case *ast.SelectorExpr, *ast.Ident:
		if isError {
			return "" // A sentinel of a lower package under another name.
		}
		return "can be set by anybody in the package"
	case *ast.BasicLit, *ast.BinaryExpr:
		return "could be a constant"
	case *ast.FuncLit:
		return "is a function that can be replaced"
	case *ast.UnaryExpr:
		if isError {
			return "" // A sentinel with a type of its own.
		}
		return "is a pointer to something that can change"
	}
	return "is not a table"
}

func whyImpure(call *ast.CallExpr) string {
	switch fn := call.Fun.(type) {
	case *ast.FuncLit, *ast.ArrayType:
		return "" // A table computed in place, or a conversion such as []byte("x").
	case *ast.Ident:
		// A table computed by a function of the package, marked by its name.
		if strings.HasPrefix(fn.Name, "build") && len(call.Args) == 0 {
			return ""
		}
		return "comes from a call of " + fn.Name + " (a read-only table may come from a function build…() without arguments)"
	case *ast.SelectorExpr:
		if pkg, ok := fn.X.(*ast.Ident); ok {
			full := pkg.Name + "." + fn.Sel.Name
			if slices.Contains(pureCalls, full) {
				return ""
			}
			return "comes from a call of " + full
		}
	}
	return "comes from a call"
}

// checkWrites finds assignments to package-level tables. It goes by names, so that a local variable that hides a table
// counts too.
func checkWrites(t *Tree, f *File, tables map[string]bool) []Complaint {
	var out []Complaint
	complain := func(e ast.Expr) {
		if name := rootName(e); tables[name] {
			out = append(out, t.at(f, e.Pos(), "package variable "+name+" is written to, or hidden by a local one of that name",
				"move it into the type that changes it, or give the local variable another name"))
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				return true
			}
			for _, lhs := range s.Lhs {
				complain(lhs)
			}
		case *ast.IncDecStmt:
			complain(s.X)
		case *ast.CallExpr:
			if len(s.Args) > 0 && (isIdent(s.Fun, "delete") || isIdent(s.Fun, "clear")) {
				complain(s.Args[0])
			}
		}
		return true
	})
	return out
}

// rootName returns x for x, x[i], x.f and *x.
func rootName(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}

// flagCalls lists the functions that define or read flags of the whole process.
var flagCalls = []string{
	"Arg", "Args", "Bool", "BoolVar", "Duration", "DurationVar", "Float64", "Float64Var", "Func", "Int", "Int64",
	"Int64Var", "IntVar", "Parse", "String", "StringP", "StringSlice", "StringSliceVar", "StringVar", "StringVarP",
	"TextVar", "Uint", "Uint64", "Uint64Var", "UintVar", "Var", "BoolP", "BoolVarP", "IntP", "DurationP",
}

func checkFlags(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		if p.isMain() {
			continue
		}
		for _, f := range p.production() {
			for _, pkg := range []string{"flag", "github.com/spf13/pflag"} {
				for _, call := range f.calls(pkg, flagCalls...) {
					out = append(out, t.at(f, call.Pos(), "a flag of the process is used outside a program",
						"take the value as a parameter, and let cmd/luminate fill it from config"))
				}
			}
		}
	}
	return out
}
