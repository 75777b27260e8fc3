package conformance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func hostileSuite() Suite {
	return Suite{
		Name:    "hostile",
		Prepare: switchOn,
		Text:    "bytes from anybody are met with silence, and live sessions go on",
		Checks: []Check{
			{
				Name: "forged-records", Text: "forged, cut and empty records of a live session: silence, and the session and its address stay",
				Provoke: "forged and cut records of a live session are sent from an address of nobody", Observe: "that nothing comes back, and that the session still works",
				Requirements: []string{"S2", "R-54", "R-55", "R-59", "R-66", "R-67", "R-89"}, Skip: onlyUDP, Run: checkForged,
			},
			{
				Name: "unknown-sessions", Text: "records of sessions that nobody knows: silence",
				Provoke: "records with ids of nobody are sent", Observe: "that nothing comes back",
				Requirements: []string{"R-68"}, Skip: onlyUDP, Run: checkUnknownSessions,
			},
			{
				Name: "plaintext", Text: "alerts and data without protection after the handshake are ignored",
				Provoke: "alerts and data without protection are sent, alone and before a record of a live session", Observe: "that nothing comes back, and that the session still works",
				Requirements: []string{"R-58"}, Skip: onlyUDP, Run: checkPlaintext,
			},
			{
				Name: "bad-hellos", Text: "ClientHellos of another version, without cookie or with a wrong one get no flight, and never more bytes than they have",
				Provoke: "ClientHellos without a cookie, with a wrong one, of DTLS 1.0, and cut ones are sent", Observe: "type and size of what comes back",
				Requirements: []string{"R-22", "R-23", "R-48", "R-92"}, Skip: onlyUDP, Run: checkBadHellos,
			},
			{
				Name: "probe", Text: "a reachability probe comes back as it is, a malformed one does not",
				Provoke: "probes of several sizes and malformed ones are sent", Observe: "what comes back, byte for byte",
				Requirements: []string{"R-85", "R-86"}, Skip: onlyUDP, Run: checkProbe,
			},
			{
				Name: "bad-streams", Text: "bad first bytes close the connection without a byte",
				Provoke: "bytes that are no C1 are sent over TCP", Observe: "that nothing follows the nonce",
				Requirements: []string{"R-4"}, Skip: onlyTCP, Run: checkBadStreams,
			},
			{
				Name: "bad-frames", Text: "a frame of a wrong length or with bad padding ends the connection without an answer",
				Provoke: "puppet devices send frames with bent lengths and padding", Observe: "that the cloud sends no frame",
				Requirements: []string{"R-10"}, Skip: onlyTCP, Run: checkBadFrames,
			},
		},
	}
}

// lastRecord returns the last protected record that a device sent.
func lastRecord(d *target.Device) *trace.Record {
	packets := d.Packets(start)
	for i := len(packets) - 1; i >= 0; i-- {
		if packets[i].Direction != trace.Up {
			continue
		}
		for j := range packets[i].Records {
			if r := &packets[i].Records[j]; r.Epoch == 1 && r.Message != nil {
				return r
			}
		}
	}
	return nil
}

// forge returns a record that looks like the next one of the device but for its
// tag: nobody without the keys can do better.
func forge(d *target.Device, rec *trace.Record, payload []byte) []byte {
	number := gen.U(8, 1<<48|(rec.Sequence+1))
	body := gen.Cat(number, payload)
	if rec.CID.Len() > 0 {
		cid := rec.CID
		return gen.Cat([]byte{25, 0xfe, 0xfd}, number, cid.Bytes(), gen.U(2, uint64(len(body))), body)
	}
	record := gen.Cat([]byte{23, 0xfe, 0xfd}, number, gen.U(2, uint64(len(body))), body)
	return gen.Moved254(record, d.ID[:])
}

// garbage is 32 bytes that no key made.
var garbage = []byte("these bytes were never protected")

