package conformance

import (
	"context"
	"fmt"
	"slices"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func handshakeSuite() Suite {
	return Suite{
		Name:    "handshake",
		Text:    "a full connect: mutual authentication, Hello, describe, subscriptions",
		Prepare: switchOn,
		Checks: []Check{
			{
				Name: "connects", Text: "the device calls itself connected, and the wire shows an acknowledged Hello",
				Provoke: "every device is switched on", Observe: "Hello and its answer, decoded from each device's packets",
				Requirements: []string{"S1", "S5", "C-1", "C-2", "D-1", "D-5"}, Run: checkConnects,
			},
			{
				Name: "cookie", Text: "a ClientHello without a cookie gets a HelloVerifyRequest that is not larger, and nothing else",
				Provoke: "every device is switched on", Observe: "the first datagram of the cloud, and its size beside that of the ClientHello",
				Requirements: []string{"R-22", "R-92"}, Skip: onlyUDP, Judge: judgeCookie,
			},
			{
				Name: "client-hello", Text: "the ClientHello has the form and the size of the generation",
				Provoke: "every device is switched on", Observe: "the sizes of the datagrams with the two ClientHellos",
				Requirements: []string{"R-42"}, Skip: onlyUDP, Judge: judgeClientHello,
			},
			{
				Name: "server-flight", Text: "ServerHello, ServerKeyExchange, CertificateRequest, ServerHelloDone, and no Certificate",
				Provoke: "every device is switched on", Observe: "the types of the cloud's handshake messages, in order",
				Requirements: []string{"R-24", "R-27", "R-28"}, Skip: onlyUDP, Judge: judgeServerFlight,
			},
			{
				Name: "connection-id", Text: "8 bytes of connection id in extension 254 where the device offers it, unique, and none elsewhere",
				Provoke: "every device is switched on", Observe: "extension 254 of ClientHello and ServerHello, compared over all devices",
				Requirements: []string{"R-25", "R-26"}, Skip: onlyUDP, Judge: judgeConnectionID, Run: checkConnectionID,
			},
			{
				Name: "tcp-exchange", Text: "40 bytes of nonce first, 256 up, 384 down, and each nonce another",
				Provoke: "every device is switched on, and three connections of nobody are opened", Observe: "the sizes and directions of what precedes the first frame, and the nonces",
				Requirements: []string{"R-1", "R-3"}, Skip: onlyTCP, Judge: judgeTCPExchange, Run: checkTCPExchange,
			},
			{
				Name: "hello-first", Text: "the cloud sends nothing before it acknowledges the Hello, and never a Reset",
				Provoke: "every device is switched on", Observe: "the first message of the cloud in each session, and all of its Resets",
				Requirements: []string{"C-1", "C-4", "R-11", "R-18"}, Judge: judgeHelloFirst,
			},
			{
				Name: "everything-acknowledged", Text: "the cloud acknowledges every Confirmable message of the device",
				Provoke: "every device connects and greets", Observe: "each Confirmable message of a device, and the acknowledgement with its id",
				Requirements: []string{"C-6", "R-82"}, Judge: judgeAcknowledged, Run: checkAcknowledged,
			},
			{
				Name: "time", Text: "the time comes piggybacked, with the token of one byte, no options and four bytes, and is right",
				Provoke: "devices ask for the time when they connect", Observe: "the decoded answer, beside the clock of the run",
				Requirements: []string{"C-10", "C-11", "D-12"}, Judge: judgeTime, Run: checkTime,
			},
			{
				Name: "cost", Text: "a complete connect costs at most 5 KiB, headers included",
				Provoke: "every device is switched on", Observe: "all bytes up to the moment it is connected, headers included",
				Requirements: []string{"S6"}, Run: checkConnectCost,
			},
			{
				Name: "stranger", Text: "a device whose key nobody registered does not get in",
				Provoke: "a device that nobody registered is switched on", Observe: "whether a message passes after it has shown its key",
				Requirements: []string{"S1", "R-4", "R-32"}, Run: checkStranger,
			},
			{
				Name: "impostor-cloud", Text: "a device refuses a cloud that does not prove that it holds the key it pins",
				Provoke: "devices meet a cloud with another key, and puppet clouds with a bent proof", Observe: "whether the device goes on behind the proof",
				Requirements: []string{"S1", "R-16", "R-17", "R-43"}, Run: checkImpostorCloud,
			},
		},
	}
}

// switchOn brings all devices online. Those that do not come are for checks to
// report.
func switchOn(ctx context.Context, e *target.Env) error {
	target.Each(e.Devices(), func(d *target.Device) { d.Bring(ctx) })
	return nil
}

// start is the mark before everything.
var start = target.Mark{}

func checkConnects(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := settled(ctx, e, d, trace.Up, func(s sight) bool { return kind(pdc.KindHello)(s) && g.Transport == "udp" })
		packets := d.Packets(start)
		r.Judged(1)
		if !d.Connected() {
			r.Fail(report.Finding{Requirement: "S5", Device: id(d), Text: "the device is not connected", Packets: lines(packets)})
			continue
		}
		hello := of(all, kind(pdc.KindHello))
		if len(hello) == 0 {
			r.Fail(report.Finding{Requirement: "D-1", Device: id(d), Text: "no Hello on the wire", Packets: lines(packets)})
			continue
		}
		if g.Transport == "udp" {
			Equal(r, "C-1", id(d), "the Hello is acknowledged", acknowledged(all, hello[0].message.Exchange, trace.Up), true, lines(packets)...)
		} else {
			Equal(r, "C-2", id(d), "a server hello follows the Hello", len(of(all, kind(pdc.KindServerHello))) > 0, true, lines(packets)...)
		}
	}
	return nil
}

