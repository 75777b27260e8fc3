package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func legacySuite() Suite {
	return Suite{
		Name: "legacy",
		Text: "how a device receives an update by the legacy protocol, from a puppet cloud in virtual time",
		Checks: []Check{
			{
				Name: "update", Text: "UpdateBegin, chunks and UpdateDone are answered in order, and the device comes back with the image",
				Provoke: "a puppet cloud sends an image in fast mode, and in slow mode", Observe: "the answers to the last byte, and the flag in the next Hello",
				Requirements: []string{"D-17"}, Skip: onlyLegacy, Run: checkLegacyReceived,
			},
			{
				Name: "bad-checksum", Text: "a chunk with a wrong checksum is missing in fast mode, and refused in slow mode",
				Provoke: "a puppet cloud sends chunks with wrong checksums", Observe: "the answers, and the list of missing chunks",
				Requirements: []string{"N-40", "N-41", "D-17"}, Skip: onlyLegacy, Run: checkBadChecksum,
			},
			{
				Name: "stray", Text: "a chunk and an UpdateDone without an update end the connection of 0.5, and are met with silence and an answer later",
				Provoke: "a puppet cloud sends both without an UpdateBegin", Observe: "the replies, and whether the device begins anew",
				Requirements: []string{"N-42"}, Skip: onlyLegacy, Run: checkStrayChunks,
			},
			{
				Name: "all-lost", Text: "a device that got no chunk at all asks for a few",
				Provoke: "a puppet cloud sends UpdateBegin and UpdateDone and nothing between", Observe: "the list of missing chunks",
				Requirements: []string{"N-43"}, Skip: onlyLegacy, Run: checkAllLost,
			},
			{
				Name: "refusals", Text: "another store, a file that is too large and too many chunks are refused: 4.00 up to 1.1, 5.03 from 1.2 on",
				Provoke: "a puppet cloud sends UpdateBegin in three wrong ways", Observe: "the replies to the last byte",
				Requirements: []string{"N-44"}, Skip: onlyLegacy, Run: said(legacyOnly(beginRefusals)),
			},
			{
				Name: "bad-image", Text: "an image that is wrong is answered with 2.04 and an error in it, and the device restarts with the old one",
				Provoke: "a puppet cloud sends an image for another platform, and one that is cut", Observe: "the answer, and the flag in the next Hello",
				Requirements: []string{"N-45"}, Skip: skipAny(onlyLegacy, onlyReal(takesAll)), Run: checkLegacyBadImage,
			},
			{
				Name: "interrupted", Text: "a lost connection ends the update, and the next one begins from nothing",
				Provoke: "the device loses its network in the middle, and the puppet cloud goes on", Observe: "the list of missing chunks of the next attempt",
				Requirements: []string{"N-46"}, Skip: onlyLegacy, Run: checkLegacyCut,
			},
			{
				Name: "other-protocol", Text: "a device answers nothing of the update protocol that it does not speak",
				Provoke: "a puppet cloud sends a Start to a legacy device, and an UpdateBegin to another", Observe: "that nothing comes back, and that a ping is answered",
				Requirements: []string{"N-47"}, Run: said(otherProtocol),
			},
		},
	}
}

// legacyOnly are the lines for boards without OTA protocol v3 only.
func legacyOnly(list []line) []line {
	own := append([]line(nil), list...)
	for i := range own {
		own[i].only = "legacy"
	}
	return own
}

// withLegacy runs a check with a device that is updated by the legacy protocol.
func withLegacy(e *target.Env, g *target.Group, r *Recorder, f func(c *target.PuppetCloud, name string) error) error {
	return withPuppetCloud(e, g, r, target.Stagecraft{}, func(c *target.PuppetCloud, name string) error {
		if c.Profile.OTA3() {
			return nil
		}
		if err := c.MadeUp(); err != nil {
			return err
		}
		return f(c, name)
	})
}

// A chunked is an update by the legacy protocol that a puppet cloud sends.
type chunked struct {
	c     *target.PuppetCloud
	image []byte
	slow  bool
}

// begin offers the image and returns what the device says.
func (u *chunked) begin() []target.Heard {
	mark := u.c.Now()
	u.c.Tell(pdc.UpdateBegin{Token: []byte{0xa1}, Fast: !u.slow, ChunkSize: chunkSize, Length: uint32(len(u.image))})
	return u.heard(mark, 2)
}

