package conformance

import (
	"context"
	"fmt"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
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
				Requirements: []string{"R-1", "R-3", "R-15"}, Skip: onlyTCP, Run: checkTCPExchange,
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
				Name: "impostor-cloud", Text: "a device refuses a cloud that does not hold the key it pins",
				Requirements: []string{"S1", "R-16", "R-43"}, Run: checkImpostorCloud,
			},
		},
	}
}

// switchOn powers all devices and waits until they are connected. Those that do
// not come online are for the check to report.
func switchOn(ctx context.Context, e *target.Env) error {
	target.Each(e.Devices(), func(d *target.Device) {
		mark := d.Mark()
		d.PowerOn()
		_, _ = d.AwaitOnline(ctx, mark) // checkConnects looks at who came
	})
	return nil
}

// start is the mark before everything.
var start = target.Mark{}

func checkConnects(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		packets := d.Packets(start)
		all := messages(packets)
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

// flight returns the packets of the first handshake of a device.
func firstHandshake(d *target.Device) []*trace.Packet {
	var list []*trace.Packet
	for _, p := range d.Packets(start) {
		if len(list) > 0 && p.Association != list[0].Association && p.Association != 0 {
			break
		}
		list = append(list, p)
		if len(p.Messages()) > 0 {
			break
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
		for _, p := range firstHandshake(d) {
			if list := handshakes([]*trace.Packet{p}, trace.Up); len(list) == 1 && list[0].Type == trace.ClientHello && !p.Duplicate {
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
		for _, h := range handshakes(packets, trace.Down) {
			if len(got) == 0 || got[len(got)-1] != h.Type {
				got = append(got, h.Type)
			}
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

func checkTCPExchange(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
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

func checkHelloFirst(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := messages(d.Packets(start))
		r.Judged(1)
		for _, s := range all {
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

func checkAcknowledged(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := messages(d.Packets(start))
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

func checkTime(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range g.Devices {
		all := messages(d.Packets(start))
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
		Equal(r, "D-12", id(d), "time requests are answered",
			len(of(all, kind(pdc.KindTimeResponse))), len(of(all, kind(pdc.KindTimeRequest))))
	}
	return nil
}

// connectBudget is what a complete connect may cost, in bytes (S6).
const connectBudget = 5 * 1024

func checkConnectCost(_ context.Context, _ *target.Env, g *target.Group, r *Recorder) error {
	var costs []int64
	for _, d := range g.Devices {
		total := int64(0)
		for _, p := range d.Packets(start) {
			total += int64(p.Bytes())
		}
		costs = append(costs, total)
	}
	r.Measure("S6", "complete connect", "B", costs, connectBudget, false)
	return nil
}

// attempt switches a device on and returns the packets until it is connected or
// has failed to.
func attempt(ctx context.Context, d *target.Device) ([]*trace.Packet, error) {
	mark := d.Mark()
	d.PowerOn()
	_, err := d.Await(ctx, mark, func(e *target.Event) bool {
		return e.Kind == target.Offline || e.Kind == target.Online
	})
	return d.Packets(mark), err
}

func checkStranger(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	d, err := e.Stranger(ctx, g)
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	packets, err := attempt(ctx, d)
	if err != nil {
		return err
	}
	r.Judged(1)
	if d.Connected() || len(messages(packets)) > 0 {
		r.Fail(report.Finding{Requirement: "R-32", Device: id(d), Text: "a device that nobody registered got in", Packets: lines(packets)})
	}
	return nil
}

func checkImpostorCloud(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	d, err := e.Deceived(ctx, g)
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	packets, err := attempt(ctx, d)
	if err != nil {
		return err
	}
	r.Judged(1)
	key := false
	for _, h := range handshakes(packets, trace.Up) {
		key = key || h.Type == trace.ClientKeyExchange
	}
	if d.Connected() || key || len(messages(packets)) > 0 {
		r.Fail(report.Finding{Requirement: "R-43", Device: id(d), Text: "the device went on with a cloud that does not hold the pinned key", Packets: lines(packets)})
	}
	return nil
}
