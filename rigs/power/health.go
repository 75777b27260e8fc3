package power

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// What a Health remembers, and when a board is sick.
const (
	remembered  = 20 // recoveries
	recent      = 10 // of them that count
	tooOften    = 3  // of the recent ones that needed the power cut
	healthMode  = 0o644
	healthScale = "  "
)

// A Count is how often a means was used, and how often it worked.
type Count struct {
	Tried  int `json:"tried"`
	Worked int `json:"worked"`
	Lied   int `json:"lied,omitempty"`
}

// A Recovery is one climb of the ladder.
type Recovery struct {
	At     time.Time `json:"at"`
	Rung   string    `json:"rung"` // that worked, or the last that was tried
	Worked bool      `json:"worked"`
	Why    string    `json:"why,omitempty"`
}

// A Quarantine says why a board is out of service.
type Quarantine struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"` // a sentence
	By     string    `json:"by"`     // "muster", or a person
}

// A Health is what is remembered of a board.
type Health struct {
	Board      string           `json:"board"`
	Counts     map[string]Count `json:"counts,omitempty"` // by rung
	Recoveries []Recovery       `json:"recoveries,omitempty"`
	Quarantine *Quarantine      `json:"quarantine,omitempty"`
}

// A Clinic keeps the Health of boards, a file each. Who has the lease of a board
// may write its file.
type Clinic struct {
	Dir string
	Now func() time.Time
}

// A QuarantineError says that a board is out of service.
type QuarantineError struct {
	Board string
	Quarantine
}

// Error says why and what to do.
func (e *QuarantineError) Error() string {
	return fmt.Sprintf("board %s is in quarantine since %s, by %s: %s; when it is well again: \"muster rig health %s --return\"",
		e.Board, e.Since.Local().Format("2006-01-02 15:04"), e.By, e.Reason, e.Board)
}

func (c Clinic) path(board string) string { return filepath.Join(c.Dir, board+".json") }

// Health returns what is remembered of a board.
func (c Clinic) Health(board string) (Health, error) {
	h := Health{Board: board}
	b, err := os.ReadFile(c.path(board))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil {
		return h, fmt.Errorf("the health of board %s (remove the file if it is broken): %w", board, err)
	}
	h.Board = board
	return h, nil
}

// Check returns a [*QuarantineError] if a board is out of service.
func (c Clinic) Check(board string) error {
	h, err := c.Health(board)
	if err != nil || h.Quarantine == nil {
		return err
	}
	return &QuarantineError{board, *h.Quarantine}
}

// Record remembers a climb. It returns the board's Health, which may be in
// quarantine now.
func (c Clinic) Record(board string, tried []Attempt) (Health, error) {
	h, err := c.Health(board)
	if err != nil || len(tried) == 0 {
		return h, err
	}
	if h.Counts == nil {
		h.Counts = make(map[string]Count)
	}
	for _, a := range tried {
		n := h.Counts[a.Rung.String()]
		n.Tried++
		if a.Err == nil {
			n.Worked++
		}
		if errors.Is(a.Err, ErrLied) {
			n.Lied++
		}
		h.Counts[a.Rung.String()] = n
	}
	last := tried[len(tried)-1]
	r := Recovery{At: c.Now().UTC(), Rung: last.Rung.String(), Worked: last.Err == nil, Why: last.Why}
	h.Recoveries = append(h.Recoveries, r)
	h.Recoveries = h.Recoveries[max(0, len(h.Recoveries)-remembered):]
	if h.Quarantine == nil {
		h.Quarantine = c.judge(h, tried)
	}
	return h, c.write(h)
}

// judge says whether a board is sick.
func (c Clinic) judge(h Health, tried []Attempt) *Quarantine {
	sick := func(format string, args ...any) *Quarantine {
		return &Quarantine{Since: c.Now().UTC(), By: "muster", Reason: fmt.Sprintf(format, args...)}
	}
	if last := tried[len(tried)-1]; last.Err != nil {
		return sick("nothing brought it back; the last that was tried is %s (%s): %v: look at its cable, its supply and its LED", last.Rung, last.Text, last.Err)
	}
	cuts := 0
	for _, r := range h.Recoveries[max(0, len(h.Recoveries)-recent):] {
		if rung, err := ParseRung(r.Rung); err == nil && rung.Cuts() {
			cuts++
		}
	}
	if cuts >= tooOften {
		return sick("it needed its power cut %d times in its last %d recoveries: its firmware hangs, or the board is failing", cuts, min(recent, len(h.Recoveries)))
	}
	return nil
}

// Isolate takes a board out of service for a reason.
func (c Clinic) Isolate(board, by, reason string) error {
	h, err := c.Health(board)
	if err != nil {
		return err
	}
	h.Quarantine = &Quarantine{Since: c.Now().UTC(), By: by, Reason: reason}
	return c.write(h)
}

// Return puts a board into service again, and forgets the recoveries that spoke
// against it.
func (c Clinic) Return(board string) error {
	h, err := c.Health(board)
	if err != nil {
		return err
	}
	if h.Quarantine == nil {
		return fmt.Errorf("board %s is in no quarantine", board)
	}
	h.Quarantine = nil
	h.Recoveries = slices.DeleteFunc(h.Recoveries, func(r Recovery) bool {
		rung, err := ParseRung(r.Rung)
		return err == nil && rung.Cuts() || !r.Worked
	})
	return c.write(h)
}

// write replaces the file of a board, all of it or nothing.
func (c Clinic) write(h Health) error {
	err := os.MkdirAll(c.Dir, 0o755)
	if err != nil {
		return fmt.Errorf("the health of board %s: %w", h.Board, err)
	}
	b, err := json.MarshalIndent(h, "", healthScale)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(c.Dir, ".health-*")
	if err != nil {
		return fmt.Errorf("the health of board %s: %w", h.Board, err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Chmod(healthMode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), c.path(h.Board))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the health of board %s: %w", h.Board, err), os.Remove(tmp.Name()))
	}
	return nil
}
