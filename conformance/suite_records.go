package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
)

func recordsSuite() Suite {
	return Suite{
		Name: "records",
		Text: "protected records: how they are opened, and what of them is dropped, in virtual time",
		Checks: []Check{
			{
				Name: "connection-id", Text: "records with a connection id are opened by the rules of the draft, types 25 and 253, and those of RFC 9146 dropped",
				Provoke:      "a forged device pings in records of each kind",
				Observe:      "which ping is acknowledged",
				Requirements: []string{"R-49", "R-50", "R-51"}, Skip: onlyWithConnectionID, Run: checkRecordKinds,
			},
			{
				Name: "replay", Text: "a record that comes again is neither carried out nor answered",
				Provoke:      "a forged device sends an event, and its datagram comes again, from it and from elsewhere",
				Observe:      "acknowledgements, and copies of the event",
				Requirements: []string{"R-52"}, Skip: onlyUDP, Run: checkReplay,
			},
			{
				Name: "window", Text: "63 below the highest sequence is taken, 64 below is not",
				Provoke:      "a forged device holds records back and sends them late",
				Observe:      "which ping is acknowledged",
				Requirements: []string{"R-53"}, Skip: onlyUDP, Run: checkWindow,
			},
			{
				Name: "mutations", Text: "a record that is changed or cut anywhere is dropped without a word, and the session goes on",
				Provoke:      "every bit of the header and some behind it are flipped, every length is cut, epoch, length and what follows are bent",
				Observe:      "that nothing comes back, and that the next ping is acknowledged",
				Requirements: []string{"R-54", "R-59", "R-89"}, Skip: onlyUDP, Run: checkMutations,
			},
			{
				Name: "nothing-inside", Text: "an authentic record with nothing but zeros inside is dropped",
				Provoke:      "a forged device seals zeros, and nothing at all",
				Observe:      "that nothing comes back, and that the next ping is acknowledged",
				Requirements: []string{"R-55"}, Skip: onlyWithConnectionID, Run: checkNothingInside,
			},
			{
				Name: "down", Text: "records to the device have type 23, no connection id, and a size that it can take",
				Provoke:      "the cloud is made to send events of all lengths",
				Observe:      "every record of the cloud",
				Requirements: []string{"R-56", "R-96"}, Skip: onlyUDP, Run: checkDownRecords,
			},
			{
				Name: "several", Text: "all records of a datagram are taken, in order",
				Provoke:      "a forged device puts three pings into one datagram",
				Observe:      "the acknowledgements and their order",
				Requirements: []string{"R-57"}, Skip: onlyUDP, Run: checkSeveralRecords,
			},
			{
				Name: "unprotected", Text: "data and alerts without protection are ignored in a session",
				Provoke:      "alerts and a ping of epoch 0 come from the device's own address",
				Observe:      "that nothing comes back, and that the next ping is acknowledged",
				Requirements: []string{"R-58"}, Skip: onlyUDP, Run: checkUnprotected,
			},
			{
				Name: "device-closes", Text: "close_notify of the device ends the session, and a handshake works behind it",
				Provoke:      "a forged device sends close_notify, then pings, then connects anew",
				Observe:      "that the ping is not acknowledged, and that the handshake completes",
				Requirements: []string{"R-62"}, Skip: onlyUDP, Run: checkDeviceCloses,
			},
			{
				Name: "noise", Text: "a device ignores what its release ignores, and its session goes on",
				Provoke:      "a puppet cloud sends replays, forgeries, other epochs and types, records without protection and short datagrams",
				Observe:      "that the device says nothing, and answers the next ping in the same session",
				Requirements: []string{"R-60"}, Skip: onlyUDP, Run: checkNoise,
			},
			{
				Name: "cloud-closes", Text: "an authentic close_notify or fatal alert makes the device forget its session",
				Provoke:      "a puppet cloud sends either",
				Observe:      "that a ClientHello comes next, and no record of the old session",
				Requirements: []string{"R-61"}, Skip: onlyUDP, Run: checkCloudCloses,
			},
		},
	}
}

// pinged numbers a ping and returns the record that holds it.
func (f *forged) pinged() (gen.Sealed, uint16) {
	message, id := f.numbered(ping)
	return f.record(message), id
}

// answersTo sends datagrams from the device's address, and returns whether an ID
// was acknowledged then.
func (f *forged) answersTo(id uint16, datagrams ...[]byte) bool {
	before := len(f.acks(id))
	f.w.Send(f.from, datagrams...)
	return f.w.Patient(func() bool { return len(f.acks(id)) > before })
}

