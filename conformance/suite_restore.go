package conformance

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

func restoreSuite() Suite {
	return Suite{
		Name: "restore",
		Text: "what becomes of a session: it moves, goes on after a restart, or is given up, in virtual time",
		Checks: []Check{
			{
				Name: "moves", Text: "a session is found by its mark at any address and answered there, and follows nothing but a newer record",
				Provoke:      "a forged device resumes from elsewhere, and an older record of it comes from a stranger",
				Observe:      "where acknowledgements and the cloud's own pings go",
				Requirements: []string{"R-64", "R-65", "R-67"}, Skip: onlyUDP, Run: checkMoves,
			},
			{
				Name: "trailers", Text: "a marked record with a wrong trailer gets no answer and moves nothing",
				Provoke:      "trailers of another length, cut ones, of an unknown device and of a neighbour",
				Observe:      "that nothing comes back, and that the session works at its address",
				Requirements: []string{"R-66"}, Skip: skipAny(onlyUDP, until(pdc.OS3_1)), Run: checkTrailers,
			},
			{
				Name: "new-key", Text: "a session does not outlive the key of its device",
				Provoke:      "another key is registered for a device with a session",
				Observe:      "that its next ping is not acknowledged, and that its old key does not get in",
				Requirements: []string{"R-72"}, Skip: onlyUDP, Run: checkNewKey,
			},
			{
				Name: "told-stale", Text: "an early release whose session nobody knows is told so, at most once in ten seconds, and nobody else is",
				Provoke:      "marked records of a session that never was, for a known and for an unknown device",
				Observe:      "the datagrams that come back, and when",
				Requirements: []string{"R-81"}, Skip: onlyTellable, Run: checkToldStale,
			},
			{
				Name: "resume", Text: "a device that restarts goes on with sequence and message id, without a ClientHello",
				Provoke:      "a simulated device is killed and started again",
				Observe:      "its first record behind that, beside its last one before",
				Requirements: []string{"R-74"}, Skip: onlyUDP, Run: checkDeviceResume,
			},
			{
				Name: "fourth", Text: "three resumes that nobody answers are followed by a full handshake",
				Provoke:      "a device is restarted four times before a silent cloud",
				Observe:      "the first datagram of each time",
				Requirements: []string{"R-76"}, Skip: skipAny(onlyUDP, since(pdc.OS1_2)), Run: checkFourthResume,
			},
			{
				Name: "foreign-session", Text: "a stored session of another size, key or server is not used",
				Provoke:      "a device is restarted with each of them changed",
				Observe:      "that a ClientHello comes first",
				Requirements: []string{"R-78"}, Skip: onlyUDP, Run: checkForeignSession,
			},
			{
				Name: "reset", Text: "a Reset makes the device forget its session",
				Provoke:      "a puppet cloud answers with one",
				Observe:      "that a ClientHello comes next, and no record of the old session",
				Requirements: []string{"R-79"}, Skip: onlyUDP, Run: checkResetForgets,
			},
			{
				Name: "hello-or-ping", Text: "a resume says Hello when the state has changed, and pings when it has not",
				Provoke:      "a device is restarted as it was, and with another state than the cloud knows",
				Observe:      "its first message",
				Requirements: []string{"R-80"}, Skip: skipAny(onlyUDP, since(pdc.OS0_6)), Run: checkHelloOrPing,
			},
		},
	}
}

// onlyTellable skips releases that ignore a record that is cut short.
func onlyTellable(g *target.Group) string {
	if why := onlyUDP(g); why != "" {
		return why
	}
	if g.Devices[0].Profile.Generation() > dtls.GenD {
		return "not from Device OS 2.1 on"
	}
	return ""
}

