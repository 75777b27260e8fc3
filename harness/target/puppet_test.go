package target

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/transport"
)

// profiles are one of each transport and way to describe itself.
var puppetProfiles = []string{"photon@0.5.3", "electron@1.4.4", "boron@2.3.1", "photon@3.1.0", "boron@6.2.0"}

// A puppet of every generation gets in, and the cloud can use what it describes.
func TestPuppetDevice(t *testing.T) {
	for _, name := range puppetProfiles {
		t.Run(name, func(t *testing.T) {
			d, err := (&Env{world: new(world)}).NewPuppetDevice(Profile(name), 1, Puppetry{})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Online(); err != nil {
				t.Fatal(err)
			}
			if r := d.Recorded(); len(r.Functions) != 2 || len(r.Variables) != 4 {
				t.Errorf("the cloud knows %+v", r)
			}
			mark := d.Now()
			outcome := d.Call(FunctionSum, "")
			d.Run(time.Second)
			heard := d.Heard(mark)
			if len(heard) != 1 || heard[0].CoAP.Code != coap.POST || len(heard[0].CoAP.Token) != 1 || outcome.Done {
				t.Fatalf("heard %v, outcome %+v", heard, outcome)
			}
			d.Tell(pdc.FunctionResult{Token: heard[0].CoAP.Token, Value: 7}.Message(d.Dialect))
			if !outcome.Done || outcome.Err != nil || outcome.Int != 7 {
				t.Errorf("outcome %+v", outcome)
			}
			d.Tell(pdc.Publish{Private: true, Name: "news", Data: []byte("x")}.Message(d.Dialect))
			if events := d.Events(mark); len(events) != 1 || events[0].Name != "news" {
				t.Errorf("events %+v", events)
			}
			if len(d.Packets(mark)) == 0 || d.Packets(mark)[0].Messages() == nil {
				t.Error("the wire is not decoded")
			}
		})
	}
}

// A puppet goes on with its session from another port.
func TestPuppetDeviceResumes(t *testing.T) {
	d, err := (&Env{world: new(world)}).NewPuppetDevice(Profile("boron@6.2.0"), 1, Puppetry{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Online(); err != nil {
		t.Fatal(err)
	}
	mark := d.Now()
	if !d.Peer.Resume() {
		t.Fatal("no session")
	}
	id := d.Tell(coap.Message{Type: coap.Confirmable})
	if heard := d.Heard(mark); len(heard) != 1 || heard[0].CoAP.ID != id {
		t.Errorf("heard %v", heard)
	}
}

// A simulated device of every generation gets into the puppet, which can say what
// it likes.
func TestPuppetCloud(t *testing.T) {
	for _, name := range puppetProfiles {
		t.Run(name, func(t *testing.T) {
			c, err := (&Env{world: new(world)}).NewPuppetCloud(Profile(name), 1, Stagecraft{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Online(); err != nil {
				t.Fatal(err)
			}
			mark := c.Now()
			c.Say([]byte{0x41, 0x02, 0x30, 0x01, 0x77, 0xb1, 'f', 0x03, 's', 'u', 'm', 0x41, 'a'})
			heard := c.Heard(mark)
			if len(heard) != 2 || hex.EncodeToString(heard[0].Wire) != "60003001" || string(heard[1].CoAP.Payload) != "\x00\x00\x00\x61" {
				t.Errorf("heard %v", heard)
			}
			if err := c.Publish("news", nil); err != nil {
				t.Error(err)
			}
			c.Run(time.Second)
			if len(c.Heard(mark)) != 3 || len(c.Packets(mark)) == 0 {
				t.Errorf("heard %v", c.Heard(mark))
			}
		})
	}
}

// What a puppet is not to answer, it does not.
func TestPuppetSilence(t *testing.T) {
	c, err := (&Env{world: new(world)}).NewPuppetCloud(Profile("boron@6.2.0"), 1, Stagecraft{})
	if err != nil {
		t.Fatal(err)
	}
	c.Peer.SetAnswer(peer.Silent)
	if c.Online() == nil {
		t.Error("the device calls itself connected, and nobody answered")
	}
	c.Act(func(_ clock.Instant, p *peer.Cloud, out *transport.Out) { p.HangUp(out) })
	if c.Peer.Secured() {
		t.Error("hung up, and still secured")
	}
}