// ignores sends datagrams, and returns whether an ID was not acknowledged then.
func (f *forged) ignores(id uint16, datagrams ...[]byte) bool {
	before := len(f.acks(id))
	f.w.Send(f.from, datagrams...)
	return len(f.acks(id)) == before
}

func checkRecordKinds(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f := w.device(w.Home(forgedPort), "one")
		if err := f.begin(); err != nil {
			return err
		}
		if !w.expect("R-49", "a Finished in a record with the additional data of the draft is taken", f.finish()) {
			return nil
		}
		if err := f.greet(); err != nil {
			return err
		}
		s, id := f.pinged()
		w.expect("R-49", "a record of type 25 with the additional data of the draft is taken", f.answersTo(id, s.Bytes()))
		s, id = f.pinged()
		w.expect("R-50", "a record of type 253 is taken as one of type 25", f.answersTo(id, gen.Moved253(s.Bytes())))
		s, id = f.pinged()
		s.AADType = new(gen.MovedCID)
		w.expect("R-50", "a record of type 253 that is authenticated as such is dropped", f.ignores(id, gen.Moved253(s.Bytes())))
		s, id = f.pinged()
		s.RFC9146 = true
		w.expect("R-51", "a record with the additional data of RFC 9146 is dropped", f.ignores(id, s.Bytes()))
		s, id = f.pinged()
		s.AAD = gen.AADRFC9146(gen.Record{Type: gen.WithCID, Epoch: 1, Sequence: s.Sequence, CID: s.CID}, 16)
		w.expect("R-51", "a record with it and the padding of the draft is dropped", f.ignores(id, s.Bytes()))
		w.expect("R-51", "the session goes on", f.alive())
		return nil
	})
}

func checkReplay(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		message, id := f.numbered(eventOf(40))
		b := f.record(message).Bytes()
		w.expect("R-52", "an event is acknowledged", f.answersTo(id, b))
		taken := 0
		if w.Sees(target.Insight) {
			taken = w.Taken("x")
		}
		w.expect("R-52", "its record, come again, is not answered", f.ignores(id, b, b))
		replies := w.Send(w.Stranger(3, 4711), b)
		w.expect("R-52", "its record, from elsewhere, is not answered", len(replies) == 0)
		// What the message layer would do with a copy, an ID that it does not know
		// any more cannot hide.
		if w.later("R-52", 3*time.Minute) {
			w.expect("R-52", "its record, minutes later, is not answered", f.ignores(id, b))
		}
		if w.Sees(target.Insight) {
			Equal(r, "R-52", w.name, "copies of the event that the cloud took", w.Taken("x")-taken, 0)
		} else {
			w.unseen("R-52", "copies of the event that the cloud took")
		}
		w.expect("R-52", "the session goes on", f.alive())
		return nil
	})
}

func checkWindow(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		for _, below := range []uint64{1, 31, 32, 62, 63, 64, 65, 200} {
			late, id := f.pinged()
			f.next = late.Sequence + below
			w.expect("R-53", "a record with a gap before it is taken", f.alive())
			if below < 64 {
				w.expect("R-53", fmt.Sprintf("a record %d below the highest is taken", below), f.answersTo(id, late.Bytes()))
			} else {
				w.expect("R-53", fmt.Sprintf("a record %d below the highest is dropped", below), f.ignores(id, late.Bytes()))
			}
		}
		return nil
	})
}

func checkMutations(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		s, id := f.pinged()
		good := s.Bytes()
		var cases silentCases
		silent := func(requirement, what string, datagram []byte) {
			cases = append(cases, silentCase{requirement, what, datagram})
		}
		for n := range len(good) {
			requirement := "R-54"
			switch {
			case n < 4:
				requirement = "R-89"
			case n < 13:
				requirement = "R-59"
			}
			silent(requirement, fmt.Sprintf("the record cut to %d bytes", n), good[:n])
		}
		for at := range len(good) {
			for bit := range uint(8) {
				if at > 30 && bit > 0 {
					continue // ciphertext and tag: one bit of each byte
				}
				silent("R-54", fmt.Sprintf("bit %d of byte %d flipped", bit, at), gen.Flip(good, at, bit))
			}
		}
		epoch := s
		epoch.Epoch = new(2)
		silent("R-54", "another epoch", epoch.Bytes())
		longer, shorter := s, s
		longer.Length, shorter.Length = new(len(s.Content)+200), new(3)
		silent("R-54", "a length beyond the datagram", longer.Bytes())
		silent("R-54", "a length of less than a tag", shorter.Bytes())
		for n := range 4 {
			silent("R-89", fmt.Sprintf("%d bytes of nothing", n), make([]byte, n))
		}
		cases.judge(f)
		w.expect("R-54", "the record itself is taken still", f.answersTo(id, good))
		s, _ = f.pinged()
		w.Send(f.from, gen.Cat(s.Bytes(), []byte("trailing garbage")))
		w.expect("R-54", "the session goes on", f.alive())
		return nil
	})
}

