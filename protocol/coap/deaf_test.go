package coap

import (
	"testing"

	"github.com/muster/muster/protocol/seed"
)

// A deaf Exchange throws requests and pings away unremembered, but hears ACK.
func TestDeaf(t *testing.T) {
	x := NewExchange(&DeviceUDP, 0, seed.Stream(1, "deaf"), nil)
	var out Out
	id := x.Send(0, Message{Type: Confirmable, Code: POST}, 7, &out)
	out.Reset()
	x.SetDeaf(true)
	call, ping := []byte{0x40, 0x02, 0x20, 0x01}, []byte{0x40, 0x00, 0x20, 0x02}
	x.Receive(0, call, &out)
	x.Receive(0, ping, &out)
	if len(out.Messages)+len(out.Events) != 0 {
		t.Errorf("deaf, but %v", out.Events)
	}
	x.Receive(0, []byte{0x60, 0, byte(id >> 8), byte(id)}, &out)
	if len(out.Events) != 1 || out.Events[0].Kind != Acknowledged {
		t.Errorf("the ACK is not heard: %v", out.Events)
	}
	x.SetDeaf(false)
	out.Reset()
	x.Receive(0, call, &out)
	if len(out.Events) != 1 || out.Events[0].Kind != Received {
		t.Errorf("the repeated request is not received: %v", out.Events)
	}
}