func checkMoves(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		requirement := "R-64"
		if w.generation() < 'F' {
			requirement = "R-65"
		}
		message, _ := f.numbered(ping)
		older := f.marked(message) // held back
		elsewhere := w.Home(forgedPort + 100)
		f.goTo(elsewhere)
		message, id := f.numbered(ping)
		w.expect(requirement, "a marked record from another port is acknowledged there", f.answersTo(id, f.marked(message)))
		mark := w.Now()
		if f.prompt() {
			w.expect(requirement, "the cloud's own messages go there", len(w.Arrived(elsewhere, mark)) > 0)
		} else {
			w.unseen(requirement, "where the cloud's own messages go")
		}

		stranger := w.Stranger(9, 999)
		mark = w.Now()
		replies := w.Send(stranger, older)
		w.expect("R-67", "an older record from a stranger's address gets no answer there", len(replies) == 0)
		prompted := f.prompt()
		w.Settle(time.Second)
		if prompted {
			w.expect("R-67", "behind it the cloud's messages go to the device", len(w.Arrived(elsewhere, mark)) > 0)
		}
		w.expect("R-67", "behind it no message goes to the stranger", len(w.Arrived(stranger, mark)) == 0)
		forged := f.record(ping)
		forged.Tag = make([]byte, 8)
		f.next--
		replies = w.Send(stranger, gen.Moved253(forged.Bytes()))
		f.prompt()
		w.Settle(time.Second)
		w.expect("R-67", "a record that is not authentic moves nothing", len(replies) == 0 && len(w.Arrived(stranger, mark)) == 0)
		w.expect(requirement, "the session works at its last address", f.alive())
		return nil
	})
}

func checkTrailers(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		neighbour, err := w.Neighbour()
		if err != nil {
			return err
		}
		id, unknown := w.DeviceID(), w.DeviceID()
		unknown[0] ^= 0xff
		record := func() []byte {
			message, _ := f.numbered(ping)
			return f.record(message).Bytes()
		}
		stranger, mark := w.Stranger(9, 999), w.Now()
		for what, datagram := range inOrder(map[string][]byte{
			"a trailer of eleven bytes":        gen.Moved254(record(), id[:11]),
			"a trailer whose length is wrong":  gen.Set(gen.Moved254(record(), id[:]), -1, 11),
			"a trailer of no bytes":            gen.Cat(gen.Set(record(), 0, gen.MovedID), []byte{0}),
			"a record cut before its trailer":  gen.Moved254(record()[:20], id[:]),
			"a trailer with bytes before it":   gen.Moved254(gen.Cat(record(), []byte{1, 2, 3}), id[:]),
			"a trailer of an unknown device":   gen.Moved254(record(), unknown[:]),
			"a trailer of another device":      gen.Moved254(record(), neighbour[:]),
			"a forged record with a trailer":   gen.Moved254(gen.Flip(record(), -1, 0), id[:]),
			"a trailer behind a record of 253": gen.Cat(gen.Moved253(record()), id[:], []byte{12}),
		}) {
			replies := w.Send(stranger, datagram)
			w.expect("R-66", what+" gets no answer", len(replies) == 0 || bytes.Equal(replies[0].Data, gen.StaleSession()))
		}
		f.prompt()
		w.Settle(time.Second)
		w.expect("R-66", "the session works at its address", f.alive())
		for _, d := range w.Arrived(stranger, mark) {
			w.expect("R-66", "nothing of it goes to the stranger", bytes.Equal(d.Data, gen.StaleSession()))
		}
		return nil
	})
}

func checkNewKey(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		if err := w.Rekey(); err != nil {
			return err
		}
		message, id := f.numbered(ping)
		w.expect("R-72", "behind a new key the old session is not answered", f.ignores(id, f.marked(message)) && f.lifeless())
		again := w.device(w.Home(forgedPort+1), "two")
		if err := again.begin(); err != nil {
			return err
		}
		again.finish()
		again.next, again.established = 1, true
		w.expect("R-72", "behind a new key the old one does not get in", again.greet() != nil)
		return nil
	})
}

func checkToldStale(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		if err := w.forgotten(); err != nil {
			return err
		}
		id, unknown := w.DeviceID(), w.DeviceID()
		unknown[0] ^= 0xff
		number := uint64(100)
		stale := func(id []byte) []byte {
			number++
			return gen.Moved254(gen.Record{Type: gen.ApplicationData, Epoch: 1, Sequence: number, Body: make([]byte, 20)}.Bytes(), id)
		}
		told := func(requirement, what string, want int, datagrams ...[]byte) {
			replies := w.Send(w.Home(forgedPort), datagrams...)
			if want > 0 && len(replies) == 0 {
				mark := w.Now()
				w.Patient(func() bool { return len(w.Arrived(w.Home(forgedPort), mark)) > 0 })
				replies = w.Arrived(w.Home(forgedPort), mark)
			}
			Equal(r, requirement, w.name, what, len(replies), want)
			for _, d := range replies {
				w.expect(requirement, "what comes back are the 15 bytes", bytes.Equal(d.Data, gen.StaleSession()))
			}
		}
		told("R-81", "answers to a session that nobody knows", 1, stale(id[:]))
		told("R-81", "answers to four more within ten seconds", 0, stale(id[:]), stale(id[:]), stale(id[:]), stale(id[:]))
		w.Run(11 * time.Second)
		told("R-81", "answers to one after eleven seconds", 1, stale(id[:]))
		told("R-68", "answers to a device that nobody knows", 0, stale(unknown[:]))
		plain := gen.Record{Type: gen.ApplicationData, Epoch: 1, Sequence: 7, Body: make([]byte, 20)}
		told("R-68", "answers to a record without a mark", 0, plain.Bytes())
		return nil
	})
}

