package archtest

import (
	"fmt"
	"go/ast"
)

// Limits are the largest sizes that the size rule accepts.
type Limits struct {
	FileLines     int
	TestFileLines int
	FuncLines     int // Lines between the braces of a function.
	Methods       int // Of one interface, with those of interfaces of the same package that it embeds.
	Fields        int // Of one struct.
	Params        int // Of one function.
}

// DefaultLimits returns the limits that hold for the project.
func DefaultLimits() Limits {
	return Limits{FileLines: 600, TestFileLines: 1000, FuncLines: 80, Methods: 10, Fields: 25, Params: 6}
}

func checkSizes(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		s := sizer{tree: t, interfaces: interfacesOf(p)}
		for _, f := range p.Files {
			if f.Generated {
				continue
			}
			s.file = f
			s.checkFile()
			ast.Inspect(f.AST, s.visit)
		}
		out = append(out, s.out...)
	}
	return out
}

// interfacesOf returns the interfaces that the package declares, by name.
func interfacesOf(p *Package) map[string]*ast.InterfaceType {
	found := map[string]*ast.InterfaceType{}
	for _, f := range p.Files {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if i, ok := spec.Type.(*ast.InterfaceType); ok {
					found[spec.Name.Name] = i
				}
			}
			return true
		})
	}
	return found
}

type sizer struct {
	tree       *Tree
	file       *File
	interfaces map[string]*ast.InterfaceType
	out        []Complaint
}

func (s *sizer) exceeds(n ast.Node, what string, got, limit int, instead string) {
	if got > limit {
		s.out = append(s.out, s.tree.at(s.file, n.Pos(), fmt.Sprintf("%s, of %d allowed", what, limit), instead))
	}
}

func (s *sizer) checkFile() {
	limit := s.tree.Limits.FileLines
	if s.file.Test {
		limit = s.tree.Limits.TestFileLines
	}
	if s.file.Lines > limit {
		s.out = append(s.out, Complaint{
			Path: s.file.Path, What: fmt.Sprintf("the file has %d lines, of %d allowed", s.file.Lines, limit),
			Instead: "split it by subject",
		})
	}
}

func (s *sizer) visit(n ast.Node) bool {
	limits := s.tree.Limits
	switch x := n.(type) {
	case *ast.FuncDecl:
		if x.Body == nil {
			return true
		}
		lines := s.tree.line(x.Body.Rbrace) - s.tree.line(x.Body.Lbrace) - 1
		s.exceeds(x, fmt.Sprintf("function %s has %d lines", x.Name.Name, lines), lines, limits.FuncLines,
			"give its steps names of their own")
		params := x.Type.Params.NumFields()
		s.exceeds(x, fmt.Sprintf("function %s has %d parameters", x.Name.Name, params), params, limits.Params,
			"pass a struct of options")
	case *ast.TypeSpec:
		switch def := x.Type.(type) {
		case *ast.InterfaceType:
			methods := s.methods(def)
			s.exceeds(x, fmt.Sprintf("interface %s has %d methods", x.Name.Name, methods), methods, limits.Methods,
				"let each user declare the few it needs")
		case *ast.StructType:
			fields := def.Fields.NumFields()
			s.exceeds(x, fmt.Sprintf("struct %s has %d fields", x.Name.Name, fields), fields, limits.Fields,
				"group what belongs together into a struct of its own")
		}
	}
	return true
}

func (s *sizer) methods(def *ast.InterfaceType) int {
	n := 0
	for _, m := range def.Methods.List {
		switch embedded, ok := m.Type.(*ast.Ident); {
		case len(m.Names) > 0:
			n += len(m.Names)
		case ok && s.interfaces[embedded.Name] != nil:
			n += s.methods(s.interfaces[embedded.Name])
		default:
			n++
		}
	}
	return n
}
