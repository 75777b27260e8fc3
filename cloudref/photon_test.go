package cloudref

import (
	"crypto/rand"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// photonConnect connects a device over a real TCP connection and returns a function
// that sends messages and one that reads until a message of a kind comes.
func photonConnect(c *Cloud, id store.DeviceID, n int) (say func(coap.Message) error, await func(pdc.Kind) (coap.Message, error), err error) {
	conn, err := net.Dial("tcp", c.TCP().String())
	if err != nil {
		return nil, nil, err
	}
	key := lightssl.GenerateDeviceKey(seed.Bytes(uint64(n), "photon"))
	client := lightssl.NewClient(&lightssl.ClientConfig{
		ID: lightssl.DeviceID(id), Key: key, ServerKey: &c.o.RSAKey.PublicKey, Rand: rand.Reader,
	})
	var out lightssl.Out
	client.Start(0, &out)
	var l link.Link
	buffer := make([]byte, 4096)
	for secured := false; !secured; {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return nil, nil, err
		}
		size, err := conn.Read(buffer)
		if err != nil {
			return nil, nil, fmt.Errorf("in the handshake: %w", err)
		}
		out.Reset()
		client.Receive(0, buffer[:size], &out)
		for _, chunk := range out.Chunks {
			if _, err := conn.Write(chunk); err != nil {
				return nil, nil, err
			}
		}
		for _, e := range out.Events {
			if e.Kind == lightssl.EventEstablished {
				l, secured = link.OverLightSSL(e.Session, coap.NewExchange(&coap.DeviceTCP, 0, nil, nil)), true
			}
		}
	}
	write := func(out *link.Out) error {
		for _, p := range out.Packets {
			if _, err := conn.Write(p); err != nil {
				return err
			}
		}
		return nil
	}
	say = func(m coap.Message) error {
		var out link.Out
		l.Send(clock.Instant(0), m, 0, &out)
		return write(&out)
	}
	var waiting []coap.Message
	await = func(k pdc.Kind) (coap.Message, error) {
		for {
			for i, m := range waiting {
				if pdc.Classify(m, false) == k {
					waiting = append(waiting[:i], waiting[i+1:]...)
					return m, nil
				}
			}
			if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return coap.Message{}, err
			}
			size, err := conn.Read(buffer)
			if err != nil {
				return coap.Message{}, fmt.Errorf("waiting for %v: %w", k, err)
			}
			var out link.Out
			l.Receive(0, buffer[:size], &out)
			for _, e := range out.Events {
				if e.Kind == link.Exchange && e.CoAP.Kind == coap.Received {
					m, err := coap.Parse(append([]byte(nil), e.CoAP.Wire...))
					if err != nil {
						return coap.Message{}, err
					}
					waiting = append(waiting, m)
				}
			}
			if err := write(&out); err != nil {
				return coap.Message{}, err
			}
		}
	}
	return say, await, nil
}

// Devices over TCP on real sockets, many at once: run with -race. Each publishes
// events and hears them all.
func TestParallelPhotons(t *testing.T) {
	c, err := Start(t.Context(), Options{UDP: anyPort, TCP: anyPort})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	owner, err := c.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	const photons, events = 6, 10
	dia := pdc.NewDialect(2302, pdc.Photon)
	var wg sync.WaitGroup
	errs := make(chan error, photons)
	var all sync.WaitGroup
	all.Add(photons)
	for n := range photons {
		id := store.DeviceID{0x53, 11: byte(n + 1)}
		key := lightssl.GenerateDeviceKey(seed.Bytes(uint64(n), "photon"))
		if err := c.Register(t.Context(), Registration{ID: id, Owner: owner, RSA: lightssl.AppendDeviceSPKI(nil, &key.PublicKey)}); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			errs <- func() error {
				say, await, err := photonConnect(c, id, n)
				if err == nil {
					err = say(pdc.Hello{ProductID: 6, ProductVersion: 0xffff, Flags: dia.HelloFlags(), Platform: pdc.Photon}.Message(dia))
				}
				if err == nil {
					_, err = await(pdc.KindServerHello)
				}
				if err == nil {
					err = say(pdc.Subscribe{Filter: "temp", Reliability: pdc.Confirmed}.Message(dia))
				}
				if err == nil {
					// Its own event shows that the subscription counts.
					err = say(pdc.Publish{Private: true, Name: "temp/first"}.Message(dia))
				}
				if err == nil {
					_, err = await(pdc.KindEventDelivery)
				}
				all.Done()
				if err != nil {
					return err
				}
				all.Wait()
				for range events {
					if err := say(pdc.Publish{Private: true, Name: "temp", Data: []byte("1")}.Message(dia)); err != nil {
						return err
					}
				}
				for range photons * events {
					if _, err := await(pdc.KindEventDelivery); err != nil {
						return err
					}
				}
				return nil
			}()
		})
	}
	wg.Wait()
	for range photons {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// C-32: a device in safe mode is sent the module that it lacks, and not the
// application.
func TestSafeModeIsRescued(t *testing.T) {
	c := startCloud(t, Options{})
	p := newPuppet(1, &c.o.ECKey.PublicKey)
	register(t, c, store.AccountID{1}, p)
	var wanted store.ImageID
	for _, m := range []module.Prefix{
		{Start: 0x30000, Version: 4100, Platform: pdc.Boron, Function: pdc.ModuleSystemPart, Index: 1},
		{Start: 0x30000, Version: 6300, Platform: pdc.Boron, Function: pdc.ModuleSystemPart, Index: 1},
		{Start: 0x30000, Version: 6200, Platform: pdc.Boron, Function: pdc.ModuleSystemPart, Index: 1},
		{Start: 0x30000, Version: 6200, Platform: pdc.Argon, Function: pdc.ModuleSystemPart, Index: 1},
		{Start: 0xd4000, Version: 6, Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1},
	} {
		image := module.Module{Prefix: m}
		image.Fill(3000, seed.Bytes(1, fmt.Sprint("image", m)))
		id, err := c.AddImage(t.Context(), image.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if m.Version == 6200 && m.Platform == pdc.Boron {
			wanted = id
		}
	}
	if err := p.dial(c.UDP()); err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	describe := pdc.SystemDescribe{Modules: []pdc.ModuleInfo{
		{Function: pdc.ModuleSystemPart, Index: 1, Version: 4200, Checked: 0x3e, Passed: 0x3e},
		{
			Function: pdc.ModuleUserPart, Index: 1, Version: 6, Checked: 0x3e, Passed: 0x3e,
			Dependencies: []pdc.ModuleDependency{{Function: pdc.ModuleSystemPart, Index: 1, Version: 6200}},
		},
	}}
	for _, m := range []coap.Message{
		pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeSystem, Protobuf: true, Payload: describe.AppendProto(nil)}.Message(p.dia),
		p.publish(pdc.EventSafeMode, ""),
	} {
		if !p.say(m, patience) {
			t.Fatal("no acknowledgement")
		}
	}
	offered := func() (u pdc.UpdateStart, found bool) {
		for _, m := range p.heard {
			if pdc.Classify(m, false) == pdc.KindUpdateStart {
				u, err := pdc.ParseUpdateStart(m)
				return u, err == nil
			}
		}
		return u, false
	}
	p.run(patience, func() bool { _, found := offered(); return found })
	u, found := offered()
	if !found || store.ImageID(u.SHA256) != wanted || u.ModuleFunction != uint8(pdc.ModuleSystemPart) {
		t.Errorf("offered %+v, want system part 6200", u)
	}
}
