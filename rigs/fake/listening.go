//go:build linux

package fake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A dialogue is the console of a board in listening mode (Device OS:
// system/src/system_setup.cpp): single letters without an echo, and questions
// that read a line. Its zero state waits for a letter.
type dialogue struct {
	board  *Board
	line   []byte
	limit  int
	answer func(string) // of the question that waits; nil: none
	ymodem *receiver
}

func (d *dialogue) out(format string, args ...any) {
	if b := d.board; len(b.consoles) > 0 {
		b.consoles[0].line.send(fmt.Appendf(nil, format, args...))
	}
}

// input takes what the host sends.
func (d *dialogue) input(in []byte) {
	for i, c := range in {
		switch {
		case d.ymodem != nil:
			d.ymodem.input(in[i:])
			return
		case d.answer != nil:
			if d.typed(c) {
				return // what comes behind an answer is thrown away
			}
		default:
			d.key(c)
			if d.board.mode != Listening {
				return
			}
		}
	}
}

// typed takes a character of an answer and reports whether that completed it.
func (d *dialogue) typed(c byte) bool {
	switch {
	case c == '\r' || c == '\n' || len(d.line) == d.limit:
		answer, then := string(d.line), d.answer
		d.answer = nil
		d.out("\r\n")
		then(answer)
		return true
	case c == 8 || c == 127:
		if len(d.line) > 0 {
			d.line = d.line[:len(d.line)-1]
			d.out("\b \b")
		}
	default:
		d.line = append(d.line, c)
		d.out("%c", c)
	}
	return false
}

func (d *dialogue) ask(prompt string, limit int, answer func(string)) {
	d.line, d.limit, d.answer = nil, limit, answer
	d.out("%s", prompt)
}

// key does what a letter says; those that a release does not know do nothing.
func (d *dialogue) key(c byte) {
	b := d.board
	since := func(minor, patch int) bool { return b.version.atLeast(0, minor, patch) }
	switch {
	case c == 'i':
		d.identify()
	case c == 'm':
		d.out("Your device MAC address is\r\n%s\r\n", mac(b.spec.Serial))
	case c == 'v':
		d.out("system firmware version: %s\n\r\n", b.spec.DeviceOS)
	case c == 's':
		d.out("%s\r\n", b.modules())
	case c == 'w' && b.spec.wifi():
		d.wifi()
	case c == 'x':
		b.leaveListening()
	case c == 'f':
		d.receive()
	case c == 'L' && since(6, 4):
		b.restart(Safe)
	case c == 'c' && since(6, 4):
		claimed := "no"
		if b.claimed {
			claimed = "yes"
		}
		d.out("Device claimed: %s\r\n", claimed)
	case c == 'C' && since(6, 4):
		d.ask("Enter 63-digit claim code: ", 63, d.claim)
	case c == 'd' && since(8, 0):
		d.out(`{"sys":{"uptime":%d},"net":{"stat":0}}`+"\r\n", 1)
	}
}

func (d *dialogue) identify() {
	s := &d.board.spec
	if s.Platform < Argon && !s.cellular() {
		d.out("Your device id is %s\r\n", strings.ToLower(s.Serial))
		return
	}
	d.out("Device ID: %s\r\n", strings.ToLower(s.Serial))
	if s.cellular() {
		d.out("IMEI: 352753090000001\r\nICCID: 89314404000000000001\r\n")
	}
	d.out("Serial Number: SN%s\r\n", strings.ToUpper(s.Serial[len(s.Serial)-8:]))
	if s.Secret != "" {
		d.out("Device Secret: %s\r\n", s.Secret)
	}
}

// claim takes a claim code; this prints it back, as boards do.
func (d *dialogue) claim(code string) {
	if len(code) != 63 {
		d.out("Invalid claim code: %d characters\r\n", len(code))
		return
	}
	d.board.claim = code
	d.out("Claim code set to: %s\r\n", code)
}

// wifi is the Wi-Fi set-up. Only a network that is not in reach needs to be
// described.
func (d *dialogue) wifi() {
	d.ask("SSID: ", 32, func(ssid string) {
		security, found := d.board.spec.Networks[ssid]
		if found {
			d.password(ssid, security)
			return
		}
		d.ask("Security 0=unsecured, 1=WEP, 2=WPA, 3=WPA2: ", 1, func(s string) {
			if len(s) != 1 || s[0] < '0' || s[0] > '6' {
				d.out("Invalid security\r\n")
				return
			}
			if s[0] == '2' || s[0] == '3' {
				d.ask("Security Cipher 1=AES, 2=TKIP, 3=AES+TKIP: ", 1, func(string) { d.password(ssid, int(s[0]-'0')) })
				return
			}
			d.password(ssid, int(s[0]-'0'))
		})
	})
}

func (d *dialogue) password(ssid string, security int) {
	if security == 0 {
		d.thanks(ssid, "")
		return
	}
	d.ask("Password: ", 64, func(p string) { d.thanks(ssid, p) })
}

func (d *dialogue) thanks(ssid, password string) {
	b := d.board
	b.wifi[ssid] = password
	loves := "Particle"
	if !b.version.atLeast(0, 5, 0) {
		loves = "Spark"
	}
	d.out("Thanks! Wait while I save those credentials...\r\n\r\nAwesome. Now we'll connect!\r\n\r\n%s <3 you!\r\n", loves)
	b.leaveListening()
}

// modules is the one-line description that s prints.
func (b *Board) modules() string {
	if b.spec.Modules != nil {
		return b.spec.Modules()
	}
	v := b.version
	system := v[0]*1000 + v[1]*100 + v[2]
	return fmt.Sprintf(`{"p":%d,"m":[{"s":49152,"l":"m","vc":30,"vv":30,"f":"b","n":"0","v":%d,"d":[]},`+
		`{"s":671744,"l":"m","vc":30,"vv":30,"f":"s","n":"1","v":%d,"d":[{"f":"b","n":"0","v":%d,"_":""}]},`+
		`{"s":131072,"l":"m","vc":30,"vv":30,"u":"%s","f":"u","n":"1","v":5,"d":[{"f":"s","n":"1","v":%d,"_":""}]}]}`,
		b.spec.Platform, system/10, system, system/10, strings.Repeat("0", 64), system)
}

// mac makes an address of a serial number.
func mac(serial string) string {
	tail := []byte("000000000000" + serial)
	tail = tail[len(tail)-10:]
	return strings.ToLower(fmt.Sprintf("94:%s:%s:%s:%s:%s", tail[0:2], tail[2:4], tail[4:6], tail[6:8], tail[8:10]))
}

// Credentials returns the Wi-Fi networks that were set up, and the password of
// one.
func (b *Board) Credentials(ssid string) (networks []string, password string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.wifi)), b.wifi[ssid]
}

// ClaimCode returns the claim code that was set.
func (b *Board) ClaimCode() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.claim
}
