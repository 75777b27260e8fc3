package target

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// acknowledging is a packet of a device that has n chunks.
func acknowledging(id trace.DeviceID, n uint32) *trace.Packet {
	return &trace.Packet{Device: id, Direction: trace.Up, Records: []trace.Record{{Message: &trace.Message{Kind: pdc.KindUpdateAck, Chunk: n, HasChunk: true}}}}
}

// TestCloudIsHeldUpUntilItIsDone: however long a power distribution unit takes, the
// transfer is not over before the power is gone.
func TestCloudIsHeldUpUntilItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 20 * time.Second
		var all moments
		id, began := trace.DeviceID{1}, time.Now()
		w := all.when(id, AfterChunk(17), func() { time.Sleep(takes) })
		all.pass(acknowledging(id, 16))
		all.pass(acknowledging(trace.DeviceID{2}, 17))
		if n := len(all.due(id, 16)); n != 0 {
			t.Errorf("%d wait for chunk 16", n)
		}
		for _, one := range all.due(id, 18) {
			looked := 0
			one.hold(func() {
				if looked++; looked == 10 {
					all.pass(acknowledging(id, 18)) // as a decoder does when it is told the time
				}
			})
		}
		if got := time.Since(began); got < takes {
			t.Errorf("the cloud went on after %v", got)
		}
		all.end(w)
	})
}

// TestCloudIsNotHeldUpForAMomentThatDoesNotCome bounds what a wait for nothing costs.
func TestCloudIsNotHeldUpForAMomentThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all moments
		began := time.Now()
		w := all.when(trace.DeviceID{1}, AfterChunk(17), func() {})
		w.hold(func() {})
		if got := time.Since(began); got > holdComing {
			t.Errorf("the cloud was held up for %v", got)
		}
		all.end(w)
	})
}
