package target

import (
	"fmt"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/harness/ledger"
	"github.com/muster/muster/harness/timeline"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// kept returns what keeps the evidence of the run, nil for nothing.
func (e *Env) kept() *evidence.Collector {
	if e.world == nil {
		return nil
	}
	return e.options.Evidence
}

// Ledger returns the bytes of the devices.
func (e *Env) Ledger() *ledger.Ledger { return e.ledger }

// Now returns the time of the run.
func (e *Env) Now() clock.Instant { return e.clock.Now() }

// keepDevice keeps what a device says of itself. What came with it, such as the data
// of an event, is not a part of it: the wire shows that.
func (e *Env) keepDevice(d *Device, at clock.Instant, event *device.Event) {
	if e.options.Evidence == nil {
		return
	}
	text, level := event.Kind.String(), timeline.Plain
	switch event.Kind {
	case device.Online:
		level = timeline.Good
		if event.Resumed {
			text += ", session resumed"
		}
	case device.Offline:
		level = timeline.Warn
		if event.Err != 0 {
			text += fmt.Sprintf(": %v", event.Err)
		}
	default: // says all by its name
	}
	e.options.Evidence.Timeline().Add(timeline.Event{At: at, Lane: d.Hex(), Kind: timeline.Device, Text: text, Level: level})
	fmt.Fprintf(e.options.Evidence.Log("devices"), "%v %s %s\n", at, d, text)
}

// keepCloud keeps what the cloud says of itself.
func (e *Env) keepCloud(o *endpoint.Observation) {
	text := ""
	switch o.What {
	case endpoint.Secured:
		text = "handshake completed"
	case endpoint.Online:
		text = "online"
		if o.Session.Resumed {
			text = "online, session resumed"
		}
	case endpoint.Offline:
		text = "offline"
	case endpoint.Refused:
		text = "refused"
	case endpoint.Ended:
		text = "session ended"
	default: // what is said within a session the wire shows
		return
	}
	if o.Detail != "" {
		text += ": " + o.Detail
	}
	switch d := e.boardOf(trace.DeviceID(o.Device)); {
	case o.What == endpoint.Refused:
		e.options.Evidence.Timeline().Add(timeline.Event{At: o.At, Lane: "cloud", Kind: timeline.Cloud, Text: text, Level: timeline.Warn})
	case d != nil: // there are few of them, and people look
		e.options.Evidence.Timeline().Add(timeline.Event{At: o.At, Lane: "cloud", Kind: timeline.Cloud, Text: d.Hex() + " " + text})
	}
	fmt.Fprintf(e.options.Evidence.Log("cloud"), "%v %v %s %s %s\n", o.At, trace.DeviceID(o.Device), o.Session.Transport, o.Session.Peer, text)
}

// transportOf returns "udp" or "tcp".
func transportOf(p *profile.Profile) string {
	if p.Board.UDP {
		return "udp"
	}
	return "tcp"
}

// Began returns the wall-clock time of the instant 0.
func (e *Env) Began() time.Time { return e.clock.Start() }
