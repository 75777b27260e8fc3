package conformance

import (
	"context"
	"strings"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func dispatchSuite() Suite {
	return Suite{
		Name: "dispatch",
		Text: "what a device makes of messages that are malformed, foreign or not for it, from a puppet cloud in virtual time",
		Checks: []Check{
			{
				Name: "short", Text: "one, two or three bytes are ignored",
				Provoke: "a puppet cloud sends messages of one to three bytes", Observe: "that nothing comes back, and that a ping is answered",
				Requirements: []string{"N-1"}, Run: said(shortLines),
			},
			{
				Name: "version", Text: "a CoAP version other than 1 is executed by the old dispatcher, and ends the connection where decoding is strict",
				Provoke: "a puppet cloud sends requests with version bits 2", Observe: "the replies to the last byte, and whether the device begins anew",
				Requirements: []string{"N-2"}, Run: said(versionLines),
			},
			{
				Name: "options", Text: "an option with the reserved nibble 15 ends the connection from 6.2 on, and does no harm before",
				Provoke: "a puppet cloud sends events whose options do not end", Observe: "the replies, and whether the device begins anew",
				Requirements: []string{"N-3"}, Run: said(optionLines),
			},
			{
				Name: "tokens", Text: "function and variable need exactly one byte of token from 1.5 on; nine are malformed",
				Provoke: "a puppet cloud sends requests without a token, with two bytes and with nine", Observe: "whether the device begins anew, and what it says before",
				Requirements: []string{"N-4", "N-5"}, Run: said(tokenLines),
			},
			{
				Name: "unknown", Text: "a request that nobody defined gets no reply, not even its copies, and the connection lives on",
				Provoke: "a puppet cloud sends requests of unknown paths, and copies of them", Observe: "that nothing comes back, and that a ping is answered",
				Requirements: []string{"N-6", "N-9"}, Run: checkUnknownRequest,
			},
			{
				Name: "critical-option", Text: "an unknown critical option behind the path is ignored",
				Provoke: "a puppet cloud puts unknown critical options into Start and Finish", Observe: "the replies to the last byte",
				Requirements: []string{"N-7"}, Skip: onlyOTA3, Run: said(criticalLines),
			},
			{
				Name: "event-forms", Text: "deliveries with a format, an empty name, or more than fits: dropped or cut, never a crash",
				Provoke: "a puppet cloud sends events with a format, without a name, and longer than anything", Observe: "the replies, and whether the connection lives on",
				Requirements: []string{"N-11", "N-12", "N-13"}, Run: said(deliveryLines),
			},
			{
				Name: "signal", Text: "the signal is answered with 2.04 and its token, a ping with an empty acknowledgement",
				Provoke: "a puppet cloud starts and stops the signal, and pings", Observe: "the replies to the last byte",
				Requirements: []string{"D-21"}, Run: said(signalLines),
			},
			{
				Name: "duplicate", Text: "a Confirmable request that comes twice within 45 s is executed once and acknowledged twice",
				Provoke: "a puppet cloud sends a function call twice, 30 s apart", Observe: "acknowledgements and results",
				Requirements: []string{"D-3", "N-19"}, Skip: onlyUDP, Run: checkDuplicateCall,
			},
			{
				Name: "reset", Text: "any Reset, of whatever ID, ends the session: the next connect is a full handshake",
				Provoke: "a puppet cloud sends a Reset of an ID that was never used", Observe: "whether a ClientHello follows",
				Requirements: []string{"D-4", "R-82"}, Skip: onlyUDP, Run: checkReset,
			},
			{
				Name: "discard", Text: "a key change of value 1 discards the session, any other is only acknowledged",
				Provoke: "a puppet cloud sends key changes of value 0 and 1", Observe: "the replies, and whether a ClientHello follows",
				Requirements: []string{"N-50"}, Skip: onlyUDP, Run: checkKeyChange,
			},
		},
	}
}

// said makes a check of lines that a puppet cloud says.
func said(list []line) func(context.Context, *target.Env, *target.Group, *Recorder) error {
	return func(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
		return checkLines(list)(e, g, r, target.Stagecraft{})
	}
}

var shortLines = []line{
	{requirement: "N-1", name: "one byte", say: "00"},
	{requirement: "N-1", name: "two bytes", say: "40 00"},
	{requirement: "N-1", name: "three bytes", say: "40 00 01"},
}

var versionLines = []line{
	{
		requirement: "N-2", name: "a function call of version 2", say: "81 02 20 21 62 b1 66 03 73 75 6d 41 61",
		want: []string{"60 00 20 21", "?1 44 __ __ 62 ff 00 00 00 61"},
	},
	{requirement: "N-2", name: "a describe request of version 2", since: pdc.OS3_3, say: "81 01 20 02 5a b1 64 41 02", then: gone},
	{requirement: "N-2", name: "an event of version 2", since: pdc.OS6_2, say: "80 02 20 03 b1 45 01 61 ff 78", then: gone},
	{requirement: "N-2", name: "an event of version 2 up to 6.1", until: pdc.OS6_2, say: "80 02 20 03 b1 45 01 61 ff 78", want: []string{"u60 00 20 03"}},
	{requirement: "N-2", name: "an UpdateStart of version 2", only: "v3", say: "81 02 20 04 b1 b1 53 e2 06 f1 03 e8 82 02 00", then: gone},
}

var optionLines = []line{
	{requirement: "N-3", name: "nibble 15 behind the path", since: pdc.OS6_2, say: "40 02 20 03 b1 45 f1 00", then: gone},
	{requirement: "N-3", name: "nibble 15 behind the name up to 6.1", until: pdc.OS6_2, say: "40 02 20 03 b1 45 01 61 f1 00", want: []string{"u60 00 20 03"}},
}

var tokenLines = []line{
	{requirement: "N-4", name: "a describe request with nine bytes of token", since: pdc.OS3_3, say: "49 01 20 04 01 02 03 04 05 06 07 08 09 b1 64 41 02", then: gone},
	{requirement: "N-4", name: "a function call with nine bytes of token", since: pdc.OS1_5, say: "49 02 20 05 01 02 03 04 05 06 07 08 09 b1 66 01 61 40", then: gone},
	{requirement: "N-5", name: "a function call without a token", since: pdc.OS1_5, say: "40 02 20 06 b1 66 03 73 75 6d 41 61", then: gone},
	{requirement: "N-5", name: "a function call with two bytes of token", since: pdc.OS1_5, say: "42 02 20 07 01 02 b1 66 03 73 75 6d 41 61", then: gone},
	{requirement: "N-5", name: "a variable request without a token", since: pdc.OS1_5, say: "40 01 20 08 b1 76 05 63 6f 75 6e 74", then: gone},
	{requirement: "N-5", name: "a variable request with two bytes of token", since: pdc.OS1_5, say: "42 01 20 09 01 02 b1 76 05 63 6f 75 6e 74", then: gone},
	{requirement: "N-5", name: "a function call with two bytes of token before 1.5", until: pdc.OS1_5, say: "42 02 20 0a 01 02 b1 66 03 73 75 6d 41 61", want: []string{"60 00 20 0a"}},
}

var criticalLines = []line{
	{
		requirement: "N-7", name: "option 2067 in an UpdateStart", only: "v3", say: "41 02 20 71 b1 b1 53 e2 06 f1 03 e8 82 02 00 21 aa",
		want: []string{"60 00 20 71", "41 41 __ __ b1 e2 06 f8 01 00 40"},
	},
	{
		requirement: "N-7", name: "option 2051 in an UpdateFinish", only: "v3", say: "41 02 20 72 b2 b1 46 e1 06 eb aa d0 09",
		want: []string{"60 00 20 72", "41 44 __ __ b2*"},
	},
}

// x is a run of the letter n in hexadecimal digits.
func x(n int) string { return strings.Repeat("6e", n) }

var deliveryLines = []line{
	{requirement: "N-11", name: "a delivery with a Content-Format", say: "40 02 20 0b b1 45 01 61 11 32 ff 78", want: []string{"u60 00 20 0b"}},
	{requirement: "N-12", name: "an empty name up to 6.1", until: pdc.OS6_2, say: "40 02 20 0c b1 45", then: gone},
	{requirement: "N-12", name: "an empty name", since: pdc.OS6_2, say: "40 02 20 0d b1 45", want: []string{"u60 00 20 0d"}},
	{requirement: "N-13", name: "a name of 65 bytes", say: "40 02 20 0e b1 45 0d 34" + x(65) + "ff 78", want: []string{"u60 00 20 0e"}},
	{requirement: "N-13", name: "a message of 1153 bytes", only: "udp", say: "40 02 20 0f b1 45 01 61 ff" + x(1153-9)},
}

var signalLines = []line{
	{requirement: "D-21", name: "start", say: "41 03 ab cd ef b1 73 41 01", want: []string{"61 44 ab cd ef"}},
	{requirement: "D-21", name: "stop", say: "41 03 ab ce ee b1 73 41 00", want: []string{"61 44 ab ce ee"}},
	{requirement: "D-21", name: "ping over UDP", only: "udp", say: "40 00 20 50", want: []string{"60 00 20 50"}},
	// Device OS: over TCP with its own next ID (captures).
	{requirement: "D-21", name: "ping over TCP", only: "tcp", say: "40 00 20 50", want: []string{"60 00 __ __"}},
}

// unknownLines are requests that the dispatcher does not know.
var unknownLines = []line{
	{requirement: "N-6", name: "GET /q", say: "40 01 20 06 b1 71"},
	{requirement: "N-6", name: "GET /q once more", say: "40 01 20 06 b1 71"},
	{requirement: "N-6", name: "POST /q with a token", say: "41 02 20 07 99 b1 71 ff 00"},
	{requirement: "N-9", name: "Uri-Host in front of the path", say: "41 01 20 09 5a 31 78 81 64 41 02"},
}

func checkUnknownRequest(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return checkLines(unknownLines)(e, g, r, target.Stagecraft{})
}

func checkDuplicateCall(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		if err := c.NeedsOffer(target.FunctionSum); err != nil {
			return err
		}
		mark := c.Now()
		call := []byte{0x41, 0x02, 0x21, 0x01, 0x62, 0xb1, 'f', 3, 's', 'u', 'm', 0x41, 'a'}
		c.Say(call)
		c.Run(30 * time.Second)
		c.Say(call)
		judgeHeard(r, "D-3", name, "what a call that came twice causes", c, mark, only(belongs(0x2101, 0x62)),
			[]string{"60 00 21 01", "41 44 __ __ 62 ff 00 00 00 61", "60 00 21 01"})
		return nil
	})
}

