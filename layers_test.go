package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/muster/muster"

// A layer is one top-level folder and what it may import of ours. Test files
// follow the same rule, with the additions of testsToo.
type layer struct {
	mayImport []string
	testsToo  []string
	reason    string
}

var layers = map[string]layer{
	"protocol": {
		testsToo: []string{"fixtures"},
		reason:   "the wire is the foundation: it knows nobody, so that everybody can share it",
	},
	"fixtures": {
		reason: "vectors made with the codec under test would agree with it for ever",
	},
	"rigs": {
		mayImport: []string{"protocol"},
		testsToo:  []string{"fixtures", "cloudref"},
		reason:    "a bench must work with boards and clouds that are not ours: key blobs and firmware images are the wire's",
	},
	"transport": {
		mayImport: []string{"protocol"},
		reason:    "sockets move bytes and know no application",
	},
	"sim": {
		mayImport: []string{"protocol", "transport"},
		testsToo:  []string{"fixtures"},
		reason:    "the simulator never shares logic with the cloud it is judged by",
	},
	"cloudref": {
		mayImport: []string{"protocol", "transport"},
		testsToo:  []string{"fixtures"},
		reason:    "the cloud never shares logic with the devices it is judged by",
	},
	"harness": {
		mayImport: []string{"protocol", "transport", "sim", "cloudref", "fixtures", "rigs"},
		reason:    "the harness brings the parties together",
	},
	"conformance": {
		mayImport: []string{"protocol", "fixtures", "harness"},
		reason:    "checks see targets and the wire, never an implementation",
	},
	"": {
		mayImport: []string{"sim", "cloudref", "harness", "conformance", "rigs"},
		reason:    "main only lists the sub-commands",
	},
}

// pure names the trees whose code takes time and bytes in and gives bytes and
// events out.
var pure = []string{"protocol", "sim/device", "sim/profile", "sim/workers/plan", "sim/workload", "cloudref/app"}

// impureImports are what pure code may not import, with the reason.
var impureImports = map[string]string{
	"net":              "a machine has no socket",
	"os":               "a machine has no files or environment",
	"sync":             "a machine has one owner",
	"sync/atomic":      "a machine has one owner",
	"context":          "a machine never blocks",
	"log":              "a machine reports through its Out",
	"log/slog":         "a machine reports through its Out",
	"math/rand":        "use the generator that the caller gave",
	"crypto/rand":      "randomness comes from the caller",
	"runtime":          "a machine has no goroutines",
	"net/http":         "a machine has no socket",
	"github.com/onsi/": "Ginkgo and Gomega live in conformance only",
}

// impureCalls read a clock or shared randomness.
var impureCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"rand": {"Int", "IntN", "Int32", "Int64", "Uint32", "Uint64", "Float64", "Shuffle", "Perm", "N"},
}

type source struct {
	path string // slash-separated, relative to the module root
	file *ast.File
	fset *token.FileSet
}

func (s source) dir() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "out" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found = append(found, source{filepath.ToSlash(path), file, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no Go files found: the test looks in the wrong place")
	}
	return found
}

func imports(s source) []string {
	var all []string
	for _, spec := range s.file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		all = append(all, path)
	}
	return all
}

// top is the first element of a slash-separated path, "" for the root itself.
func top(dir string) string {
	if dir == "." {
		return ""
	}
	first, _, _ := strings.Cut(dir, "/")
	return first
}

func TestImportsFollowTheLayers(t *testing.T) {
	for _, s := range sources(t) {
		from := top(s.dir())
		rule, known := layers[from]
		if !known {
			t.Errorf("%s: folder %q has no row in layers; give it one with a reason", s.path, from)
			continue
		}
		for _, path := range imports(s) {
			rest, ours := strings.CutPrefix(path, modulePath+"/")
			if !ours {
				continue
			}
			to := top(rest)
			allowed := to == from || slices.Contains(rule.mayImport, to) ||
				s.isTest() && slices.Contains(rule.testsToo, to)
			if !allowed {
				t.Errorf("%s imports %s, but %q may not: %s", s.path, path, from, rule.reason)
			}
		}
	}
}

func TestGinkgoStaysInConformance(t *testing.T) {
	for _, s := range sources(t) {
		for _, path := range imports(s) {
			if strings.HasPrefix(path, "github.com/onsi/") && top(s.dir()) != "conformance" {
				t.Errorf("%s imports %s: Ginkgo and Gomega live in conformance only", s.path, path)
			}
			if strings.HasPrefix(path, "github.com/pion/") && !s.isTest() {
				t.Errorf("%s imports %s: pion has open advisories and stays in tests", s.path, path)
			}
		}
	}
}

func isPure(dir string) bool {
	return slices.ContainsFunc(pure, func(p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") })
}

func TestPureCodeIsPure(t *testing.T) {
	for _, s := range sources(t) {
		if !isPure(s.dir()) || s.isTest() {
			continue
		}
		for _, path := range imports(s) {
			for banned, reason := range impureImports {
				if path == banned || strings.HasSuffix(banned, "/") && strings.HasPrefix(path, banned) {
					t.Errorf("%s imports %s: %s", s.path, path, reason)
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine in pure code", s.fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				pkg, isName := n.X.(*ast.Ident)
				if isName && slices.Contains(impureCalls[pkg.Name], n.Sel.Name) && importsAs(s, pkg.Name) {
					t.Errorf("%s: %s.%s in pure code: take it from the caller", s.fset.Position(n.Pos()), pkg.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
}

// importsAs reports whether name stands for package time or math/rand/v2 in s,
// and not for a variable of that name.
func importsAs(s source, name string) bool {
	return slices.ContainsFunc(imports(s), func(path string) bool {
		return path == "time" && name == "time" || path == "math/rand/v2" && name == "rand"
	})
}

// TestProjectSpeaksOfItselfAlone holds the promise that the tree builds on any
// machine: no path of a particular one, no way out of the project.
func TestProjectSpeaksOfItselfAlone(t *testing.T) {
	banned := []string{"/wor" + "k/", "../" + "shared", "." + "library/", "/tmp/" + "wt"}
	walkProject(t, func(path string) {
		text := readFile(t, path)
		for _, b := range banned {
			if at := strings.Index(text, b); at >= 0 {
				t.Errorf("%s:%d: %q is a place outside the project", path, 1+strings.Count(text[:at], "\n"), b)
			}
		}
	})
}