// A step is one handshake message, in however many transmissions.
type step struct {
	kind trace.HandshakeType
	seq  uint16
}

// steps returns the handshake messages of one direction in the order in which they
// were numbered, without retransmissions.
func steps(packets []*trace.Packet, direction trace.Direction) []step {
	var list []step
	for _, h := range handshakes(packets, direction) {
		if s := (step{h.Type, h.Seq}); !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	// The network may reorder.
	slices.SortStableFunc(list, func(a, b step) int { return int(a.seq) - int(b.seq) })
	return list
}

// kinds returns what the steps are.
func kinds(list []step) []trace.HandshakeType {
	all := make([]trace.HandshakeType, len(list))
	for i, s := range list {
		all[i] = s.kind
	}
	return all
}

// judgeCookie looks at the first answer to each ClientHello that begins a
// handshake.
func judgeCookie(c *Conversation, r *Recorder) {
	for _, o := range c.openings() {
		if !o.begun {
			continue
		}
		up := 0
		for _, p := range o.packets {
			if p.Direction == trace.Up {
				up = max(up, p.Size)
				continue
			}
			list := handshakes([]*trace.Packet{p}, trace.Down)
			ok := len(list) == 1 && list[0].Type == trace.HelloVerifyRequest
			Equal(r, "R-22", c.Device, "the first answer is a HelloVerifyRequest alone", ok, true, p.String())
			if p.Size > up {
				r.Fail(report.Finding{
					Requirement: "R-92", Device: c.Device, Text: "the answer is larger than the request",
					Expected: fmt.Sprintf("at most %d bytes", up), Actual: fmt.Sprint(p.Size), Packets: []string{p.String()},
				})
			}
			break
		}
	}
}

// clientHelloSizes are the sizes in bytes of the datagrams of the first and the
// second ClientHello, the latter with a cookie of 32 bytes, by the first system
// version of a generation.
var clientHelloSizes = []struct {
	since         uint16
	first, second int
}{
	{pdc.OS3_1, 116, 148}, // F
	{1100, 111, 143},      // C, D, E
	{pdc.OS0_7, 115, 147}, // B
	{0, 107, 139},         // A
}

// cookieSize is that of the cookies with which clientHelloSizes were measured.
const cookieSize = 32

func judgeClientHello(c *Conversation, r *Recorder) {
	first, second := 0, 0
	for _, want := range clientHelloSizes {
		yes, known := c.Release.atLeast(want.since)
		if !known {
			return
		}
		if yes {
			first, second = want.first, want.second
			break
		}
	}
	for _, o := range c.openings() {
		var got, want []int
		seen := make(map[uint16]bool)
		for _, p := range o.packets {
			list := handshakes([]*trace.Packet{p}, trace.Up)
			if len(list) != 1 || list[0].Type != trace.ClientHello || list[0].Hello == nil || seen[list[0].Seq] {
				continue // what comes again with this number is a retransmission
			}
			seen[list[0].Seq] = true
			got = append(got, p.Size)
			if cookie := len(list[0].Hello.Cookie); cookie > 0 {
				want = append(want, second-cookieSize+cookie)
			} else {
				want = append(want, first)
			}
		}
		if c.Whole && len(want) < 2 {
			want = []int{first, second}
		}
		if len(want) > 0 {
			Equal(r, "R-42", c.Device, "sizes of the ClientHellos", fmt.Sprint(got), fmt.Sprint(want))
		}
	}
}

// serverFlight is what the cloud says in a handshake.
var serverFlight = []trace.HandshakeType{
	trace.HelloVerifyRequest, trace.ServerHello, trace.ServerKeyExchange, trace.CertificateRequest,
	trace.ServerHelloDone, trace.Finished,
}

// judgeServerFlight expects the whole flight where the handshake led to a message.
// A handshake that the device broke off has the beginning of it.
func judgeServerFlight(c *Conversation, r *Recorder) {
	for _, o := range c.openings() {
		got := kinds(steps(o.packets, trace.Down))
		want := serverFlight
		if !o.begun || len(got) == 0 && !c.Whole {
			continue
		}
		if !o.done {
			want = want[:min(len(got), len(want))]
		}
		Equal(r, "R-27", c.Device, "the cloud's handshake messages", fmt.Sprintf("%v", got), fmt.Sprintf("%v", want), lines(o.packets)...)
	}
}

const extensionCID = 254

// connectionID returns whether the device offered a connection id in a handshake,
// and the extension that the cloud answered with, nil for none.
func (o *opening) connectionID() (offered bool, given []byte) {
	if o == nil {
		return false, nil
	}
	for _, h := range append(handshakes(o.packets, trace.Up), handshakes(o.packets, trace.Down)...) {
		if h.Hello == nil {
			continue
		}
		data, has := h.Hello.Extension(extensionCID)
		switch {
		case h.Type == trace.ClientHello:
			offered = offered || has
		case has:
			given = data
		}
	}
	return offered, given
}

// answered reports whether a ServerHello was seen.
func (o *opening) answered() bool { return sent(o.packets, trace.Down, trace.ServerHello) }

// judgeConnectionID judges offer and answer of each handshake.
func judgeConnectionID(c *Conversation, r *Recorder) {
	modern, known := c.Release.atLeast(pdc.OS3_1)
	for _, o := range c.openings() {
		if !o.begun || !o.answered() && !c.Whole {
			continue
		}
		offered, given := o.connectionID()
		switch {
		case !known: // then the offer tells which it is
		case !modern:
			Equal(r, "R-26", c.Device, "a connection id is offered or given", offered || given != nil, false)
		default:
			Equal(r, "R-42", c.Device, "a connection id is offered", offered, true)
		}
		switch {
		case offered || modern && known:
			Equal(r, "R-25", c.Device, "bytes of the connection id's extension", len(given), 1+dtls.CIDSize)
		case !known:
			Equal(r, "R-26", c.Device, "a connection id is given", given != nil, false)
		}
	}
}

// checkConnectionID judges besides that no two devices have the same.
func checkConnectionID(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	owner := make(map[string]*target.Device)
	for _, other := range e.Groups() {
		for _, d := range other.Devices {
			if _, given := conversation(other, d).first().connectionID(); given != nil {
				owner[string(given)] = d
			}
		}
	}
	for _, d := range g.Devices {
		c := conversation(g, d)
		judgeConnectionID(c, r)
		_, given := c.first().connectionID()
		if other := owner[string(given)]; given != nil && other != d {
			r.Fail(report.Finding{Requirement: "R-25", Device: id(d), Text: "the connection id is that of device " + id(other)})
		}
	}
	return nil
}

// judgeTCPExchange expects the three pieces of the handshake in their order, or the
// beginning of them where it led to nothing.
func judgeTCPExchange(c *Conversation, r *Recorder) {
	for _, o := range c.openings() {
		if !o.begun {
			continue
		}
		var got []string
		for _, p := range o.packets {
			for i := range p.Records {
				if p.Records[i].Unit != trace.Frame {
					got = append(got, fmt.Sprintf("%v %d", p.Direction, p.Records[i].Size))
				}
			}
		}
		want := []string{"down 40", "up 256", "down 384"}
		if !o.done {
			want = want[:min(len(got), len(want))]
		}
		Equal(r, "R-1", c.Device, "the pieces of the handshake", fmt.Sprint(got), fmt.Sprint(want), lines(o.packets)...)
	}
}

func checkTCPExchange(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	nonces := make(map[string]bool)
	for range 3 {
		reply, err := e.InjectStream(ctx, make([]byte, 256))
		if err != nil {
			return err
		}
		nonces[string(reply[:min(len(reply), nonceSize)])] = true
	}
	Equal(r, "R-1", "", "different nonces of three connections", len(nonces), 3)
	return judgeAlone(judgeTCPExchange)(ctx, e, g, r)
}

// nonceSize is the size in bytes of what the cloud says first over TCP.
const nonceSize = 40

// judgeHelloFirst looks at the first messages behind each handshake.
func judgeHelloFirst(c *Conversation, r *Recorder) {
	all := messages(c.Packets)
	known := make(map[uint32]bool) // handshakes that were seen
	for _, o := range c.openings() {
		if o.begun && o.done {
			known[o.packets[0].Association] = true
		}
	}
	spoke, answered := make(map[uint32]bool), make(map[uint32]bool)
	for _, s := range all {
		a := s.packet.Association
		if !known[a] {
			continue
		}
		switch {
		case s.packet.Direction == trace.Up && !spoke[a]:
			spoke[a] = true
			r.Judged(1)
			if s.message.Kind != pdc.KindHello {
				r.Fail(report.Finding{Requirement: "R-18", Device: c.Device, Text: "the first message of the device is no Hello", Packets: []string{s.line()}})
			}
		case s.packet.Direction == trace.Down && !answered[a]:
			answered[a] = true
			r.Judged(1)
			if s.message.Of != pdc.KindHello && s.message.Kind != pdc.KindServerHello {
				r.Fail(report.Finding{Requirement: "C-1", Device: c.Device, Text: "the cloud speaks before it has answered the Hello", Packets: []string{s.line()}})
			}
		}
	}
	for _, s := range resets(all, trace.Down) {
		r.Fail(report.Finding{Requirement: "C-4", Device: c.Device, Text: "the cloud sent a Reset", Packets: []string{s.line()}})
	}
}

// judgeAcknowledged expects an acknowledgement of each Confirmable message of the
// device. In traffic that somebody recorded a message or its acknowledgement may
// have been lost: then one that the device gave up is the network's or the cloud's
// fault, and nobody can tell whose.
func judgeAcknowledged(c *Conversation, r *Recorder) {
	all := messages(c.Packets)
	type key struct {
		association uint32
		id          uint16
	}
	var missing []*trace.Packet
	answered := make(map[key]bool)
	for _, s := range all {
		if s.packet.Direction == trace.Down && s.message.CoAP.Type == coap.Acknowledgement {
			answered[key{s.packet.Association, s.message.CoAP.ID}] = true
		}
	}
	for _, s := range all {
		if s.packet.Direction != trace.Up || s.message.CoAP.Type != coap.Confirmable || s.message.Repeat > 0 {
			continue
		}
		if answered[key{s.packet.Association, s.message.CoAP.ID}] {
			r.Judged(1)
			continue
		}
		if !c.Whole {
			missing = append(missing, s.packet)
			continue
		}
		r.Judged(1)
		r.Fail(report.Finding{Requirement: "C-6", Device: c.Device, Text: "a Confirmable message was not acknowledged", Packets: []string{s.line()}})
	}
	if len(missing) > 0 {
		r.Remark(report.Finding{
			Requirement: "C-6", Device: c.Device, Packets: lines(missing),
			Text: fmt.Sprintf("%d Confirmable messages have no acknowledgement: they or it were lost, or lie outside the recording", len(missing)),
		})
	}
}

func checkAcknowledged(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		settled(ctx, e, d, trace.Up, func(s sight) bool {
			return s.packet.Direction == trace.Up && s.message.CoAP.Type == coap.Confirmable && s.message.Repeat == 0
		})
		judgeAcknowledged(conversation(g, d), r)
	}
	return nil
}

