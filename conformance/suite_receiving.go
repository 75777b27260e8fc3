package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
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
				Requirements: []string{"D-18", "N-29", "N-30", "N-31", "N-32", "N-33"}, Skip: onlyOTA3, Run: checkBadImages,
			},
			{
				Name: "other-file", Text: "an image that is good but not the announced one is not applied",
				Provoke: "a puppet cloud announces one hash and sends an image with another", Observe: "the flag in the Hello that follows",
				Requirements: []string{"N-29"}, Skip: onlyOTA3, Run: checkOtherFile,
			},
			{
				Name: "missing-dependency", Text: "a user part that needs a newer system is taken, and leads to safe mode",
				Provoke: "a puppet cloud sends a user part that needs a newer system", Observe: "the answer to Finish, and the safe-mode event after the restart",
				Requirements: []string{"N-32"}, Skip: onlyOTA3, Run: checkMissingDependency,
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
		return f(c, name)
	})
}

// goodImage is an image that the device takes.
func goodImage(c *target.PuppetCloud) []byte { return firmwareFor(c.Profile, userPart, 5000).bytes() }

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
		Equal(r, "D-14", name, "the answer to Finish has statistics", finish.Stats != nil && finish.Stats.Received == t.count(), true, lines(c.Packets(mark))...)
		c.Run(3 * time.Second)
		Equal(r, "D-16", name, "goodbyes before the answer to Finish is acknowledged", len(heardOf(c.Heard(mark), asks(coap.POST, "x"))), 0, lines(c.Packets(mark))...)
		c.Peer.SetAnswer(nil)
		c.Run(10 * time.Second) // the answer is retransmitted
		judgeApplied(r, c, name, mark, true)
		return nil
	})
}

