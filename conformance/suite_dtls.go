package conformance

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/target"
)

func dtlsSuite() Suite {
	return Suite{
		Name: "dtls",
		Text: "the DTLS handshake, to the byte, with forged devices and clouds, in virtual time",
		Checks: []Check{
			{
				Name: "gate", Text: "without its own cookie nobody gets more than a HelloVerifyRequest, however many ask",
				Provoke:      "ClientHellos come from 2000 ports, with no cookie, a wrong one, and that of another address",
				Observe:      "every answer, and its size",
				Requirements: []string{"R-22", "R-23", "R-92"}, Skip: onlyUDP, Run: checkGate,
			},
			{
				Name: "flight", Text: "version, suite, extensions, key exchange and certificate request are as the device needs them, and new each time",
				Provoke:      "a forged device of the generation makes two handshakes",
				Observe:      "every field of the cloud's flight, the signature verified with the cloud's key",
				Requirements: []string{"R-24", "R-25", "R-26", "R-27", "R-28", "R-29"}, Skip: onlyUDP, Run: checkFlight,
			},
			{
				Name: "bad-proofs", Text: "a device that does not prove its key, or whose Finished is wrong, gets an alert and no session",
				Provoke:      "forged devices bend CertificateVerify, Certificate and Finished",
				Observe:      "alerts, that no Finished is sent, and that a Hello behind it is not acknowledged",
				Requirements: []string{"R-30", "R-31", "R-33"}, Skip: onlyUDP, Run: checkBadProofs,
			},
			{
				Name: "unknown-key", Text: "a key that nobody registered gets no session that carries data",
				Provoke:      "a forged device proves a key of its own and says Hello",
				Observe:      "that the Hello is not acknowledged",
				Requirements: []string{"R-32"}, Skip: onlyUDP, Run: checkUnknownKey,
			},
			{
				Name: "packing", Text: "the device's flight is taken in every packing, order and fragmentation",
				Provoke:      "forged devices send it in one, in five, in reverse, with one lost, in fragments and overlapping ones",
				Observe:      "the cloud's Finished",
				Requirements: []string{"R-34", "R-35"}, Skip: onlyUDP, Run: checkPacking,
			},
			{
				Name: "repeated-flight", Text: "a flight that comes again is answered with the same Finished under a new sequence",
				Provoke:      "a forged device sends its Finished again, twice",
				Observe:      "sequence and verify_data of each answer",
				Requirements: []string{"R-36"}, Skip: onlyUDP, Run: checkRepeatedFlight,
			},
			{
				Name: "weak-hellos", Text: "a ClientHello without the suite, the curve or raw public keys is refused, and so is DTLS 1.0",
				Provoke:      "forged devices leave each of them out",
				Observe:      "the alert, and that no flight comes",
				Requirements: []string{"R-37", "R-48"}, Skip: onlyUDP, Run: checkWeakHellos,
			},
			{
				Name: "odd-hellos", Text: "unknown extensions and suites, and another order, do no harm",
				Provoke:      "forged devices add and shuffle",
				Observe:      "that the handshake completes",
				Requirements: []string{"R-38"}, Skip: onlyUDP, Run: checkOddHellos,
			},
			{
				Name: "foreign-hello", Text: "a Hello in the name of another device is not acknowledged",
				Provoke:      "a forged device proves its key and says Hello with another id",
				Observe:      "that nothing is acknowledged, and that a ping behind it is not either",
				Requirements: []string{"R-39"}, Skip: onlyUDP, Run: checkForeignHello,
			},
			{
				Name: "parallel", Text: "a handshake at the address of a live session leaves it alone until it is complete, and then takes its place",
				Provoke:      "a forged device begins a second handshake, goes on with the first session, then completes the second",
				Observe:      "which session is answered",
				Requirements: []string{"R-40", "R-73"}, Skip: onlyUDP, Run: checkParallel,
			},
			{
				Name: "source", Text: "every answer comes from the address that was addressed",
				Provoke:      "a forged device addresses each of the cloud's addresses",
				Observe:      "where the answers come from",
				Requirements: []string{"R-41"}, Skip: onlyUDP, Run: checkSource,
			},
			{
				Name: "half-open", Text: "handshakes that stop half-way do not keep others out, and are forgotten after 60 s",
				Provoke:      "600 handshakes stop behind the cloud's flight, then one is complete, and one goes on after 65 s",
				Observe:      "who gets in",
				Requirements: []string{"R-46"}, Skip: onlyUDP, Run: checkHalfOpen,
			},
			{
				Name: "client-hello-bytes", Text: "both ClientHellos are, to the byte, those of the generation",
				Provoke:      "a puppet cloud answers the first with a cookie",
				Observe:      "both datagrams, beside what another implementation makes of the same random",
				Requirements: []string{"R-42"}, Skip: onlyUDP, Run: checkClientHelloBytes,
			},
			{
				Name: "pinned-key", Text: "a device whose cloud does not hold the pinned key stops, since 1.1 with decrypt_error",
				Provoke:      "puppet clouds sign for another handshake, with another hash and with another key",
				Observe:      "the alert, and that no ClientKeyExchange follows",
				Requirements: []string{"R-43"}, Skip: onlyUDP, Run: checkPinnedKey,
			},
			{
				Name: "unusable-id", Text: "a device without a connection id of eight bytes sends no application data and begins anew",
				Provoke:      "puppet clouds give none, a shorter and a longer one, and one in another extension",
				Observe:      "that no Hello is sent, and that another ClientHello is",
				Requirements: []string{"R-44"}, Skip: onlyWithConnectionID, Run: checkUnusableID,
			},
			{
				Name: "certificate", Text: "a Certificate of the cloud ends the handshake, since 1.1 with unexpected_message",
				Provoke:      "a puppet cloud sends its key in a Certificate",
				Observe:      "the alert, and that no ClientKeyExchange follows",
				Requirements: []string{"R-45"}, Skip: onlyUDP, Run: checkServerCertificate,
			},
		},
	}
}