// timeSlack is how far the clocks of a run on one machine can be apart.
const timeSlack = 3

// judgeTime judges the form of the answers. What time it was a recording does not
// tell surely.
func judgeTime(c *Conversation, r *Recorder) {
	all := messages(c.Packets)
	for _, s := range of(all, kind(pdc.KindTimeResponse)) {
		r.Judged(1)
		if _, err := pdc.ParseTimeResponse(s.message.CoAP); err != nil {
			r.Fail(report.Finding{Requirement: "C-11", Device: c.Device, Text: err.Error(), Packets: []string{s.line()}})
		}
	}
	if requests := len(of(all, kind(pdc.KindTimeRequest))); requests > 0 && c.Whole {
		Equal(r, "D-12", c.Device, "time requests that are answered", len(of(all, kind(pdc.KindTimeResponse))), requests)
	}
}

func checkTime(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := settled(ctx, e, d, trace.Up, kind(pdc.KindTimeRequest))
		judgeTime(conversation(g, d), r)
		for _, s := range of(all, kind(pdc.KindTimeResponse)) {
			m, err := pdc.ParseTimeResponse(s.message.CoAP)
			if err != nil {
				continue // judgeTime tells
			}
			if off := int64(m.Unix) - e.Unix(s.packet.At); off < -timeSlack || off > timeSlack {
				r.Fail(report.Finding{Requirement: "C-11", Device: id(d), Text: fmt.Sprintf("the time is %d s off", off), Packets: []string{s.line()}})
			}
		}
	}
	return nil
}