// forgotten makes sure that the cloud has no session of the device: it may be one that
// was connected before.
func (w *forgery) forgotten() error {
	if w.Sees(target.Insight) {
		return nil // it never was
	}
	f := w.device(w.Home(forgedPort+9), "forgotten")
	if err := f.online(); err != nil {
		return err
	}
	w.Send(f.from, f.FromDevice(f.next, gen.Alert, []byte{1, 0}).Bytes())
	return nil
}

// withOnline runs a check on a simulated device that is connected to a puppet.
func withOnline(e *target.Env, g *target.Group, r *Recorder, f func(c *target.PuppetCloud, name string) error) error {
	c, err := e.NewPuppetCloud(g.Devices[0].Profile, e.Seed(), target.Stagecraft{})
	if err != nil {
		return err
	}
	name := c.Profile.String()
	if err = c.Online(); err == nil {
		err = f(c, name)
	}
	if err != nil {
		r.Inconclusive(report.Finding{Device: name, Text: err.Error()})
	}
	return nil
}

// lastUp returns the last record of application data that the device sent, and
// its last message ID that is its own.
func lastUp(packets []*trace.Packet) (rec *trace.Record, id uint16) {
	for _, p := range packets {
		for i := range p.Records {
			if m := p.Records[i].Message; m != nil && p.Direction == trace.Up {
				rec = &p.Records[i]
				if m.CoAP.Type <= coap.NonConfirmable {
					id = max(id, m.CoAP.ID)
				}
			}
		}
	}
	return rec, id
}

// nextLife returns the packets of a device that was rebooted, from where it begins to talk
// again on: before or behind the end of the reboot itself, as that takes time. Where
// neither a mark nor another address tells a resume, its ping or Hello does.
func nextLife(c *target.PuppetCloud, since clock.Instant) []*trace.Packet {
	packets := c.Packets(since)
	greets := func(r trace.Record) bool {
		return r.Message != nil && (r.Message.Kind == pdc.KindPing || r.Message.Kind == pdc.KindHello)
	}
	i := slices.IndexFunc(packets, func(p *trace.Packet) bool {
		return p.Direction == trace.Up &&
			(p.Resume || slices.ContainsFunc(p.Records, greets) || sent([]*trace.Packet{p}, trace.Up, trace.ClientHello))
	})
	if i < 0 {
		return nil
	}
	return packets[i:]
}

// firstUp returns the first record of the device.
func firstUp(packets []*trace.Packet) *trace.Record {
	for _, p := range packets {
		if p.Direction == trace.Up && len(p.Records) > 0 {
			return &p.Records[0]
		}
	}
	return nil
}

func checkDeviceResume(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withOnline(e, g, r, func(c *target.PuppetCloud, name string) error {
		since := c.Now()
		if err := c.Reboot(nil, nil); err != nil {
			return err
		}
		c.Return(since, 10*time.Second)
		packets := nextLife(c, since)
		all := c.Packets(0)
		before, id := lastUp(all[:len(all)-len(packets)])
		first := firstUp(packets)
		Equal(r, "R-74", name, "a ClientHello is sent", sent(packets, trace.Up, trace.ClientHello), false, lines(packets)...)
		if !Equal(r, "R-74", name, "a message comes first", first != nil && first.Message != nil, true, lines(packets)...) {
			return nil
		}
		Equal(r, "R-74", name, "its record sequence", first.Sequence, before.Sequence+1, lines(packets)...)
		Equal(r, "R-74", name, "its message ID", first.Message.CoAP.ID, id+1, lines(packets)...)
		return nil
	})
}

