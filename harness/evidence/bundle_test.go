package evidence

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/ledger"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/timeline"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cloud = netip.MustParseAddrPort("127.0.0.1:5684")
)

// idOf is the id of device n of a played run, which has the address 127.1.0.n.
func idOf(n int) trace.DeviceID { return trace.DeviceID{0xe0, 11: byte(n)} }

// play shows a Collector n devices that all say what a recording says, and returns
// how many packets each had.
func play(t *testing.T, c *Collector, l *ledger.Ledger, n int) int {
	t.Helper()
	recording := fixtures.ByName("v2.3.0-udp-session")
	wire := recording.Wire()
	for i := range n {
		d := capture.NewDecoder(capture.Config{
			Emit: func(p *trace.Packet) {
				p.Device = idOf(i + 1)
				p.Association += uint32(100 * i) // each has a decoder of its own
				l.Add(p)
				c.Packet(p)
			},
			Cloud: func(a netip.AddrPort) bool { return a == cloud }, Hold: -1, Unlocked: c.Secrets,
		})
		for _, s := range recording.Sessions {
			d.AddSecrets(dtls.Secrets{ClientRandom: [32]byte(s.ClientRandom), Master: [48]byte(s.Master)})
		}
		for _, item := range wire {
			s := transport.Sighting{
				At: clock.Instant(item.At), Kind: transport.DatagramSeen, Sent: item.Op == fixtures.OpUp,
				Packet: transport.Packet{Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, byte(i + 1)}), 4000), Peer: cloud, Data: item.Data},
			}
			d.Sight(s)
			c.Sight(s)
		}
		d.Flush()
	}
	return len(wire)
}