// judgeApplied expects that the device has said goodbye for its update, and came
// back with the flag of a Hello that says so; or that it has not.
func judgeApplied(r *Recorder, c *target.PuppetCloud, name string, mark clock.Instant, want bool) {
	c.Run(10 * time.Second)
	goodbye, hello := false, false
	for _, m := range c.Heard(mark) {
		if m.Err != nil {
			continue
		}
		goodbye = goodbye || asks(coap.POST, "x")(m) && bytes.Equal(m.CoAP.Payload, []byte{3, 5, 70})
		hello = hello || asks(coap.POST, "h")(m) && len(m.CoAP.Payload) > 6 && m.CoAP.Payload[5]&1 != 0
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

const startHead = "41 02 20 70 b1 b1 53 "

// refusedStart is 5.03 with error -240 in the acknowledgement.
var refusedStart = []string{"61 a3 20 70 b1 ff 7b 22 63 6f 64 65 22 3a 2d 32 34 30 2c*"}

var startRefusals = []line{
	{requirement: "N-24", name: "chunks of 508 bytes", say: startHead + "e2 06 f1 03 e8 82 01 fc", want: refusedStart},
	{requirement: "N-24", name: "chunks of 514 bytes", say: startHead + "e2 06 f1 03 e8 82 02 02", want: refusedStart},
	{requirement: "N-24", name: "chunks of 1140 bytes", say: startHead + "e2 06 f1 03 e8 82 04 74", want: refusedStart},
	{requirement: "N-24", name: "a file of no bytes", say: startHead + "e0 06 f1 82 02 00", want: refusedStart},
	{requirement: "N-24", name: "a hash of 31 bytes", say: startHead + "e2 06 f1 03 e8 4d 12" + x(31) + "42 02 00", want: refusedStart},
	{requirement: "N-24", name: "no chunk size", say: startHead + "e2 06 f1 03 e8", want: refusedStart},
	{requirement: "N-24", name: "no file size", say: startHead + "e2 06 f9 02 00", want: refusedStart},
	{requirement: "N-24", name: "no token", say: "40 02 20 71 b1 53 e2 06 f1 03 e8 82 02 00", want: []string{"60 a3 20 71 ff 7b*"}},
	{requirement: "N-24", name: "not Confirmable, with a token", say: "51 02 20 72 b1 b1 53 e2 06 f1 03 e8 82 02 00", want: []string{"51 a3 __ __ b1*"}, then: gone},
	{requirement: "N-24", name: "not Confirmable, without a token", say: "50 02 20 73 b1 53 e2 06 f1 03 e8 82 02 00", want: []string{"70 00 20 73"}, then: gone},
	{
		requirement: "D-14", name: "a Start that is in order", say: startHead + "e2 06 f1 03 e8 82 02 00",
		want: []string{"60 00 20 70", "41 41 __ __ b1 e2 06 f8 01 00 40"},
	},
}

var disabledLines = []line{{
	requirement: "N-25", name: "updates are disabled", say: startHead + "e2 06 f1 03 e8 82 02 00",
	want: []string{"60 00 20 70", "41 a3 __ __ b1 ff 7b 22 63 6f 64 65 22 3a 2d 31 33 38 30 2c*"},
}}

var tooLargeLines = []line{
	{
		requirement: "N-25", name: "a file of 2 MiB", say: startHead + "e3 06 f1 20 00 00 82 02 00",
		want: []string{"60 00 20 70", "41 a3 __ __ b1 ff 7b 22 63 6f 64 65 22 3a 2d 31 33 35 31 2c*"},
	},
	{
		requirement: "N-25", name: "an asset of 1 MiB", since: pdc.OS5_5, say: "41 02 20 71 b1 b1 53 e3 06 f1 10 00 00 82 02 00 c1 09",
		want: []string{"60 00 20 71", "41 80 __ __ b1 ff 7b 22 63 6f 64 65 22 3a 2d 31 39 30 2c*"},
	},
}

func checkImpossibleStart(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	err := checkLines(v3(disabledLines))(e, g, r, target.Stagecraft{Device: func(c *target.DeviceConfig) { c.UpdatesDisabled = true }})
	if err != nil {
		return err
	}
	return checkLines(v3(tooLargeLines))(e, g, r, target.Stagecraft{})
}

// v3 are the lines for boards with OTA protocol v3 only.
func v3(list []line) []line {
	own := slices.Clone(list)
	for i := range own {
		own[i].only = "v3"
	}
	return own
}

func checkSecondStart(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		t := newTransfer(c, goodImage(c))
		if err := t.begin(); err != nil {
			return err
		}
		t.chunk(1)
		t.chunk(2)
		c.Run(time.Second)
		mark := c.Now()
		again, err := t.start()
		if err != nil {
			return err
		}
		Equal(r, "N-26", name, "the offset of a second Start of the same file", again.Offset, 2*chunkSize, lines(c.Packets(mark))...)
		mark = c.Now()
		other := newTransfer(c, firmwareFor(c.Profile, userPart, 6000).bytes())
		first, err := other.start()
		if err != nil {
			return err
		}
		Equal(r, "N-26", name, "the offset of a second Start of another file", first.Offset, 0, lines(c.Packets(mark))...)
		Equal(r, "N-26", name, "the device refuses a second Start", first.Refused, 0, lines(c.Packets(mark))...)
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

func checkEarlyFinish(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	err := checkLines(v3([]line{{
		requirement: "N-34", name: "Finish without an update", say: "41 02 20 80 b2 b1 46",
		want: []string{"60 00 20 80", "41 a3 __ __ b2 ff 7b 22 63 6f 64 65 22 3a 2d 32 31 30 2c*"},
	}}))(e, g, r, target.Stagecraft{})
	if err != nil {
		return err
	}
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		t := newTransfer(c, goodImage(c))
		if err := t.begin(); err != nil {
			return err
		}
		t.chunk(1)
		t.chunk(2)
		c.Run(time.Second)
		mark := c.Now()
		finish, err := t.finish()
		if err != nil {
			return err
		}
		judgeNotFinished(r, "N-28", name, "Finish with chunks missing", c, mark, finish, pdc.ErrProtocol)
		c.Run(5 * time.Second)
		_, again := c.BeganAnew(mark)
		Equal(r, "N-28", name, "the device begins anew after its refusal was acknowledged", again, true, lines(c.Packets(mark))...)
		start, err := t.start()
		if err != nil {
			return err
		}
		Equal(r, "N-28", name, "the offset of the next Start", start.Offset, 2*chunkSize, lines(c.Packets(mark))...)
		return nil
	})
}

func judgeNotFinished(r *Recorder, requirement, name, what string, c *target.PuppetCloud, mark clock.Instant, got pdc.UpdateFinishResponse, want pdc.SystemError) {
	Equal(r, requirement, name, what+": the code of the answer", got.Refused, want.Code(), lines(c.Packets(mark))...)
	Equal(r, requirement, name, what+": the error in the answer", int32(got.Diagnostic.Code), int32(want), lines(c.Packets(mark))...)
}

// transferAll sends an image whole and returns the answer to Finish.
func transferAll(t *transfer) (pdc.UpdateFinishResponse, error) {
	if err := t.begin(); err != nil {
		return pdc.UpdateFinishResponse{}, err
	}
	t.all()
	t.c.Run(time.Second)
	return t.finish()
}

// badImages are images with one thing wrong, and the first error that a device
// finds (PDC-7.5).
var badImages = []struct {
	requirement, name string
	want              pdc.SystemError
	make              func(p *target.DeviceProfile) []byte
}{
	{"N-29", "a flipped bit", pdc.ErrIntegrity, func(p *target.DeviceProfile) []byte {
		b := firmwareFor(p, userPart, 5000).bytes()
		b[2000] ^= 1
		return b
	}},
	{"N-30", "an image that is cut", pdc.ErrIntegrity, func(p *target.DeviceProfile) []byte {
		return firmwareFor(p, userPart, 5000).bytes()[:4000]
	}},
	{"N-31", "an image for another platform", pdc.ErrPlatform, func(p *target.DeviceProfile) []byte {
		f := firmwareFor(p, userPart, 5000)
		f.platform++
		return f.bytes()
	}},
	{"N-32", "a system part that needs a newer bootloader", pdc.ErrDependency, func(p *target.DeviceProfile) []byte {
		f := firmwareFor(p, systemPart, 5000)
		f.needs = [2]need{{bootloader, 0, 60000}}
		return f.bytes()
	}},
	{"N-33", "an address outside its slot", pdc.ErrAddressRange, func(p *target.DeviceProfile) []byte {
		f := firmwareFor(p, userPart, 5000)
		f.start -= 0x1000
		return f.bytes()
	}},
	{"N-33", "a compressed module with a vector table", pdc.ErrModuleFormat, func(p *target.DeviceProfile) []byte {
		f := firmwareFor(p, userPart, 5000).deflated()
		f.table = true
		return f.bytes()
	}},
	{"N-33", "a compressed bootloader", pdc.ErrModuleFunction, func(p *target.DeviceProfile) []byte {
		f := firmwareFor(p, bootloader, 5000).deflated()
		f.needs = [2]need{}
		return f.bytes()
	}},
	{"N-30", "no image at all", pdc.ErrModuleNotFound, func(*target.DeviceProfile) []byte { return make([]byte, 20) }},
}

func checkBadImages(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		for _, bad := range badImages {
			c.Run(10 * time.Second) // a refusal ends the connection
			mark := c.Now()
			finish, err := transferAll(newTransfer(c, bad.make(c.Profile)))
			if err != nil {
				return fmt.Errorf("%s: %w", bad.name, err)
			}
			judgeNotFinished(r, bad.requirement, name, bad.name, c, mark, finish, bad.want)
		}
		return nil
	})
}

