package device

import (
	"bytes"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/profile"
)

// Fuzz profiles: one of each kind of machine.
var fuzzProfiles = []string{"boron@6.2.0", "boron@2.3.1", "electron@0.5.3", "photon@3.1.0", "photon@0.5.3", "gcc-udp-ota3r@6.2.0"}

// FuzzMessages feeds authentic messages of a hostile cloud, at any times: first
// byte of each piece is its length, second the pause before it in seconds.
func FuzzMessages(f *testing.F) {
	for _, c := range fixtures.Captures() {
		var script []byte
		for _, it := range c.Items {
			if it.Op != fixtures.OpDown {
				continue
			}
			for _, p := range it.Plaintexts() {
				if len(p) < 200 {
					script = append(append(script, byte(len(p)), 1), p...)
				}
			}
		}
		if len(script) > 0 && len(script) < 2000 {
			f.Add(uint8(0), script)
			f.Add(uint8(3), script)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, script []byte) {
		w := newWorld(t, fuzzProfiles[int(which)%len(fuzzProfiles)])
		w.do(w.dev.PowerOn)
		w.pass(3 * time.Second)
		for n := 0; len(script) > 2 && n < 64; n++ {
			size := min(int(script[0]), len(script)-2)
			pause := time.Duration(script[1]) * 100 * time.Millisecond
			piece := script[2 : 2+size]
			script = script[2+size:]
			w.wire = nil
			w.peer.raw(piece)
			w.settle()
			w.pass(pause)
			// A piece may cost a restart with all that follows, every pause some
			// retransmissions: but no piece may cost a flood.
			if len(w.wire) > 400 {
				t.Fatalf("%d packets for one message of %d bytes", len(w.wire), size)
			}
		}
		w.sent, w.events = nil, nil
	})
}

// FuzzBytes feeds raw datagrams or stream bytes, unauthenticated, at any times.
func FuzzBytes(f *testing.F) {
	for _, c := range fixtures.Captures() {
		var script []byte
		for _, it := range c.Items {
			if it.Op == fixtures.OpDown && len(it.Data) < 250 && len(script) < 1500 {
				script = append(append(script, byte(len(it.Data)), 1), it.Data...)
			}
		}
		f.Add(uint8(0), script)
		f.Add(uint8(3), script)
	}
	f.Fuzz(func(t *testing.T, which uint8, script []byte) {
		w := newWorld(t, fuzzProfiles[int(which)%len(fuzzProfiles)])
		online := which >= 128
		if !online {
			w.peer.silent = true
		}
		w.do(w.dev.PowerOn)
		w.pass(profile.BootTime)
		if !w.dev.Profile().Board.UDP && !online {
			w.peer.stream = nil
		}
		for n := 0; len(script) > 2 && n < 64; n++ {
			size := min(int(script[0]), len(script)-2)
			pause := time.Duration(script[1]) * 100 * time.Millisecond
			w.wire = nil
			w.down(bytes.Clone(script[2 : 2+size]))
			w.settle()
			script = script[2+size:]
			w.pass(pause)
			if len(w.wire) > 100 {
				t.Fatalf("%d packets for one datagram of %d bytes", len(w.wire), size)
			}
			if due := w.dev.Deadline(); due <= w.now {
				t.Fatalf("deadline %v at %v", due, w.now)
			}
		}
		_ = clock.Never
	})
}
