package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Case is everything that was found out.
type Case struct {
	Report *Report // nil: no cloud runs
	// Data is the data directory that was looked at.
	Data string
	// Ports are those that nobody could listen on, of a cloud that does not run.
	Ports []Port
	// Blob is the address in the server-key files for boards, "" if there are none.
	BlobHost string
	BlobUDP  uint16
	// Own are the addresses of this machine.
	Own []netip.Addr
	// Probes are what was found at addresses, Routes what the system knows of the
	// ways to boards.
	Probes []Probe
	Routes []Probe
	Now    time.Time
}

// A Port is taken.
type Port struct {
	What    string // "UDP", "TCP" or "HTTP"
	Address netip.AddrPort
	By      string // a process, "" if it is not known
	Flag    string // that chooses another
}

// Sizes in bytes, IP and UDP headers included.
const (
	// mtuUsual is what most networks carry.
	mtuUsual = 1500
	// mtuLargest is the largest datagram of Device OS: 1,152 bytes of message, a
	// record, an IP and a UDP header.
	mtuLargest = 1280
)

// portUDP is where boards from Device OS 1.1 on look for the cloud, whatever their
// server key says.
const portUDP = 5684

// refusalAge is how old a refusal may be to be told without asking for its device.
const refusalAge = 24 * time.Hour

// refusalsTold bounds the refusals that are told.
const refusalsTold = 10

// Judge says what is wrong, what is most likely the reason first.
func Judge(c *Case) []Finding {
	var list []Finding
	add := func(l Level, do, what string, args ...any) {
		list = append(list, Finding{Level: l, What: fmt.Sprintf(what, args...), Do: do})
	}
	if c.Report == nil {
		c.notRunning(add)
	} else {
		c.listening(add)
	}
	c.probed(add)
	c.blob(add)
	if c.Report != nil {
		c.device(add)
		c.arrived(add)
		c.refused(add)
		c.storage(add)
	}
	c.routes(add)
	return list
}

type adder = func(l Level, do, what string, args ...any)

func (c *Case) notRunning(add adder) {
	if len(c.Probes) > 0 && c.Data == "" {
		return // somebody else's cloud was asked for
	}
	add(Bad, "start it: muster cloud", "No cloud runs on %s.", c.Data)
	for _, p := range c.Ports {
		by, do := "another process", "find it with: ss -lnp"
		if p.By != "" {
			by, do = p.By, "stop it"
		}
		add(Bad, do+", or choose another address with "+p.Flag, "%s port %d is taken by %s.", p.What, p.Address.Port(), by)
	}
}

func (c *Case) listening(add adder) {
	r := c.Report
	add(Good, "", "The cloud has run for %v on %s, with %d registered devices, %d of them online.", r.Up.Round(time.Second), r.Data, r.Devices, r.Online)
	for _, l := range []struct{ what, address, flag string }{{"UDP", r.UDP, "--udp 0.0.0.0:5684"}, {"TCP", r.TCP, "--tcp 0.0.0.0:5683"}} {
		a, err := netip.ParseAddrPort(l.address)
		switch {
		case err != nil:
			add(Note, "if you have such boards, start it with "+l.flag, "The cloud does not listen on %s.", l.what)
		case a.Addr().IsLoopback():
			add(Bad, "start it with "+l.flag, "The cloud listens on %s %s, which only programs of this machine reach.", l.what, l.address)
		case l.what == "UDP" && a.Port() != portUDP:
			add(Bad, "listen on 5684, or have the router or firewall send port 5684 there",
				"The cloud listens on UDP port %d, but boards from Device OS 1.1 on use 5684 whatever their server key says.", a.Port())
		}
	}
	if r.TrustFor > 0 {
		add(Note, "end it with: muster cloud device trust 0", "Every board that connects in the next %v is registered.", r.TrustFor.Round(time.Second))
	}
}