func checkOtherFile(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		t := newTransfer(c, goodImage(c))
		t.sha = make([]byte, len(t.sha))
		mark := c.Now()
		finish, err := transferAll(t)
		if err != nil {
			return err
		}
		Equal(r, "N-29", name, "Finish of an image with another hash than the announced one is refused", finish.Refused, 0, lines(c.Packets(mark))...)
		c.Run(10 * time.Second)
		first, again := c.BeganAnew(mark)
		Equal(r, "N-29", name, "the device connects again", again, true, last(c.Packets(mark))...)
		applied := first.CoAP.Code == coap.POST && len(first.CoAP.Payload) > 6 && first.CoAP.Payload[5]&1 != 0
		Equal(r, "N-29", name, "the device says that it applied an image with another hash", applied, false, last(c.Packets(mark))...)
		return nil
	})
}

func checkMissingDependency(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		f := firmwareFor(c.Profile, userPart, 5000)
		f.needs = [2]need{{systemPart, 1, 60000}}
		mark := c.Now()
		finish, err := transferAll(newTransfer(c, f.bytes()))
		if err != nil {
			return err
		}
		Equal(r, "N-32", name, "Finish of a user part that needs a newer system is refused", finish.Refused, 0, lines(c.Packets(mark))...)
		c.Run(20 * time.Second)
		Equal(r, "N-32", name, "the device says that it is in safe mode", len(heardOf(c.Heard(mark), named(pdc.EventSafeMode))) > 0, true, last(c.Packets(mark))...)
		return nil
	})
}