// A silentCase is a datagram that gets no answer.
type silentCase struct {
	requirement, what string
	datagram          []byte
}

type silentCases []silentCase

// together is how many datagrams are sent at once. Of none of them an answer is due, so
// one wait serves all; which of them got one is asked only if there is any.
const together = 32

// judge expects that none gets an answer.
func (cases silentCases) judge(f *forged) {
	f.w.r.Judged(len(cases))
	for some := range slices.Chunk(cases, together) {
		var datagrams [][]byte
		for _, c := range some {
			datagrams = append(datagrams, c.datagram)
		}
		if len(f.w.Send(f.from, datagrams...)) == 0 {
			continue
		}
		found := false
		for _, c := range some {
			if replies := f.w.Send(f.from, c.datagram); len(replies) > 0 {
				found = true
				f.w.fail(c.requirement, fmt.Sprintf("%s: the cloud answers % x", c.what, replies[0].Data))
			}
		}
		if !found {
			f.w.fail(some[0].requirement, fmt.Sprintf("from %q to %q: the cloud answers one of them, once", some[0].what, some[len(some)-1].what))
		}
	}
}

func checkNothingInside(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		for what, inner := range inOrder(map[string][]byte{
			"16 zeros": make([]byte, 16), "64 zeros": make([]byte, 64), "a type that nobody knows": gen.Cat(ping, []byte{99}, make([]byte, 11)),
		}) {
			s := f.record(nil)
			s.Inner = inner
			replies := w.Send(f.from, s.Bytes())
			w.expect("R-55", what+" inside a record get no answer", len(replies) == 0)
			w.expect("R-55", "behind "+what+" the session goes on", f.alive())
		}
		return nil
	})
}

func checkDownRecords(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f := w.device(w.Home(forgedPort), "one")
		if err := f.begin(); err != nil {
			return err
		}
		if !w.expect("R-56", "the cloud's Finished is in a record without a connection id", f.finish()) {
			return nil
		}
		if err := f.greet(); err != nil {
			return err
		}
		most := 1400
		if !w.Sees(target.Prompting) {
			most = w.Profile.Dialect().Limits().EventData // what a device may publish
		}
		for n := 0; n <= most; n += 100 {
			f.elicit("down", bytes.Repeat([]byte{'y'}, n))
			f.alive()
		}
		limit, events := w.Profile.Dialect().Limits().Message, 0
		for _, d := range w.Arrived(f.from, f.since) {
			records, rest := gen.Split(d.Data, 0)
			w.expect("R-56", "a datagram of the cloud is made of records", len(rest) == 0)
			for _, rec := range records {
				kind, content, ok := gen.Open(rec, f.Keys.ServerKey, f.Keys.ServerSalt, false)
				if !w.expect("R-56", "a record of the cloud is one of epoch 1 without a connection id", ok && rec.Epoch == 1) {
					continue
				}
				w.expect("R-56", fmt.Sprintf("application data has type 23, not %d", rec.Type), rec.Type == gen.ApplicationData && kind == gen.ApplicationData)
				w.expect("R-96", fmt.Sprintf("a message of %d bytes, and the device takes %d", len(content), limit), len(content) <= limit)
				if len(content) > 100 {
					events++
				}
			}
		}
		w.expect("R-56", "long events are sent", events > 0)
		return nil
	})
}

func checkSeveralRecords(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		var all []byte
		var ids []uint16
		for range 3 {
			s, id := f.pinged()
			all, ids = append(all, s.Bytes()...), append(ids, id)
		}
		before := len(f.heard)
		w.Send(f.from, all)
		var got []uint16
		for _, h := range f.heard[before:] {
			got = append(got, uint16(h.wire[2])<<8|uint16(h.wire[3]))
		}
		Equal(r, "R-57", w.name, "the acknowledgements of three pings in one datagram", fmt.Sprintf("%x", got), fmt.Sprintf("%x", ids))
		return nil
	})
}

