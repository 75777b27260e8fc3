package capture

import (
	"fmt"

	"github.com/muster/muster/protocol/dtls"
)

func (d *Decoder) DebugHeld(host string) (s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for h := d.waiting.first; h != nil; h = h.next {
		hd, _ := dtls.PeekHeader(h.data)
		s += fmt.Sprintf("  held at %v %v %v %v %+v\n", h.packet.At, h.packet.DeviceAddress, h.packet.Direction, len(h.data), hd.Type)
		var x piece
		x.raw = h.data
		x.header = hd
		c, named := d.candidates(h.flow, h.packet.Direction, &x)
		s += fmt.Sprintf("     candidates %d named %v half %v\n", len(c), named, h.flow.half != nil)
		for _, a := range c {
			s += fmt.Sprintf("        opener %v answered %v random %x\n", a.opener != nil, a.answered, a.clientRandom[:4])
		}
	}
	return s
}
