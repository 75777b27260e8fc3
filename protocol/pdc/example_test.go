package pdc_test

import (
	"fmt"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A cloud reads a Hello, learns what the device speaks, and delivers an event
// in the form for it.
func Example() {
	wire := []byte("\x40\x02\x10\x01\xb1h\xff\x00\x0a\xff\xff\x00\x06\x00\x0a\x00\x0c" +
		"\xe0\x0f\xce\x68\xa1\xb2\xc3\xd4\xe5\xf6\x07\x18")
	m, err := coap.Parse(wire)
	if err != nil || pdc.Classify(m, true) != pdc.KindHello {
		fmt.Println("not a Hello:", err)
		return
	}
	hello, err := pdc.ParseHello(m)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := hello.Dialect(true)
	fmt.Printf("%v %x, messages up to %d bytes\n", d.Platform, hello.DeviceID, d.Limits().Message)

	event := pdc.EventDelivery{Name: pdc.EventUpdatesForced, Data: []byte(pdc.TruthData(true))}
	fmt.Printf("%.8x...\n", event.Message(d).Append(nil))
	// Output:
	// electron e00fce68a1b2c3d4e5f60718, messages up to 800 bytes
	// 40020000b1650d11...
}

// A board reads a request by fixed offsets: the version and the option header
// do not matter to it.
func ExampleDispatchOnDevice() {
	wire := []byte("\x81\x02\x20\x21\x62\x91f\x04brew\x40")
	fmt.Println(pdc.DispatchOnDevice(wire))
	_, err := coap.Parse(wire)
	fmt.Println(err)
	// Output:
	// Function call
	// coap: version is not 1 at byte 0 (RFC 7252 Section 3)
}
