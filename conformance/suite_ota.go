package conformance

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func otaSuite() Suite {
	return Suite{
		Name:    "ota",
		Text:    "firmware over the same connection: verified, resumable, safe to interrupt",
		Prepare: switchOn,
		Checks: []Check{
			{
				Name: "update", Text: "an image is sent, validated and applied, and the device comes back with it",
				Provoke: "an image is flashed", Observe: "the messages of the transfer, and the Hello of the device that comes back",
				Requirements: []string{"S13", "C-40", "C-44", "C-46", "D-14", "D-16", "D-17"}, Run: checkUpdate,
			},
			{
				Name: "protocol", Text: "version 3 for devices whose Hello says so, the chunked transfer for all others, never both",
				Provoke: "an image is flashed", Observe: "which messages begin and carry the transfer",
				Requirements: []string{"C-38"}, Needs: []string{"update"}, Judge: judgeProtocol,
			},
			{
				Name: "bad-image", Text: "a damaged, cut or foreign image is refused before anything is sent",
				Provoke: "images that are cut, changed or for another board are flashed", Observe: "that no update is begun",
				Requirements: []string{"S13", "C-39"}, Run: checkBadImage,
			},
			{
				Name: "interrupted", Text: "a transfer whose connection is lost goes on, from where the device stopped in version 3",
				Provoke: "the network fails in the middle of a transfer", Observe: "the chunks behind the reconnect",
				Requirements: []string{"S13", "C-41"}, Run: checkInterrupted,
			},
		},
	}
}

// imageSize is the size in bytes of the images that are sent.
const (
	imageSize      = 9_000
	imageSizeLarge = 48_000
)

// boards returns one device of each board of the group: number n of it, or the
// last if there are fewer.
func boards(g *target.Group, n int) []*target.Device {
	of := make(map[string][]*target.Device)
	var names []string
	for _, d := range g.Devices {
		name := d.Profile.Board.Name
		if of[name] == nil {
			names = append(names, name)
		}
		of[name] = append(of[name], d)
	}
	var list []*target.Device
	for _, name := range names {
		list = append(list, of[name][min(n, len(of[name])-1)])
	}
	return list
}

func checkUpdate(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, boards(g, 0)), func(d *target.Device) { judgeUpdate(ctx, e, d, imageSize, nil, r) })
	return nil
}

// judgeUpdate sends an image and expects that the device runs it.
func judgeUpdate(ctx context.Context, e *target.Env, d *target.Device, size int, progress func(target.Progress), r *Recorder) {
	mark := d.Mark()
	image, err := e.Image(d, size)
	if err != nil {
		return // there is none that the board can run: the check is told
	}
	r.Judged(1)
	same := e.Runs(d, image)
	if err := e.Flash(ctx, d, image, progress); err != nil {
		r.Fail(report.Finding{Requirement: "S13", Device: id(d), Text: "the update failed: " + err.Error(), Packets: last(d.Packets(mark))})
		return
	}
	done := d.Mark()
	applied := false
	settle(ctx, e, func() bool {
		for _, s := range of(messages(d.Packets(mark)), kind(pdc.KindHello)) {
			hello, err := pdc.ParseHello(s.message.CoAP)
			// The virtual device says Hello only: its flag stays away (captures).
			says := err == nil && (hello.Flags&pdc.HelloUpdated != 0 || d.Profile.Board.Virtual)
			applied = applied || says && s.packet.At <= done.At
		}
		// To what it runs already a device goes on with its session, and says nothing.
		return applied || same && resumedBehindUpdate(d.Packets(mark))
	})
	applied = applied || same && resumedBehindUpdate(d.Packets(mark))
	Equal(r, "C-44", id(d), "the device has said that it applied the image when the update is reported as done", applied, true)
	if err := e.Until(ctx, d.Connected); err != nil {
		r.Fail(report.Finding{Requirement: "D-16", Device: id(d), Text: "the device did not come back: " + err.Error()})
	}
}

// resumedBehindUpdate reports whether a device went on with its session behind the end of
// a transfer.
func resumedBehindUpdate(packets []*trace.Packet) bool {
	ended := false
	for _, p := range packets {
		for _, m := range p.Messages() {
			ended = ended || m.Kind == pdc.KindUpdateFinishResponse
		}
		if ended && p.Resume {
			return true
		}
	}
	return false
}

// last shows the last packets, for a finding.
func last(packets []*trace.Packet) []string {
	return lines(packets[max(0, len(packets)-linesMax):])
}

