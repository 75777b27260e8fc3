package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// A Problem is something wrong in a scenario file.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0: the file as a whole
	Field        string // such as groups[0].publish[0].every
	Text         string // what is wrong, and what is allowed
}

// String returns one line: file:line:column: field: text.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Field != "" {
		fmt.Fprintf(&b, ": %s", p.Field)
	}
	fmt.Fprintf(&b, ": %s", p.Text)
	return b.String()
}

// Problems are all that is wrong in a file, in the order of its lines. They are an
// error of usage.
type Problems []Problem

// Error returns a line for each problem.
func (list Problems) Error() string {
	lines := make([]string, len(list))
	for i, p := range list {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Usage marks the error as one of usage.
func (list Problems) Usage() {}

// inOrder sorts the problems by where they are.
func (list Problems) inOrder() {
	slices.SortStableFunc(list, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// nearest returns which of the names somebody may have meant, "" when none is near.
func nearest(name string, names []string) string {
	best, least := "", 1+len(name)/3
	for _, n := range names {
		if d := distance(strings.ToLower(name), n); d <= least && (best == "" || d < least) {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove, replace or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	const bound = 64 // longer names are nobody's slip
	if len(a) > bound || len(b) > bound {
		return bound
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// meant is the end of a sentence that says what may have been meant, and what is
// allowed.
func meant(name string, names []string) string {
	allowed := "allowed: " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %s? (%s)", near, allowed)
	}
	return allowed
}