func checkUnprotected(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		number := uint64(50)
		plain := map[string]gen.Record{
			"a fatal alert":    gen.PlainAlert(0, 2, 40),
			"close_notify":     gen.PlainAlert(0, 1, 0),
			"a ping":           {Type: gen.ApplicationData, Body: ping},
			"ChangeCipherSpec": gen.CCS(0),
			"a HelloRequest":   gen.Plain(0, gen.Handshake{Type: gen.TypeHelloRequest}),
		}
		if len(f.CID) > 0 {
			plain["a ping with a connection id"] = gen.Record{Type: gen.WithCID, CID: f.CID, Body: ping}
		}
		for what, record := range inOrder(plain) {
			number++
			record.Sequence = number
			replies := w.Send(f.from, record.Bytes())
			w.expect("R-58", what+" without protection gets no answer", len(replies) == 0)
			w.expect("R-58", "behind "+what+" without protection the session goes on", f.alive())
			// In one datagram the record behind it names the session.
			number++
			record.Sequence = number
			s, id := f.pinged()
			w.expect("R-58", "a ping in one datagram with "+what+" without protection is acknowledged", f.answersTo(id, gen.Cat(record.Bytes(), s.Bytes())))
			w.expect("R-58", "behind both the session goes on", f.alive())
		}
		return nil
	})
}

func checkDeviceCloses(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		closing := f.FromDevice(f.next, gen.Alert, []byte{1, 0})
		f.next++
		w.Send(f.from, closing.Bytes())
		w.expect("R-62", "behind close_notify the session is of no use", f.lifeless())
		w.offline("R-62", "the device does not count as online")
		fresh := w.device(w.Home(forgedPort), "two")
		w.expect("R-62", "a full handshake works behind it", fresh.online() == nil)
		return nil
	})
}

// A cloudForger seals records with the keys of a puppet cloud's session, by another
// implementation.
type cloudForger struct {
	*target.PuppetCloud
	keys gen.Keys
}

func newCloudForger(c *target.PuppetCloud) *cloudForger {
	secrets := c.Peer.Session().Secrets()
	return &cloudForger{PuppetCloud: c, keys: gen.SplitKeyBlock(secrets.Block())}
}

// record is the next record of the cloud. Its sequence is taken from the puppet,
// which answers with others.
func (c *cloudForger) record(kind byte, content []byte) gen.Sealed {
	session := c.Peer.Session()
	s := gen.Sealed{Key: c.keys.ServerKey, Salt: c.keys.ServerSalt, Sequence: session.SendSequence(), Type: kind, Content: content}
	_, _ = session.Seal(nil, dtls.TypeApplication, nil) // uses the sequence up
	return s
}

// send sends datagrams to the device as they are, and lets come what comes back, for half a
// second.
func (c *cloudForger) send(datagrams ...[]byte) {
	c.Act(func(_ clock.Instant, p *peer.Cloud, out *peer.Out) {
		for _, b := range datagrams {
			p.SayRaw(b, out)
		}
	})
	c.Settle(500 * time.Millisecond)
}

// pings reports whether the device acknowledges a ping.
func (c *cloudForger) pings(id uint16) bool {
	since := c.Now()
	c.send(c.record(gen.ApplicationData, gen.Set(ping, 2, byte(id>>8), byte(id))).Bytes())
	return c.Patient(func() bool {
		return slices.ContainsFunc(c.Heard(since), func(m peer.Message) bool { return bytes.Equal(m.Wire, []byte{0x60, 0, byte(id >> 8), byte(id)}) })
	})
}

