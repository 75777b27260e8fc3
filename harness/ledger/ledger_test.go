package ledger

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// of returns the ledger of one recording.
func of(c *fixtures.Capture) *Ledger {
	l := New()
	cloud, device := netip.MustParseAddrPort("192.0.2.1:5684"), netip.MustParseAddrPort("198.51.100.7:40000")
	d := capture.NewDecoder(capture.Config{Emit: l.Add, Cloud: func(a netip.AddrPort) bool { return a == cloud }})
	for _, s := range c.Sessions {
		d.AddSecrets(dtls.Secrets{ClientRandom: [32]byte(s.ClientRandom), Master: [48]byte(s.Master)})
	}
	for _, conn := range c.Conns {
		d.AddCredentials(conn.Nonce, [40]byte(conn.Credentials), trace.DeviceID(c.DeviceID))
	}
	stream := transport.StreamID(0)
	for _, item := range c.Items {
		s := transport.Sighting{At: clock.Instant(item.At), Kind: transport.DatagramSeen, Sent: item.Op == fixtures.OpUp}
		if item.Op == fixtures.OpNote {
			opened := strings.HasSuffix(item.Text, "opened")
			if opened {
				stream++
			}
			if opened || strings.HasPrefix(item.Text, "device source port") {
				device = netip.AddrPortFrom(device.Addr(), device.Port()+1)
			}
			continue
		}
		if c.Transport == "tcp" {
			s.Kind, s.Stream = transport.StreamChunk, stream
		}
		s.Packet = transport.Packet{Local: device, Peer: cloud, Data: item.Data}
		d.Sight(s)
	}
	d.Flush()
	return l
}

// costs returns the different costs of a phase, by bytes.
func (l *Ledger) costs(ph Phase) (all []Cost) {
	for _, t := range l.snapshot() {
		for c := range t[ph].values {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, compareCosts)
	return all
}

// TestByteTable reproduces the table that was counted by hand.
func TestByteTable(t *testing.T) {
	file, err := os.Open("testdata/bytes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := 0
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		line := scanner.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		rows++
		checkRow(t, line)
	}
	if rows != 40 {
		t.Errorf("%d rows", rows)
	}
}

func checkRow(t *testing.T, line string) {
	t.Helper()
	name, rest, _ := strings.Cut(line, " ")
	phase, want, _ := strings.Cut(rest, ": ")
	n := 0
	if i := strings.IndexByte(phase, '['); i > 0 {
		if _, err := fmt.Sscanf(phase[i:], "[%d]", &n); err != nil {
			t.Fatal(err)
		}
		phase = phase[:i]
	}
	i := slices.Index(phases[:], phase)
	if i < 0 {
		t.Fatalf("no phase %q", phase)
	}
	all := of(fixtures.ByName(name)).costs(Phase(i))
	if n >= len(all) {
		t.Errorf("%s %s: only %d", name, phase, len(all))
		return
	}
	if got := text(all[n]); got != want {
		t.Errorf("%s %s: got %s, want %s (of %d)", name, phase, got, want, len(all))
	}
}

func text(c Cost) string {
	return fmt.Sprintf("%d (%d) / %d (%d) = %d", c.Up.Payload, c.Up.Packets, c.Down.Payload, c.Down.Packets, c.Bytes())
}

// TestNothingIsLost adds everything up: each byte of each recording is in exactly
// one phase.
func TestNothingIsLost(t *testing.T) {
	for _, c := range fixtures.Captures() {
		var up, down, packets int
		for _, item := range c.Wire() {
			packets++
			if item.Op == fixtures.OpUp {
				up += len(item.Data)
			} else {
				down += len(item.Data)
			}
		}
		var got Cost
		other := 0
		for _, sums := range of(c).snapshot() {
			for ph := range numPhases {
				if ph == Connect || ph == ResumeAll {
					continue
				}
				for cost, n := range sums[ph].values {
					got.Up.Payload += n * cost.Up.Payload
					got.Down.Payload += n * cost.Down.Payload
					got.Up.Packets += n * cost.Packets()
					if ph == Other {
						other += n
					}
				}
			}
		}
		if got.Up.Payload != up || got.Down.Payload != down || got.Up.Packets != packets {
			t.Errorf("%s: %d up, %d down, %d packets, want %d, %d, %d", c.Name, got.Up.Payload, got.Down.Payload, got.Up.Packets, up, down, packets)
		}
		if other > 0 && !strings.HasSuffix(c.Name, "lost-15") {
			t.Errorf("%s: %d in no phase", c.Name, other)
		}
	}
}

func TestRows(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-resume")
	rows := of(c).Rows(func(id trace.DeviceID) (string, bool) { return c.DeviceOS, id == trace.DeviceID(c.DeviceID) })
	i := slices.IndexFunc(rows, func(r report.LedgerRow) bool { return r.Phase == "resume" })
	want := report.LedgerRow{
		Phase: "resume", DeviceOS: "6.2.0", Transport: "udp", Devices: 1, Count: 1,
		Up: report.Cost{Packets: 1, Payload: 53, Headers: 28}, Down: report.Cost{Packets: 1, Payload: 33, Headers: 28},
		Total: report.Spread{Min: 142, Median: 142, Max: 142}, Budget: 142,
	}
	if i < 0 || rows[i] != want {
		t.Errorf("got %+v, want %+v", rows, want)
	}
}

func TestBudget(t *testing.T) {
	for _, test := range []struct {
		phase     Phase
		deviceOS  string
		transport string
		want      int
		exact     bool
	}{
		{Resume, "3.1.0", "udp", 142, true},
		{Resume, "6.2.0", "udp", 142, true},
		{Resume, "10.0.0", "udp", 142, true},
		{Resume, "3.0.0", "udp", 135, true},
		{Resume, "2.3.1", "udp", 135, true},
		{Resume, "3.1.0", "tcp", 0, false},
		{ResumeHello, "1.4.4", "udp", 0, false},
		{Connect, "1.4.4", "tcp", 5120, false},
		{Publish, "1.4.4", "tcp", 200, false},
		{Function, "1.4.4", "udp", 0, false},
	} {
		if got, exact := Budget(test.phase, test.deviceOS, test.transport); got != test.want || exact != test.exact {
			t.Errorf("%v of %s: got %d %v", test.phase, test.deviceOS, got, exact)
		}
	}
}
