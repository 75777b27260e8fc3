package conformance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A sight is one CoAP message with the packet that carried it.
type sight struct {
	packet  *trace.Packet
	message *trace.Message
}

// line is the sight in a report.
func (s sight) line() string { return s.packet.String() }

// messages returns the CoAP messages of packets, in order.
func messages(packets []*trace.Packet) []sight {
	var all []sight
	for _, p := range packets {
		for _, m := range p.Messages() {
			all = append(all, sight{p, m})
		}
	}
	return all
}

// of returns the messages that fit.
func of(all []sight, fits func(sight) bool) []sight {
	var some []sight
	for _, s := range all {
		if fits(s) {
			some = append(some, s)
		}
	}
	return some
}

// kind fits messages of one kind in their first transmission.
func kind(k pdc.Kind) func(sight) bool {
	return func(s sight) bool { return s.message.Kind == k && s.message.Repeat == 0 }
}

// exchange fits the messages of one exchange.
func exchange(n uint64) func(sight) bool {
	return func(s sight) bool { return s.message.Exchange == n }
}

// handshakes returns the handshake messages of one direction, in order.
func handshakes(packets []*trace.Packet, direction trace.Direction) []*trace.Handshake {
	var all []*trace.Handshake
	for _, p := range packets {
		if p.Direction != direction {
			continue
		}
		for i := range p.Records {
			for j := range p.Records[i].Handshake {
				all = append(all, &p.Records[i].Handshake[j])
			}
		}
	}
	return all
}

// linesMax is how many packets a finding shows.
const linesMax = 12

// lines shows at most a dozen packets, for a finding.
func lines(packets []*trace.Packet) []string { return upTo(linesMax, packets) }

// upTo shows the first packets, and says how many more there are.
func upTo(most int, packets []*trace.Packet) []string {
	var all []string
	for i, p := range packets {
		if i == most {
			all = append(all, fmt.Sprintf("… and %d more", len(packets)-most))
			break
		}
		all = append(all, p.String())
	}
	return all
}

// packetsOf returns the packets that carried the messages of one exchange.
func packetsOf(all []sight, n uint64) []*trace.Packet {
	var list []*trace.Packet
	for _, s := range of(all, exchange(n)) {
		if !slices.Contains(list, s.packet) {
			list = append(list, s.packet)
		}
	}
	return list
}

// total adds up the bytes of packets, headers included.
func total(packets []*trace.Packet) int64 {
	n := int64(0)
	for _, p := range packets {
		n += int64(p.Bytes())
	}
	return n
}

// acknowledged reports whether the exchange has an ACK from the other side.
func acknowledged(all []sight, n uint64, from trace.Direction) bool {
	return len(of(all, func(s sight) bool {
		return s.message.Exchange == n && s.packet.Direction == from.Other() && s.message.CoAP.Type == coap.Acknowledgement
	})) > 0
}

// answers is how long an acknowledgement may take that others have not waited
// for: a lost one comes with the next transmission, 6 s later at most.
const answers = 8 * time.Second

// settle waits until something is on the wire that is sure to come, if the target
// is correct. What a device sends can be seen a moment after its answer.
func settle(ctx context.Context, e *target.Env, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	_ = e.Until(ctx, done) // if it never comes true, the check tells
}

// present returns the devices that are connected. Those that are not cannot be
// judged, and it says so: no check passes because devices are missing.
func present(r *Recorder, devices []*target.Device) []*target.Device {
	var there []*target.Device
	for _, d := range devices {
		if d.Connected() {
			there = append(there, d)
		}
	}
	if missing := len(devices) - len(there); missing > 0 {
		r.Inconclusive(report.Finding{Text: fmt.Sprintf("%d of %d devices are not connected: %s", missing, len(devices), target.Whereabouts(devices))})
	}
	return there
}

// deliveries counts how often an event was sent to a device.
func deliveries(d *target.Device, since target.Mark, name string) int {
	return len(of(messages(d.Packets(since)), func(s sight) bool {
		return kind(pdc.KindEventDelivery)(s) && s.message.Event == name
	}))
}

// retransmitted reports whether the device sent a message of the exchange again.
// On a busy machine it does, and that is no part of what the message costs.
func retransmitted(all []sight, n uint64) bool {
	return len(of(all, func(s sight) bool {
		return s.message.Exchange == n && s.message.Repeat > 0 && s.packet.Direction == trace.Up
	})) > 0
}

// settled returns the messages of a device from the beginning, when each that
// fits has its acknowledgement, or when it is clear that one gets none. The call
// that caused a message may be over before its last acknowledgement is sent.
func settled(ctx context.Context, e *target.Env, d *target.Device, from trace.Direction, fits func(sight) bool) []sight {
	var all []sight
	settle(ctx, e, func() bool {
		all = messages(d.Packets(start))
		for _, s := range of(all, fits) {
			if !acknowledged(all, s.message.Exchange, from) {
				return false
			}
		}
		return true
	})
	return all
}

// resets returns the Reset messages of one direction.
func resets(all []sight, direction trace.Direction) []sight {
	return of(all, func(s sight) bool {
		return s.packet.Direction == direction && s.message.CoAP.Type == coap.Reset
	})
}

// id is the device in a finding.
func id(d *target.Device) string { return d.Hex() }
