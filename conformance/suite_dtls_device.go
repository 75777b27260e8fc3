package conformance

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// onlyWithConnectionID skips releases that offer none.
func onlyWithConnectionID(g *target.Group) string {
	if why := onlyUDP(g); why != "" {
		return why
	}
	return since(pdc.OS3_1)(g)
}

func checkClientHelloBytes(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	c, err := e.NewRawCloud(g.Devices[0].Profile, e.Seed())
	if err != nil {
		return err
	}
	name, letter := c.Profile.String(), c.Profile.Generation().String()[0]
	cookie := bytes.Repeat([]byte{0xc0}, 32)
	c.PowerOn()
	c.Settle(time.Second)
	if !Equal(r, "R-42", name, "a ClientHello is sent", len(c.Raw.Datagrams) > 0, true) {
		return nil
	}
	first := c.Raw.Datagrams[0]
	c.Send(first.Peer, gen.Plain(0, gen.HelloVerifyRequest(cookie)).Bytes())
	var second peer.RawDatagram
	more := c.Patient(func() bool {
		// A device that waited long has sent the first again.
		i := slices.IndexFunc(c.Raw.Datagrams, func(d peer.RawDatagram) bool { return !bytes.Equal(d.Data, first.Data) })
		if i >= 0 {
			second = c.Raw.Datagrams[i]
		}
		return i >= 0
	})
	if !Equal(r, "R-42", name, "a second ClientHello is sent", more, true) {
		return nil
	}
	const at, size = 13 + 12 + 2, 32 // of the random
	if len(first.Data) < at+size || len(second.Data) < at+size {
		r.Fail(report.Finding{Requirement: "R-42", Device: name, Text: "a ClientHello is too short", Actual: hex.EncodeToString(first.Data)})
		return nil
	}
	f := gen.Device{Generation: letter, Session: gen.Session{ClientRandom: first.Data[at : at+size]}}
	Equal(r, "R-42", name, "the first ClientHello", hex.EncodeToString(first.Data), hex.EncodeToString(f.SendHello(nil).Bytes()))
	Equal(r, "R-42", name, "the second ClientHello", hex.EncodeToString(second.Data), hex.EncodeToString(f.SendHello(cookie).Bytes()))
	return nil
}

// withPuppetHandshake shows a device of the group a puppet cloud that is bent, and
// judges what it does.
func withPuppetHandshake(e *target.Env, g *target.Group, bend func(*peer.CloudConfig), judge func(name string, c *target.PuppetCloud, packets []*trace.Packet)) error {
	c, err := e.NewPuppetCloud(g.Devices[0].Profile, e.Seed(), target.Stagecraft{Cloud: bend})
	if err != nil {
		return err
	}
	c.PowerOn()
	c.Within(30*time.Second, func() bool {
		packets := c.Packets(0)
		return handshakesBegun(packets) > 1 || len(messages(packets)) > 0 // it begins anew, or has taken it
	})
	judge(c.Profile.String(), c, c.Packets(0))
	return nil
}

// alertIn returns the description of the first alert of the device, 0 for none.
func alertIn(packets []*trace.Packet) dtls.AlertDescription {
	for _, p := range packets {
		for i := range p.Records {
			if a := p.Records[i].Alert; a != nil && p.Direction == trace.Up {
				return a.Description
			}
		}
	}
	return 0
}

// judgeStop expects that a device ends the handshake, with an alert where the
// release sends one, and does not go on to its key exchange.
func judgeStop(r *Recorder, g *target.Group, requirement, name, what string, packets []*trace.Packet, alert dtls.AlertDescription) {
	r.Judged(1)
	if !proved(packets) {
		r.Inconclusive(report.Finding{Device: name, Text: "the puppet did not come as far as " + what})
		return
	}
	Equal(r, requirement, name, what+": a ClientKeyExchange is sent", sent(packets, trace.Up, trace.ClientKeyExchange), false, lines(packets)...)
	want := alert
	if g.Devices[0].Profile.Generation() < dtls.GenC {
		want = 0 // generations A and B say nothing
	}
	Equal(r, requirement, name, what+": the alert of the device", alertIn(packets), want, lines(packets)...)
}

func checkPinnedKey(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	const decryptError, illegalParameter = 51, 47
	for what, bend := range inOrder(map[string]struct {
		cloud func(*peer.CloudConfig)
		alert dtls.AlertDescription
	}{
		"a signature for another handshake": {func(c *peer.CloudConfig) { c.Faults.WrongSignature = true }, decryptError},
		"a signature with SHA-384":          {func(c *peer.CloudConfig) { c.Faults.SignatureHash = 5 }, illegalParameter},
		"a signature by another key":        {func(c *peer.CloudConfig) { c.ECKey = otherECKey() }, decryptError},
	}) {
		err := withPuppetHandshake(e, g, bend.cloud, func(name string, _ *target.PuppetCloud, packets []*trace.Packet) {
			judgeStop(r, g, "R-43", name, what, packets, bend.alert)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkUnusableID(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for what, bend := range inOrder(map[string]func(*peer.CloudConfig){
		"no connection id":                   func(c *peer.CloudConfig) { c.Faults.Extensions = []uint16{11, 19, 20} },
		"a connection id of seven bytes":     func(c *peer.CloudConfig) { c.Faults.CIDLength = 7 },
		"an empty connection id":             func(c *peer.CloudConfig) { c.Faults.CIDLength = -1 },
		"a connection id of nine bytes":      func(c *peer.CloudConfig) { c.Faults.CIDLength = 9 },
		"a connection id in extension 54":    func(c *peer.CloudConfig) { c.Faults.Extensions = []uint16{54, 11, 19, 20} },
		"a connection id of another version": func(c *peer.CloudConfig) { c.Faults.Extensions = []uint16{53, 11, 19, 20} },
	}) {
		err := withPuppetHandshake(e, g, bend, func(name string, _ *target.PuppetCloud, packets []*trace.Packet) {
			Equal(r, "R-44", name, what+": messages of the device", len(messages(packets)), 0, lines(packets)...)
			Equal(r, "R-44", name, what+": the device begins anew", handshakesBegun(packets) > 1, true, lines(packets)...)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// handshakesBegun counts the ClientHellos without a cookie, each with a random of
// its own.
func handshakesBegun(packets []*trace.Packet) int {
	seen := make(map[[32]byte]bool)
	for _, h := range handshakes(packets, trace.Up) {
		if h.Type == trace.ClientHello && h.Hello != nil {
			seen[h.Hello.Random] = true
		}
	}
	return len(seen)
}

func checkServerCertificate(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	const unexpectedMessage = 10
	bend := func(c *peer.CloudConfig) { c.Faults.SendCertificate = true }
	return withPuppetHandshake(e, g, bend, func(name string, _ *target.PuppetCloud, packets []*trace.Packet) {
		judgeStop(r, g, "R-45", name, "a Certificate of the cloud", packets, unexpectedMessage)
	})
}
