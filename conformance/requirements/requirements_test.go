package requirements

import (
	"fmt"
	"strings"
	"testing"
)

// TestEveryNumberIsThere: a row that was lost in an edit would be missed by
// nobody else.
func TestEveryNumberIsThere(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for prefix, n := range map[string]int{"S": 14, "R-": 96, "C-": 57, "D-": 22, "N-": 52, "A-": 17, "B-": 7} {
		total += n
		for i := 1; i <= n; i++ {
			if id := fmt.Sprintf("%s%d", prefix, i); c.Get(id) == nil {
				t.Errorf("%s is missing", id)
			}
		}
	}
	if len(c.All()) != total {
		t.Errorf("%d rows, want %d", len(c.All()), total)
	}
}

func TestEveryClaimHasChildren(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.All() {
		// S12 and S7 are about the API and about cost; checks cite them themselves.
		if r.IsClaim() && r.ID != "S12" && r.ID != "S7" && len(c.Children(r.ID)) == 0 {
			t.Errorf("no requirement has %s as its parent", r.ID)
		}
	}
}

// TestSentences: one sentence each, so that lists stay lists.
func TestSentences(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.All() {
		for what, text := range map[string]string{"text": r.Text, "untested": r.Untested, "unbroken": r.Unbroken} {
			if text != "" && (!strings.HasSuffix(text, ".") || strings.Contains(text, "\n")) {
				t.Errorf("%s: %s is no sentence on one line: %q", r.ID, what, text)
			}
		}
		if strings.Contains(strings.TrimSuffix(r.Text, "."), ". ") {
			t.Errorf("%s: more than one sentence: %q", r.ID, r.Text)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	const good = "requirements:\n- {id: R-1, level: MUST, roles: [cloud], source: s, text: t, parents: [S1]}\n"
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string][2]string{
		"binding":               {"level:", "binding:"},
		"no level":              {"level: MUST", "level: must"},
		"no id":                 {"R-1", "X-1"},
		"no roles":              {"[cloud]", "[]"},
		"want one or both":      {"[cloud]", "[cloud, cloud]"},
		"transports":            {"source: s", "source: s, transports: [sctp]"},
		"no release":            {"source: s", "source: s, since: soon"},
		"until":                 {"source: s", "source: s, until: 1.2"},
		"source and text":       {"text: t", "text: ''"},
		"which claims":          {"[S1]", "[]"},
		"second document":       {"requirements", "requirements: []\n---\nrequirements"},
		"row 1 is empty":        {"- {", "-\n- {"},
		"cannot unmarshal":      {"roles: [cloud]", "roles: {a: b}"},
		"did not find expected": {"id: R-1", "id: [R-1"},
	} {
		text := strings.Replace(good, edit[0], edit[1], 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q: %v, want an error with %q", text, err, what)
		}
	}
}

func TestNewFindsStrayIDs(t *testing.T) {
	row := func(id string, parents ...string) *Requirement { return &Requirement{ID: id, Parents: parents} }
	for want, rows := range map[string][]*Requirement{
		"twice":    {row("R-1"), row("R-1")},
		"no claim": {row("R-1", "S1")},
	} {
		if _, err := New(rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	if _, err := New([]*Requirement{row("R-2"), row("R-1", "R-2")}); err == nil {
		t.Error("a requirement that is no claim is taken for a parent")
	}
}

func TestApplies(t *testing.T) {
	r := Requirement{Since: "0.8.0", Until: "3.0.x", Transports: []string{"udp"}}
	for release, want := range map[string]bool{
		"0.5.3": false, "0.8.0-rc.25": true, "3.0.0": true, "3.0.12": true, "3.1.0": false, "10.0.0": false, "unknown": true,
	} {
		if got := r.Applies(release, "udp"); got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
	if r.Applies("1.0.0", "tcp") {
		t.Error("it applies over TCP")
	}
	if any := (Requirement{}); !any.Applies("6.2.0", "tcp") {
		t.Error("a row without bounds does not apply")
	}
}
