package coap_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
)

// A device publishes, its first transmission is lost, and the cloud
// acknowledges the second.
func Example() {
	device := coap.NewExchange(&coap.DeviceUDP, 0, rand.New(rand.NewPCG(1, 2)), nil)
	cloud := coap.NewExchange(&coap.CloudUDP, 0x2000, rand.New(rand.NewPCG(3, 4)), nil)
	var up, down coap.Out

	publish := coap.Message{Code: coap.POST, Payload: []byte("21.5"), Options: coap.Options{
		coap.Text(coap.URIPath, "E"), coap.Text(coap.URIPath, "temp"),
	}}
	device.Send(0, publish, 7, &up)
	fmt.Printf("sent %x, lost\n", up.Messages[0])

	up.Reset()
	now := device.Deadline()
	device.Advance(now, &up)
	fmt.Printf("sent again after %v\n", now.Sub(clock.Instant(0)).Round(time.Second))

	cloud.Receive(now, up.Messages[0], &down)
	received := down.Events[0].Message
	fmt.Printf("cloud: %v %v\n", down.Events[0].Kind, received)
	cloud.Reply(now, received, coap.Message{}, &down)

	device.Receive(now, down.Messages[0], &up)
	fmt.Printf("device: %v, tag %d\n", up.Events[0].Kind, up.Events[0].Tag)
	// Output:
	// sent 40020001b1450474656d70ff32312e35, lost
	// sent again after 4s
	// cloud: received CON 0.02 0x0001 /E/temp, 4 bytes
	// device: acknowledged, tag 7
}