func checkGate(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f := w.device(w.Home(forgedPort), "gate")
		hello := f.SendHello(nil).Bytes()
		judge := func(requirement, what string, sent []byte, replies []peer.RawDatagram) {
			total := 0
			for _, d := range replies {
				total += len(d.Data)
			}
			w.expect("R-92", what+" gets no more bytes than it has", total <= len(sent))
			for _, h := range messagesIn(dataOf(replies)...) {
				w.expect(requirement, what+" gets nothing but a HelloVerifyRequest", h.Type == gen.TypeHelloVerifyRequest)
			}
		}
		for n := range w.Many(2000) {
			replies := w.SendFor(anything, w.Stranger(1, uint16(20_000+n)), hello)
			w.expect("R-22", "a ClientHello without a cookie is answered", len(replies) == 1)
			judge("R-22", "a ClientHello without a cookie", hello, replies)
		}
		first := w.SendFor(anything, f.from, hello)
		if len(first) != 1 || len(gen.Cookie(first[0].Data)) == 0 {
			return nil // which was judged
		}
		cookie := gen.Cookie(first[0].Data)
		good := f.SendHello(cookie).Bytes()
		for what, bad := range inOrder(map[string][]byte{
			"a ClientHello with a wrong cookie":     f.SendHello(gen.Flip(cookie, 0, 0)).Bytes(),
			"a ClientHello with a cookie cut short": f.SendHello(cookie[:len(cookie)-1]).Bytes(),
			"a ClientHello with a longer cookie":    f.SendHello(gen.Cat(cookie, cookie)).Bytes(),
		}) {
			judge("R-23", what, bad, w.Send(f.from, bad))
		}
		judge("R-23", "a ClientHello with the cookie of another port", good, w.Send(w.Home(forgedPort+1), good))
		judge("R-23", "a ClientHello with the cookie of another address", good, w.Send(w.Stranger(2, forgedPort), good))
		if w.later("R-23", 10*time.Minute) {
			judge("R-23", "a ClientHello with a cookie of ten minutes ago", good, w.Send(f.from, good))
		}
		return nil
	})
}

func checkFlight(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		key, err := x509.ParsePKIXPublicKey(w.CloudSPKI())
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for n, label := range []string{"one", "two"} {
			f := w.device(w.Home(uint16(forgedPort+n)), label)
			if err := f.begin(); err != nil {
				return err
			}
			Equal(r, "R-27", w.name, "the types of the cloud's flight", typesIn(f.flight...),
				fmt.Sprintf("%d", []byte{gen.TypeServerHello, gen.TypeServerKeyExchange, gen.TypeCertificateRequest, gen.TypeServerHelloDone}))
			for _, h := range messagesIn(f.flight...) {
				switch h.Type {
				case gen.TypeServerHello:
					w.judgeServerHello(h.Body, seen)
				case gen.TypeServerKeyExchange:
					w.judgeKeyExchange(f, h.Body, key.(*ecdsa.PublicKey), seen)
				case gen.TypeCertificateRequest:
					w.expect("R-28", "the CertificateRequest wants ecdsa_sign with SHA-256",
						len(h.Body) > 6 && bytes.Contains(h.Body[1:1+int(h.Body[0])], []byte{0x40}) && bytes.Contains(h.Body, []byte{4, 3}))
				}
			}
			w.expect("R-28", "a CertificateRequest is sent", bytes.Contains([]byte(typesIn(f.flight...)), []byte(" 13 ")))
			w.expect("R-24", "the handshake completes with the keys of the chosen suite", f.finish())
		}
		return nil
	})
}