// judgeProtocol compares the way in which updates were begun with what the
// device's Hello said.
func judgeProtocol(c *Conversation, r *Recorder) {
	all := messages(c.Packets)
	v3, legacy := len(of(all, kind(pdc.KindUpdateStart))), len(of(all, kind(pdc.KindUpdateBegin)))
	if v3+legacy == 0 {
		return // nothing was sent to it
	}
	hello, err := helloOf(all)
	if err != nil {
		r.Inconclusive(report.Finding{Device: c.Device, Text: err.Error()})
		return
	}
	wantV3 := hello.Flags&pdc.HelloOTA3 != 0
	Equal(r, "C-38", c.Device, "updates begun by version 3", v3 > 0, wantV3)
	Equal(r, "C-38", c.Device, "updates begun by the chunked transfer", legacy > 0, !wantV3)
}

func helloOf(all []sight) (pdc.Hello, error) {
	hellos := of(all, kind(pdc.KindHello))
	if len(hellos) == 0 {
		return pdc.Hello{}, fmt.Errorf("no Hello was seen")
	}
	return pdc.ParseHello(hellos[0].message.CoAP)
}

func checkBadImage(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, boards(g, 0)), func(d *target.Device) {
		good, err := e.Image(d, imageSize)
		if err != nil {
			return
		}
		flipped := append([]byte(nil), good...)
		flipped[len(flipped)/2] ^= 1
		for what, image := range inOrder(map[string][]byte{
			"a flipped bit": flipped, "cut short": good[:len(good)-100], "for another board": target.ForeignImage(d, imageSize), "no image": []byte("no image"),
		}) {
			mark := d.Mark()
			err := e.Flash(ctx, d, image, nil)
			r.Judged(1)
			if err == nil {
				r.Fail(report.Finding{Requirement: "C-39", Device: id(d), Text: "an image with this fault was sent and applied: " + what})
				continue
			}
			sent := of(messages(d.Packets(mark)), func(s sight) bool {
				return s.message.Kind == pdc.KindUpdateStart || s.message.Kind == pdc.KindUpdateBegin
			})
			Equal(r, "C-39", id(d), "updates begun with an image that is "+what, len(sent), 0)
		}
	})
	return nil
}

func checkInterrupted(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	target.Each(present(r, boards(g, 1)), func(d *target.Device) {
		mark := d.Mark()
		var cut atomic.Bool
		judgeUpdate(ctx, e, d, imageSizeLarge, func(p target.Progress) {
			if p.Sent > p.Total/3 && !cut.Swap(true) {
				d.LoseNetwork()
			}
		}, r)
		if !cut.Load() {
			r.Inconclusive(report.Finding{Device: id(d), Text: "the transfer was over before it could be interrupted"})
			return
		}
		judgeResumption(d, messages(d.Packets(mark)), r)
	})
	return nil
}

// judgeResumption looks at where the second attempt of version 3 began.
func judgeResumption(d *target.Device, all []sight, r *Recorder) {
	offset, starts, stored := uint32(0), 0, false
	for _, s := range all {
		switch {
		case s.message.Kind == pdc.KindUpdateAck && starts == 1:
			stored = stored || s.message.HasChunk && s.message.Chunk > 0
		case !kind(pdc.KindUpdateStartResponse)(s):
		default:
			if answer, err := pdc.ParseUpdateStartResponse(s.message.CoAP); err == nil {
				starts++
				offset = answer.Offset
			}
		}
	}
	switch {
	case starts == 0: // the chunked transfer always starts again
	case starts == 1:
		r.Inconclusive(report.Finding{Device: id(d), Text: "the connection was not lost"})
	case offset == 0 && stored:
		r.Fail(report.Finding{Requirement: "C-41", Device: id(d), Text: "the device wants the whole image again, of which it had a part"})
	case offset == 0:
		r.Remark(report.Finding{Requirement: "C-41", Device: id(d), Text: "the connection was lost before the device had anything"})
	default:
		chunks := of(all, func(s sight) bool { return s.message.Kind == pdc.KindUpdateChunk })
		bytes := 0
		for _, s := range chunks {
			bytes += len(s.message.CoAP.Payload)
		}
		r.Measure(limit{"C-41", fmt.Sprintf("bytes sent in all, for an image of %d", imageSizeLarge), "B", 2*imageSizeLarge - int64(offset), false}, id(d), int64(bytes))
	}
}
