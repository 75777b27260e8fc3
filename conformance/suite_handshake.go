package conformance

import (
	"context"
	"fmt"
	"slices"
	"time"

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
				Requirements: []string{"S1", "S5", "C-1", "C-2", "D-1", "D-5"}, Run: checkConnects,
			},
			{
				Name: "cookie", Text: "a ClientHello without a cookie gets a HelloVerifyRequest that is not larger, and nothing else",
				Requirements: []string{"R-22", "R-92"}, Skip: onlyUDP, Run: checkCookie,
			},
			{
				Name: "client-hello", Text: "the ClientHello has the form and the size of the generation",
				Requirements: []string{"R-42"}, Skip: onlyUDP, Run: checkClientHello,
			},
			{
				Name: "server-flight", Text: "ServerHello, ServerKeyExchange, CertificateRequest, ServerHelloDone, and no Certificate",
				Requirements: []string{"R-24", "R-27", "R-28"}, Skip: onlyUDP, Run: checkServerFlight,
			},
			{
				Name: "connection-id", Text: "8 bytes of connection id in extension 254 where the device offers it, unique, and none elsewhere",
				Requirements: []string{"R-25", "R-26"}, Skip: onlyUDP, Run: checkConnectionID,
			},
			{
				Name: "tcp-exchange", Text: "40 bytes of nonce first, 256 up, 384 down, and each nonce another",
				Requirements: []string{"R-1", "R-3"}, Skip: onlyTCP, Run: checkTCPExchange,
			},
			{
				Name: "hello-first", Text: "the cloud sends nothing before it acknowledges the Hello, and never a Reset",
				Requirements: []string{"C-1", "C-4", "R-11", "R-18"}, Run: checkHelloFirst,
			},
			{
				Name: "everything-acknowledged", Text: "the cloud acknowledges every Confirmable message of the device",
				Requirements: []string{"C-6", "R-82"}, Run: checkAcknowledged,
			},
			{
				Name: "time", Text: "the time comes piggybacked, with the token of one byte, no options and four bytes, and is right",
				Requirements: []string{"C-10", "C-11", "D-12"}, Run: checkTime,
			},
			{
				Name: "cost", Text: "a complete connect costs at most 5 KiB, headers included",
				Requirements: []string{"S6"}, Run: checkConnectCost,
			},
			{
				Name: "stranger", Text: "a device whose key nobody registered does not get in",
				Requirements: []string{"S1", "R-4", "R-32"}, Run: checkStranger,
			},
			{
				Name: "impostor-cloud", Text: "a device refuses a cloud that does not prove that it holds the key it pins",
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

// firstHandshake returns the packets of the handshake that led to the first
// message, that one included: on a busy machine a device may need two attempts.
// If there was no message it returns the first attempt.
func firstHandshake(d *target.Device) []*trace.Packet {
	packets := d.Packets(start)
	association, end := uint32(0), len(packets)
	for i, p := range packets {
		if len(p.Messages()) > 0 {
			association, end = p.Association, i+1
			break
		}
		if association == 0 {
			association = p.Association
		}
	}
	var list []*trace.Packet
	for _, p := range packets[:end] {
		if p.Association == association {
			list = append(list, p)
		}
	}
	return list
}

// A step is one handshake message, in however many transmissions.
type step struct {
	kind trace.HandshakeType
	seq  uint16
}

// steps returns the handshake messages of one direction, without retransmissions.
func steps(packets []*trace.Packet, direction trace.Direction) []step {
	var list []step
	for _, h := range handshakes(packets, direction) {
		if s := (step{h.Type, h.Seq}); !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

func checkCookie(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		up, answered := 0, false
		for _, p := range firstHandshake(d) {
			if p.Direction == trace.Up && !answered {
				up = p.Size
				continue
			}
			if p.Direction != trace.Down {
				continue
			}
			list := handshakes([]*trace.Packet{p}, trace.Down)
			ok := len(list) == 1 && list[0].Type == trace.HelloVerifyRequest
			Equal(r, "R-22", id(d), "the first answer is a HelloVerifyRequest alone", ok, true, p.String())
			if p.Size > up {
				r.Fail(report.Finding{
					Requirement: "R-92", Device: id(d), Text: "the answer is larger than the request",
					Expected: fmt.Sprintf("at most %d bytes", up), Actual: fmt.Sprint(p.Size), Packets: []string{p.String()},
				})
			}
			answered = true
			break
		}
	}
	return nil
}

// clientHelloSizes are the sizes in bytes of the datagrams of the first and the
// second ClientHello, with a cookie of 32 bytes, by the first system version of
// a generation.
var clientHelloSizes = []struct {
	since         uint16
	first, second int
}{
	{pdc.OS3_1, 116, 148}, // F
	{1100, 111, 143},      // C, D, E
	{pdc.OS0_7, 115, 147}, // B
	{0, 107, 139},         // A
}

func checkClientHello(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		var sizes []int
		seen := make(map[uint16]bool)
		for _, p := range firstHandshake(d) {
			list := handshakes([]*trace.Packet{p}, trace.Up)
			if len(list) == 1 && list[0].Type == trace.ClientHello && !seen[list[0].Seq] {
				seen[list[0].Seq] = true // what comes again with this number is a retransmission
				sizes = append(sizes, p.Size)
			}
		}
		for _, want := range clientHelloSizes {
			if g.System >= want.since {
				Equal(r, "R-42", id(d), "sizes of the ClientHellos", fmt.Sprint(sizes), fmt.Sprint([]int{want.first, want.second}))
				break
			}
		}
	}
	return nil
}

func checkServerFlight(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	want := []trace.HandshakeType{
		trace.HelloVerifyRequest, trace.ServerHello, trace.ServerKeyExchange, trace.CertificateRequest,
		trace.ServerHelloDone, trace.Finished,
	}
	for _, d := range g.Devices {
		packets := firstHandshake(d)
		var got []trace.HandshakeType
		for _, s := range steps(packets, trace.Down) {
			got = append(got, s.kind)
		}
		Equal(r, "R-27", id(d), "the cloud's handshake messages", fmt.Sprintf("%v", got), fmt.Sprintf("%v", want), lines(packets)...)
	}
	return nil
}

const extensionCID = 254

// connectionID returns whether a device offered a connection id in its first
// handshake, and the extension that the cloud answered with, nil for none.
func connectionID(d *target.Device) (offered bool, given []byte) {
	packets := firstHandshake(d)
	for _, h := range append(handshakes(packets, trace.Up), handshakes(packets, trace.Down)...) {
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

func checkConnectionID(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	owner := make(map[string]*target.Device)
	for _, d := range e.Devices() {
		if _, given := connectionID(d); given != nil {
			owner[string(given)] = d
		}
	}
	for _, d := range g.Devices {
		offered, given := connectionID(d)
		if g.System < pdc.OS3_1 {
			Equal(r, "R-26", id(d), "a connection id is offered or given", offered || given != nil, false)
			continue
		}
		Equal(r, "R-42", id(d), "a connection id is offered", offered, true)
		Equal(r, "R-25", id(d), "bytes of the connection id's extension", len(given), 1+dtls.CIDSize)
		if other := owner[string(given)]; given != nil && other != d {
			r.Fail(report.Finding{Requirement: "R-25", Device: id(d), Text: "the connection id is that of device " + id(other)})
		}
	}
	return nil
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
	for _, d := range g.Devices {
		var got []string
		for _, p := range firstHandshake(d) {
			for i := range p.Records {
				if p.Records[i].Unit != trace.Frame {
					got = append(got, fmt.Sprintf("%v %d", p.Direction, p.Records[i].Size))
				}
			}
		}
		Equal(r, "R-1", id(d), "the pieces of the handshake", fmt.Sprint(got), "[down 40 up 256 down 384]")
	}
	return nil
}

// nonceSize is the size in bytes of what the cloud says first over TCP.
const nonceSize = 40

func checkHelloFirst(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := messages(d.Packets(start))
		for _, s := range all {
			r.Judged(1)
			if s.packet.Direction == trace.Up {
				if s.message.Kind != pdc.KindHello {
					r.Fail(report.Finding{Requirement: "R-18", Device: id(d), Text: "the first message of the device is no Hello", Packets: []string{s.line()}})
					break
				}
				continue
			}
			answer := s.message.Of == pdc.KindHello || s.message.Kind == pdc.KindServerHello
			if !answer {
				r.Fail(report.Finding{Requirement: "C-1", Device: id(d), Text: "the cloud speaks before it has answered the Hello", Packets: []string{s.line()}})
			}
			break
		}
		for _, s := range resets(all, trace.Down) {
			r.Fail(report.Finding{Requirement: "C-4", Device: id(d), Text: "the cloud sent a Reset", Packets: []string{s.line()}})
		}
	}
	return nil
}

func checkAcknowledged(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := settled(ctx, e, d, trace.Up, func(s sight) bool {
			return s.packet.Direction == trace.Up && s.message.CoAP.Type == coap.Confirmable && s.message.Repeat == 0
		})
		answered := make(map[uint16]bool)
		for _, s := range all {
			if s.packet.Direction == trace.Down && s.message.CoAP.Type == coap.Acknowledgement {
				answered[s.message.CoAP.ID] = true
			}
		}
		for _, s := range all {
			if s.packet.Direction != trace.Up || s.message.CoAP.Type != coap.Confirmable || s.message.Repeat > 0 {
				continue
			}
			r.Judged(1)
			if !answered[s.message.CoAP.ID] {
				r.Fail(report.Finding{Requirement: "C-6", Device: id(d), Text: "a Confirmable message was not acknowledged", Packets: []string{s.line()}})
			}
		}
	}
	return nil
}

// timeSlack is how far the clocks of a run on one machine can be apart.
const timeSlack = 3

func checkTime(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := settled(ctx, e, d, trace.Up, kind(pdc.KindTimeRequest))
		for _, s := range of(all, kind(pdc.KindTimeResponse)) {
			m, err := pdc.ParseTimeResponse(s.message.CoAP)
			r.Judged(1)
			if err != nil {
				r.Fail(report.Finding{Requirement: "C-11", Device: id(d), Text: err.Error(), Packets: []string{s.line()}})
				continue
			}
			if off := int64(m.Unix) - e.Unix(s.packet.At); off < -timeSlack || off > timeSlack {
				r.Fail(report.Finding{Requirement: "C-11", Device: id(d), Text: fmt.Sprintf("the time is %d s off", off), Packets: []string{s.line()}})
			}
		}
		if requests := len(of(all, kind(pdc.KindTimeRequest))); requests > 0 {
			Equal(r, "D-12", id(d), "time requests that are answered", len(of(all, kind(pdc.KindTimeResponse))), requests)
		}
	}
	return nil
}