func checkCancel(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		for _, discard := range []bool{false, true} {
			t := newTransfer(c, goodImage(c))
			if err := t.begin(); err != nil {
				return err
			}
			for i := uint32(1); i <= 4 && i <= t.count(); i++ {
				t.chunk(i)
			}
			c.Run(time.Second)
			mark := c.Now()
			cancelled, err := t.cancel(discard)
			if err != nil {
				return err
			}
			what := fmt.Sprintf("a cancelled transfer (data discarded: %v): ", discard)
			Equal(r, "N-35", name, what+"the answer is a success without statistics", cancelled.Refused == 0 && cancelled.Stats == nil, true, lines(c.Packets(mark))...)
			start, err := t.start()
			if err != nil {
				return err
			}
			want := uint32(4 * chunkSize)
			if discard {
				want = 0
			}
			Equal(r, "N-35", name, what+"the offset of the next Start", start.Offset, want, lines(c.Packets(mark))...)
			_, again := c.BeganAnew(mark)
			Equal(r, "N-35", name, what+"the device begins anew", again, false, lines(c.Packets(mark))...)
		}
		return nil
	})
}

// cuts are the places at which a transfer is cut: after how many chunks, and
// whether Finish was sent and answered.
var cuts = []struct {
	name   string
	chunks func(count uint32) uint32
	finish bool // is sent; its answer is not acknowledged
	want   func(size, chunk uint32) uint32
}{
	{"after Start", func(uint32) uint32 { return 0 }, false, func(uint32, uint32) uint32 { return 0 }},
	{"after the first chunk", func(uint32) uint32 { return 1 }, false, func(_, chunk uint32) uint32 { return chunk }},
	{"in the middle", func(n uint32) uint32 { return n / 2 }, false, func(size, chunk uint32) uint32 { return (size + chunk - 1) / chunk / 2 * chunk }},
	{"with all chunks in", func(n uint32) uint32 { return n }, false, func(size, _ uint32) uint32 { return size }},
	{"before the answer to Finish is acknowledged", func(n uint32) uint32 { return n }, true, func(size, _ uint32) uint32 { return size }},
}