func checkForged(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range present(r, g.Sample(3)) {
		rec := lastRecord(d)
		if rec == nil {
			r.Inconclusive(report.Finding{Device: d.Hex(), Text: "no record of it was seen"})
			continue
		}
		forged := forge(d, rec, garbage)
		hostile := [][]byte{
			forged,
			gen.Moved253(forged),
			gen.Cat(forged, []byte("trailing garbage")),
			gen.Set(forged, 3, 0, 2),    // another epoch
			gen.Set(forged, 1, 0xfe, 0), // another version
			forge(d, rec, nil),          // no room for a tag
			gen.Moved254(forged[:min(len(forged), 40)], []byte("no such id!!")),
		}
		for n := range len(forged) {
			hostile = append(hostile, forged[:n])
		}
		expectSilence(ctx, e, d, "R-54", hostile, r)
		judgeAlive(ctx, e, d, r)
	}
	return nil
}

// expectSilence sends datagrams from an address of nobody, and expects no answer
// to any.
func expectSilence(ctx context.Context, e *target.Env, d *target.Device, requirement string, hostile [][]byte, r *Recorder) {
	replies, err := e.Inject(ctx, hostile)
	if err != nil {
		r.Inconclusive(report.Finding{Device: d.Hex(), Text: err.Error()})
		return
	}
	r.Judged(len(hostile))
	for _, reply := range replies {
		r.Fail(report.Finding{Requirement: requirement, Device: d.Hex(), Text: "the cloud answered to hostile bytes", Actual: hex.EncodeToString(reply)})
	}
}

// judgeAlive expects that the session still works, at the device's address.
func judgeAlive(ctx context.Context, e *target.Env, d *target.Device, r *Recorder) {
	mark := d.Mark()
	judgeCall(ctx, e, d, target.FunctionSum, d.Hex(), target.Sum(d.Hex()), r)
	for _, h := range handshakes(d.Packets(mark), trace.Up) {
		if h.Type == trace.ClientHello {
			r.Fail(report.Finding{Requirement: "R-54", Device: d.Hex(), Text: "the device had to connect anew"})
		}
	}
}

func checkUnknownSessions(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	d := g.Devices[0]
	var hostile [][]byte
	for i := range 50 {
		number := gen.U(8, 1<<48|uint64(i))
		body := gen.Cat(number, garbage)
		cid := gen.U(8, 0x1234567800000000|uint64(i))
		record := gen.Cat([]byte{25, 0xfe, 0xfd}, number, cid, gen.U(2, uint64(len(body))), body)
		plain := gen.Cat([]byte{23, 0xfe, 0xfd}, number, gen.U(2, uint64(len(body))), body)
		hostile = append(hostile, record, gen.Moved253(record), plain, gen.Moved254(plain, []byte(fmt.Sprintf("no device%03d", i))))
	}
	expectSilence(ctx, e, d, "R-68", hostile, r)
	return nil
}

func checkPlaintext(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, d := range present(r, g.Sample(2)) {
		plain := func(contentType byte, body []byte) []byte {
			return gen.Cat([]byte{contentType, 0xfe, 0xfd}, gen.U(8, 9), gen.U(2, uint64(len(body))), body)
		}
		rec := lastRecord(d)
		if rec == nil {
			r.Inconclusive(report.Finding{Device: d.Hex(), Text: "no record of it was seen"})
			continue
		}
		var hostile [][]byte
		for _, p := range [][]byte{plain(21, []byte{2, 40}), plain(21, []byte{1, 0}), plain(23, []byte{0x40, 0, 0, 1}), plain(20, []byte{1})} {
			// Alone it comes from nobody; a record behind it names the session.
			hostile = append(hostile, p, gen.Cat(p, forge(d, rec, garbage)))
		}
		expectSilence(ctx, e, d, "R-58", hostile, r)
		judgeAlive(ctx, e, d, r)
	}
	return nil
}

// oldVersion is what a cloud answers with an alert or not at all.
const oldVersion = "of DTLS 1.0"

