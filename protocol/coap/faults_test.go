package coap

import (
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	const request = "40 02 20 01 b1 45"
	for _, tt := range []struct {
		name   string
		faults Faults
		story  func(e *exchangeTest)
	}{
		{"keep timeout", Faults{KeepTimeout: true}, func(e *exchangeTest) {
			e.send(publish)
			e.wantMessage(publishWire)
			for range 3 {
				e.wantMessageAfter(4*time.Second, publishWire)
			}
			e.wait(4 * time.Second)
			e.wantEvent(TimedOut)
		}},
		{"never retransmit", Faults{NeverRetransmit: true}, func(e *exchangeTest) {
			e.send(publish)
			e.wantMessage(publishWire)
			e.wait(60 * time.Second)
			e.wantEvent(TimedOut)
		}},
		{"retransmit forever", Faults{RetransmitForever: true, KeepTimeout: true}, func(e *exchangeTest) {
			e.send(publish)
			e.wantMessage(publishWire)
			for range 20 {
				e.wantMessageAfter(4*time.Second, publishWire)
			}
		}},
		{"new ID on retransmit", Faults{NewIDOnRetransmit: true}, func(e *exchangeTest) {
			e.send(publish)
			e.wantMessage(publishWire)
			e.wantMessageAfter(4*time.Second, "40 02 10 01 b1 45 01 78")
		}},
		{"reuse ID", Faults{ReuseID: true}, func(e *exchangeTest) {
			for range 2 {
				e.send(publish)
				e.wantMessage("40 02 0f ff b1 45 01 78")
			}
		}},
		{"skip ID", Faults{SkipID: true}, func(e *exchangeTest) {
			e.send(publish)
			e.wantMessage("40 02 10 01 b1 45 01 78")
		}},
		{"no dedupe", Faults{NoDedupe: true}, func(e *exchangeTest) {
			for range 2 {
				e.receive(request)
				e.wantEvent(Received)
				e.reply(request, Message{})
				e.wantMessage("60 00 20 01")
			}
		}},
		{"drop duplicates", Faults{DropDuplicates: true}, func(e *exchangeTest) {
			e.receive(request)
			e.wantEvent(Received)
			e.reply(request, Message{})
			e.wantMessage("60 00 20 01")
			e.receive(request)
			e.wantEvent(Duplicate)
		}},
		{"no reply", Faults{NoReply: true}, func(e *exchangeTest) {
			e.receive(request)
			e.wantEvent(Received)
			e.reply(request, Message{})
			e.receive("40 00 20 02")
			e.wantEvent(Ping)
		}},
		{"double reply", Faults{DoubleReply: true}, func(e *exchangeTest) {
			e.receive(request)
			e.wantEvent(Received)
			e.reply(request, Message{})
			e.wantMessage("60 00 20 01")
			e.wantMessage("60 00 20 01")
		}},
		{"wrong ack ID", Faults{WrongAckID: true}, func(e *exchangeTest) {
			e.receive(request)
			e.wantEvent(Received)
			e.reply(request, Message{})
			e.wantMessage("60 00 20 02")
		}},
		{"answer ping with reset", Faults{AnswerPingWithReset: true}, func(e *exchangeTest) {
			e.receive("40 00 20 02")
			e.wantEvent(Ping)
			e.wantMessage("70 00 20 02")
		}},
		{"ignore ping", Faults{IgnorePing: true}, func(e *exchangeTest) {
			e.receive("40 00 20 02")
			e.wantEvent(Ping)
		}},
		{"ack non-confirmable", Faults{AckNonConfirmable: true}, func(e *exchangeTest) {
			e.receive("50 02 20 01 b1 45")
			e.wantEvent(Received)
			e.wantMessage("60 00 20 01")
		}},
		{"ignore reset", Faults{IgnoreReset: true}, func(e *exchangeTest) {
			e.send(publish)
			e.wantMessage(publishWire)
			e.receive("70 00 10 00")
			e.wantMessageAfter(4*time.Second, publishWire)
		}},
		{"reset unmatched", Faults{ResetUnmatched: true}, func(e *exchangeTest) {
			e.receive("60 00 20 01")
			e.wantEvent(Unmatched)
			e.wantMessage("70 00 20 01")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExchangeTest(t, CloudUDP, tt.faults)
			tt.story(e)
			e.settle()
		})
	}
}