func (c *Case) probed(add adder) {
	for _, p := range c.Probes {
		switch {
		case p.Err == nil && p.LargeErr != nil:
			add(Bad, "look for a tunnel or a VPN on the way, and for a firewall that drops fragments",
				"A cloud answers on %s %s, but a datagram of 553 bytes does not come back: %v.", p.What, p.Address, p.LargeErr)
		case p.Err == nil:
			add(Good, "", "A cloud answers on %s %s, after %v.", p.What, p.Address, p.Took.Round(10*time.Microsecond))
		case errors.Is(p.Err, ErrRefused):
			add(Bad, "start the cloud there, or look whether it listens on another address", "Nothing listens on %s %s.", p.What, p.Address)
		case errors.Is(p.Err, ErrForeign):
			add(Bad, "look which program has the port: ss -lnp", "Something else than a cloud answers on %s %s.", p.What, p.Address)
		default:
			add(Bad, fmt.Sprintf("let the port through every firewall on the way (sudo ufw allow %s), forward it where there is a NAT, and check the address",
				ufw(p)), "Nothing answers on %s %s: %v.", p.What, p.Address, p.Err)
		}
	}
}

// ufw returns a port as ufw wants it.
func ufw(p Probe) string {
	return p.Address[strings.LastIndexByte(p.Address, ':')+1:] + "/" + strings.ToLower(p.What)
}

// blob looks at the address that boards are told.
func (c *Case) blob(add adder) {
	if c.BlobHost == "" {
		return
	}
	addr, err := netip.ParseAddr(c.BlobHost)
	if err != nil {
		add(Note, "", "The server-key files for boards name the host %s: boards must be able to resolve it.", c.BlobHost)
		return
	}
	for _, own := range c.Own {
		if own.Unmap() == addr {
			if addr.IsLoopback() {
				add(Bad, "start the cloud with --host and the address of this machine, and write the new files to the boards",
					"The server-key files for boards name %s, which is each board itself.", addr)
			}
			return
		}
	}
	add(Note, "if it is not the public side of a NAT before this machine, start the cloud with --host, and write the new files to the boards",
		"The server-key files for boards name %s, which is no address of this machine.", addr)
}

// device looks at the device that was asked for.
func (c *Case) device(add adder) {
	d := c.Report.Device
	if d == nil {
		return
	}
	register := "muster cloud device add " + d.ID + " --key FILE, or let it register itself: muster cloud device trust 10m"
	switch {
	case !d.Registered:
		add(Bad, register, "Device %s is not registered: nobody knows its key.", d.ID)
	case d.Denied:
		add(Bad, "allow it in its product again, or register it anew", "Device %s is denied.", d.ID)
	case !d.UDP && !d.TCP:
		add(Bad, register, "Device %s is registered without a key.", d.ID)
	case d.Online:
		add(Good, "", "Device %s is online at %s, over %s.", d.ID, d.Peer, strings.ToUpper(d.Session))
	case d.LastHandshake.IsZero() && d.Session == "":
		add(Bad, "", "Device %s is registered for %s and has never connected.", d.ID, d.transports())
	case d.Session != "":
		add(Note, "wake or reset it; it goes on with its session", "Device %s has a session, but nothing was heard of it for a while; its last address was %s.", d.ID, d.Peer)
	default:
		add(Note, "wake or reset it; it makes a full handshake next", "Device %s has no session; it connected last at %s, from %s.",
			d.ID, d.LastHandshake.Format(time.RFC3339), d.LastAddress)
	}
}

func (d *Device) transports() string {
	switch {
	case d.UDP && d.TCP:
		return "UDP and TCP"
	case d.UDP:
		return "UDP (Electron, Argon, Boron, P2 and later)"
	default:
		return "TCP (Core, Photon, P1)"
	}
}

// arrived says whether anything comes at all.
func (c *Case) arrived(add adder) {
	r := c.Report
	if r.Datagrams > 0 || r.Streams > 0 {
		add(Good, "", "%d datagrams and %d TCP connections have arrived; %d handshakes were completed.", r.Datagrams, r.Streams, r.Secured)
		return
	}
	add(Bad, "check that the board is on its network (it breathes or blinks green first), that it has the server key with this cloud's address, "+
		"and that the ports are open; from a machine in the board's network run: muster cloud doctor --probe ADDRESS",
		"Nothing has arrived since the cloud was started.")
}