func checkBadHellos(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	random := make([]byte, 32)
	copy(random, garbage)
	hello := gen.DeviceHello('F', random)
	good := recordOf(hello.Message())
	wrong := hello
	wrong.Cookie = make([]byte, 32)
	for what, datagram := range inOrder(map[string][]byte{
		"without a cookie": good, "with a wrong cookie": recordOf(wrong.Message()),
		oldVersion: gen.Set(good, 13+12, 0xfe, 0xff), "cut short": good[:len(good)-10],
	}) {
		replies, err := e.InjectHello(ctx, datagram)
		if err != nil {
			return err
		}
		r.Judged(1)
		total := 0
		for _, reply := range replies {
			total += len(reply)
			h, err := dtls.PeekHeader(reply)
			if err != nil || h.Type != dtls.TypeHandshake {
				continue
			}
			if what == oldVersion {
				r.Fail(report.Finding{Requirement: "R-48", Text: "a ClientHello " + what + " is let in", Actual: hex.EncodeToString(reply)})
			} else if reply[13] != byte(trace.HelloVerifyRequest) {
				r.Fail(report.Finding{Requirement: "R-23", Text: "a ClientHello " + what + " got a flight", Actual: hex.EncodeToString(reply)})
			}
		}
		if total > len(datagram) {
			r.Fail(report.Finding{
				Requirement: "R-92", Text: "a ClientHello " + what + " got more bytes than it has",
				Expected: fmt.Sprintf("at most %d", len(datagram)), Actual: fmt.Sprint(total),
			})
		}
	}
	return nil
}

// recordOf returns a datagram with one handshake message in epoch 0.
func recordOf(m gen.Handshake) []byte {
	body := m.Bytes()
	return gen.Cat([]byte{22, 0xfe, 0xfd}, gen.U(8, 0), gen.U(2, uint64(len(body))), body)
}

func checkProbe(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	probe := func(epoch, length uint64, payload int) []byte {
		return gen.Cat([]byte{252, 0xfe, 0xfd}, gen.U(2, epoch), gen.U(6, 7), gen.U(2, length), make([]byte, payload))
	}
	for _, size := range []int{1, 100, pdc.ProbeMax - 13} {
		datagram := probe(0x8001, uint64(size), size)
		replies, err := e.Inject(ctx, [][]byte{datagram})
		if err != nil && !errors.Is(err, target.ErrNoEcho) {
			return err
		}
		Equal(r, "R-85", "", fmt.Sprintf("answers to a probe of %d bytes", len(datagram)), len(replies), 1)
		if len(replies) == 1 {
			Equal(r, "R-85", "", "the echo", hex.EncodeToString(replies[0]), hex.EncodeToString(datagram))
		}
	}
	expectSilence(ctx, e, g.Devices[0], "R-86", [][]byte{
		probe(0x0001, 10, 10), probe(0x8001, 11, 10), probe(0x8001, 0, 0), probe(0x8001, 600, 600),
	}, r)
	return nil
}

func checkBadStreams(ctx context.Context, e *target.Env, _ *target.Group, r *Recorder) error {
	for what, bytes := range inOrder(map[string][]byte{
		"256 zeros":            make([]byte, 256),
		"256 bytes of ff":      gen.Cat(bytesOfFF(256)),
		"a request for a page": gen.Cat([]byte("GET / HTTP/1.1\r\nHost: cloud.example.org\r\n\r\n"), make([]byte, 256)),
	}) {
		reply, err := e.InjectStream(ctx, bytes)
		if err != nil {
			return err
		}
		Equal(r, "R-4", "", "bytes that the cloud sent after its nonce, to "+what, len(reply)-40, 0)
	}
	return nil
}

func bytesOfFF(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

func checkBadFrames(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for what, fault := range inOrder(map[string]lightssl.FrameFaults{
		"no bytes": lightssl.FaultEmptyFrame, "a length that is no multiple of 16": lightssl.FaultOddLength,
		"bad padding": lightssl.FaultBadPadding,
	}) {
		v, err := e.Virtual(g.Devices[0].Profile, e.Seed(), target.Puppet{
			Device: func(c *target.DeviceConfig) {
				c.Faults = new(target.DeviceFaults)
				c.Faults.Stream.Frames = fault
			},
		})
		if err != nil {
			return err
		}
		v.PowerOn()
		v.Run(15 * time.Second) // before a ping would come
		frames := map[trace.Direction]int{}
		for _, p := range v.Packets(0) {
			for i := range p.Records {
				if p.Records[i].Unit == trace.Frame {
					frames[p.Direction]++
				}
			}
		}
		if frames[trace.Up] == 0 {
			r.Inconclusive(report.Finding{Text: "the device did not come as far as a frame with " + what})
			continue
		}
		Equal(r, "R-10", g.Devices[0].Profile.String(), "answers to a frame with "+what, frames[trace.Down], 0)
	}
	return nil
}
