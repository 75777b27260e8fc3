package conformance

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func receivingSuite() Suite {
	return Suite{
		Name: "receiving",
		Text: "how a device receives an update by OTA protocol v3, from a puppet cloud in virtual time",
		Checks: []Check{
			{
				Name: "update", Text: "Start, chunks and Finish are answered in order, and the image is applied only when the last answer was acknowledged",
				Provoke: "a puppet cloud sends an image and withholds the last acknowledgement for a while", Observe: "goodbye, and the flag in the next Hello",
				Requirements: []string{"D-14", "D-16"}, Skip: onlyOTA3, Run: checkReceived,
			},
			{
				Name: "acks", Text: "an acknowledgement for every second chunk, a gap, a copy and the end at once, else after 200 ms",
				Provoke: "a puppet cloud sends chunks in pairs, with gaps, twice and slowly", Observe: "count and bitmap of each acknowledgement",
				Requirements: []string{"D-15"}, Skip: onlyOTA3, Run: checkAckPolicy,
			},
			{
				Name: "start-refusals", Text: "a Start that is out of range is 5.03 with error -240 in the acknowledgement; one that is not Confirmable ends the connection",
				Provoke: "a puppet cloud sends a Start in ten wrong ways", Observe: "the replies to the last byte, and whether the device begins anew",
				Requirements: []string{"N-24", "D-14"}, Skip: onlyOTA3, Run: said(v3(startRefusals)),
			},
			{
				Name: "start-impossible", Text: "updates that are disabled, too large, or an asset without room are refused apart, and the connection lives on",
				Provoke: "a puppet cloud offers an image to a device that cannot take it", Observe: "code and error of the answer",
				Requirements: []string{"N-25"}, Skip: onlyOTA3, Run: checkImpossibleStart,
			},
			{
				Name: "second-start", Text: "a second Start cancels the first, and goes on where that one was if it is the same file",
				Provoke: "a puppet cloud sends a second Start during a transfer", Observe: "the offset in the answer",
				Requirements: []string{"N-26"}, Skip: onlyOTA3, Run: checkSecondStart,
			},
			{
				Name: "chunks", Text: "impossible chunks end the connection with a Reset, early and repeated ones do not",
				Provoke: "a puppet cloud sends chunks in twelve wrong ways", Observe: "the replies to the last byte, and whether the device begins anew",
				Requirements: []string{"N-27", "D-14"}, Skip: onlyOTA3, Run: said(v3(chunkLines())),
			},
			{
				Name: "finish-early", Text: "Finish with chunks missing is 5.03 with error -240, then the device reconnects and can go on; without an update it is -210",
				Provoke: "a puppet cloud ends a transfer that is not complete, and one that was never begun", Observe: "code and error of the answer, and the next offset",
				Requirements: []string{"N-28", "N-34"}, Skip: onlyOTA3, Run: checkEarlyFinish,
			},
			{
				Name: "bad-images", Text: "damaged, cut, foreign, misplaced and ill-formed images are refused with the error of the first check that fails",
				Provoke: "a puppet cloud sends images with one thing wrong", Observe: "code and error of the answer to Finish",
				Requirements: []string{"D-18", "N-29", "N-30", "N-31", "N-32", "N-33"}, Skip: skipAny(onlyOTA3, onlyReal(takesAll)), Run: checkBadImages,
			},
			{
				Name: "other-file", Text: "an image that is good but not the announced one is not applied",
				Provoke: "a puppet cloud announces one hash and sends an image with another", Observe: "the flag in the Hello that follows",
				Requirements: []string{"N-29"}, Skip: onlyOTA3, Run: checkOtherFile,
			},
			{
				Name: "missing-dependency", Text: "a user part that needs a newer system is taken, and leads to safe mode",
				Provoke: "a puppet cloud sends a user part that needs a newer system", Observe: "the answer to Finish, and the safe-mode event after the restart",
				Requirements: []string{"N-32"}, Skip: skipAny(onlyOTA3, onlyReal(takesAll)), Run: checkMissingDependency,
			},
			{
				Name: "cancel", Text: "a cancelled transfer can go on where it was, one whose data was discarded begins anew",
				Provoke: "a puppet cloud cancels a transfer, with and without discarding its data", Observe: "the answer, and the next offset",
				Requirements: []string{"N-35"}, Skip: onlyOTA3, Run: checkCancel,
			},
			{
				Name: "interrupted", Text: "wherever the connection is lost the next Start is told what the device has",
				Provoke: "the device loses its network at five places of a transfer", Observe: "the offset in the answer to the next Start",
				Requirements: []string{"N-36"}, Skip: onlyOTA3, Run: checkCutTransfer,
			},
			{
				Name: "stalled", Text: "300 s without a chunk end the update and the connection, and it can be resumed",
				Provoke: "a puppet cloud stops sending chunks", Observe: "when the device begins anew, and the next offset",
				Requirements: []string{"N-37"}, Skip: onlyOTA3, Run: checkStalled,
			},
			{
				Name: "resume", Text: "the offset survives another chunk size, and no other file, no Discard-Data and no missing hash",
				Provoke: "a puppet cloud goes on with another chunk size, hash, with Discard-Data or without a hash", Observe: "the offset in the answer, and the answer to Finish",
				Requirements: []string{"N-38"}, Skip: onlyOTA3, Run: checkResumedTransfer,
			},
			{
				Name: "quiet", Text: "while it is updated the device publishes nothing and asks nothing, but answers functions",
				Provoke: "the application publishes and asks for the time during a transfer, and the cloud calls a function", Observe: "what the device sends",
				Requirements: []string{"D-22"}, Skip: onlyOTA3, Run: checkQuietUpdate,
			},
		},
	}
}

