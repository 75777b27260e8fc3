package target

import (
	"testing"
	"time"

	"github.com/muster/muster/sim/profile"
)

// A shelved board may be there or not.
type shelved struct {
	Board
	absent string
}

func (s *shelved) Absent() string         { return s.absent }
func (s *shelved) AwayMax() time.Duration { return time.Second }

// Any board of the same kind plays in the place of one that is not there, although each
// has a profile of its own.
func TestAnotherBoardPlays(t *testing.T) {
	kind := func(name string) *profile.Profile {
		p, err := profile.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	gone := &Device{Profile: kind("boron@6.2.0"), board: &shelved{absent: "unplugged"}}
	here := &Device{Profile: kind("boron@6.2.0"), board: &shelved{}}
	other := &Device{Profile: kind("boron@5.9.0"), board: &shelved{}}
	if d := likeliest([]*Device{other, gone, here}, gone.Profile); d != here {
		t.Errorf("%v plays", d)
	}
	if d := likeliest([]*Device{other, gone}, gone.Profile); d != gone {
		t.Errorf("%v plays where there is no other", d)
	}
	if d := likeliest([]*Device{other}, gone.Profile); d != nil {
		t.Errorf("%v plays, which is of another kind", d)
	}
}