// heard returns what the device says, of which n messages must come.
func (u *chunked) heard(mark clock.Instant, n int) []target.Heard {
	if heard := func() []target.Heard { return u.c.Heard(mark) }; len(heard()) < n && u.c.Patient(func() bool { return len(heard()) >= n }) {
		u.c.Settle(time.Second)
	}
	return u.c.Heard(mark)
}

func (u *chunked) count() int { return (len(u.image) + chunkSize - 1) / chunkSize }

// chunk sends the chunk of that index, from 0, and returns what the device says.
func (u *chunked) chunk(i int, good bool) []target.Heard {
	data := make([]byte, chunkSize)
	copy(data, u.image[i*chunkSize:])
	m := pdc.Chunk{Token: []byte{byte(0x10 + i)}, CRC: pdc.ChunkCRC(data), Fast: !u.slow, Index: uint16(i), Data: data}
	if !good {
		m.CRC++
	}
	mark := u.c.Now()
	u.c.Tell(m)
	n := 0
	if u.slow {
		n = 2
	}
	return u.heard(mark, n)
}

// done ends the update and returns what the device says, until it is back.
func (u *chunked) done() []target.Heard {
	mark := u.c.Now()
	u.c.Tell(pdc.UpdateDone{Token: []byte{0xa4}})
	return u.heard(mark, 1)
}

// doneAnswer is the answer to UpdateDone as a pattern, with the result in it since 0.8.
func doneAnswer(p *target.DeviceProfile, result string) string {
	switch system := p.Version.System; {
	case system < pdc.OS0_8:
		return "61 44 __ __ a4"
	case system < pdc.OS2_0:
		return "61 44 __ __ a4 ff 7b 22 72 22 3a*"
	default:
		return "61 44 __ __ a4 ff" + fmt.Sprintf("%x", `{"r":`) + result
	}
}