// withTransfer runs a check with a device that can be updated by v3.
func withTransfer(e *target.Env, g *target.Group, r *Recorder, f func(c *target.PuppetCloud, name string) error) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		if !c.Profile.OTA3() {
			return nil
		}
		if err := c.MadeUp(); err != nil {
			return err
		}
		return f(c, name)
	})
}

// goodImage is an image that the device takes.
// On sockets each is another one: a device may have a part of one that came before.
func goodImage(c *target.PuppetCloud) []byte {
	return salted(c, firmwareFor(c.Profile, userPart, 5000))
}

// salted is an image that no other stage on sockets has.
func salted(c *target.PuppetCloud, f firmware) []byte {
	copy(f.body, c.Salt())
	return f.bytes()
}

func checkReceived(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		t := newTransfer(c, goodImage(c))
		start, err := t.start()
		if err != nil {
			return err
		}
		Equal(r, "D-14", name, "the answer to Start", fmt.Sprintf("refused %v, window %d, offset %d", start.Refused, start.Window, start.Offset),
			fmt.Sprintf("refused %v, window %d, offset %d", coap.Code(0), 131072/chunkSize, 0), lines(c.Packets(t.began))...)
		t.all()
		c.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) {
			return nil, m.Err == nil && m.CoAP.Code == coap.Changed // withhold the acknowledgement
		})
		mark := c.Now()
		finish, err := t.finish()
		if err != nil {
			return err
		}
		Equal(r, "D-14", name, "the answer to Finish is a success", finish.Refused, 0, lines(c.Packets(mark))...)
		Equal(r, "D-14", name, "the answer to Finish has statistics", finish.Stats != nil && finish.Stats.Received >= t.count() && finish.Stats.Received <= t.sent, true, lines(c.Packets(mark))...)
		c.Run(3 * time.Second)
		Equal(r, "D-16", name, "goodbyes before the answer to Finish is acknowledged", len(heardOf(c.Heard(mark), asks(coap.POST, "x"))), 0, lines(c.Packets(mark))...)
		c.Peer.SetAnswer(nil)
		c.Within(10*time.Second, func() bool { // the answer is retransmitted
			_, again := c.BeganAnew(mark)
			return again || len(heardOf(c.Heard(mark), asks(coap.POST, "x"))) > 0
		})
		judgeApplied(r, c, name, mark, true)
		return nil
	})
}

// judgeApplied expects that the device has said goodbye for its update, and came
// back with the flag of a Hello that says so; or that it has not.
func judgeApplied(r *Recorder, c *target.PuppetCloud, name string, mark clock.Instant, want bool) {
	if want {
		c.Return(mark, 10*time.Second)
	} else {
		c.Run(10 * time.Second)
	}
	goodbye, hello := false, false
	for _, m := range c.Heard(mark) {
		if m.Err != nil {
			continue
		}
		goodbye = goodbye || asks(coap.POST, "x")(m) && bytes.Equal(m.CoAP.Payload, []byte{3, 5, 70})
		hello = hello || asks(coap.POST, "h")(m) && len(m.CoAP.Payload) > 6 && m.CoAP.Payload[5]&1 != 0
	}
	if c.Profile.Board.Virtual {
		unseen(r, "D-16", name, "what shows that an update was applied: the virtual device says no goodbye, and sets no flag")
		_, again := c.BeganAnew(mark)
		Equal(r, "D-16", name, "the device begins anew for its update", again, want, last(c.Packets(mark))...)
		return
	}
	Equal(r, "D-16", name, "the device says goodbye for its update", goodbye, want, last(c.Packets(mark))...)
	Equal(r, "D-16", name, "the device comes back with the flag of an update that was applied", hello, want, last(c.Packets(mark))...)
}