// connectBudget is what a complete connect may cost, in bytes (S6).
const connectBudget = 5 * 1024

func checkConnectCost(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	var costs []int64
	for _, d := range g.Devices {
		online := d.FirstOnline()
		if online == clock.Never {
			continue // checkConnects tells
		}
		total, associations := int64(0), make(map[uint32]bool)
		for _, p := range d.Packets(start) {
			if p.At > online {
				break
			}
			total += int64(p.Bytes())
			associations[p.Association] = true
		}
		if delete(associations, 0); len(associations) == 1 {
			costs = append(costs, total)
		} // else it took two attempts, which are two connects
	}
	r.Measure("S6", "complete connect", "B", costs, connectBudget, false)
	return nil
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

func checkStranger(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	d, err := e.Stranger(ctx, g)
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	packets, err := attempt(ctx, e, d, showedKey)
	if err != nil {
		return err
	}
	if !showedKey(packets) {
		return fmt.Errorf("the device did not come as far as to show its key")
	}
	r.Judged(1)
	if d.Connected() || len(messages(packets)) > 0 {
		r.Fail(report.Finding{Requirement: "R-32", Device: id(d), Text: "a device that nobody registered got in", Packets: lines(packets)})
	}
	return nil
}

// showedKey reports whether a device sent its key.
func showedKey(packets []*trace.Packet) bool {
	for _, p := range packets {
		for i := range p.Records {
			if p.Records[i].Unit == trace.C1 {
				return true
			}
		}
	}
	return sent(packets, trace.Up, trace.ClientKeyExchange)
}

// sent reports whether a handshake message is among the packets.
func sent(packets []*trace.Packet, direction trace.Direction, kind trace.HandshakeType) bool {
	return slices.ContainsFunc(handshakes(packets, direction), func(h *trace.Handshake) bool { return h.Type == kind })
}

func checkImpostorCloud(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	puppets := map[string]func(*target.CloudConfig){
		"a flipped bit in S":  func(c *target.CloudConfig) { c.LightFaults.FlipSignatureBit = true },
		"a DigestInfo in S":   func(c *target.CloudConfig) { c.LightFaults.DigestInfoInSignature = true },
		"a C2 that is random": func(c *target.CloudConfig) { c.LightFaults.GarbageC2 = true },
	}
	if g.Transport == "udp" {
		if err := judgeDeceived(ctx, e, g, r); err != nil {
			return err
		}
		puppets = map[string]func(*target.CloudConfig){
			"a signature over another random": func(c *target.CloudConfig) { c.ServerFaults.WrongSignature = true },
		}
	}
	for what, cloud := range puppets {
		v, err := e.Virtual(g.Devices[0].Profile, e.Seed(), target.Puppet{Cloud: cloud})
		if err != nil {
			return err
		}
		v.PowerOn()
		v.Run(20 * time.Second)
		judgeRefusal(r, g.Devices[0].Profile.String(), what, v.Packets(0))
	}
	return nil
}

// judgeDeceived shows the cloud to a device that pins another key. Over TCP the
// cloud could not read what such a device says.
func judgeDeceived(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	d, err := e.Deceived(ctx, g)
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	packets, err := attempt(ctx, e, d, proved)
	if err != nil {
		return err
	}
	judgeRefusal(r, id(d), "a signature by another key", packets)
	return nil
}

// judgeRefusal expects that a device that has seen the proof of the cloud says
// nothing more.
func judgeRefusal(r *Recorder, device, what string, packets []*trace.Packet) {
	if !proved(packets) {
		r.Inconclusive(report.Finding{Device: device, Text: "the cloud did not come as far as " + what})
		return
	}
	r.Judged(1)
	if sent(packets, trace.Up, trace.ClientKeyExchange) || len(messages(packets)) > 0 {
		r.Fail(report.Finding{Requirement: "R-43", Device: device, Text: "the device went on behind " + what, Packets: lines(packets)})
	}
}

// proved reports whether the cloud has shown what proves that it holds its key.
func proved(packets []*trace.Packet) bool {
	for _, p := range packets {
		for i := range p.Records {
			if p.Records[i].Unit == trace.Answer {
				return true
			}
		}
	}
	return sent(packets, trace.Down, trace.ServerKeyExchange)
}