func newCollector(t *testing.T, edit func(*Config)) *Collector {
	t.Helper()
	cfg := Config{Dir: filepath.Join(t.TempDir(), "bundle"), Start: start, Secrets: true}
	if edit != nil {
		edit(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run is one with a failure on device 3.
func run() *report.Run {
	return &report.Run{
		Tool: "muster conform", Seed: 7, Started: start, Cloud: "the cloud", Device: "devices",
		Results: []report.Result{{
			Suite: "s", Check: "c", DeviceOS: "2.3.1", Transport: "udp", Verdict: report.Fail,
			Findings: []report.Finding{{Verdict: report.Fail, Device: idOf(3).String(), Text: "bad"}},
		}},
	}
}

// readPcap counts the packets of a file by interface and source address.
func readPcap(t *testing.T, path string) (wire map[string]int, messages int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := pcapgo.NewNgReader(f, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	wire = make(map[string]int)
	last := time.Time{}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return wire, messages
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Timestamp.Before(last) {
			t.Errorf("a packet of %v behind one of %v", info.Timestamp, last)
		}
		last = info.Timestamp
		if info.InterfaceIndex == 1 {
			messages++
			continue
		}
		host := netip.AddrFrom4([4]byte(data[12:16]))
		if host == cloud.Addr() {
			host = netip.AddrFrom4([4]byte(data[16:20]))
		}
		wire[host.String()]++
	}
}

func read(t *testing.T, c *Collector, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.cfg.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBundleHoldsEverything(t *testing.T) {
	c, l := newCollector(t, nil), ledger.New()
	each := play(t, c, l, 4)
	c.Timeline().Add(timeline.Event{At: 1, Lane: "run", Kind: timeline.Step, Text: "preparing"})
	fmt.Fprintln(c.Log("cloud"), "refused a stranger")
	r := run()
	if err := c.Finish(r, Manifest{Arguments: []string{"s/c", "--seed", "7"}}, l); err != nil {
		t.Fatal(err)
	}
	wire, messages := readPcap(t, filepath.Join(c.cfg.Dir, trafficFile))
	for n := 1; n <= 4; n++ {
		if got := wire[fmt.Sprintf("127.1.0.%d", n)]; got != each {
			t.Errorf("device %d: %d packets, want %d", n, got, each)
		}
	}
	if messages == 0 || strings.Count(read(t, c, traceFile), "\n") != 4*each {
		t.Errorf("%d messages, %d lines of trace", messages, strings.Count(read(t, c, traceFile), "\n"))
	}
	if !strings.Contains(read(t, c, keysFile), "CLIENT_RANDOM ") || !strings.Contains(read(t, c, logsDir+"/cloud.log"), "stranger") {
		t.Error("keys or log are missing")
	}
	for _, secret := range []string{keysFile, trafficFile} {
		if info, err := os.Stat(filepath.Join(c.cfg.Dir, secret)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the keys are readable for others: %v, %v", info, err)
		}
	}
	if n := strings.Count(read(t, c, timelineFile), `"kind":"packet"`); n != 4*each || !strings.Contains(read(t, c, timelineFile), `"kind":"step"`) {
		t.Errorf("%d packets on the timeline, want %d", n, 4*each)
	}
	var file LedgerFile
	if err := json.Unmarshal([]byte(read(t, c, ledgerFile)), &file); err != nil || len(file.Devices) != 4 || len(file.Devices[0].Phases) == 0 {
		t.Errorf("ledger: %+v, %v", file, err)
	}
	if len(r.Timeline) != 1+4*each || r.Timeline[0].Kind != timeline.Step || r.Evidence.Packets != 4*each || r.Evidence.Devices != 4 || len(r.Evidence.LeftOut) != 0 {
		t.Errorf("%d events, %+v", len(r.Timeline), r.Evidence)
	}
	for _, part := range []string{"muster replay bundle", "traffic.pcapng", "frame.interface_name"} {
		if !strings.Contains(read(t, c, readmeFile), part) {
			t.Errorf("the README does not say %q", part)
		}
	}
	b, err := Open(c.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.Manifest.Arguments, " "); got != "s/c --seed 7" || b.Report.Seed != 7 || len(b.Manifest.Files) < 8 {
		t.Errorf("%+v", b.Manifest)
	}
}

// TestSmallBundle: what a finding is about is in it whatever the limit, and what is
// not is said.
func TestSmallBundle(t *testing.T) {
	c, l := newCollector(t, func(c *Config) { c.Limit = 1000 }), ledger.New()
	each := play(t, c, l, 5)
	r := run()
	if err := c.Finish(r, Manifest{}, l); err != nil {
		t.Fatal(err)
	}
	wire, _ := readPcap(t, filepath.Join(c.cfg.Dir, trafficFile))
	if len(wire) != 1 || wire["127.1.0.3"] != each || strings.Count(read(t, c, traceFile), "\n") != each {
		t.Errorf("got %v", wire)
	}
	want := fmt.Sprintf("%d packets of 4 devices", 4*each)
	if len(r.Evidence.LeftOut) != 1 || !strings.Contains(r.Evidence.LeftOut[0], want) {
		t.Errorf("%q, want %q", r.Evidence.LeftOut, want)
	}
	if !strings.Contains(read(t, c, readmeFile), want) || !strings.Contains(read(t, c, manifestFile), want) {
		t.Error("README and manifest do not say what is left out")
	}
}

func TestSpoolIsBounded(t *testing.T) {
	c, l := newCollector(t, func(c *Config) { c.Spool = 2000 }), ledger.New()
	each := play(t, c, l, 2)
	r := run()
	if err := c.Finish(r, Manifest{}, l); err != nil {
		t.Fatal(err)
	}
	wire, _ := readPcap(t, filepath.Join(c.cfg.Dir, trafficFile))
	total := 0
	for _, n := range wire {
		total += n
	}
	if total == 0 || total >= each || len(r.Evidence.LeftOut) != 1 || !strings.Contains(r.Evidence.LeftOut[0], fmt.Sprint(2*each-total)) {
		t.Errorf("%d packets, left out: %q", total, r.Evidence.LeftOut)
	}
	if strings.Count(read(t, c, traceFile), "\n") != 2*each {
		t.Error("the trace is not complete")
	}
}

// TestNoSecrets: nothing in the bundle tells a session's secrets or what it said.
func TestNoSecrets(t *testing.T) {
	c, l := newCollector(t, func(c *Config) { c.Secrets = false }), ledger.New()
	play(t, c, l, 1)
	if err := c.Finish(run(), Manifest{}, l); err != nil {
		t.Fatal(err)
	}
	recording := fixtures.ByName("v2.3.0-udp-session")
	err := filepath.WalkDir(c.cfg.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		master := recording.Sessions[0].Master
		for _, secret := range []string{string(master), fmt.Sprintf("%x", master), "20 byte event data!!"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, messages := readPcap(t, filepath.Join(c.cfg.Dir, trafficFile)); messages > 0 {
		t.Errorf("%d decrypted messages", messages)
	}
	if _, err := os.Stat(filepath.Join(c.cfg.Dir, keysFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a key log: %v", err)
	}
}

func TestNetworksOfChecksThatDidNotPassAreKept(t *testing.T) {
	c := newCollector(t, nil)
	networks := func(check string, at clock.Instant) {
		c.Check(check)
		for _, os := range []string{"2.3.1", "6.2.0"} {
			n := c.Network("boron@"+os, os, "udp")
			n.Sight(transport.Sighting{At: at, Kind: transport.DatagramSeen, Sent: true, Packet: transport.Packet{Local: netip.MustParseAddrPort("198.51.100.7:1"), Peer: cloud, Data: []byte(os)}})
			n.Packet(&trace.Packet{Serial: 1, At: at, DeviceAddress: "198.51.100.7:1", CloudAddress: cloud.String()})
		}
		c.Checked(check, run().Results)
	}
	networks("s/c", 5)
	networks("s/c2", 5)
	if err := c.Finish(run(), Manifest{}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := Open(c.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Networks) != 4 {
		t.Fatalf("%+v", b.Networks)
	}
	for _, n := range b.Networks {
		if kept := n.File != ""; kept != (n.DeviceOS == "2.3.1") || n.Packets != 1 || len(n.Digest) != 64 {
			t.Errorf("%+v", n)
		}
		if n.File != "" {
			if _, err := os.Stat(filepath.Join(c.cfg.Dir, n.File+".pcapng")); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestStagesAreOnTheTimeline: what a check has to itself on sockets is of the time of the
// run, whatever came of the check; what is virtual is not.
func TestStagesAreOnTheTimeline(t *testing.T) {
	c := newCollector(t, nil)
	c.Check("s/c")
	const address, cloud = "192.0.2.7:50000", "192.0.2.1:5684"
	first := &trace.Packet{At: 5, Direction: trace.Up, Transport: trace.UDP, DeviceAddress: address, CloudAddress: cloud, Size: 100}
	second := *first
	second.At, second.Device = 6, trace.DeviceID{7}
	for _, n := range []*Network{c.Stage("boron@6.2.0", "6.2.0", "udp"), c.Network("boron@6.2.0", "6.2.0", "udp")} {
		n.Packet(first)
		n.Packet(&second)
	}
	c.Checked("s/c", []report.Result{{Suite: "s", Check: "c", DeviceOS: "6.2.0", Transport: "udp", Verdict: report.Pass}})
	r := run()
	r.Duration = time.Second
	if err := c.Finish(r, Manifest{}, nil); err != nil {
		t.Fatal(err)
	}
	if len(r.Timeline) != 2 {
		t.Fatalf("%+v", r.Timeline)
	}
	for i, e := range r.Timeline {
		// The first, which does not tell whose it is, is beside the others of its address.
		if e.Lane != second.Device.String() || e.Check != "s/c" || e.Kind != timeline.Packet || e.Packet != 0 {
			t.Errorf("%d: %+v", i, e)
		}
	}
	up := 0
	for _, slice := range r.Traffic {
		up += slice.Up
	}
	if up != 200 {
		t.Errorf("traffic of %d bytes", up)
	}
}

func TestDigestHasTimes(t *testing.T) {
	digest := func(at clock.Instant) string {
		c := newCollector(t, nil)
		c.Check("s/c")
		n := c.Network("boron@6.2.0", "6.2.0", "udp")
		n.Sight(transport.Sighting{At: at, Kind: transport.DatagramSeen, Packet: transport.Packet{Data: []byte("x")}})
		c.Checked("s/c", nil)
		return c.virtual.done[0].line.Digest
	}
	if first, again := digest(1), digest(1); first != again || first == digest(2) {
		t.Error("the digest does not tell runs apart, or not only them")
	}
}

func TestOpen(t *testing.T) {
	c := newCollector(t, nil)
	if _, err := Open(c.cfg.Dir); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("a bundle that is not finished: %v", err)
	}
	if err := c.Finish(run(), Manifest{}, nil); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "b.zip")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for _, name := range []string{manifestFile, reportFile, virtualFile} {
		part, err := w.Create("artifacts/bundle/" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, read(t, c, name))
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{c.cfg.Dir, filepath.Join(c.cfg.Dir, manifestFile), archive} {
		b, err := Open(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if b.Manifest.Seed != 7 {
			t.Errorf("%s: %+v", path, b.Manifest)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "there is no bundle", t.TempDir(): "this is no bundle",
		filepath.Join(c.cfg.Dir, readmeFile): "neither",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestOnlyABundleIsReplaced: a folder of somebody else's is not emptied.
func TestOnlyABundleIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "thesis.txt")); err != nil {
		t.Error(err)
	}
	c := newCollector(t, nil)
	if err := c.Finish(run(), Manifest{}, nil); err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{Dir: c.cfg.Dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Discard(); err != nil {
		t.Error(err)
	}
}

func TestNilCollectorTakesEverything(t *testing.T) {
	var c *Collector
	c.Sight(transport.Sighting{})
	c.Packet(&trace.Packet{})
	c.Secrets(capture.Secrets{})
	c.Check("a")
	c.Checked("a", nil)
	c.Timeline().Add(timeline.Event{})
	n := c.Network("", "", "")
	n.Sight(transport.Sighting{})
	n.Packet(nil)
	n.Secrets(capture.Secrets{})
	if _, err := c.Log("x").Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.Finish(run(), Manifest{}, nil), c.Discard()); err != nil {
		t.Error(err)
	}
}

// TestConfidentialMessages: what is a secret beyond its session is nowhere in clear.
func TestConfidentialMessages(t *testing.T) {
	c := newCollector(t, nil)
	code := "a claim code of 63 characters"
	p := &trace.Packet{Serial: 1, DeviceAddress: "127.1.0.1:4000", CloudAddress: cloud.String(), Device: idOf(1), Records: []trace.Record{{
		State: trace.Opened, Message: &trace.Message{Event: pdc.EventClaimCode, Kind: pdc.KindPublish, Wire: []byte(code), CoAP: coap.Message{Payload: []byte(code)}},
	}}}
	c.Packet(p)
	if err := c.Finish(run(), Manifest{}, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{trafficFile, traceFile, timelineFile} {
		if text := read(t, c, name); strings.Contains(text, code) || strings.Contains(text, fmt.Sprintf("%x", code)) {
			t.Errorf("%s tells a claim code", name)
		}
	}
	if !strings.Contains(read(t, c, traceFile), pdc.EventClaimCode) {
		t.Error("the trace does not say that there was one")
	}
}
