package conformance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

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
	if !e.Sees(target.Tailoring) {
		unseen(r, "N-25", g.String(), "updates that are disabled")
		return checkTooLarge(e, g, r)
	}
	err := checkLines(v3(disabledLines))(e, g, r, target.Stagecraft{Device: func(c *target.DeviceConfig) { c.UpdatesDisabled = true }})
	if err != nil {
		return err
	}
	return checkTooLarge(e, g, r)
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
		c.Settle(time.Second)
		mark := c.Now()
		again, err := t.start()
		if err != nil {
			return err
		}
		Equal(r, "N-26", name, "the offset of a second Start of the same file", again.Offset, kept(c, 2*chunkSize), lines(c.Packets(mark))...)
		mark = c.Now()
		other := newTransfer(c, salted(c, firmwareFor(c.Profile, userPart, 6000)))
		first, err := other.start()
		if err != nil {
			return err
		}
		Equal(r, "N-26", name, "the offset of a second Start of another file", first.Offset, 0, lines(c.Packets(mark))...)
		Equal(r, "N-26", name, "the device refuses a second Start", first.Refused, 0, lines(c.Packets(mark))...)
		return nil
	})
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
		c.Settle(time.Second)
		mark := c.Now()
		finish, err := t.finish()
		if err != nil {
			return err
		}
		judgeNotFinished(r, "N-28", name, "Finish with chunks missing", c, mark, finish, pdc.ErrProtocol)
		c.Return(mark, 5*time.Second)
		_, again := c.BeganAnew(mark)
		Equal(r, "N-28", name, "the device begins anew after its refusal was acknowledged", again, true, lines(c.Packets(mark))...)
		start, err := t.start()
		if err != nil {
			return err
		}
		Equal(r, "N-28", name, "the offset of the next Start", start.Offset, kept(c, 2*chunkSize), lines(c.Packets(mark))...)
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
	t.c.Settle(time.Second)
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
		mark := c.Now()
		for i, bad := range badImages {
			if i > 0 {
				c.Return(mark, 10*time.Second) // a refusal ends the connection
			}
			mark = c.Now()
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
		c.Return(mark, 10*time.Second)
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
		c.Return(mark, 20*time.Second)
		Equal(r, "N-32", name, "the device says that it is in safe mode", len(heardOf(c.Heard(mark), named(pdc.EventSafeMode))) > 0, true, last(c.Packets(mark))...)
		return nil
	})
}

func checkTooLarge(e *target.Env, g *target.Group, r *Recorder) error {
	if why := onlyReal("has no limit")(g); why != "" {
		unseen(r, "N-25", g.String(), "a file that is too large: "+why)
		return nil
	}
	return checkLines(v3(tooLargeLines))(e, g, r, target.Stagecraft{})
}

// kept is where a transfer goes on that was interrupted. The virtual device does not read
// back what it has.
func kept(c *target.PuppetCloud, offset uint32) uint32 {
	if c.Profile.Board.ForgetsPartial {
		return 0
	}
	return offset
}
