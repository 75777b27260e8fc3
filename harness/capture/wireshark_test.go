package capture

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// anyPort is the cloud's address where it has no port of its own: as in a run.
var anyPort = netip.AddrPortFrom(cloudAddress.Addr(), 41234)

// writePcap writes a recording with secrets and messages and returns the path and
// how many messages there are.
func writePcap(t *testing.T, c *fixtures.Capture, cloud netip.AddrPort) (path string, messages int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), c.Name+".pcapng")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewPcapWriter(f, PcapOptions{Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Comment: c.Name})
	if err != nil {
		t.Fatal(err)
	}
	d, got := newTestDecoder(func(cfg *Config) { cfg.Unlocked = w.AddSecrets })
	for _, s := range c.Sessions {
		d.AddSecrets(dtls.Secrets{ClientRandom: [32]byte(s.ClientRandom), Master: [48]byte(s.Master)})
	}
	for _, s := range c.Conns {
		d.AddCredentials(s.Nonce, [40]byte(s.Credentials), trace.DeviceID(c.DeviceID))
	}
	all, _ := sightings(c)
	var seen []transport.Sighting
	for _, s := range all {
		s.Peer = cloud
		d.Sight(s)
		seen = append(seen, s)
	}
	d.Flush()
	for _, s := range seen {
		w.Sight(s)
	}
	for _, p := range got.packets {
		for _, m := range p.Messages() {
			w.AddMessage(p, m)
			messages++
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path, messages
}

// tshark runs Wireshark's own dissectors over a file and returns the lines that the
// arguments ask for.
func tshark(t *testing.T, path string, args ...string) []string {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("MUSTER_REQUIRE_PEERS") != "" {
			t.Fatal("tshark is missing: install the package tshark")
		}
		t.Skip("tshark is not installed (Debian: tshark)")
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"-n", "-r", path}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // not the settings of whoever runs this
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v", strings.Join(args, " "), err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// TestWiresharkReadsEveryMessage: whatever the generation and the transport, each
// message is a CoAP message for Wireshark on the interface of messages.
func TestWiresharkReadsEveryMessage(t *testing.T) {
	for _, name := range []string{
		"v1.4.4-udp-session", "v2.3.0-udp-resume", "v3.1.0-udp-session", "v6.2.0-udp-resume",
		"v1.4.4-tcp-session", "v6.2.0-tcp-session", "v6.2.0-ota3-udp-ota3",
	} {
		t.Run(name, func(t *testing.T) {
			c := fixtures.ByName(name)
			path, messages := writePcap(t, c, anyPort)
			if messages == 0 {
				t.Fatal("the recording has no messages")
			}
			lines := tshark(t, path, "-Y", fmt.Sprintf(`frame.interface_name == %q`, MessageInterface),
				"-T", "fields", "-e", "_ws.col.Protocol", "-e", "coap.code", "-e", "ip.src", "-e", "frame.comment", "-e", "_ws.malformed")
			if len(lines) != messages {
				t.Fatalf("%d frames, want %d", len(lines), messages)
			}
			for _, line := range lines {
				if !strings.HasPrefix(line, "CoAP\t") || !strings.Contains(line, "trace ") || strings.Contains(line, "alformed") {
					t.Errorf("got %q", line)
				}
			}
		})
	}
}

// TestWiresharkDecrypts states what Wireshark makes of the wire itself with the
// secrets in the file: all of a session without connection id, only the cloud's
// side of one with. What docs/evidence.md says of it rests on this.
func TestWiresharkDecrypts(t *testing.T) {
	for _, test := range []struct {
		name     string
		up, down bool // can be read
	}{
		{"v1.4.4-udp-session", true, true},
		{"v2.3.0-udp-session", true, true},
		{"v3.1.0-udp-session", false, true},
		{"v6.2.0-udp-session", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, messages := writePcap(t, fixtures.ByName(test.name), cloudAddress)
			// The record of the other direction that carries an application's bytes.
			count := func(direction string) int {
				return len(tshark(t, path, "-Y", fmt.Sprintf("frame.interface_name == %q && %s == 192.0.2.1 && coap", WireInterface, direction)))
			}
			up, down := count("ip.dst"), count("ip.src")
			if (up > 0) != test.up || (down > 0) != test.down {
				t.Errorf("Wireshark reads %d messages up and %d down", up, down)
			}
			if test.up && test.down && up+down != messages {
				t.Errorf("Wireshark reads %d of %d messages", up+down, messages)
			}
		})
	}
}