func checkFourthResume(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withOnline(e, g, r, func(c *target.PuppetCloud, name string) error {
		c.Unreachable(true)
		for n := 1; n <= 4; n++ {
			since := c.Now()
			if err := c.Reboot(nil, nil); err != nil {
				return err
			}
			c.Within(5*time.Second, func() bool { return len(nextLife(c, since)) > 0 })
			packets := nextLife(c, since)
			Equal(r, "R-76", name, fmt.Sprintf("connect number %d, of which nobody answers any, begins with a handshake", n),
				sent(packets, trace.Up, trace.ClientHello), n == 4, lines(packets)...)
		}
		return nil
	})
}

func checkForeignSession(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for what, change := range inOrder(map[string]struct {
		edit     func(*target.DeviceConfig)
		remember func(*target.DeviceMemory)
	}{
		"a session of another size":       {nil, func(m *target.DeviceMemory) { m.Session.Size += 4 }},
		"another key of the cloud":        {func(c *target.DeviceConfig) { c.CloudKey = &otherECKey().PublicKey }, nil},
		"another key of the device":       {func(c *target.DeviceConfig) { c.Key = func(target.DeviceID) crypto.PrivateKey { return otherECKey() } }, nil},
		"another address of the server":   {func(c *target.DeviceConfig) { c.Server = "cloud.example.org" }, nil},
		"nothing, which is what it makes": {nil, nil},
	}) {
		if (change.edit != nil || change.remember != nil) && !e.Sees(target.Tailoring) {
			unseen(r, "R-78", g.String(), "a restart with "+what)
			continue
		}
		err := withOnline(e, g, r, func(c *target.PuppetCloud, name string) error {
			remember := change.remember
			if remember != nil {
				remember = func(m *target.DeviceMemory) {
					if m.Session != nil {
						change.remember(m)
					}
				}
			}
			since := c.Now()
			if err := c.Reboot(change.edit, remember); err != nil {
				return err
			}
			c.Return(since, 5*time.Second)
			packets := nextLife(c, since)
			first := firstUp(packets)
			foreign := change.edit != nil || change.remember != nil
			begins := first != nil && len(first.Handshake) > 0 && first.Handshake[0].Type == trace.ClientHello
			Equal(r, "R-78", name, "a restart with "+what+" begins with a ClientHello", begins, foreign, lines(packets)...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkResetForgets(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withOnline(e, g, r, func(c *target.PuppetCloud, name string) error {
		since := c.Now()
		c.Say(gen.CoAP{Type: gen.Reset, ID: 0x4242}.Bytes())
		c.Return(since, 10*time.Second)
		packets := c.Packets(since)
		Equal(r, "R-79", name, "behind a Reset the device makes a full handshake", sent(packets, trace.Up, trace.ClientHello), true, lines(packets)...)
		Equal(r, "R-79", name, "behind a Reset the device tries to resume", resumed(packets), false, lines(packets)...)
		return nil
	})
}

func checkHelloOrPing(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for what, remember := range inOrder(map[string]func(*target.DeviceMemory){
		"as it was": nil,
		"with another system than the cloud knows":     func(m *target.DeviceMemory) { m.Session.App.System ^= 1 },
		"with nothing that the cloud is known to know": func(m *target.DeviceMemory) { m.Session.App.Valid = 0 },
	}) {
		if remember != nil && !e.Sees(target.Tailoring) {
			unseen(r, "R-80", g.String(), "a restart "+what)
			continue
		}
		err := withOnline(e, g, r, func(c *target.PuppetCloud, name string) error {
			if g.System < pdc.OS2_0 {
				// Before 2.0 a device describes itself when it is asked to.
				c.Say(gen.CoAP{Type: gen.Confirmable, Code: 1, ID: 0x2424, Token: []byte{0x24}, Options: gen.Path("d")}.Bytes())
				c.Settle(5 * time.Second)
			}
			lost := false
			var edit func(*target.DeviceMemory)
			if c.Sees(target.Tailoring) {
				edit = func(m *target.DeviceMemory) {
					if lost = m.Session == nil; !lost && remember != nil {
						remember(m)
					}
				}
			}
			since := c.Now()
			if err := c.Reboot(nil, edit); err != nil {
				return err
			}
			c.Return(since, 10*time.Second)
			packets := nextLife(c, since)
			all := messages(packets)
			if lost || !Equal(r, "R-80", name, "a device restarted "+what+" resumes", len(all) > 0 && !sent(packets, trace.Up, trace.ClientHello), true, lines(packets)...) {
				return nil
			}
			want := pdc.KindPing
			if remember != nil {
				want = pdc.KindHello
			}
			Equal(r, "R-80", name, "the first message of a device restarted "+what, all[0].message.Kind, want, lines(packets)...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
