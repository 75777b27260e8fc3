package power

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSickBoards(t *testing.T) {
	c := Clinic{Dir: filepath.Join(t.TempDir(), "health"), Now: time.Now}
	good := func(r Rung) []Attempt { return []Attempt{{Rung: r}} }
	for i, rung := range []Rung{Control, Hub, Control, PDU, Control} {
		if h, err := c.Record("a", good(rung)); err != nil || h.Quarantine != nil {
			t.Fatalf("%d: %+v, %v", i, h, err)
		}
	}
	h, err := c.Record("a", []Attempt{{Rung: Control, Err: ErrNoEffect, Why: "no"}, {Rung: Hub, Err: ErrLied}, {Rung: PDU}})
	if err != nil || h.Quarantine == nil || !strings.Contains(h.Quarantine.Reason, "power cut 3 times") {
		t.Fatalf("%+v, %v", h, err)
	}
	if n := h.Counts["hub"]; n != (Count{Tried: 2, Worked: 1, Lied: 1}) {
		t.Errorf("%+v", n)
	}
	var sick *QuarantineError
	if err := c.Check("a"); !errors.As(err, &sick) {
		t.Error(err)
	}
	if err := c.Return("a"); err != nil || c.Check("a") != nil {
		t.Error(err)
	}
	if h, err := c.Record("a", good(Hub)); err != nil || h.Quarantine != nil {
		t.Errorf("what spoke against it is not forgotten: %+v, %v", h, err)
	}
	if err := c.Return("a"); err == nil {
		t.Error("returned twice")
	}
	h, err = c.Record("b", []Attempt{{Rung: Hub, Text: "hub port of 1-1", Err: ErrNotBack}})
	if err != nil || h.Quarantine == nil || !strings.Contains(h.Quarantine.Reason, "hub port of 1-1") {
		t.Errorf("%+v, %v", h, err)
	}
	if err := os.WriteFile(c.path("c"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Health("c"); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Error(err)
	}
}

func TestRungNames(t *testing.T) {
	for r := Soft; r < rungs; r++ {
		if got, err := ParseRung(r.String()); got != r || err != nil {
			t.Errorf("%s: %v, %v", r, got, err)
		}
	}
	if _, err := ParseRung("hammer"); err == nil {
		t.Error("there is no hammer")
	}
}
