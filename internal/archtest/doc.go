package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// wellKnown lists methods whose meaning an interface of the standard library fixes.
var wellKnown = []string{"Error", "Len", "Less", "Read", "ServeHTTP", "String", "Swap", "Unwrap", "Write"}

func checkPackageDocs(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		var files, documented int
		var first *File
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			if files++; first == nil {
				first = f
			}
			if f.AST.Doc == nil {
				continue
			}
			documented++
			want := "Package " + f.AST.Name.Name + " "
			if text := f.AST.Doc.Text(); f.AST.Name.Name != "main" && !strings.HasPrefix(text, want) {
				out = append(out, t.at(f, f.AST.Doc.Pos(), "the package comment has an unusual start",
					fmt.Sprintf("begin with %q and say what the package is", want)))
			}
		}
		switch {
		case files > 0 && documented == 0:
			out = append(out, Complaint{
				Path: first.Path, What: "the package has no comment",
				Instead: "open one file with a sentence of what the package is",
			})
		case documented > 1:
			out = append(out, Complaint{
				Path: first.Path, What: fmt.Sprintf("%d files carry a package comment", documented),
				Instead: "keep one, and put a blank line between a file comment and the package clause",
			})
		}
	}
	return out
}

func checkExportedDocs(t *Tree) []Complaint {
	var out []Complaint
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Test || f.Generated {
				continue
			}
			for _, decl := range f.AST.Decls {
				for _, name := range undocumented(decl) {
					out = append(out, t.at(f, name.Pos(), name.Name+" is exported and has no comment",
						"say what it is, with units, bounds, ownership and errors where they matter, or unexport it"))
				}
			}
		}
	}
	return out
}

// undocumented returns the exported names of the declaration that have no comment.
func undocumented(decl ast.Decl) []*ast.Ident {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		isMethod := d.Recv != nil
		if d.Doc != nil || !d.Name.IsExported() || isMethod && slices.Contains(wellKnown, d.Name.Name) {
			return nil
		}
		if !isMethod || hasExportedReceiver(d) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}
		var names []*ast.Ident
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil && s.Comment == nil {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				// One comment may speak for the whole block.
				if s.Names[0].IsExported() && s.Doc == nil && d.Doc == nil && s.Comment == nil {
					names = append(names, s.Names[0])
				}
			}
		}
		return names
	}
	return nil
}

func hasExportedReceiver(d *ast.FuncDecl) bool {
	base := d.Recv.List[0].Type
	for {
		switch x := base.(type) {
		case *ast.StarExpr:
			base = x.X
		case *ast.IndexExpr:
			base = x.X
		case *ast.IndexListExpr:
			base = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
