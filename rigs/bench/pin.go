package bench

import (
	"fmt"
	"strings"

	"github.com/muster/muster/rigs/inventory"
	"github.com/muster/muster/rigs/power"
	"github.com/muster/muster/rigs/serial"
)

// pin opens the reset pin of a board.
func (b *Bench) pin(e inventory.Entry) (power.Pin, error) {
	if b.o.Pin != nil {
		return b.o.Pin(e)
	}
	l := e.Power.Lines
	name := l.Adapter
	if !strings.ContainsRune(name, '/') && !strings.HasPrefix(strings.ToUpper(name), "COM") {
		ports, err := b.o.Tree.Ports()
		if err != nil {
			return nil, fmt.Errorf("listing USB: %w", err)
		}
		var hits []string
		for _, p := range ports {
			if p.Name != "" && (strings.EqualFold(p.Serial, name) || p.Path == name) {
				hits = append(hits, p.Name)
			}
		}
		switch len(hits) {
		case 0:
			return nil, fmt.Errorf("no serial adapter %q is plugged in", name)
		case 1:
			name = hits[0]
		default:
			return nil, fmt.Errorf("%d serial ports are %q: name one by its USB path", len(hits), name)
		}
	}
	port, err := serial.OpenPort(name, 0)
	if err != nil {
		return nil, err
	}
	return modemLine{port, l.Line == "rts", l.Inverted}, nil
}

// A modemLine is DTR or RTS of a serial adapter. The other one stays inactive.
type modemLine struct {
	port     *serial.Port
	rts      bool
	inverted bool
}

// Hold implements power.Pin.
func (m modemLine) Hold(held bool) error {
	active := held != m.inverted
	return m.port.SetLines(!m.rts && active, m.rts && active)
}

// Close implements power.Pin.
func (m modemLine) Close() error { return m.port.Close() }