func checkCutTransfer(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, cut := range cuts {
		err := withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
			t := newTransfer(c, goodImage(c))
			if err := t.begin(); err != nil {
				return err
			}
			n := cut.chunks(t.count())
			for i := uint32(1); i <= n; i++ {
				t.chunk(i)
			}
			c.Run(time.Second)
			if cut.finish {
				c.Peer.SetAnswer(peer.Silent)
				if _, err := t.finish(); err != nil {
					return err
				}
				c.Peer.SetAnswer(nil)
			}
			mark := c.Now()
			c.LoseNetwork()
			c.Run(10 * time.Second)
			Equal(r, "N-36", name, "cut "+cut.name+": the device is connected again", c.Connected(), true, lines(c.Packets(mark))...)
			start, err := t.start()
			if err != nil {
				return err
			}
			Equal(r, "N-36", name, "cut "+cut.name+": the offset of the next Start", start.Offset, cut.want(uint32(len(t.image)), t.size), lines(c.Packets(mark))...)
			if start.Offset == uint32(len(t.image)) {
				mark = c.Now()
				if _, err := t.finish(); err != nil {
					return err
				}
				judgeApplied(r, c, name, mark, true)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkStalled(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		t := newTransfer(c, goodImage(c))
		if err := t.begin(); err != nil {
			return err
		}
		t.chunk(1)
		t.chunk(2)
		mark := c.Now() + 1
		c.Run(290 * time.Second)
		_, again := c.BeganAnew(mark)
		Equal(r, "N-37", name, "the device begins anew, or pings, within 290 s without a chunk", again, false, lines(c.Packets(mark))...)
		c.Run(20 * time.Second)
		_, again = c.BeganAnew(mark)
		Equal(r, "N-37", name, "the device begins anew after 300 s without a chunk", again, true, lines(c.Packets(mark))...)
		start, err := t.start()
		if err != nil {
			return err
		}
		Equal(r, "N-37", name, "the offset of the next Start", start.Offset, 2*chunkSize, lines(c.Packets(mark))...)
		return nil
	})
}

func checkResumedTransfer(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, way := range []struct {
		name string
		bend func(t *transfer)
		want uint32
	}{
		{"with another chunk size", func(t *transfer) { t.size = 1024 }, 3 * chunkSize},
		{"with another hash", func(t *transfer) { t.sha[0] ^= 1 }, 0},
		{"with Discard-Data", func(t *transfer) { t.drop = true }, 0},
		{"without a hash", func(t *transfer) { t.sha = nil }, 0},
	} {
		err := withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
			t := newTransfer(c, goodImage(c))
			if err := t.begin(); err != nil {
				return err
			}
			for i := uint32(1); i <= 3; i++ {
				t.chunk(i)
			}
			c.Run(time.Second)
			mark := c.Now()
			if _, err := t.cancel(false); err != nil {
				return err
			}
			way.bend(t)
			start, err := t.start()
			if err != nil {
				return err
			}
			if !Equal(r, "N-38", name, "the offset of a Start "+way.name, start.Offset, way.want, lines(c.Packets(mark))...) || way.want == 0 {
				return nil
			}
			t.all()
			c.Run(time.Second)
			finish, err := t.finish()
			if err != nil {
				return err
			}
			Equal(r, "N-38", name, "Finish of a transfer that went on "+way.name, finish.Refused, 0, last(c.Packets(mark))...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkQuietUpdate(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withTransfer(e, g, r, func(c *target.PuppetCloud, name string) error {
		t := newTransfer(c, goodImage(c))
		if err := t.begin(); err != nil {
			return err
		}
		t.chunk(1)
		c.Run(time.Second)
		mark := c.Now()
		refused := c.Publish("news", []byte("x"))
		c.SyncTime()
		c.Run(2 * time.Minute)
		Equal(r, "D-22", name, "the application is told that its event was not sent", refused != nil, true)
		Equal(r, "D-22", name, "what the device sends by itself while it is updated", len(c.Heard(mark)), 0, lines(c.Packets(mark))...)
		mark = c.Now()
		c.Say(functionCall(c, 0x62, target.FunctionSum, "a"))
		judgeReplies(r, "D-22", name, "what the device says to a call while it is updated", c, mark, c.Heard(mark), []string{"60 00 __ __", "41 44 __ __ 62 ff 00 00 00 61"})
		return nil
	})
}
