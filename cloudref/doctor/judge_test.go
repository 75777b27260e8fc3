package doctor

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func healthy() *Case {
	return &Case{
		Now: now, Data: "/data", BlobHost: "192.0.2.7", BlobUDP: 5684, Own: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
		Report: &Report{
			Up: time.Minute, Data: "/data", UDP: "0.0.0.0:5684", TCP: "0.0.0.0:5683", Devices: 2, Online: 1, Datagrams: 100, Secured: 1,
		},
		Probes: []Probe{{What: "UDP", Address: "192.0.2.7:5684", MTU: 1500}, {What: "TCP", Address: "192.0.2.7:5683"}},
		Routes: []Probe{{Address: "198.51.100.9:5684", MTU: 1500}},
	}
}

func refusal(reason, detail string) Refusal {
	return Refusal{Peer: "198.51.100.9:5684", Transport: "udp", Reason: reason, Detail: detail, Count: 3, First: now, Last: now.Add(-time.Second)}
}

// Each thing that keeps boards away is found, as one sentence that says what to do.
func TestJudge(t *testing.T) {
	for _, f := range Judge(healthy()) {
		if f.Level != Good {
			t.Errorf("a healthy cloud: %v %s", f.Level, f.What)
		}
	}
	key := strings.Repeat("ab", 32)
	for name, test := range map[string]struct {
		wreck    func(*Case)
		what, do string
	}{
		"not running": {func(c *Case) { c.Report = nil }, "No cloud runs on /data", "muster cloud"},
		"port taken": {func(c *Case) {
			c.Report = nil
			c.Ports = []Port{{"UDP", netip.MustParseAddrPort("0.0.0.0:5684"), "process 7 (socat)", "--udp"}}
		}, "UDP port 5684 is taken by process 7 (socat)", "--udp"},
		"port of unknown": {func(c *Case) {
			c.Report = nil
			c.Ports = []Port{{"TCP", netip.MustParseAddrPort("0.0.0.0:5683"), "", "--tcp"}}
		}, "taken by another process", "ss -lnp"},
		"loopback":         {func(c *Case) { c.Report.UDP = "127.0.0.1:5684" }, "only programs of this machine", "--udp 0.0.0.0:5684"},
		"other port":       {func(c *Case) { c.Report.UDP = "0.0.0.0:4000" }, "use 5684 whatever", "5684"},
		"UDP off":          {func(c *Case) { c.Report.UDP = "" }, "does not listen on UDP", "--udp"},
		"nothing arrives":  {func(c *Case) { c.Report.Datagrams, c.Report.Streams = 0, 0 }, "Nothing has arrived", "--probe"},
		"silent":           {func(c *Case) { c.Probes[0].Err = ErrSilent }, "Nothing answers on UDP 192.0.2.7:5684", "ufw allow 5684/udp"},
		"nobody there":     {func(c *Case) { c.Probes[1].Err = ErrRefused }, "Nothing listens on TCP", "start the cloud"},
		"foreign":          {func(c *Case) { c.Probes[1].Err = ErrForeign }, "Something else", "ss -lnp"},
		"large is lost":    {func(c *Case) { c.Probes[0].LargeErr = errors.New("no answer") }, "does not come back", "tunnel"},
		"small MTU":        {func(c *Case) { c.Routes[0].MTU = 576 }, "carries 576 bytes", "MTU"},
		"wrong address":    {func(c *Case) { c.BlobHost = "203.0.113.1" }, "no address of this machine", "--host"},
		"blob of loopback": {func(c *Case) { c.BlobHost = "127.0.0.1"; c.Own = append(c.Own, netip.MustParseAddr("127.0.0.1")) }, "each board itself", "--host"},
		"unknown key": {func(c *Case) {
			c.Report.Refusals = []Refusal{refusal("unknown_key", "has the SHA-256 "+key+": register")}
		}, "A board at 198.51.100.9:5684 has a key that nobody registered (SHA-256 " + key + ") (3 times, last 1s ago)", "muster cloud device add"},
		"server key":      {func(c *Case) { c.Report.Refusals = []Refusal{refusal("server_key", "alert")} }, "has the server key of another one", "dfu-util -d 2b04 -a 1 -s 3298 -D server-udp.der"},
		"server key, TCP": {func(c *Case) { r := refusal("server_key", ""); r.Transport = "tcp"; c.Report.Refusals = []Refusal{r} }, "does not accept this cloud", "-s 2082 -D server-tcp.der"},
		"unknown session": {func(c *Case) { c.Report.Refusals = []Refusal{refusal("unknown_session", "")} }, "session that this cloud does not have", "90 seconds"},
		"no answer":       {func(c *Case) { c.Report.Refusals = []Refusal{refusal("timeout", "")} }, "does not reach it", "MTU"},
		"other key":       {func(c *Case) { r := refusal("other_key", ""); r.Device = "01"; c.Report.Refusals = []Refusal{r} }, "Device 01 at", "rekey 01"},
		"hello":           {func(c *Case) { c.Report.Refusals = []Refusal{refusal("hello", "nonsense")} }, "nonsense", "report"},
		"protocol":        {func(c *Case) { c.Report.Refusals = []Refusal{refusal("protocol", "bytes")} }, "no Device OS sends", "port scanners"},
		"store":           {func(c *Case) { c.Report.Refusals = []Refusal{refusal("store", "full")} }, "could not store", "disk"},
		"another reason":  {func(c *Case) { c.Report.Refusals = []Refusal{refusal("new", "whatever")} }, "was refused: whatever", "log"},
		"storage":         {func(c *Case) { c.Report.Storage = "no space" }, "takes nothing: no space", "free some space"},
		"storage before":  {func(c *Case) { c.Report.Unstored = 3 }, "3 answers", "log"},
		"busy":            {func(c *Case) { c.Report.PoolFull = 9 }, "9 handshakes", "cores"},
		"open door":       {func(c *Case) { c.Report.TrustFor = time.Minute }, "next 1m0s is registered", "trust 0"},
		"not registered":  {func(c *Case) { c.Report.Device = &Device{ID: "01"} }, "Device 01 is not registered", "muster cloud device add 01"},
		"no key":          {func(c *Case) { c.Report.Device = &Device{ID: "01", Registered: true} }, "without a key", "device add 01"},
		"device denied":   {func(c *Case) { c.Report.Device = &Device{ID: "01", Registered: true, Denied: true} }, "is denied", "allow it"},
		"device asleep":   {func(c *Case) { c.Report.Device = &Device{ID: "01", Registered: true, UDP: true, Session: "udp"} }, "has a session", "wake"},
		"device ended":    {func(c *Case) { c.Report.Device = &Device{ID: "01", Registered: true, UDP: true, LastHandshake: now} }, "has no session", "full handshake"},
	} {
		c := healthy()
		test.wreck(c)
		found := false
		for _, f := range Judge(c) {
			if strings.Contains(f.What, test.what) && strings.Contains(f.Do, test.do) && f.Level != Good {
				found = true
			}
			if !strings.HasSuffix(f.What, ".") {
				t.Errorf("%s: not a sentence: %q", name, f.What)
			}
		}
		if !found {
			t.Errorf("%s: found %v, want %q and %q", name, Judge(c), test.what, test.do)
		}
	}
}

// Old refusals are told of the device that was asked for only, and never a flood.
func TestJudgeTellsWhatMatters(t *testing.T) {
	c := healthy()
	old := refusal("unknown_key", "")
	old.Last, old.Device = now.Add(-48*time.Hour), "01"
	c.Report.Refusals = []Refusal{old}
	count := func() (n int) {
		for _, f := range Judge(c) {
			if strings.Contains(f.What, "nobody registered") {
				n++
			}
		}
		return n
	}
	if count() != 0 {
		t.Error("what is two days old is told")
	}
	c.Report.Device = &Device{ID: "01", Registered: true, UDP: true}
	if count() != 1 {
		t.Error("of the device that was asked for it is not told")
	}
	c.Report.Refusals = nil
	for range 100 {
		c.Report.Refusals = append(c.Report.Refusals, refusal("unknown_key", ""))
	}
	if n := count(); n != refusalsTold {
		t.Errorf("%d are told", n)
	}
}
