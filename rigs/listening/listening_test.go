//go:build linux

package listening

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/serial"
)

func TestParseIdentity(t *testing.T) {
	const id = "e00fce68aabbccddeeff0011"
	for reply, want := range map[string]Identity{
		"Your device id is " + id + "\r\n":                                               {DeviceID: id},
		"Device ID: " + strings.ToUpper(id) + "\r\nIMEI: 35\r\nDevice Secret: abc\r\n":   {DeviceID: id, IMEI: "35", Secret: "abc"},
		"Device ID: " + id + "\nSerial Number: P1\nCell Radio Version: L0.0\nOther: x\n": {DeviceID: id, SerialNumber: "P1", Radio: "L0.0"},
		"hello": {},
	} {
		got, err := ParseIdentity(reply)
		if got != want || (err != nil) != (want == Identity{}) {
			t.Errorf("%q: %+v, %v", reply, got, err)
		}
	}
}

// converse gives a board in listening mode and its console.
func converse(t *testing.T, bench *fake.Bench, s fake.Spec) (*fake.Board, *serial.Session) {
	t.Helper()
	n := len(bench.Boards()) + 1
	s.Serial, s.Path = fmt.Sprintf("e00fce68%016x", n), fmt.Sprintf("1-1.%d", n)
	board, err := bench.Add(s)
	if err != nil {
		t.Fatal(err)
	}
	for {
		changed := board.Changed()
		if board.Present() {
			break
		}
		<-changed
	}
	board.Enter(fake.Listening)
	session := serial.Follow(serial.SessionOptions{
		Name: s.Serial, Options: serial.Options{Now: time.Now},
		Find: func() (string, <-chan struct{}) { c := board.Changed(); return board.Port(0), c },
	})
	t.Cleanup(func() { _ = session.Close() })
	if err := session.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return board, session
}

func bench(t *testing.T) *fake.Bench {
	t.Helper()
	b, err := fake.NewBench(t.TempDir())
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

const code = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

// TestEveryRelease talks to boards of several releases at the same time.
func TestEveryRelease(t *testing.T) {
	b := bench(t)
	var wait sync.WaitGroup
	for _, s := range []fake.Spec{
		{Platform: fake.Photon, DeviceOS: "0.5.3"},
		{Platform: fake.Photon, DeviceOS: "1.4.4"},
		{Platform: 10, DeviceOS: "2.3.1"},
		{Platform: fake.Boron, DeviceOS: "3.1.0", Secret: "TOPSECRET"},
		{Platform: fake.P2, DeviceOS: "6.2.0"},
	} {
		board, c := converse(t, b, s)
		wait.Go(func() { talk(t, board, c) })
	}
	wait.Wait()
}

func talk(t *testing.T, board *fake.Board, c *serial.Session) {
	ctx, s := t.Context(), board.Spec()
	id, err := Identify(ctx, c)
	if err != nil || id.DeviceID != s.Serial || id.Secret != s.Secret {
		t.Errorf("%s: %+v, %v", s.DeviceOS, id, err)
	}
	if v, err := Version(ctx, c); err != nil || v != s.DeviceOS {
		t.Errorf("%s: version %q, %v", s.DeviceOS, v, err)
	}
	if mac, err := MAC(ctx, c); err != nil || !strings.HasPrefix(mac, "94:") {
		t.Errorf("%s: MAC %q, %v", s.DeviceOS, mac, err)
	}
	if m, err := Modules(ctx, c); err != nil || !strings.Contains(string(m), fmt.Sprintf(`"p":%d`, s.Platform)) {
		t.Errorf("%s: modules %s, %v", s.DeviceOS, m, err)
	}
	if s.DeviceOS == "0.5.3" {
		return // knows nothing more
	}
	if yes, err := Claimed(ctx, c); err != nil || yes {
		t.Errorf("%s: claimed %v, %v", s.DeviceOS, yes, err)
	}
	if d, err := Diagnostics(ctx, c); err != nil || !strings.Contains(string(d), "sys") {
		t.Errorf("%s: diagnostics %s, %v", s.DeviceOS, d, err)
	}
	if err := SetClaimCode(ctx, c, code); err != nil || board.ClaimCode() != code {
		t.Errorf("%s: claim code %q, %v", s.DeviceOS, board.ClaimCode(), err)
	}
}

func TestWiFi(t *testing.T) {
	b := bench(t)
	for _, w := range []Credentials{
		{SSID: "near", Password: "pass word"},
		{SSID: "open"},
		{SSID: "hidden", Password: "secret99", Security: 3, Cipher: 1},
		{SSID: "hidden open"},
		{SSID: "hidden WPA3", Password: "secret99", Security: 6},
	} {
		board, c := converse(t, b, fake.Spec{Platform: fake.P2, Networks: map[string]int{"near": 3, "open": 0}})
		if err := SetUpWiFi(t.Context(), c, w); err != nil {
			t.Errorf("%s: %v", w.SSID, err)
		}
		if networks, password := board.Credentials(w.SSID); len(networks) != 1 || password != w.Password {
			t.Errorf("%s: the board has %q, %q", w.SSID, networks, password)
		}
		if board.Mode() == fake.Listening {
			t.Errorf("%s: listens still", w.SSID)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	b := bench(t)
	board, c := converse(t, b, fake.Spec{Platform: fake.Boron})
	board.Hang(fake.OnlyPower)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { time.Sleep(10 * time.Millisecond); cancel() }() // or the test takes five seconds
	if _, err := Identify(ctx, c); !errors.Is(err, ErrNotListening) {
		t.Errorf("a hung board: %v", err)
	}
	if err := SetClaimCode(t.Context(), c, "short"); err == nil || strings.Contains(err.Error(), "short") {
		t.Error(err)
	}
	if err := SetUpWiFi(t.Context(), c, Credentials{SSID: "a\rb", Password: "hush"}); err == nil || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
	ended := make(chan error)
	go func() { _, err := Modules(t.Context(), c); ended <- err }()
	board.Unplug()
	if err := <-ended; !errors.Is(err, serial.ErrGone) && !errors.Is(err, ErrNotListening) {
		t.Errorf("unplugged: %v", err)
	}
}
