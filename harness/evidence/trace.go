package evidence

import (
	"encoding/hex"
	"strings"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A TraceLine is one packet in trace.jsonl. Sizes are in bytes.
type TraceLine struct {
	Serial      uint64        `json:"serial"` // as in comments of traffic.pcapng
	At          clock.Instant `json:"at_ns"`  // since the run began
	Direction   string        `json:"direction"`
	Transport   string        `json:"transport"`
	Device      string        `json:"device,omitempty"`
	DeviceAddr  string        `json:"device_address"`
	CloudAddr   string        `json:"cloud_address"`
	Association uint32        `json:"association,omitempty"`
	Connection  uint32        `json:"connection,omitempty"`
	Size        int           `json:"size"`
	Headers     int           `json:"headers"`
	Received    bool          `json:"received,omitempty"`
	Lost        string        `json:"lost,omitempty"`
	Duplicate   bool          `json:"duplicate,omitempty"`
	NewAddress  bool          `json:"new_address,omitempty"`
	Resume      bool          `json:"resume,omitempty"`
	Records     []RecordLine  `json:"records,omitempty"`
	Problem     string        `json:"problem,omitempty"`
}

// A RecordLine is one record of a packet.
type RecordLine struct {
	Unit      string         `json:"unit"`
	State     string         `json:"state"`
	Type      uint8          `json:"type,omitempty"`
	Epoch     uint16         `json:"epoch,omitempty"`
	Sequence  uint64         `json:"sequence"`
	CID       string         `json:"cid,omitempty"`
	Size      int            `json:"size"`
	Repeated  bool           `json:"repeated,omitempty"`
	Reused    bool           `json:"reused,omitempty"`
	Handshake []string       `json:"handshake,omitempty"`
	Alert     string         `json:"alert,omitempty"`
	Message   *TracedMessage `json:"message,omitempty"`
	Problem   string         `json:"problem,omitempty"`
}

// A TracedMessage is the CoAP message of a record.
type TracedMessage struct {
	Kind     string `json:"kind"`
	Of       string `json:"of,omitempty"`
	Exchange uint64 `json:"exchange,omitempty"`
	Event    string `json:"event,omitempty"`
	Repeat   int    `json:"repeat,omitempty"`
	// Text is the message in one line, with its data if the bundle has secrets.
	Text string `json:"text"`
	// Wire are its bytes in hex, if the bundle has secrets.
	Wire string `json:"wire,omitempty"`
}

// traceLine describes a packet. Secrets says whether application data may be in it.
func traceLine(p *trace.Packet, secrets bool) *TraceLine {
	line := &TraceLine{
		Serial: p.Serial, At: p.At, Direction: p.Direction.String(), Transport: p.Transport.String(),
		DeviceAddr: p.DeviceAddress, CloudAddr: p.CloudAddress, Association: p.Association, Connection: p.Connection,
		Size: p.Size, Headers: p.Headers, Received: p.Received, Lost: p.Lost, Duplicate: p.Duplicate,
		NewAddress: p.NewAddress, Resume: p.Resume, Problem: p.Problem,
	}
	if p.Device != (trace.DeviceID{}) {
		line.Device = p.Device.String()
	}
	for i := range p.Records {
		line.Records = append(line.Records, recordLine(&p.Records[i], secrets))
	}
	return line
}

func recordLine(r *trace.Record, secrets bool) RecordLine {
	line := RecordLine{
		Unit: r.Unit.String(), State: r.State.String(), Type: uint8(r.Type), Epoch: r.Epoch, Sequence: r.Sequence,
		Size: r.Size, Repeated: r.Repeated, Reused: r.Reused, Problem: r.Problem,
	}
	if r.CID.Len() > 0 {
		line.CID = r.CID.String()
	}
	for i := range r.Handshake {
		line.Handshake = append(line.Handshake, r.Handshake[i].String())
	}
	if r.Alert != nil {
		line.Alert = r.Alert.String()
	}
	if m := r.Message; m != nil {
		line.Message = messageLine(m, secrets)
	}
	return line
}

func messageLine(m *trace.Message, secrets bool) *TracedMessage {
	line := &TracedMessage{Kind: m.Kind.String(), Exchange: m.Exchange, Event: m.Event, Repeat: m.Repeat, Text: m.String()}
	if m.Of != pdc.KindInvalid {
		line.Of = m.Of.String()
	}
	if secrets && !confidential(m) {
		line.Text, line.Wire = m.Text(), hex.EncodeToString(m.Wire)
	}
	return line
}

// confidential reports whether a message carries what is a secret beyond its
// session: a claim code, or a device secret.
func confidential(m *trace.Message) bool {
	for _, part := range []string{"claim/code", "device/secret"} {
		if strings.Contains(m.Event, part) {
			return true
		}
	}
	return false
}
