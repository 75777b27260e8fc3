package target

import "testing"

// A board that was switched off is switched on again although it is seen: it would stay
// off when it is gone in a moment.
func TestABoardThatIsOffDoesNotRun(t *testing.T) {
	b := new(rigBoard)
	if !b.runs(true) || b.runs(false) {
		t.Error("a board runs that is seen, and no other")
	}
	b.off.Store(true)
	if b.runs(true) {
		t.Error("it was switched off")
	}
	b.off.Store(false)
	b.cut.Store(true)
	if b.runs(true) {
		t.Error("its power was cut")
	}
}
