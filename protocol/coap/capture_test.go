package coap

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/clock"
)

// recorded is a CoAP message of a capture with the words that an independent
// decoder has for it, such as "CON POST /E/x mid=000b token=61".
type recorded struct {
	wire []byte
	text string
}

// messages returns the CoAP messages of an item: of each DTLS record, or of the
// one TCP frame.
func messages(it fixtures.Item) []recorded {
	var all []recorded
	for i, comment := range it.Comments {
		text, ok := strings.CutPrefix(comment, "coap ")
		if !ok || i == 0 {
			continue
		}
		wire, ok := strings.CutPrefix(it.Comments[i-1], "plaintext ")
		if ok {
			all = append(all, recorded{mustUnhex(wire), text})
		}
	}
	return all
}

func mustUnhex(s string) []byte {
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		panic(err)
	}
	return b
}

// Every message that Device OS and its cloud have sent in a recording decodes
// to what an independent decoder makes of it, and encodes to the same bytes
// again.
func TestRecordedMessages(t *testing.T) {
	methods := map[string]Code{"EMPTY": Empty, "GET": GET, "POST": POST, "PUT": PUT}
	n := 0
	for _, c := range fixtures.Captures() {
		for _, it := range c.Wire() {
			for _, r := range messages(it) {
				n++
				m, err := Parse(r.wire)
				if err != nil {
					t.Errorf("%s at %v: %x: %v", c.Name, it.At, r.wire, err)
					continue
				}
				if got := m.Append(nil); !bytes.Equal(got, r.wire) {
					t.Errorf("%s at %v: got %x, want %x", c.Name, it.At, got, r.wire)
				}
				code, ok := methods[strings.Fields(r.text)[1]]
				if !ok {
					var class, detail Code
					if _, err := fmt.Sscanf(strings.Fields(r.text)[1], "%d.%d", &class, &detail); err != nil {
						t.Fatalf("%s: %s", c.Name, r.text)
					}
					code = class<<5 | detail
				}
				want := typeNames[m.Type] + " "
				if m.Code != code || !strings.HasPrefix(r.text, want) ||
					!strings.Contains(r.text, fmt.Sprintf(" mid=%04x", m.ID)) ||
					len(m.Token) > 0 && !strings.Contains(r.text, fmt.Sprintf(" token=%x", m.Token)) ||
					m.Has(URIPath) && !strings.Contains(r.text, " /"+m.Path()) {
					t.Errorf("%s at %v: got %v, want %s", c.Name, it.At, m, r.text)
				}
			}
		}
	}
	if n < 2900 {
		t.Errorf("got %d messages in the captures, want some 3000", n)
	}
}

// transmissions returns when a device sent each of its Confirmable messages,
// those that it sent more than once. Each new socket begins anew: what waits is
// forgotten then.
func transmissions(c *fixtures.Capture) [][]time.Duration {
	var all [][]time.Duration
	index := map[string]int{}
	for _, it := range c.Items {
		if strings.HasPrefix(it.Text, "device source port") {
			clear(index)
		}
		if it.Op != fixtures.OpUp {
			continue
		}
		for _, r := range messages(it) {
			if !strings.HasPrefix(r.text, "CON") {
				continue
			}
			i, ok := index[string(r.wire)]
			if !ok {
				i = len(all)
				index[string(r.wire)] = i
				all = append(all, nil)
			}
			all[i] = append(all[i], it.At)
		}
	}
	return all
}

// The waits of recorded boards are 4, 8, 16 s times 1 + r/512 with a whole r,
// to the 5 ms in which a board looks at its clock; an Exchange that draws the
// same r sends at the same times.
func TestRecordedRetransmissions(t *testing.T) {
	const slack = 5 * time.Millisecond
	chains, waits := 0, 0
	for _, c := range fixtures.Captures() {
		if c.Transport != "udp" {
			continue
		}
		for _, at := range transmissions(c) {
			if len(at) < 2 {
				continue
			}
			chains++
			var r []uint64
			for i := range at[1:] {
				waits++
				base := 4 * time.Second << i
				factor := float64(at[i+1]-at[i])/float64(base) - 1
				nearest := math.Round(factor * 512)
				if nearest < 0 || nearest > 255 {
					t.Errorf("%s at %v: wait %d of %v", c.Name, at[i], i, at[i+1]-at[i])
					continue
				}
				r = append(r, uint64(nearest))
			}
			if len(r) != len(at)-1 {
				continue
			}
			x := NewExchange(&DeviceUDP, 0, fixed(append(r, 0)...), nil)
			var out Out
			start := clock.Instant(at[0])
			x.Send(start, publish, 0, &out)
			for i, want := range at[1:] {
				due := x.Deadline()
				if diff := due.Sub(clock.Instant(want)); diff.Abs() > time.Duration(i+1)*slack {
					t.Errorf("%s at %v: transmission %d at %v, want %v", c.Name, at[0], i+2, due, want)
				}
				x.Advance(due, &out)
			}
			if len(out.Messages) != len(at) {
				t.Errorf("%s at %v: got %d transmissions, want %d", c.Name, at[0], len(out.Messages), len(at))
			}
		}
	}
	if chains < 40 || waits < 90 {
		t.Errorf("got %d retransmitted messages with %d waits, want at least 40 with 90", chains, waits)
	}
}

// A board that is never answered sends four times, gives up 32 to 48 s after
// the last one, and begins a handshake about a second later. (6.2.0 gives up
// earlier, through its keep-alive.)
func TestRecordedFailure(t *testing.T) {
	for _, version := range []string{"v1.4.4", "v2.3.0", "v3.1.0"} {
		c := fixtures.ByName(version + "-udp-noack")
		var last time.Duration
		for _, at := range transmissions(c) {
			if len(at) > 1 {
				if len(at) != 4 {
					t.Errorf("%s: got %d transmissions, want 4", c.Name, len(at))
				}
				last = at[len(at)-1]
			}
		}
		for _, it := range c.Wire() {
			if it.At > last && it.Op == fixtures.OpUp {
				if wait := it.At - last; wait < 32*time.Second || wait > 50*time.Second {
					t.Errorf("%s: a handshake %v after the last transmission, want 32 to 50 s", c.Name, wait)
				}
				break
			}
		}
	}
}
