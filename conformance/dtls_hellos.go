package conformance

import (
	"bytes"
	"context"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/target"
)

func checkWeakHellos(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		port := uint16(forgedPort)
		for what, bend := range inOrder(map[string]func(h *gen.ClientHello){
			"without suite c0ae":     func(h *gen.ClientHello) { h.Suites = gen.Suites(0xc0ac, gen.SuiteSCSV) },
			"without curve 23":       func(h *gen.ClientHello) { h.Extensions = replaceExt(h.Extensions, gen.ExtGroups, 0, 2, 0, 24) },
			"without raw public key": func(h *gen.ClientHello) { h.Extensions = replaceExt(h.Extensions, gen.ExtClientCertType, 1, 0) },
			"without extension 19":   func(h *gen.ClientHello) { h.Extensions = withoutExt(h.Extensions, gen.ExtClientCertType) },
			"of DTLS 1.0":            func(h *gen.ClientHello) { h.Version = gen.DTLS10 },
		}) {
			port++
			f := w.device(w.Home(port), what)
			hello := gen.DeviceHello(f.Generation, f.ClientRandom)
			bend(&hello)
			f.Hello = &hello
			replies := w.SendFor(anything, f.from, f.SendHello(nil).Bytes())
			if len(replies) == 1 && gen.Cookie(replies[0].Data) != nil {
				replies = w.SendFor(anything, f.from, f.SendHello(gen.Cookie(replies[0].Data)).Bytes())
			}
			requirement, alerts := "R-37", alertsIn(replies)
			for _, h := range messagesIn(dataOf(replies)...) {
				if what == "of DTLS 1.0" {
					requirement = "R-48"
				}
				w.expect(requirement, "a ClientHello "+what+" gets no flight", h.Type == gen.TypeHelloVerifyRequest)
			}
			if what == "of DTLS 1.0" {
				w.expect("R-48", "a ClientHello of DTLS 1.0 gets protocol_version or nothing", len(alerts) == 0 || alerts[0] == 70)
			} else {
				w.expect("R-37", "a ClientHello "+what+" gets handshake_failure", len(alerts) == 1 && alerts[0] == 40)
			}
		}
		return nil
	})
}

// replaceExt returns a list of extensions with the body of one replaced.
func replaceExt(list []byte, extension uint16, body ...byte) []byte {
	return editExt(list, extension, gen.Ext(extension, body...))
}

// withoutExt returns it without one.
func withoutExt(list []byte, extension uint16) []byte { return editExt(list, extension, nil) }

func editExt(list []byte, extension uint16, with []byte) []byte {
	var all []byte
	for len(list) >= 4 {
		n := 4 + int(list[2])<<8 + int(list[3])
		if uint16(list[0])<<8|uint16(list[1]) == extension {
			all = append(all, with...)
		} else {
			all = append(all, list[:n]...)
		}
		list = list[n:]
	}
	return all
}

// reversedExt returns it in reverse.
func reversedExt(list []byte) []byte {
	var all []byte
	for len(list) >= 4 {
		n := 4 + int(list[2])<<8 + int(list[3])
		all = gen.Cat(list[:n], all)
		list = list[n:]
	}
	return all
}

func checkOddHellos(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		port := uint16(forgedPort)
		for what, bend := range inOrder(map[string]func(h *gen.ClientHello){
			"unknown extensions": func(h *gen.ClientHello) {
				h.Extensions = gen.Cat(gen.Ext(0x0a0a), h.Extensions, gen.Ext(0x7a7a, 1, 2, 3), gen.Ext(0xfafa, 0))
			},
			"extensions in reverse": func(h *gen.ClientHello) { h.Extensions = reversedExt(h.Extensions) },
			"more suites":           func(h *gen.ClientHello) { h.Suites = gen.Suites(0x0a0a, 0xc02b, gen.SuiteCCM8, 0x1301, gen.SuiteSCSV) },
			"more curves": func(h *gen.ClientHello) {
				h.Extensions = replaceExt(h.Extensions, gen.ExtGroups, 0, 6, 0x1a, 0x1a, 0, 24, 0, 23)
			},
			"a session id": func(h *gen.ClientHello) { h.SessionID = bytes.Repeat([]byte{7}, 32) },
		}) {
			port++
			f := w.device(w.Home(port), what)
			hello := gen.DeviceHello(f.Generation, f.ClientRandom)
			bend(&hello)
			f.Hello = &hello
			ok := f.begin() == nil && f.finish()
			w.expect("R-38", "a ClientHello with "+what+" leads to a session", ok)
		}
		return nil
	})
}

func checkForeignHello(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f := w.device(w.Home(forgedPort), "one")
		if err := f.secure(); err != nil {
			return err
		}
		hello := w.Hello()
		hello.DeviceID = gen.Flip(hello.DeviceID, 11, 6)
		id := f.tell(hello.Message(w.Profile.Dialect()).Append(nil))
		w.expect("R-39", "a Hello with another id is not acknowledged", f.ignored(id))
		w.expect("R-39", "the session is of no use behind it", f.lifeless())
		w.offline("R-39", "the device does not count as online")
		return nil
	})
}