// acks returns the acknowledgements of chunks from an instant on: count and
// bitmap.
func acks(c *target.PuppetCloud, mark clock.Instant) string {
	var list []string
	for _, m := range heardOf(c.Heard(mark), asks(coap.POST, "A")) {
		a, err := pdc.ParseUpdateAck(m.CoAP)
		if err != nil {
			list = append(list, err.Error())
			continue
		}
		list = append(list, strings.TrimSpace(fmt.Sprintf("%d % x", a.Count, []byte(a.Selective))))
	}
	return strings.Join(list, ", ")
}

func checkAckPolicy(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		if err := c.Needs(target.VirtualTime); err != nil {
			return err // it is about milliseconds
		}
		t := newTransfer(c, goodImage(c))
		if err := t.begin(); err != nil {
			return err
		}
		step := func(what string, pause time.Duration, want string, chunks ...uint32) {
			mark := c.Now()
			for _, i := range chunks {
				t.chunk(i)
				c.Run(20 * time.Millisecond)
			}
			c.Run(pause)
			Equal(r, "D-15", name, what+": acknowledgements", acks(c, mark), want, lines(c.Packets(mark))...)
			c.Run(time.Millisecond)
		}
		// More than 200 ms have passed since Start.
		step("the first chunk", 0, "1", 1)
		step("the second and the third", 0, "3", 2, 3)
		step("one more within 200 ms", 0, "", 4)
		step("200 ms later", 200*time.Millisecond, "4")
		step("a gap", 0, "4 02 00 00 00", 6)
		step("a copy", 0, "4 02 00 00 00", 6)
		step("the gap is filled", 0, "6", 5)
		step("a chunk that came before", 0, "6", 2)
		step("far ahead", 0, "6 08 00 00 00", 10)
		for i := uint32(7); i < t.count(); i++ {
			t.chunk(i)
			c.Run(20 * time.Millisecond)
		}
		step("the last", 0, fmt.Sprint(t.count()), t.count())
		return nil
	})
}

// An update of 1000 bytes in chunks of 512, and one of a million.
const (
	begun      = "41 02 20 60 b0 b1 53 e2 06 f1 03 e8 82 02 00"
	begunLarge = "41 02 20 61 b0 b1 53 e3 06 f1 0f 42 40 82 02 00"
)

// chunkLines are chunks that are wrong in one way.
func chunkLines() []line {
	const head = "50 02 20 81 b1 43 "
	full, rest := x(512), x(488)
	return []line{
		{requirement: "N-27", name: "index 0", before: []string{begun}, say: head + "e0 06 e9 ff" + full, want: []string{"70 00 20 81"}, then: gone},
		{requirement: "N-27", name: "an index above the count", before: []string{begun}, say: head + "e1 06 e9 03 ff" + full, want: []string{"70 00 20 81"}, then: gone},
		{requirement: "N-27", name: "one byte short", before: []string{begun}, say: head + "e1 06 e9 01 ff" + x(511), want: []string{"70 00 20 81"}, then: gone},
		{requirement: "N-27", name: "one byte long", before: []string{begun}, say: head + "e1 06 e9 01 ff" + x(513), want: []string{"70 00 20 81"}, then: gone},
		{requirement: "N-27", name: "the last chunk padded", before: []string{begun}, say: head + "e1 06 e9 02 ff" + full, want: []string{"70 00 20 81"}, then: gone},
		{requirement: "N-27", name: "no data", before: []string{begun}, say: head + "e1 06 e9 01", want: []string{"70 00 20 81"}, then: gone},
		{requirement: "N-27", name: "no index", before: []string{begun}, say: head + "ff" + full, want: []string{"70 00 20 81"}, then: gone},
		{requirement: "N-27", name: "a token", before: []string{begun}, say: "51 02 20 82 77 b1 43 e1 06 e9 01 ff" + full, want: []string{"51 a3 __ __ 77*"}, then: gone},
		{requirement: "N-27", name: "Confirmable", before: []string{begun}, say: "40 02 20 83 b1 43 e1 06 e9 01 ff" + full, want: []string{"60 a3 20 83*"}},
		{requirement: "N-27", name: "without an update", before: []string{"41 02 20 62 b3 b1 46 e0 07 0d"}, say: head + "e1 06 e9 01 ff" + full, want: []string{"70 00 20 81"}},
		{requirement: "N-27", name: "beyond the window", before: []string{begunLarge}, say: head + "e2 06 e9 01 2c ff" + full, want: []string{"50 02 __ __ b1 41 e0 06 e9"}},
		{
			requirement: "N-27", name: "a copy", before: []string{begun, head + "e1 06 e9 01 ff" + full}, say: head + "e1 06 e9 01 ff" + full,
			want: []string{"50 02 __ __ b1 41 e1 06 e9 01"},
		},
		{
			requirement: "D-14", name: "the last chunk", before: []string{begun}, say: head + "e1 06 e9 02 ff" + rest,
			want: []string{"50 02 __ __ b1 41 e0 06 e9 ff 02 00 00 00"},
		},
	}
}
