package recording

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/recording/labfile"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

var (
	start  = labfile.Start
	device = labfile.Device
	cloud  = labfile.CloudUDP
)

// packets returns sightings as IP packets, with their times.
func packets(t *testing.T, all []transport.Sighting) (list []timed) {
	t.Helper()
	var file bytes.Buffer
	w, err := capture.NewPcapWriter(&file, capture.PcapOptions{Start: start})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		w.Sight(s)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, timed{info.Timestamp, data})
	}
}

type timed struct {
	at   time.Time
	data []byte
}

// links are the kinds of link that are read, and what stands before an IP packet on
// each.
var links = []struct {
	name string
	link layers.LinkType
	head func(ip []byte) []byte
}{
	{"raw", layers.LinkTypeRaw, func([]byte) []byte { return nil }},
	{"raw of BSD", linkRawBSD, func([]byte) []byte { return nil }},
	{"Ethernet", layers.LinkTypeEthernet, func(ip []byte) []byte {
		return append(make([]byte, 12), etherType(ip)...)
	}},
	{"Ethernet with VLAN", layers.LinkTypeEthernet, func(ip []byte) []byte {
		return append(append(make([]byte, 12), 0x81, 0, 0, 7), etherType(ip)...)
	}},
	{"loopback", layers.LinkTypeNull, func(ip []byte) []byte {
		if ip[0]>>4 == 6 {
			return []byte{30, 0, 0, 0}
		}
		return []byte{2, 0, 0, 0}
	}},
	{"OpenBSD loopback", layers.LinkTypeLoop, func(ip []byte) []byte {
		if ip[0]>>4 == 6 {
			return []byte{0, 0, 0, 24}
		}
		return []byte{0, 0, 0, 2}
	}},
	{"SLL", layers.LinkTypeLinuxSLL, func(ip []byte) []byte {
		return append([]byte{0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0}, etherType(ip)...)
	}},
	{"SLL2", layers.LinkTypeLinuxSLL2, func(ip []byte) []byte {
		return append(etherType(ip), 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0)
	}},
}

func etherType(ip []byte) []byte {
	if ip[0]>>4 == 6 {
		return []byte{0x86, 0xdd}
	}
	return []byte{8, 0}
}

