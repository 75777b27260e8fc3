package cloudref

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/muster/muster/cloudref/app"
)

// What nobody has any more is forgotten; what somebody has is the same for all.
func TestShare(t *testing.T) {
	s := &share{values: map[[32]byte]func() any{}, sweepAt: shareSweepMin}
	made := 0
	get := func(key string) *app.Describe {
		return s.get(key, func() any { made++; return new(app.Describe) }).(*app.Describe)
	}
	kept := get("kept")
	for n := range 20 * shareSweepMin {
		get(fmt.Sprint(n))
		if n%shareSweepMin == 0 {
			runtime.GC()
		}
	}
	if len(s.values) > 5*shareSweepMin {
		t.Errorf("%d values are kept for nobody", len(s.values))
	}
	before := made
	if get("kept") != kept || made != before {
		t.Error("what somebody has was made again")
	}
	runtime.KeepAlive(kept)
}