// serverExtensions takes a ServerHello apart.
func serverExtensions(body []byte) (suite uint16, list map[uint16][]byte) {
	list = make(map[uint16][]byte)
	at := 35 + int(body[34])
	suite = uint16(body[at])<<8 | uint16(body[at+1])
	for rest := body[min(at+5, len(body)):]; len(rest) >= 4; {
		n := 4 + int(rest[2])<<8 + int(rest[3])
		if n > len(rest) {
			break
		}
		list[uint16(rest[0])<<8|uint16(rest[1])] = rest[4:n]
		rest = rest[n:]
	}
	return suite, list
}

func (w *forgery) judgeServerHello(body []byte, seen map[string]bool) {
	suite, list := serverExtensions(body)
	Equal(w.r, "R-24", w.name, "the version of ServerHello", fmt.Sprintf("%x", body[:2]), "fefd")
	Equal(w.r, "R-24", w.name, "the suite of ServerHello", suite, gen.SuiteCCM8)
	Equal(w.r, "R-24", w.name, "client_certificate_type in ServerHello", fmt.Sprintf("%x", list[gen.ExtClientCertType]), "02")
	cid, given := list[gen.ExtCIDDeviceOS]
	if w.generation() < 'F' {
		Equal(w.r, "R-26", w.name, "extension 254 in ServerHello, which was not offered", given, false)
		return
	}
	w.expect("R-25", "extension 254 in ServerHello has a connection id of eight bytes", len(cid) == 9 && cid[0] == 8)
	w.expect("R-25", "two sessions have different connection ids", !seen[string(cid)])
	seen[string(cid)] = true
}

func (w *forgery) judgeKeyExchange(f *forged, body []byte, key *ecdsa.PublicKey, seen map[string]bool) {
	const params, point = 69, 65
	if !w.expect("R-24", "ServerKeyExchange has a point of curve 23", len(body) > params+4 && bytes.HasPrefix(body, []byte{3, 0, 23, point, 4})) {
		return
	}
	Equal(w.r, "R-29", w.name, "the signature algorithm of ServerKeyExchange", fmt.Sprintf("%x", body[params:params+2]), "0403")
	hash := sha256.Sum256(gen.SignedParams(f.ClientRandom, f.ServerRandom, body[:params]))
	w.expect("R-29", "ServerKeyExchange is signed by the cloud's key over both randoms and the parameters", ecdsa.VerifyASN1(key, hash[:], body[params+4:]))
	w.expect("R-29", "two handshakes have different ephemeral keys", !seen[string(body[:params])])
	seen[string(body[:params])] = true
}

func checkBadProofs(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		port := uint16(forgedPort)
		for what, bend := range inOrder(map[string]struct {
			requirement string
			bend        func(f *forged)
		}{
			"a CertificateVerify with a flipped bit": {"R-30", func(f *forged) {
				f.CertificateVerify = gen.CertificateVerify(gen.ECDSASHA256, gen.Flip(gen.Sign(f.Scalar, []byte("something else")), 20, 0))
			}},
			"a CertificateVerify by another key": {"R-30", func(f *forged) {
				f.CertificateVerify = gen.CertificateVerify(gen.ECDSASHA256, gen.Sign(fill("another"), []byte("something else")))
			}},
			"a Certificate without a key":          {"R-31", func(f *forged) { f.Certificate = []byte{0, 0, 0} }},
			"a list with an empty certificate":     {"R-31", func(f *forged) { f.Certificate = gen.EmptyX509Certificate() }},
			"no Certificate and no proof":          {"R-31", func(f *forged) { f.NoCertificate = true }},
			"a Finished with other verify_data":    {"R-33", func(f *forged) { f.VerifyData = bytes.Repeat([]byte{0x33}, 12) }},
			"a Finished with verify_data of zeros": {"R-33", func(f *forged) { f.VerifyData = make([]byte, 12) }},
		}) {
			port++
			f := w.device(w.Home(port), what)
			if err := f.begin(); err != nil {
				return err
			}
			bend.bend(f)
			replies := w.SendFor(func(all []peer.RawDatagram) bool { return w.refused(f, all) }, f.from, gen.Cat(f.SendFlight()...))
			w.expect(bend.requirement, what+" gets a fatal alert", w.refused(f, replies))
			w.expect(bend.requirement, what+" gets no Finished", !f.finished(replies))
			f.next, f.established = 1, true
			id := f.tell(w.Hello().Message(w.Profile.Dialect()).Append(nil))
			w.expect(bend.requirement, what+": a Hello behind it is not acknowledged", f.ignored(id))
		}
		return nil
	})
}