// write writes IP packets as a capture file and returns its name.
func write(t *testing.T, link layers.LinkType, head func([]byte) []byte, ng bool, list []timed) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pcap")
	var file bytes.Buffer
	var put func(gopacket.CaptureInfo, []byte) error
	flush := func() error { return nil }
	if ng {
		w, err := pcapgo.NewNgWriter(&file, link)
		if err != nil {
			t.Fatal(err)
		}
		put, flush = w.WritePacket, w.Flush
	} else {
		w := pcapgo.NewWriterNanos(&file)
		if err := w.WriteFileHeader(262144, link); err != nil {
			t.Fatal(err)
		}
		put = w.WritePacket
	}
	for _, p := range list {
		data := append(append([]byte(nil), head(p.data)...), p.data...)
		if err := put(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(data), Length: len(data)}, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read reads a file back as lines.
func read(t *testing.T, path string) (lines []string, counts Counts) {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var peers Peers
	if err := peers.Find(f); err != nil {
		t.Fatal(err)
	}
	_, counts, err = f.Each(peers.Is, func(s transport.Sighting) {
		if s.Kind != transport.StreamEnded {
			lines = append(lines, fmt.Sprintf("%v %v %v", s.At, s.Sent, s.Local)+fmt.Sprintf(" %v %x", s.Peer, s.Data))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, counts
}

// want is what read must give.
func want(all []transport.Sighting) (lines []string) {
	first := clock.Instant(-1)
	for _, s := range all {
		if first < 0 {
			first = s.At
		}
		if len(s.Data) > 0 {
			lines = append(lines, fmt.Sprintf("%v %v %v", s.At-first, s.Sent, s.Local)+fmt.Sprintf(" %v %x", s.Peer, s.Data))
		}
	}
	return lines
}

// TestEveryRecordingOnEveryLink writes the recordings of real firmware as somebody
// else would have captured them, and reads the same back.
func TestEveryRecordingOnEveryLink(t *testing.T) {
	odd := netip.AddrPortFrom(cloud.Addr(), 41234) // no port of a cloud
	six := netip.MustParseAddrPort("[2001:db8::1]:5684")
	sixDevice := netip.MustParseAddrPort("[2001:db8::7]:40000")
	for i, c := range fixtures.Captures() {
		link := links[i%len(links)]
		a, b := device, cloud
		switch i / len(links) % 3 {
		case 1:
			b = odd
		case 2:
			a, b = sixDevice, six
		}
		if c.Transport == "tcp" && b.Port() == 5684 {
			b = netip.AddrPortFrom(b.Addr(), 5683)
		}
		all := labfile.Sightings(c, a, b)
		got, counts := read(t, write(t, link.link, link.head, i%2 == 0, packets(t, all)))
		if diff := difference(got, want(all)); diff != "" {
			t.Errorf("%s on %s, cloud %v: %s; %+v", c.Name, link.name, b, diff, counts)
		}
		if len(counts.Lines()) > 0 {
			t.Errorf("%s on %s: %q", c.Name, link.name, counts.Lines())
		}
	}
}

func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%d of %d; missing %.80s", len(got), len(want), want[i])
		case i >= len(want):
			return fmt.Sprintf("%d of %d; too much: %.80s", len(got), len(want), got[i])
		case got[i] != want[i]:
			return fmt.Sprintf("packet %d: got %.120s, want %.120s", i, got[i], want[i])
		}
	}
	return ""
}

func tcpPackets(t *testing.T) ([]transport.Sighting, []timed) {
	t.Helper()
	all := labfile.Sightings(fixtures.ByName("v6.2.0-tcp-ota2"), device, netip.AddrPortFrom(cloud.Addr(), 5683))
	return all, packets(t, all)
}

// TestTCPInDisorder: segments that come twice, or in another order, are put together.
func TestTCPInDisorder(t *testing.T) {
	all, list := tcpPackets(t)
	for i := 8; i+1 < len(list); i += 5 {
		list[i].data, list[i+1].data = list[i+1].data, list[i].data
		list = append(list[:i+1], append([]timed{list[i]}, list[i+1:]...)...)
	}
	got, counts := read(t, write(t, layers.LinkTypeRaw, links[0].head, false, list))
	// Their times differ, and segments that waited come together.
	bytesOf := func(lines []string, sent string) (s string) {
		for _, l := range lines {
			fields := strings.Fields(l)
			if fields[1] == sent {
				s += fields[4]
			}
		}
		return s
	}
	for _, sent := range []string{"true", "false"} {
		if bytesOf(got, sent) != bytesOf(want(all), sent) {
			t.Errorf("sent %s: other bytes; %+v", sent, counts)
		}
	}
}

func TestTCPWithAHole(t *testing.T) {
	all, list := tcpPackets(t)
	list = append(list[:20], list[21:]...)
	got, counts := read(t, write(t, layers.LinkTypeRaw, links[0].head, false, list))
	if counts.Torn != 1 || len(got) >= len(want(all)) || len(got) < 10 {
		t.Errorf("%d pieces, %+v", len(got), counts)
	}
	if lines := counts.Lines(); len(lines) != 1 || !strings.Contains(lines[0], "bytes missing") {
		t.Errorf("got %q", lines)
	}
}

func TestTCPWithoutItsBeginning(t *testing.T) {
	_, list := tcpPackets(t)
	f, err := Open(write(t, layers.LinkTypeRaw, links[0].head, false, list[5:20]))
	if err != nil {
		t.Fatal(err)
	}
	_, counts, err := f.Each(func(a netip.AddrPort) bool { return a.Port() == 5683 }, func(s transport.Sighting) {
		if len(s.Data) > 0 {
			t.Errorf("%v", s)
		}
	})
	if err != nil || counts.Joined != 1 || counts.Connections != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// TestDoubledOnAnyInterface captures each packet when it leaves and when it arrives.
func TestDoubledOnAnyInterface(t *testing.T) {
	all := labfile.Sightings(fixtures.ByName("v3.1.0-udp-session"), device, cloud)
	var twice []timed
	for i, p := range packets(t, all) {
		binary.BigEndian.PutUint16(p.data[4:], uint16(i+1)) // the system numbers its packets
		twice = append(twice, p, timed{p.at.Add(time.Microsecond), append([]byte(nil), p.data...)})
	}
	for _, link := range links[6:] {
		n := 0
		head := func(ip []byte) []byte {
			h := link.head(ip)
			n++
			if n%2 == 1 {
				if link.name == "SLL" {
					h[1] = 4 // sent by us
				} else {
					h[10] = 4
				}
			}
			return h
		}
		got, counts := read(t, write(t, link.link, head, false, twice))
		if len(got) != len(want(all)) || counts.Doubled != len(got) {
			t.Errorf("%s: %d datagrams, want %d; %+v", link.name, len(got), len(want(all)), counts)
		}
	}
}

// TestFragments cuts large datagrams as a router does.
func TestFragments(t *testing.T) {
	all := labfile.Sightings(fixtures.ByName("v6.2.0-ota3-udp-ota3"), device, cloud)
	var cut []timed
	fragments := 0
	for i, p := range packets(t, all) {
		ip := p.data
		binary.BigEndian.PutUint16(ip[4:], uint16(i+1))
		if len(ip) < 400 {
			cut = append(cut, p)
			continue
		}
		const size = 256
		body := ip[20:]
		for at := 0; at < len(body); at += size {
			piece := append([]byte(nil), ip[:20]...)
			end := min(at+size, len(body))
			piece = append(piece, body[at:end]...)
			binary.BigEndian.PutUint16(piece[2:], uint16(len(piece)))
			flags := uint16(at / 8)
			if end < len(body) {
				flags |= 0x2000
			}
			binary.BigEndian.PutUint16(piece[6:], flags)
			cut = append(cut, timed{p.at, piece})
			fragments++
		}
	}
	got, _ := read(t, write(t, layers.LinkTypeEthernet, links[2].head, true, cut))
	if diff := difference(got, want(all)); diff != "" || fragments < 6 {
		t.Errorf("%d fragments: %s", fragments, diff)
	}
}

func TestCutByTheSnapLength(t *testing.T) {
	all := labfile.Sightings(fixtures.ByName("v3.1.0-udp-session"), device, cloud)
	path := filepath.Join(t.TempDir(), "cut.pcap")
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	_ = w.WriteFileHeader(96, layers.LinkTypeRaw)
	for _, p := range packets(t, all) {
		n := min(len(p.data), 96)
		_ = w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: n, Length: len(p.data)}, p.data[:n])
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, counts := read(t, path)
	if counts.Cut == 0 || !strings.Contains(strings.Join(counts.Lines(), ""), "tcpdump -s 0") {
		t.Errorf("%+v", counts)
	}
}

// TestFileOfAKilledWriter ends within a frame; another is compressed.
func TestFileOfAKilledWriter(t *testing.T) {
	all := labfile.Sightings(fixtures.ByName("v3.1.0-udp-session"), device, cloud)
	for _, ng := range []bool{false, true} {
		path := write(t, layers.LinkTypeRaw, links[0].head, ng, packets(t, all))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:len(b)-7], 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _ := read(t, path); len(got) != len(want(all))-1 {
			t.Errorf("ng %v: %d datagrams, want %d", ng, len(got), len(want(all))-1)
		}
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		if err := os.WriteFile(path, z.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _ := read(t, path); difference(got, want(all)) != "" {
			t.Errorf("ng %v, compressed: %s", ng, difference(got, want(all)))
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "text": "this is a text and no capture file at all, really", "ng": "\x0a\x0d\x0d\x0a nonsense"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was opened")
	}
}

// TestSecretsInTheFile reads what a bundle of ours has, in a file of ours.
func TestSecretsInTheFile(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-session")
	path := filepath.Join(t.TempDir(), "x.pcapng")
	var file bytes.Buffer
	w, err := capture.NewPcapWriter(&file, capture.PcapOptions{Start: start})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Sessions {
		w.AddSecrets(capture.Secrets{DTLS: &dtls.Secrets{ClientRandom: [32]byte(s.ClientRandom), Master: [48]byte(s.Master)}})
	}
	all := labfile.Sightings(c, device, cloud)
	for _, s := range all {
		w.Sight(s)
	}
	w.AddMessage(&trace.Packet{DeviceAddress: device.String(), CloudAddress: cloud.String()}, &trace.Message{Wire: []byte{0x40, 0, 0, 1}})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := f.Secrets()
	if err != nil || !strings.Contains(string(log), fmt.Sprintf("%x", c.Sessions[0].Master)) {
		t.Errorf("%q, %v", log, err)
	}
	got, counts := read(t, path)
	if diff := difference(got, want(all)); diff != "" || counts.Frames != len(got) {
		t.Errorf("%s, %+v", diff, counts)
	}
}

func TestKeys(t *testing.T) {
	c := fixtures.ByName("v1.4.4-tcp-session")
	ec := fixtures.ByName("v1.4.4-udp-session")
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var k Keys
	for _, path := range []string{
		put("cloud.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: bytes.TrimRight(c.ServerKey, "\x00")})),
		put("device.der", c.DeviceKey),
		put("keys.log", []byte("# a comment\nCLIENT_RANDOM 00 00\n")),
	} {
		if err := k.AddFile(path); err != nil {
			t.Error(err)
		}
	}
	if k.Cloud == nil || len(k.Devices) != 1 || len(k.Logs) != 1 {
		t.Errorf("%v %d %d", k.Cloud != nil, len(k.Devices), len(k.Logs))
	}
	for path, want := range map[string]string{
		put("ec.pem", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec.ServerKey})): "forward secrecy",
		put("public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.ServerSPKI})): "no private key",
		put("text", []byte("hunter2")): "neither a key log",
		filepath.Join(dir, "none"):     "keys",
	} {
		err := k.AddFile(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestKeysOpenTCP opens a connection with each of the keys that people have.
func TestKeysOpenTCP(t *testing.T) {
	c := fixtures.ByName("v1.4.4-tcp-session")
	all := labfile.Sightings(c, device, netip.AddrPortFrom(cloud.Addr(), 5683))
	messages := func(k Keys) uint64 {
		d := capture.NewDecoder(capture.Config{
			Emit: func(*trace.Packet) {}, Cloud: func(a netip.AddrPort) bool { return a.Addr() == cloud.Addr() }, CloudKey: k.Cloud, Hold: -1,
		})
		if err := k.Give(d); err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			d.Sight(s)
		}
		d.Flush()
		return d.Counts().Messages
	}
	var log, loose bytes.Buffer
	for _, conn := range c.Conns {
		fmt.Fprintf(&log, "PARTICLE_NONCE %x %x\n", conn.Nonce, conn.Credentials)
		fmt.Fprintf(&loose, "PARTICLE_CREDENTIALS %x\n", conn.Credentials)
	}
	var device, cloudOnly Keys
	if err := device.add(c.DeviceKey); err != nil {
		t.Fatal(err)
	}
	if err := cloudOnly.add(c.ServerKey); err != nil {
		t.Fatal(err)
	}
	whole := messages(Keys{Logs: [][]byte{log.Bytes()}})
	for name, got := range map[string]uint64{
		"the device's key alone": messages(device), "credentials without nonces": messages(Keys{Logs: [][]byte{loose.Bytes()}}),
	} {
		if got != whole || got == 0 {
			t.Errorf("%s: %d messages, want %d", name, got, whole)
		}
	}
	if got := messages(cloudOnly); got != 0 {
		t.Errorf("the cloud's key alone opens %d messages: the credentials are under the device's", got)
	}
}

func TestParsePeer(t *testing.T) {
	for text, want := range map[string]string{"192.0.2.1": "192.0.2.1:0", "192.0.2.1:5684": "192.0.2.1:5684", "2001:db8::1": "[2001:db8::1]:0", "[2001:db8::1]": "[2001:db8::1]:0"} {
		got, err := ParsePeer(text)
		if err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ParsePeer("cloud.example.org"); err == nil {
		t.Error("a name is no address")
	}
}

// FuzzEach reads anything without panicking, hanging or allocating without bound.
func FuzzEach(f *testing.F) {
	for _, name := range []string{"v6.2.0-udp-session", "v6.2.0-tcp-session"} {
		var file bytes.Buffer
		w, err := capture.NewPcapWriter(&file, capture.PcapOptions{Start: start})
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range labfile.Sightings(fixtures.ByName(name), device, cloud) {
			w.Sight(s)
		}
		_ = w.Close()
		f.Add(file.Bytes()[:min(file.Len(), 1500)])
	}
	path := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Skip(err)
		}
		file, err := Open(path)
		if err != nil {
			return
		}
		var peers Peers
		_ = peers.Find(file)
		_, _, _ = file.Each(peers.Is, func(transport.Sighting) {})
		_, _ = file.Secrets()
	})
}
