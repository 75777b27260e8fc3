package bench

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		list []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(test.list); got != test.want {
			t.Errorf("median of %v: got %v, want %v", test.list, got, test.want)
		}
	}
}

// Ratios are those of the rounds: a round in which the machine was slow counts
// like the others.
func TestOver(t *testing.T) {
	a := &Entrant{costs: []float64{2, 40, 6}}
	b := &Entrant{costs: []float64{1, 20, 2}}
	if got := a.Over(b); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
}

func TestContest(t *testing.T) {
	var turns []string
	enter := func(name string) *Entrant {
		return &Entrant{Name: name, Max: 3, Do: func(n int) error {
			if n < 1 || n > 3 {
				t.Errorf("asked for %d operations", n)
			}
			turns = append(turns, name)
			return nil
		}}
	}
	if err := (Contest{Rounds: 2, Turn: time.Hour}).Run(enter("a"), enter("b")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(turns, ""); !strings.HasSuffix(got, "abab") {
		t.Errorf("turns %s, want them to end in abab", got)
	}
	failure := errors.New("broken")
	err := Contest{Rounds: 1}.Run(&Entrant{Name: "c", Do: func(int) error { return failure }})
	if !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
}

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	rows := []Row{{What: "a", Unit: "us", Floor: 1.234, Pion: 45.67, Ours: 1234567, OverFloor: 1.5, Target: "less", Reached: Reached}, {What: "b"}}
	if err := WriteTable(&b, rows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 4 {
		t.Fatalf("got %d lines, want 4", len(lines))
	}
	got := strings.Join(strings.Fields(lines[1]), " ")
	if want := "a us 1.23 45.7 - 1,234,567 1.50 - less yes"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A limit moves with the floor, and only a missed one does.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		ours, floor float64
		want        Verdict
	}{{400, 306, Reached}, {390, 900, Reached}, {600, 612, Scaled}, {850, 612, Missed}, {401, 306, Missed}, {401, 0, Missed}} {
		r := Row{Ours: test.ours, Floor: test.floor}
		if r.Judge(400, 306); r.Reached != test.want {
			t.Errorf("%v with a floor of %v: got %v, want %v", test.ours, test.floor, r.Reached, test.want)
		}
	}
}
