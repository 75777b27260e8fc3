package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A page is one Markdown file, with its path from the root of the project.
type page struct{ path, text string }

// pages returns every Markdown file of the project.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	walkProject(t, func(path string) {
		if strings.HasSuffix(path, ".md") {
			all = append(all, page{path, readFile(t, path)})
		}
	})
	if len(all) < 20 {
		t.Fatalf("only %d pages found: the test looks in the wrong place", len(all))
	}
	return all
}

// walkProject visits the files that belong to the project, by slash-separated path.
func walkProject(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "out" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.Name() == ".git": // in a work tree it is a file with a path
		case d.Type().IsRegular():
			visit(filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fence     = regexp.MustCompile("(?s)```.*?```")
	codeSpan  = regexp.MustCompile("`[^`\n]+`")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the names under which a browser finds the headings of a page, as
// GitHub makes them.
func anchors(text string) []string {
	var all []string
	for _, found := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		name := notAnchor.ReplaceAllString(strings.ToLower(found[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

func TestLinksLeadSomewhere(t *testing.T) {
	texts := map[string]string{}
	for _, p := range pages(t) {
		texts[p.path] = p.text
	}
	for _, p := range pages(t) {
		for _, found := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(fence.ReplaceAllString(p.text, ""), ""), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := p.path
			if target != "" {
				file = path.Join(path.Dir(p.path), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %s leads nowhere", p.path, found[1])
			} else if anchor != "" && !slices.Contains(anchors(texts[file]), anchor) {
				t.Errorf("%s: %s has no such heading; it has %q", p.path, found[1], anchors(texts[file]))
			}
		}
	}
}

// TestFoldersAreOnTheMaps holds the two maps to the tree.
func TestFoldersAreOnTheMaps(t *testing.T) {
	readme, architecture := readFile(t, "README.md"), readFile(t, "ARCHITECTURE.md")
	for folder := range layers {
		if folder == "" {
			continue
		}
		if _, err := os.Stat(folder); err != nil {
			t.Errorf("layers_test.go knows folder %s, which is gone", folder)
		}
		if row := "| `" + folder + "` |"; !strings.Contains(readme, row) {
			t.Errorf("README.md: no row %q in its map", row)
		}
		if !regexp.MustCompile("(?m)^\\|.*`" + folder + "`.*\\|.*\\|.*\\|$").MatchString(architecture) {
			t.Errorf("ARCHITECTURE.md: no row of %s under who may import whom", folder)
		}
	}
	for _, dir := range pure {
		if !strings.Contains(architecture, "`"+dir+"`") {
			t.Errorf("ARCHITECTURE.md: %s is pure by layers_test.go, and not named", dir)
		}
	}
	for _, s := range sources(t) {
		dir := s.dir()
		if s.isTest() || dir == "." || strings.HasSuffix(dir, "test") {
			continue
		}
		if !strings.Contains(architecture, "]("+dir+")") && !strings.Contains(architecture, "]("+dir+"/") && !strings.Contains(architecture, "`"+dir+"`") {
			t.Errorf("ARCHITECTURE.md: package %s is not named", dir)
		}
	}
}

// TestDecisionsAreInTheIndex holds docs/adr/README.md to the files beside it.
func TestDecisionsAreInTheIndex(t *testing.T) {
	index := readFile(t, "docs/adr/README.md")
	if !strings.Contains(readFile(t, "ARCHITECTURE.md"), "docs/adr/README.md") {
		t.Error("ARCHITECTURE.md does not lead to the index of decisions")
	}
	files, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil || len(files) == 0 {
		t.Fatal("no decisions found", err)
	}
	numbers := map[string]string{}
	for _, file := range files {
		name := filepath.Base(file)
		title, _, _ := strings.Cut(readFile(t, file), "\n")
		if other := numbers[name[:4]]; other != "" {
			t.Errorf("%s and %s have the same number", name, other)
		}
		numbers[name[:4]] = name
		title = strings.TrimPrefix(title, "# ")
		if row := "[" + title + "](" + name + ")"; !strings.Contains(index, row) {
			t.Errorf("docs/adr/README.md: wants %q", row)
		}
	}
}

// musterLine is a command line in a code span or block, up to what a shell would
// give to another program.
var musterLine = regexp.MustCompile(`(?:^|[\s` + "`" + `(=])(?:out/bin/|\./)?muster ((?:[^\n|&;,` + "`" + `#)]|\\\n)*)`)

var flagWord = regexp.MustCompile(`(?:^|[\s\[(])--([a-z][a-z0-9-]*)`)

// usedFlags returns the commands that are called in text, with their flags.
func usedFlags(root *cobra.Command, text string) map[*cobra.Command][]string {
	used := map[*cobra.Command][]string{}
	for _, found := range musterLine.FindAllStringSubmatch(text, -1) {
		line := strings.ReplaceAll(found[1], "\\\n", " ")
		line, _, _ = strings.Cut(line, " -- ") // behind that are flags of others
		cmd, _, err := root.Find(strings.Fields(line))
		if err != nil || cmd == root {
			continue
		}
		for _, flag := range flagWord.FindAllStringSubmatch(line, -1) {
			used[cmd] = append(used[cmd], flag[1])
		}
		if used[cmd] == nil {
			used[cmd] = []string{}
		}
	}
	return used
}

func eachCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
		return
	}
	visit(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, visit)
	}
}

// TestFlagsAreDocumented holds the pages of docs/commands to the commands: every
// command is called in a page, and a page that calls it names each of its flags.
func TestFlagsAreDocumented(t *testing.T) {
	root := rootCommand()
	calledIn := map[*cobra.Command]string{} // the text of all pages that call it
	for _, p := range pages(t) {
		if !strings.HasPrefix(p.path, "docs/commands/") {
			continue
		}
		for cmd := range usedFlags(root, p.text) {
			for ; cmd != nil; cmd = cmd.Parent() { // flags of fleet are told where fleet run is
				calledIn[cmd] += p.text
			}
		}
	}
	eachCommand(root, func(cmd *cobra.Command) {
		text, called := calledIn[cmd]
		if !called {
			t.Errorf("docs/commands: no page calls %q", cmd.CommandPath())
			return
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			if !flag.Hidden && flag.Name != "help" && !regexp.MustCompile(`--`+flag.Name+`\b`).MatchString(text) {
				t.Errorf("docs/commands: %s --%s (%s) is in none of its pages", cmd.CommandPath(), flag.Name, flag.Usage)
			}
		})
	})
}

// TestCommandLinesAreRight reads every call of muster in the pages, and in what
// --help shows as examples: the flags that it gives exist.
func TestCommandLinesAreRight(t *testing.T) {
	root := rootCommand()
	seen := 0
	check := func(where, text string) {
		for cmd, flags := range usedFlags(root, text) {
			for _, name := range flags {
				seen++
				if name != "help" && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: %s has no flag --%s", where, cmd.CommandPath(), name)
				}
			}
		}
	}
	for _, p := range pages(t) {
		check(p.path, p.text)
	}
	eachCommand(root, func(cmd *cobra.Command) { check(cmd.CommandPath()+" --help", cmd.Example+"\n"+cmd.Long) })
	if seen < 100 {
		t.Errorf("only %d flags seen: the test reads too little", seen)
	}
}

// TestTargetsOfMakeExist: what pages tell people to make can be made.
func TestTargetsOfMakeExist(t *testing.T) {
	makefile := readFile(t, "Makefile")
	called := regexp.MustCompile("(?:`|^    |\\$ )make ([a-z-]+)")
	for _, p := range pages(t) {
		for _, found := range called.FindAllStringSubmatch(p.text, -1) {
			if !strings.Contains(makefile, "\n"+found[1]+":") {
				t.Errorf("%s: the Makefile has no target %s", p.path, found[1])
			}
		}
	}
}

// TestLibrariesHaveAReason: every direct dependency stands in the decision about
// libraries, and nothing else does.
func TestLibrariesHaveAReason(t *testing.T) {
	reasons := readFile(t, "docs/adr/0040-what-each-library-is-for.md")
	direct, _, _ := strings.Cut(readFile(t, "go.mod"), "\n)") // the first block; the second has what they need
	required := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(direct, -1) {
		required[found[1]] = true
		if !strings.Contains(reasons, "`"+found[1]+"`") {
			t.Errorf("go.mod requires %s, and no row of docs/adr/0040-what-each-library-is-for.md says what for", found[1])
		}
	}
	if len(required) < 20 {
		t.Fatalf("only %d dependencies found: the test reads go.mod wrongly", len(required))
	}
	for _, found := range regexp.MustCompile("`([a-z0-9.]+\\.[a-z]+/[^`]+|go\\.bug\\.st/[^`]+)`").FindAllStringSubmatch(reasons, -1) {
		if !required[found[1]] {
			t.Errorf("docs/adr/0040-what-each-library-is-for.md: %s is not in go.mod any more", found[1])
		}
	}
}

// TestPathsExist: a path of the project that stands in a page as code leads somewhere
// too. Capitals are for readers to fill in.
func TestPathsExist(t *testing.T) {
	ours := regexp.MustCompile("`((?:[a-z0-9_.*-]+/)+[a-z0-9_.*-]*)`")
	for _, p := range pages(t) {
		for _, found := range ours.FindAllStringSubmatch(fence.ReplaceAllString(p.text, ""), -1) {
			if _, known := layers[top(found[1])]; !known && top(found[1]) != "docs" {
				continue // of the user, of a board, of the system
			}
			if there, err := filepath.Glob(strings.TrimSuffix(found[1], "/")); err != nil || len(there) == 0 {
				t.Errorf("%s: there is no %s", p.path, found[1])
			}
		}
	}
}
