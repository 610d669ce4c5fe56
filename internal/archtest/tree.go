package archtest

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Tree is the parsed source below one directory.
type Tree struct {
	Limits   Limits
	Packages []*Package        // In the order of their directories.
	TopLevel []string          // Names of the directories in the root.
	Markdown map[string]string // Text of each Markdown page by its path.
	paths    map[string]bool   // Every file and directory that the walk saw.
	fset     *token.FileSet
}

// A Package is the Go files of one directory, tests included.
type Package struct {
	Dir   string // Slash-separated, relative to the root; "." is the root.
	Files []*File
}

// A File is one parsed Go file.
type File struct {
	Path      string
	AST       *ast.File
	Lines     int
	Test      bool // Its name ends in _test.go.
	Generated bool // It says so in the form that Go tools know.
}

// Load parses the tree below root. It leaves out directories that the go command ignores, and the Go files of nested
// modules.
func Load(root string) (*Tree, error) {
	t := &Tree{
		Limits:   DefaultLimits(),
		Markdown: map[string]string{},
		paths:    map[string]bool{},
		fset:     token.NewFileSet(),
	}
	l := loader{tree: t, root: root, packages: map[string]*Package{}}
	if err := filepath.WalkDir(root, l.visit); err != nil {
		return nil, fmt.Errorf("archtest: load: %w", err)
	}
	for _, p := range l.packages {
		t.Packages = append(t.Packages, p)
	}
	slices.SortFunc(t.Packages, func(a, b *Package) int { return cmp.Compare(a.Dir, b.Dir) })
	return t, nil
}

type loader struct {
	tree     *Tree
	root     string
	packages map[string]*Package
	nested   []string // Directories that hold a module of their own.
}

func (l *loader) visit(full string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(l.root, full)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	l.tree.paths[rel] = true
	if entry.IsDir() {
		return l.visitDir(full, rel)
	}
	switch path.Ext(rel) {
	case ".go":
		if l.isNested(rel) {
			return nil
		}
		return l.addGo(full, rel)
	case ".md":
		text, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		l.tree.Markdown[rel] = string(text)
	}
	return nil
}

func (l *loader) visitDir(full, rel string) error {
	if rel == "." {
		return nil
	}
	name := path.Base(rel)
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "node_modules" {
		return fs.SkipDir
	}
	if !strings.Contains(rel, "/") {
		l.tree.TopLevel = append(l.tree.TopLevel, rel)
	}
	if name == "testdata" || slices.Contains(buildProducts, rel) {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(full, "go.mod")); err == nil {
		l.nested = append(l.nested, rel+"/")
	}
	return nil
}

func (l *loader) isNested(rel string) bool {
	return slices.ContainsFunc(l.nested, func(dir string) bool { return strings.HasPrefix(rel, dir) })
}

func (l *loader) addGo(full, rel string) error {
	src, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(l.tree.fset, rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	p := l.packages[dir]
	if p == nil {
		p = &Package{Dir: dir}
		l.packages[dir] = p
	}
	p.Files = append(p.Files, &File{
		Path:      rel,
		AST:       parsed,
		Lines:     bytes.Count(src, []byte("\n")),
		Test:      strings.HasSuffix(rel, "_test.go"),
		Generated: ast.IsGenerated(parsed),
	})
	return nil
}

// line returns the line of pos, from 1.
func (t *Tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// at returns a complaint about a place in a file.
func (t *Tree) at(f *File, pos token.Pos, what, instead string) Complaint {
	return Complaint{Path: f.Path, Line: t.line(pos), What: what, Instead: instead}
}

// exists reports whether the path, relative to the root, was there when the tree was loaded.
func (t *Tree) exists(name string) bool { return t.paths[name] }

// production returns the files that are part of the program: no tests, no code that only tests use.
func (p *Package) production() []*File {
	if p.onlyForTests() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.Files), func(f *File) bool { return f.Test })
}

// onlyForTests reports whether no file of the package ends up in the program.
func (p *Package) onlyForTests() bool {
	return isBelow(p.Dir, "test") || isBelow(p.Dir, "internal/archtest") || isBelow(p.Dir, "store/storetest")
}

// isMain reports whether the package is a program.
func (p *Package) isMain() bool {
	return slices.ContainsFunc(p.Files, func(f *File) bool { return f.AST.Name.Name == "main" })
}

// isBelow reports whether dir is root or a directory below it.
func isBelow(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

// importPath returns the path that an import names, without quotes.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// imports reports whether the file imports the path.
func (f *File) imports(name string) bool { return f.importName(name) != "" }

// importName returns the name under which the file imports the path, or "" if it does not.
func (f *File) importName(name string) string {
	for _, spec := range f.AST.Imports {
		if importPath(spec) != name {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(name)
	}
	return ""
}

// calls returns the calls of pkg.fn in the file for any of the functions, pkg being an import path.
func (f *File) calls(pkg string, fns ...string) []*ast.CallExpr {
	name := f.importName(pkg)
	if name == "" {
		return nil
	}
	var found []*ast.CallExpr
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && isIdent(sel.X, name) && slices.Contains(fns, sel.Sel.Name) {
			found = append(found, call)
		}
		return true
	})
	return found
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