// belongs fits what belongs to a request with that ID and token.
func belongs(id uint16, token byte) func(m target.Heard) bool {
	return func(m target.Heard) bool {
		return m.CoAP.Type == coap.Acknowledgement && m.CoAP.ID == id ||
			len(m.CoAP.Token) == 1 && m.CoAP.Token[0] == token && coap.IsResponse(m.CoAP.Code)
	}
}

func checkReset(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		judgeNewSession(r, "D-4", name, "after a Reset of an ID that the device never used", c, []byte{0x70, 0, 0x12, 0x34}, true)
		return nil
	})
}

func checkKeyChange(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		mark := c.Now()
		judgeNewSession(r, "N-50", name, "after a key change of value 0", c, []byte{0x41, 3, 0x20, 0x40, 0x91, 0xb1, 'k', 0x41, 0}, false)
		judgeHeard(r, "N-50", name, "what the device says to a key change of value 0", c, mark, nil, []string{"60 00 __ __"})
		judgeNewSession(r, "N-50", name, "after a key change of value 1", c, []byte{0x41, 3, 0x20, 0x41, 0x92, 0xb1, 'k', 0x41, 1}, true)
		return nil
	})
}

// judgeNewSession says something and expects that the device makes a full
// handshake, or that it does not.
func judgeNewSession(r *Recorder, requirement, name, what string, c *target.PuppetCloud, message []byte, want bool) {
	mark := c.Now()
	c.Say(message)
	if want {
		c.Return(mark, 10*time.Second)
	} else {
		c.Settle(10 * time.Second)
	}
	packets := c.Packets(mark)
	Equal(r, requirement, name, what+" the device makes a full handshake", sent(packets, trace.Up, trace.ClientHello), want, lines(packets)...)
	Equal(r, requirement, name, what+" the device is connected in the end", c.Connected(), true, lines(packets)...)
}
