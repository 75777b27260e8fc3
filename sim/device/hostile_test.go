package device

import (
	"flag"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/seed"
)

var hostileRuns = flag.Int("hostile", 60, "conversations with a hostile cloud")

// A hostile cloud with the right keys: it says what clouds say, mutated, at any
// time, and answers some messages and not others. The device must not panic, its
// time must not stand still, and it must not flood.
func TestHostileCloud(t *testing.T) {
	var corpus [][]byte
	for _, c := range fixtures.Captures() {
		for _, it := range c.Items {
			if it.Op == fixtures.OpDown {
				corpus = append(corpus, it.Plaintexts()...)
			}
		}
	}
	for run := range *hostileRuns {
		rng := seed.Stream(uint64(run), "hostile")
		w := newWorld(t, fuzzProfiles[rng.IntN(len(fuzzProfiles))])
		w.peer.answer = func(m message) ([][]byte, bool) {
			switch rng.IntN(40) {
			case 0:
				return nil, true
			case 1:
				return [][]byte{{0x70, 0, m.wire[2], m.wire[3]}}, true
			case 2:
				return [][]byte{{0x60, byte(rng.Uint32()), m.wire[2], m.wire[3]}}, true
			}
			return nil, false
		}
		w.do(w.dev.PowerOn)
		for range 60 {
			b := append([]byte(nil), corpus[rng.IntN(len(corpus))]...)
			for range rng.IntN(4) {
				switch at := rng.IntN(len(b)); rng.IntN(4) {
				case 0:
					b[at] = byte(rng.Uint32())
				case 1:
					b = b[:max(at, 1)]
				case 2:
					b = append(b[:at:at], append([]byte{byte(rng.Uint32())}, b[at:]...)...)
				case 3:
					b[at] ^= 1 << rng.IntN(8)
				}
			}
			w.wire, w.sent, w.events = nil, nil, nil
			w.peer.raw(b)
			w.settle()
			w.pass(time.Duration(rng.IntN(3000)) * time.Millisecond)
			if rng.IntN(30) == 0 {
				w.pass(time.Duration(rng.IntN(400)) * time.Second)
			}
			if len(w.wire) > 2000 {
				t.Fatalf("run %d: %d packets", run, len(w.wire))
			}
			if w.dev.Deadline() <= w.now {
				t.Fatalf("run %d: deadline %v at %v", run, w.dev.Deadline(), w.now)
			}
		}
	}
}