// connectBudget is what a complete connect may cost, in bytes (S6).
const connectBudget = 5 * 1024

func checkConnectCost(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		online := d.FirstOnline()
		if online == clock.Never {
			continue // checkConnects tells
		}
		total, associations, again := int64(0), make(map[uint32]bool), repetitions{}
		var packets []*trace.Packet
		for _, p := range d.Packets(start) {
			if p.At > online {
				break
			}
			associations[p.Association] = true
			if again.are(p) {
				continue // what a repetition costs is the network's, or that of a busy machine
			}
			total += int64(p.Bytes())
			packets = append(packets, p)
		}
		if delete(associations, 0); len(associations) == 1 {
			r.Measure(limit{"S6", "complete connect", "B", connectBudget, false}, id(d), total, packets...)
		} // else it took two attempts, which are two connects
	}
	return nil
}

// repetitions tell packets that say what was said before, from the packets of a connect
// in order.
type repetitions map[string]bool

// are reports whether a packet has nothing in it that is new.
func (r repetitions) are(p *trace.Packet) bool {
	said, news := p.Direction.String(), false
	for i := range p.Records {
		rec := &p.Records[i]
		if rec.Message != nil {
			news = news || rec.Message.Repeat == 0
		}
		for _, h := range rec.Handshake {
			said += fmt.Sprintf(" %v+%d", h.Type, h.Offset)
			if h.Hello != nil && len(h.Hello.Cookie) > 0 {
				said += " with a cookie"
			}
		}
	}
	if said == p.Direction.String() {
		return !news && len(messages([]*trace.Packet{p})) > 0
	}
	// A flight is repeated with new numbers (Device OS), or with its own.
	repeated := r[said]
	r[said] = true
	return repeated && !news
}

// attempt switches a device on and returns the packets until it is connected or
// has failed to, and until done is true of them.
func attempt(ctx context.Context, e *target.Env, d *target.Device, done func([]*trace.Packet) bool) ([]*trace.Packet, error) {
	mark := d.Mark()
	d.PowerOn()
	_, err := d.Await(ctx, mark, func(e *target.Event) bool {
		return e.Kind == target.Offline || e.Kind == target.Online
	})
	// A datagram whose keys nobody tells is held back for a moment.
	settle(ctx, e, func() bool { return done(d.Packets(mark)) })
	return d.Packets(mark), err
}

// sent reports whether a handshake message is among the packets.
func sent(packets []*trace.Packet, direction trace.Direction, kind trace.HandshakeType) bool {
	return slices.ContainsFunc(handshakes(packets, direction), func(h *trace.Handshake) bool { return h.Type == kind })
}