func checkLegacyReceived(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, slow := range []bool{false, true} {
		err := withLegacy(e, g, r, func(c *target.PuppetCloud, name string) error {
			u := &chunked{c: c, image: firmwareFor(c.Profile, userPart, 1500).bytes(), slow: slow}
			mark, ready := c.Now(), "ff 01"
			if slow {
				ready = "ff 00"
			}
			judgeReplies(r, "D-17", name, fmt.Sprintf("the answers to UpdateBegin (slow: %v)", slow), c, mark, u.begin(), []string{"60 00 __ __", "?1 44 __ __ a1" + ready})
			for i := range u.count() {
				var want []string
				if slow {
					want = []string{"60 00 __ __", fmt.Sprintf("?1 44 __ __ %02x", 0x10+i)}
				}
				mark := c.Now()
				judgeReplies(r, "D-17", name, fmt.Sprintf("the answers to chunk %d (slow: %v)", i, slow), c, mark, u.chunk(i, true), want)
			}
			mark = c.Now()
			answers := u.done()
			judgeReplies(r, "D-17", name, "the answer to UpdateDone", c, mark, answers[:min(1, len(answers))], []string{doneAnswer(c.Profile, "30 7d")})
			judgeRestarted(r, "D-17", c, name, mark, true)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// judgeRestarted expects that the device restarts, with the flag of a Hello that
// says that its update was applied, or without.
func judgeRestarted(r *Recorder, requirement string, c *target.PuppetCloud, name string, mark clock.Instant, applied bool) {
	c.Return(mark, 20*time.Second)
	hellos := heardOf(c.Heard(mark), asks(coap.POST, "h"))
	flag := false
	for _, m := range hellos {
		flag = flag || len(m.CoAP.Payload) > 5 && m.CoAP.Payload[5]&1 != 0
	}
	if !applied && c.Profile.Board.UDP {
		// Nothing has changed, so that the device may resume without a Hello.
		_, again := c.BeganAnew(mark)
		Equal(r, requirement, name, "the device begins anew after its update", again, true, last(c.Packets(mark))...)
	} else {
		Equal(r, requirement, name, "the device says Hello after its update", len(hellos) > 0, true, last(c.Packets(mark))...)
	}
	if c.Profile.Board.Virtual {
		unseen(r, requirement, name, "the flag of an update that was applied: the virtual device sets none")
		return
	}
	Equal(r, requirement, name, "the flag that says that the update was applied", flag, applied, last(c.Packets(mark))...)
}

func checkBadChecksum(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLegacy(e, g, r, func(c *target.PuppetCloud, name string) error {
		u := &chunked{c: c, image: firmwareFor(c.Profile, userPart, 3000).bytes()}
		u.begin()
		for i := range u.count() {
			mark := c.Now()
			judgeReplies(r, "N-40", name, fmt.Sprintf("the answer to chunk %d", i), c, mark, u.chunk(i, i != 3), nil)
		}
		mark := c.Now()
		judgeReplies(r, "N-40", name, "the answer to UpdateDone with chunk 3 damaged", c, mark, u.done(),
			[]string{"61 80 __ __ a4", missedHead(c.Profile) + " __ __ b1 63 ff 00 03"})
		mark = c.Now()
		u.chunk(3, true)
		u.finishAlone(r, name, mark)

		slow := &chunked{c: c, image: u.image, slow: true}
		c.Calm(30 * time.Second)
		slow.begin()
		mark = c.Now()
		judgeReplies(r, "N-41", name, "the answers to a damaged chunk in slow mode", c, mark, slow.chunk(0, false), []string{"60 00 __ __", "?1 80 __ __ 10"})
		mark = c.Now()
		judgeReplies(r, "N-41", name, "the answers to the same chunk when it is good", c, mark, slow.chunk(0, true), []string{"60 00 __ __", "?1 44 __ __ 10"})
		return nil
	})
}

// missedHead is type, token length and code of ChunkMissed: Confirmable up to 1.x,
// then over UDP only.
func missedHead(p *target.DeviceProfile) string {
	if p.Board.UDP || p.Version.System < pdc.OS2_0 {
		return "40 01"
	}
	return "50 01"
}

// finishAlone expects the end of an update whose last chunk has come: by the device
// itself up to 0.7, else by another UpdateDone.
func (u *chunked) finishAlone(r *Recorder, name string, mark clock.Instant) {
	if u.c.Profile.Version.System >= pdc.OS0_8 {
		answers := u.done()
		judgeReplies(r, "D-17", name, "the answer to a second UpdateDone", u.c, mark, answers[:min(1, len(answers))], []string{doneAnswer(u.c.Profile, "30 7d")})
	}
	judgeRestarted(r, "D-17", u.c, name, mark, true)
	if u.c.Profile.Version.System < pdc.OS0_8 {
		own := heardOf(u.c.Heard(mark), asks(coap.PUT, "u"))
		Equal(r, "D-17", name, "UpdateDones of the device's own", len(own), 1, last(u.c.Packets(mark))...)
	}
}

const (
	strayChunk = "51 02 20 51 a2 b1 63 44 1c 61 35 76 02 00 03 ff 00"
	strayDone  = "41 03 20 52 a4 b1 75"
)

var strayLines = []line{
	{requirement: "N-42", name: "a chunk in 0.5", until: pdc.OS0_6, say: strayChunk, then: gone},
	{requirement: "N-42", name: "UpdateDone in 0.5", until: pdc.OS0_6, say: strayDone, then: gone},
	{requirement: "N-42", name: "a chunk", since: pdc.OS0_6, say: strayChunk},
	{requirement: "N-42", name: "UpdateDone", since: pdc.OS0_6, say: strayDone, want: []string{"61 44 20 52 a4*"}},
}

func checkStrayChunks(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return checkLines(legacyOnly(strayLines))(e, g, r, target.Stagecraft{})
}

func checkAllLost(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLegacy(e, g, r, func(c *target.PuppetCloud, name string) error {
		u := &chunked{c: c, image: firmwareFor(c.Profile, userPart, 60_000).bytes()}
		u.begin()
		mark := c.Now()
		u.done()
		asked := heardOf(c.Heard(mark), asks(coap.GET, "c"))
		if !Equal(r, "N-43", name, "the device asks for what it lacks", len(asked) > 0, true, lines(c.Packets(mark))...) {
			return nil
		}
		want := 2 // of those received, and a fifth more, but two at the least
		if g.System < pdc.OS0_8 {
			want = 50
		}
		Equal(r, "N-43", name, "chunks that it asks for at once", len(asked[0].CoAP.Payload)/2, want, lines(c.Packets(mark))...)
		return nil
	})
}

const beginHead = "41 02 20 50 a1 b1 75 ff 01 02 00 "

var beginRefusals = []line{
	{requirement: "N-44", name: "store 1 up to 1.1", until: pdc.OS1_2, say: beginHead + "00 00 03 e8 01 00 00 00 00", want: []string{"60 80 20 50"}},
	{requirement: "N-44", name: "store 1", since: pdc.OS1_2, say: beginHead + "00 00 03 e8 01 00 00 00 00", want: []string{"61 a3 20 50 a1"}},
	{requirement: "N-44", name: "32 MiB up to 1.1", until: pdc.OS1_2, say: "41 02 20 53 a1 b1 75 ff 01 02 00 02 00 00 00 00 00 00 00 00", want: []string{"60 80 20 53"}},
	{requirement: "N-44", name: "32 MiB", since: pdc.OS1_2, say: "41 02 20 53 a1 b1 75 ff 01 02 00 02 00 00 00 00 00 00 00 00", want: []string{"61 a3 20 53 a1"}},
	{requirement: "N-44", name: "65535 chunks up to 1.1", until: pdc.OS1_2, say: "41 02 20 54 a1 b1 75 ff 01 00 01 00 00 ff ff 00 00 00 00 00", want: []string{"60 80 20 54"}},
	{requirement: "N-44", name: "65535 chunks", since: pdc.OS1_2, say: "41 02 20 54 a1 b1 75 ff 01 00 01 00 00 ff ff 00 00 00 00 00", want: []string{"61 a3 20 54 a1"}},
}

func checkLegacyBadImage(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, bad := range []struct {
		name  string
		image func(p *target.DeviceProfile) []byte
	}{
		{"an image for another platform", func(p *target.DeviceProfile) []byte {
			f := firmwareFor(p, userPart, 1500)
			f.platform++
			return f.bytes()
		}},
		{"an image that is cut", func(p *target.DeviceProfile) []byte { return firmwareFor(p, userPart, 1500).bytes()[:1000] }},
	} {
		err := withLegacy(e, g, r, func(c *target.PuppetCloud, name string) error {
			u := &chunked{c: c, image: bad.image(c.Profile)}
			u.begin()
			for i := range u.count() {
				u.chunk(i, true)
			}
			mark := c.Now()
			answers := u.done()
			judgeReplies(r, "N-45", name, bad.name+": the answer to UpdateDone", c, mark, answers[:min(1, len(answers))], []string{doneAnswer(c.Profile, "2d*")})
			judgeRestarted(r, "N-45", c, name, mark, false)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkLegacyCut(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLegacy(e, g, r, func(c *target.PuppetCloud, name string) error {
		u := &chunked{c: c, image: firmwareFor(c.Profile, userPart, 3000).bytes()}
		u.begin()
		for i := range 3 {
			u.chunk(i, true)
		}
		mark := c.Now()
		c.LoseNetwork()
		c.Run(20 * time.Second)
		Equal(r, "N-46", name, "the device is connected again", c.Connected(), true, lines(c.Packets(mark))...)
		mark = c.Now()
		judgeReplies(r, "N-46", name, "the answers to UpdateBegin after a lost connection", c, mark, u.begin(), []string{"60 00 __ __", "?1 44 __ __ a1 ff 01"})
		for i := 3; i < u.count(); i++ {
			u.chunk(i, true)
		}
		mark = c.Now()
		u.done()
		asked := heardOf(c.Heard(mark), asks(coap.GET, "c"))
		got := "nothing"
		if len(asked) > 0 {
			got = fmt.Sprintf("% x", asked[0].CoAP.Payload)
		}
		Equal(r, "N-46", name, "the chunks that the device lacks are those of before", got, "00 00 00 01 00 02", lines(c.Packets(mark))...)
		return nil
	})
}

var otherProtocol = []line{
	{requirement: "N-47", name: "a Start", only: "legacy", say: "41 02 20 70 b1 b1 53 e2 06 f1 03 e8 82 02 00"},
	{requirement: "N-47", name: "a Finish", only: "legacy", say: "41 02 20 71 b1 b1 46"},
	{requirement: "N-47", name: "an UpdateBegin", only: "v3", say: "41 02 20 72 a1 b1 75 ff 01 02 00 00 00 03 e8 00 00 00 00 00"},
	{requirement: "N-47", name: "an UpdateDone", only: "v3", say: "41 03 20 73 a4 b1 75"},
}