// refused reports whether a fatal alert is among datagrams, protected or not.
func (w *forgery) refused(f *forged, replies []peer.RawDatagram) bool {
	if len(alertsIn(replies)) > 0 {
		return true
	}
	for _, d := range replies {
		records, _ := gen.Split(d.Data, 0)
		for _, rec := range records {
			if _, content, ok := gen.Open(rec, f.Keys.ServerKey, f.Keys.ServerSalt, false); ok && rec.Type == gen.Alert && content[0] == 2 {
				return true
			}
		}
	}
	return false
}

func checkUnknownKey(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f := w.device(w.Home(forgedPort), "one")
		f.Scalar = fill("a key of its own")
		if err := f.begin(); err != nil {
			return err
		}
		f.finish() // a cloud may let it wait for somebody who registers it
		f.next, f.established = 1, true
		id := f.tell(w.Hello().Message(w.Profile.Dialect()).Append(nil))
		w.expect("R-32", "the Hello of a device whose key nobody registered is not acknowledged", f.ignored(id))
		w.offline("R-32", "the device whose id it used does not count as online")
		return nil
	})
}

func checkPacking(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		port := uint16(forgedPort)
		try := func(requirement, what string, send func(f *forged) []peer.RawDatagram) error {
			port++
			f := w.device(w.Home(port), what)
			if err := f.begin(); err != nil {
				return err
			}
			w.expect(requirement, "the handshake completes with the flight "+what, f.finished(send(f)))
			return nil
		}
		flights := map[string]func(f *forged) []peer.RawDatagram{
			"in one datagram":            func(f *forged) []peer.RawDatagram { return w.Send(f.from, gen.Cat(f.SendFlight()...)) },
			"in five datagrams":          func(f *forged) []peer.RawDatagram { return w.Send(f.from, f.SendFlight()...) },
			"in five datagrams reversed": func(f *forged) []peer.RawDatagram { return w.Send(f.from, reversed(f.SendFlight())...) },
			"and what was lost of it again": func(f *forged) []peer.RawDatagram {
				flight := f.SendFlight()
				w.Send(f.from, flight[0], flight[2], flight[3], flight[4])
				w.Run(3 * time.Second)
				again := f.SendFinished(1)
				return w.Send(f.from, flight[0], flight[1], flight[2], flight[3], again.Bytes())
			},
		}
		for what, send := range inOrder(flights) {
			if err := try("R-34", what, send); err != nil {
				return err
			}
		}
		for what, overlap := range inOrder(map[string]int{"in fragments of 40 bytes": 0, "in fragments that overlap by 10 bytes": 10}) {
			err := try("R-35", what, func(f *forged) []peer.RawDatagram {
				return w.Send(f.from, fragmented(f.SendFlight(), 40, overlap)...)
			})
			if err != nil {
				return err
			}
		}
		return try("R-35", "in fragments reversed", func(f *forged) []peer.RawDatagram {
			return w.Send(f.from, reversed(fragmented(f.SendFlight(), 40, 0))...)
		})
	})
}

func reversed(list [][]byte) [][]byte {
	var all [][]byte
	for _, b := range list {
		all = append([][]byte{b}, all...)
	}
	return all
}

