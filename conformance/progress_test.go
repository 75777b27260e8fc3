package conformance

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLongChecksAreShown: where every line stays, as in the log of a build, one that takes
// minutes is told of now and then, and one that does not is not.
func TestLongChecksAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		line := newProgress(&b)
		o := Options{Progress: line.show, total: 4, done: 1}
		o.progress("connect", "preparing")
		stop := o.goesOn("connect", "hello")
		time.Sleep(4 * time.Second)
		stop()
		if got := strings.Count(b.String(), "\n"); got != 1 {
			t.Errorf("%d lines:\n%s", got, b.String())
		}
		stop = o.goesOn("connect", "lost-acks")
		time.Sleep(2 * time.Minute)
		stop()
		if got := strings.Count(b.String(), "connect: lost-acks, for "); got != 4 {
			t.Errorf("%d lines:\n%s", got, b.String())
		}
	})
}