func (c *Case) refused(add adder) {
	told := 0
	for _, r := range c.Report.Refusals {
		mine := c.Report.Device != nil && r.Device == c.Report.Device.ID
		if !mine && (c.Now.Sub(r.Last) > refusalAge || told >= refusalsTold) {
			continue
		}
		told++
		what, do := explain(r)
		level := Bad
		if r.Reason == "unknown_session" || r.Reason == "claim_code" {
			level = Note
		}
		add(level, do, "%s %s (%s, last %v ago).", who(r), what, times(r.Count), c.Now.Sub(r.Last).Round(time.Second))
	}
}

func who(r Refusal) string {
	switch {
	case r.Device != "" && r.Peer != "":
		return "Device " + r.Device + " at " + r.Peer
	case r.Device != "":
		return "Device " + r.Device
	default:
		return "A board at " + r.Peer
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// explain puts a refusal into words, and says what to do.
func explain(r Refusal) (what, do string) {
	id := r.Device
	if id == "" {
		id = "DEVICE_ID"
	}
	add := "muster cloud device add " + id + " --key FILE, or let it register itself: muster cloud device trust 10m"
	switch r.Reason {
	case "unknown_key", "unknown_device":
		return "has a key that nobody registered" + fingerprint(r.Detail), add
	case "other_key":
		return "is registered with another key than it has" + fingerprint(r.Detail),
			"if it really has a new one: muster cloud device rekey " + id + " --key FILE; else ask who uses its name"
	case "denied":
		return "is denied", "allow it in its product again, or register it anew"
	case "server_key":
		file, at := "server-udp.der", 3298
		if r.Transport == "tcp" {
			file, at = "server-tcp.der", 2082
		}
		return "does not accept this cloud: it has the server key of another one",
			fmt.Sprintf("put it into DFU mode and write this cloud's: dfu-util -d 2b04 -a 1 -s %d -D %s (muster cloud keys writes the file)", at, file)
	case "timeout":
		return "begins handshakes and does not answer: what the cloud sends does not reach it, or, with Device OS before 0.8, it has the server key of another cloud",
			"look for a firewall or NAT that lets datagrams in but not out, and for a small MTU on the way; then write the server key again"
	case "hello":
		return "gets in, and then says something else than its Hello: " + r.Detail, "if it is real firmware, record it (muster cloud -v) and report it"
	case "protocol":
		return "sends what no Device OS sends: " + r.Detail, "look whether it is a board at all; port scanners knock too"
	case "unknown_session":
		return "goes on with a session that this cloud does not have",
			"nothing: it notices within 90 seconds and makes a full handshake; if it does not, two clouds may share an address, or the data directory was replaced"
	case "claim_code":
		return "sent a claim code that is not good: " + r.Detail, "set it up again: codes are good for an hour, and for one device"
	case "store":
		return "got no answer because the cloud could not store what it said: " + r.Detail, "look at the disk of the data directory"
	default:
		return "was refused: " + r.Detail, "look into the log of the cloud"
	}
}

// fingerprint returns the SHA-256 that a detail names, in brackets.
func fingerprint(detail string) string {
	const digits = 64
	_, rest, found := strings.Cut(detail, "SHA-256 ")
	if !found || len(rest) < digits {
		return ""
	}
	return " (SHA-256 " + rest[:digits] + ")"
}

func (c *Case) storage(add adder) {
	r := c.Report
	if r.Storage != "" {
		add(Bad, "free some space, or make the directory writable; nothing that was acknowledged is lost meanwhile", "The storage takes nothing: %s.", r.Storage)
	} else if r.Unstored > 0 {
		add(Note, "look into the log of the cloud", "%d answers to devices were held back because the storage failed; they send again.", r.Unstored)
	}
	if r.PoolFull > 0 {
		add(Note, "give the machine more cores, or let the boards come back one after another",
			"%d handshakes were one too many at once; their boards try again.", r.PoolFull)
	}
}

// routes looks at the ways to boards.
func (c *Case) routes(add adder) {
	for _, p := range c.Routes {
		if p.MTU > 0 && p.MTU < mtuLargest {
			add(Bad, "raise the MTU of the interface or of the tunnel on the way to 1280 or more",
				"The way to %s carries %d bytes at a time; Device OS sends up to %d, most networks carry %d.", p.Address, p.MTU, mtuLargest, mtuUsual)
		}
	}
}