// fragmented cuts the handshake messages of epoch 0 in a flight into fragments,
// each in a datagram with a record number of its own.
func fragmented(flight [][]byte, size, overlap int) [][]byte {
	var all [][]byte
	number := uint64(100)
	for _, d := range flight {
		records, _ := gen.Split(d, 0)
		switch {
		case len(records) == 1 && records[0].Type == gen.ChangeCipherSpec:
			number++
			all = append(all, gen.CCS(number).Bytes())
			continue
		case len(records) == 0 || records[0].Epoch != 0:
			all = append(all, d)
			continue
		}
		for _, h := range records[0].Messages() {
			for _, part := range h.Fragments(size, overlap) {
				number++
				all = append(all, gen.Plain(number, part).Bytes())
			}
		}
	}
	return all
}

func checkRepeatedFlight(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f := w.device(w.Home(forgedPort), "one")
		if err := f.begin(); err != nil {
			return err
		}
		flight := f.SendFlight()
		if !f.finishedBy(w.SendFor(anything, f.from, gen.Cat(flight...))) {
			return fmt.Errorf("the cloud does not let the forged device in")
		}
		highest := f.top
		for n := uint64(1); n <= 2; n++ {
			w.Run(3 * time.Second)
			flight[4] = f.SendFinished(n).Bytes()
			f.next = n + 1
			answered := false
			for _, d := range w.Send(f.from, gen.Cat(flight...)) {
				verify, sequence, ok := f.verifyData(d.Data)
				if !ok {
					continue
				}
				answered = true
				w.expect("R-36", "the Finished is the same", bytes.Equal(verify, f.WantFinished()))
				w.expect("R-36", fmt.Sprintf("its record sequence, %d, is above %d", sequence, highest), sequence > highest)
				highest = max(highest, sequence)
			}
			w.expect("R-36", "a flight that comes again is answered", answered)
		}
		id := f.tell(w.Hello().Message(w.Profile.Dialect()).Append(nil))
		w.expect("R-36", "the session works", f.acknowledged(id))
		return nil
	})
}

// finishedBy is finished for a flight that the caller has sent.
func (f *forged) finishedBy(replies []peer.RawDatagram) bool {
	f.next = 1
	return f.finished(replies)
}

func checkParallel(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		old, err := w.connected()
		if err != nil {
			return err
		}
		fresh := w.device(old.from, "two")
		if err := fresh.begin(); err != nil {
			return err
		}
		w.devices[old.from] = old
		w.expect("R-40", "behind the flight of another handshake the old session is answered", old.alive())
		w.devices[old.from] = fresh
		if !fresh.finish() {
			w.fail("R-40", "the new handshake does not complete")
			return nil
		}
		id := fresh.tell(w.Hello().Message(w.Profile.Dialect()).Append(nil))
		w.expect("R-73", "the new session is answered", fresh.acknowledged(id) && fresh.alive())
		old.goTo(w.Home(forgedPort + 7)) // where nobody else is heard
		w.devices[fresh.from] = fresh
		w.expect("R-73", "the old session is of no use any more", old.lifeless())
		w.expect("R-73", "the new session is answered still", fresh.alive())
		return nil
	})
}

func checkSource(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f := w.device(w.Home(forgedPort), "one")
		for _, to := range []struct {
			name string
			at   string
		}{{"first", w.Cloud().String()}, {"other", w.CloudElsewhere().String()}} {
			addr := w.Cloud()
			if to.name == "other" {
				addr = w.CloudElsewhere()
			}
			if !addr.IsValid() {
				w.unseen("R-41", "another address of the cloud")
				continue
			}
			replies := w.SendTo(addr, f.from, f.SendHello(nil).Bytes())
			w.expect("R-41", "the "+to.name+" address of the cloud answers", len(replies) > 0)
			for _, d := range replies {
				Equal(r, "R-41", w.name, "where an answer to "+to.at+" comes from", d.Peer.String(), to.at)
			}
		}
		return nil
	})
}

func checkHalfOpen(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		many := w.Many(600)
		for n := range many {
			f := w.device(w.Stranger(1, uint16(20_000+n)), fmt.Sprint(n))
			if err := f.begin(); err != nil {
				w.fail("R-46", fmt.Sprintf("handshake %d does not get a flight", n+1))
				return nil
			}
		}
		f := w.device(w.Home(forgedPort), "one")
		if err := f.begin(); err != nil {
			return err
		}
		w.expect("R-46", fmt.Sprintf("behind %d handshakes that stopped half-way one completes", many), f.finish())
		late := w.device(w.Home(forgedPort+1), "late")
		if err := late.begin(); err != nil {
			return err
		}
		if w.later("R-46", 65*time.Second) {
			w.expect("R-46", "a handshake that goes on after 65 s does not complete", !late.finish())
		}
		return nil
	})
}
