package bench

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// A Row is one line of the numbers. A zero number means that there is none.
type Row struct {
	What string
	Unit string
	// Floor, Pion, GoCoAP and Ours are in Unit.
	Floor, Pion, GoCoAP, Ours float64
	// OverFloor is Ours/Floor and UnderPion is Pion/Ours.
	OverFloor, UnderPion float64
	// Target is what to reach in words; "" for lines that only inform.
	Target string
	// Reached says whether that was reached in this run.
	Reached Verdict
}

// A Verdict says whether a target was reached.
type Verdict uint8

// The verdicts.
const (
	None Verdict = iota
	Missed
	// Scaled: missed, but the floor was missed as well, and what is left after
	// that is within the target.
	Scaled
	Reached
)

// String returns the verdict in a word.
func (v Verdict) String() string {
	switch v {
	case Missed:
		return "NO"
	case Scaled:
		return "scaled"
	case Reached:
		return "yes"
	default:
		return ""
	}
}

// reached is the verdict on a target that knows no more than yes and no.
func reached(ok bool) Verdict {
	if ok {
		return Reached
	}
	return Missed
}

// Judge compares Ours with a limit that was set on a machine whose floor was the
// one given. CPU time is no constant: a neighbour on the other half of a core
// doubles it, for us and for the floor.
func (row *Row) Judge(limit, floor float64) {
	switch {
	case row.Ours <= limit:
		row.Reached = Reached
	case row.Floor > 0 && row.Ours <= limit*row.Floor/floor:
		row.Reached = Scaled
	default:
		row.Reached = Missed
	}
}

// WriteTable writes rows for people to read.
func WriteTable(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tunit\tfloor\tpion 2.2.12\tgo-coap/pion 3\tours\tours/floor\tpion/ours\tto reach\treached")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.What, r.Unit, number(r.Floor), number(r.Pion), number(r.GoCoAP),
			number(r.Ours), ratio(r.OverFloor), ratio(r.UnderPion), r.Target, r.Reached)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// number shows three digits or all of an integer part.
func number(x float64) string {
	switch {
	case x == 0:
		return "-"
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	default:
		return grouped(int64(math.Round(x)))
	}
}

// grouped puts a comma before every three digits.
func grouped(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

func ratio(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", x)
}
