package dtls

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/fixtures/gen"
)

// Every member of a closed set has a name of its own.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	unique := func(name string) {
		t.Helper()
		if name == "" || seen[name] || strings.Contains(name, "unknown") || strings.HasPrefix(name, "drop reason") {
			t.Errorf("name %q", name)
		}
		seen[name] = true
	}
	for r := DropNone; r < numDropReasons; r++ {
		unique(r.String())
		var e *DropError
		if err := drop(r); !errors.As(err, &e) || e.Reason != r || !strings.HasSuffix(err.Error(), r.String()) {
			t.Errorf("%v: %v", r, err)
		}
	}
	for k := EventEstablished; k <= EventDropped; k++ {
		unique(k.String())
	}
	for d := range alertNames {
		unique(d.String())
	}
	for m := MarkDefault; m <= Mark253; m++ {
		unique(m.String())
	}
	for _, g := range generations {
		unique(g.String())
	}
	for _, p := range []Profile{DeviceOS, Standard} {
		unique(p.String())
	}
	for _, typ := range []handshakeType{0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 20, 99} {
		unique(typ.String())
	}
	for _, typ := range []ContentType{20, 21, 22, 23, 25, 252, 253, 254, 99} {
		unique(typ.String() + " record")
	}
}

// Errors say whose fault it was.
func TestAlertError(t *testing.T) {
	local := &AlertError{Local: true, Level: AlertFatal, Description: AccessDenied, Cause: ErrUnknownKey}
	if got := local.Error(); got != "dtls: local alert access_denied (49): dtls: unknown key" || !errors.Is(local, ErrUnknownKey) {
		t.Errorf("%q", got)
	}
	if got := (&AlertError{Level: AlertFatal, Description: 200}).Error(); got != "dtls: peer alert alert 200" {
		t.Errorf("%q", got)
	}
}

// The faults of the gate and of the last flight.
func TestMoreFaults(t *testing.T) {
	d := newDuel(t, testClient(1, GenF, func(c *ClientConfig) { c.Faults.Version = version10 }),
		testServer(1, func(c *ServerConfig) { c.Faults.AcceptVersion10 = true }))
	d.gate.faults.AcceptVersion10 = true
	d.run().established()

	d = newDuel(t, testClient(1, GenF), testServer(1))
	d.gate.faults.Admit = true
	if d.run().established(); len(d.sent) != 4 {
		t.Errorf("%d datagrams without a cookie", len(d.sent))
	}

	d = newDuel(t, testClient(1, GenF), testServer(1, func(c *ServerConfig) { c.RecordFaults = FaultReuseFinal })).run().established()
	var out Out
	d.cloud.repeatFinal(&out)
	first, again := d.sent[len(d.sent)-1], out.Datagrams[0]
	wantBytes(t, "Finished", again[14:], first[14:])

	one := newDuel(t, testClient(1, GenE), testServer(1, func(c *ServerConfig) { c.Faults.ReuseEphemeral = true })).run().established()
	two := newDuel(t, testClient(2, GenE), testServer(2, func(c *ServerConfig) { c.Faults.ReuseEphemeral = true })).run().established()
	if one.server.ephemeral.Equal(two.server.ephemeral) == false {
		t.Error("ReuseEphemeral does not")
	}

	d = newDuel(t, testClient(1, GenF, func(c *ClientConfig) { c.Faults.AcceptAnySignature, c.Faults.AcceptCertificate = true, true }),
		testServer(1, func(c *ServerConfig) { c.Faults.WrongSignature, c.Faults.SendCertificate = true, true }))
	d.run().established()

	d = newDuel(t, testClient(1, GenF, func(c *ClientConfig) { c.Faults.KeepTimeout = true }), testServer(1))
	out.Reset()
	d.client.Start(0, &out)
	for i := 1; i < 100; i++ {
		out.Reset()
		at := d.client.Deadline()
		if d.client.Advance(at, &out); len(out.Datagrams) != 1 || at.Sub(0) != time.Duration(i)*DeviceTimers.Initial {
			t.Fatalf("transmission %d at %v: %s", i, at, describe(&out))
		}
	}
}

// A probe is echoed only if it is one (transport reference, Section 5.5).
func TestIsProbe(t *testing.T) {
	good := gen.Hex("fcfefd8001000000010000" + "0003" + "aabbcc")
	if !IsProbe(good) {
		t.Error("a probe is none")
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"type":     func(b []byte) []byte { b[0] = 23; return b },
		"version":  func(b []byte) []byte { b[2] = 0xff; return b },
		"epoch":    func(b []byte) []byte { b[3] = 0; return b },
		"length":   func(b []byte) []byte { return append(b, 0) },
		"empty":    func(b []byte) []byte { b[12] = 0; return b[:13] },
		"too long": func(b []byte) []byte { b[11], b[12] = 2, 1; return append(b[:13], make([]byte, 513)...) },
	} {
		if IsProbe(damage(append([]byte(nil), good...))) {
			t.Errorf("%s: taken for a probe", name)
		}
	}
}
