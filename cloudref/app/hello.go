package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// Hello takes the first message of a session over UDP or TCP. Only when it is
// accepted (see [HelloAccepted]) does anything change: a session that begins
// with nonsense leaves the device's present session alone.
func (d *Device) Hello(now clock.Instant, udp bool, m coap.Message, out *Out) {
	if kind := pdc.Classify(m, true); kind != pdc.KindHello {
		out.effect(HelloRefused{Reason: kind.String() + " before Hello"})
		return
	}
	d.receiveHello(now, udp, m, out)
	d.settle(now, out)
}

// receiveHello begins a session, or begins it anew: a device that resumed and
// found its own state changed sends Hello again, and then everything that
// follows a full handshake.
func (d *Device) receiveHello(now clock.Instant, udp bool, m coap.Message, out *Out) {
	hello, err := pdc.ParseHello(m)
	switch {
	case err != nil:
		out.effect(HelloRefused{Reason: "a Hello that cannot be read: " + err.Error()})
		return
	case len(hello.DeviceID) > 0 && DeviceID(hello.DeviceID) != d.id && !d.c.Faults.AcceptForeignHello:
		// identity comes from the key; the Hello only confirms it.
		out.effect(HelloRefused{Reason: fmt.Sprintf("a Hello in the name of device %x", hello.DeviceID)})
		return
	case d.c.Faults.Hears.StrictHello && len(m.Payload) > helloMax(udp):
		out.effect(HelloRefused{Reason: "a Hello that is too long"})
		return
	case udp && len(hello.DeviceID) == 0:
		out.effect(HelloRefused{Reason: "a Hello without a device id"})
		return
	}
	hello.DeviceID = nil // it is d.id
	d.begin(now, hello, udp, out)
	d.answerHello(m, hello, out)
	d.Heard(now)
	if hello.Flags&pdc.HelloDescribe == 0 {
		d.askDescribe(now, 0, pdc.DescribeDefault, out)
	}
}

// helloMax is the size in bytes of the longest Hello that is known.
func helloMax(udp bool) int {
	if udp {
		return 32
	}
	return 20
}

// begin replaces what an earlier Hello began: subscriptions are replaced, not
// merged (C-27), and the describe is unknown until the device sends it.
func (d *Device) begin(now clock.Instant, hello pdc.Hello, udp bool, out *Out) {
	d.abandon(now, "the device began a new session", out)
	p := profile{
		hello: keep(hello), dialect: hello.Dialect(udp), enabled: true, greeted: true,
		pending: d.profile.pending,
	}
	if d.c.Faults.KeepSubscriptions {
		p.subs = d.profile.subs
	}
	d.forgetFollowed(out)
	d.profile = p
	d.ready, d.away = true, false
	if d.work != nil && d.work.flash != nil {
		d.work.flash.greeted, d.work.flash.unheard = true, 0
	}
	out.Save |= SaveSession | SaveDescribe
	out.effect(HelloAccepted{Hello: hello})
	d.judgePending(now, out)
}

func (d *Device) answerHello(m coap.Message, hello pdc.Hello, out *Out) {
	if d.c.Faults.RequestBeforeHelloAck {
		early := pdc.DescribeRequest{Token: d.nextToken(), Flags: pdc.DescribeSystem}
		out.Sends = append(out.Sends, Send{Message: early.Message(d.profile.dialect)})
	}
	if d.c.Faults.NoHelloAnswer {
		return
	}
	out.ack(m)
	switch {
	case !d.profile.dialect.UDP:
		// C-2: over TCP the device waits four seconds for this.
		hello := pdc.ServerHello{Reliability: pdc.Unconfirmed}
		out.Sends = append(out.Sends, Send{Message: hello.Message(d.profile.dialect)})
	case hello.Flags&pdc.HelloUpdated != 0:
		// Over UDP nothing else makes the device forget that an update was
		// applied; it would say so in every Hello (PDC-2.2).
		hello := pdc.ServerHello{Reliability: pdc.Confirmed}
		out.Sends = append(out.Sends, Send{Message: hello.Message(d.profile.dialect)})
	}
}

// goodbyeText puts a Goodbye into words.
func goodbyeText(g pdc.Goodbye) string {
	parts := []string{"said goodbye"}
	if g.Fields&pdc.GoodbyeCloudReason != 0 {
		parts = append(parts, g.CloudReason.String())
	}
	if g.Fields&pdc.GoodbyeResetReason != 0 {
		parts = append(parts, g.ResetReason.String())
	}
	if g.Fields&pdc.GoodbyeSleep != 0 {
		parts = append(parts, fmt.Sprintf("sleeps %d s", g.SleepSeconds))
	}
	if g.Fields&pdc.GoodbyeNetworkReason != 0 {
		parts = append(parts, g.NetworkReason.String())
	}
	return strings.Join(parts, ", ")
}

// asPDC returns err as the error of a message's parser, nil if it is another.
func asPDC(err error) *pdc.Error {
	var fault *pdc.Error
	if errors.As(err, &fault) {
		return fault
	}
	return nil
}

// A greeting is a Hello as it is kept: without the device id, which the device has
// anyway, it is half as large.
type greeting struct {
	ProductID, ProductVersion uint16
	Flags                     pdc.HelloFlags
	Platform                  pdc.Platform
	System, MaxMessage        uint16
	MaxBinary                 uint32
	ChunkSize                 uint16
	NoPlatform                bool
}

func keep(h pdc.Hello) greeting {
	return greeting{
		ProductID: h.ProductID, ProductVersion: h.ProductVersion, Flags: h.Flags, Platform: h.Platform,
		System: h.System, MaxMessage: h.MaxMessage, MaxBinary: h.MaxBinary, ChunkSize: h.ChunkSize, NoPlatform: h.NoPlatform,
	}
}

func (g greeting) hello() pdc.Hello {
	return pdc.Hello{
		ProductID: g.ProductID, ProductVersion: g.ProductVersion, Flags: g.Flags, Platform: g.Platform,
		System: g.System, MaxMessage: g.MaxMessage, MaxBinary: g.MaxBinary, ChunkSize: g.ChunkSize, NoPlatform: g.NoPlatform,
	}
}