func checkNoise(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	c, err := e.NewPuppetCloud(g.Devices[0].Profile, e.Seed(), target.Stagecraft{})
	if err != nil {
		return err
	}
	if err := c.Online(); err != nil {
		r.Inconclusive(report.Finding{Device: c.Profile.String(), Text: err.Error()})
		return nil
	}
	f := newCloudForger(c)
	name, number, id := c.Profile.String(), uint64(90), uint16(0x4000)
	letter := c.Profile.Generation().String()[0]
	call := gen.CoAP{Type: gen.Confirmable, Code: 2, ID: 0x3333, Token: []byte{0x31}, Options: append(gen.Path("f", target.FunctionSum), gen.Option{Number: 15, Value: []byte("a")})}.Bytes()
	for _, noise := range []struct {
		what  string
		from  byte // generation
		bytes func() [][]byte
	}{
		{"a function call whose record comes again", 'A', func() [][]byte {
			b := f.record(gen.ApplicationData, call).Bytes()
			f.send(b)
			return [][]byte{b, b}
		}},
		{"a record with a flipped bit", 'A', func() [][]byte { return [][]byte{gen.Flip(f.record(gen.ApplicationData, call).Bytes(), -1, 0)} }},
		{"a record of another epoch", 'A', func() [][]byte {
			s := f.record(gen.ApplicationData, call)
			s.Epoch = new(2)
			return [][]byte{s.Bytes()}
		}},
		{"a fatal alert without protection", 'A', func() [][]byte { number++; return [][]byte{gen.PlainAlert(number, 2, 40).Bytes()} }},
		{"close_notify without protection", 'A', func() [][]byte { number++; return [][]byte{gen.PlainAlert(number, 1, 0).Bytes()} }},
		{"a function call without protection", 'A', func() [][]byte {
			return [][]byte{gen.Record{Type: gen.ApplicationData, Sequence: number, Body: call}.Bytes()}
		}},
		{"a record of an unknown type", 'C', func() [][]byte {
			return [][]byte{gen.Record{Type: 99, Epoch: 1, Sequence: 99, Body: make([]byte, 32)}.Bytes()}
		}},
		{"a record of type 25", 'C', func() [][]byte {
			return [][]byte{gen.Record{Type: gen.WithCID, Epoch: 1, Sequence: 99, Body: make([]byte, 32)}.Bytes()}
		}},
		{"datagrams of no and of one byte", 'A', func() [][]byte { return [][]byte{{}, {0}} }},
		{"a datagram of two bytes", 'C', func() [][]byte { return [][]byte{{0, 0}} }},
		{"a record of no bytes", 'A', func() [][]byte {
			return [][]byte{gen.Record{Type: gen.ApplicationData, Epoch: 1, Sequence: 98}.Bytes()}
		}},
		{"a record of five bytes", 'A', func() [][]byte {
			return [][]byte{gen.Record{Type: gen.ApplicationData, Epoch: 1, Sequence: 97, Body: make([]byte, 5)}.Bytes()}
		}},
		{"a length beyond the datagram", 'E', func() [][]byte {
			s := f.record(gen.ApplicationData, call)
			s.Length = new(400)
			return [][]byte{s.Bytes()}
		}},
		{"a datagram of twelve bytes", 'E', func() [][]byte { return [][]byte{f.record(gen.ApplicationData, call).Bytes()[:12]} }},
	} {
		if letter < noise.from {
			continue
		}
		datagrams := noise.bytes()
		since := c.Now()
		f.send(datagrams...)
		Equal(r, "R-60", name, noise.what+": what the device says to it", spoken(c, c.Packets(since)), 0, lines(c.Packets(since))...)
		id++
		Equal(r, "R-60", name, noise.what+": the device answers the next ping in its session", f.pings(id), true, lines(c.Packets(since))...)
	}
	return nil
}

// spoken counts the packets of the device, but for those that it may send at any time in
// its own.
func spoken(c *target.PuppetCloud, packets []*trace.Packet) int {
	n := 0
	for _, p := range packets {
		all := p.Messages()
		ofIts := func(m *trace.Message) bool { return !unprompted(m.Kind) }
		if p.Direction == trace.Up && (c.Sees(target.VirtualTime) || len(all) == 0 || slices.ContainsFunc(all, ofIts)) {
			n++
		}
	}
	return n
}

func checkCloudCloses(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for what, alert := range inOrder(map[string][]byte{"close_notify": {1, 0}, "a fatal alert": {2, 40}}) {
		c, err := e.NewPuppetCloud(g.Devices[0].Profile, e.Seed(), target.Stagecraft{})
		if err != nil {
			return err
		}
		name := c.Profile.String()
		if err := c.Online(); err != nil {
			r.Inconclusive(report.Finding{Device: name, Text: err.Error()})
			return nil
		}
		f, since := newCloudForger(c), c.Now()
		f.send(f.record(gen.Alert, alert).Bytes())
		c.Return(since, 10*time.Second)
		packets := c.Packets(since)
		Equal(r, "R-61", name, "behind "+what+" the device makes a full handshake", sent(packets, trace.Up, trace.ClientHello), true, lines(packets)...)
		Equal(r, "R-61", name, "behind "+what+" the device tries to resume", resumed(packets), false, lines(packets)...)
	}
	return nil
}

// resumed reports whether a packet begins to use an old session again.
func resumed(packets []*trace.Packet) bool {
	for _, p := range packets {
		if p.Resume {
			return true
		}
	}
	return false
}
