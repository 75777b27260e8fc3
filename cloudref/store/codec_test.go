package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

var testKey = [keyLen]byte{1, 2, 3}

func TestSealedRecordsOpenInTheirPlaceOnly(t *testing.T) {
	one, two := newSealer(testKey), newSealer(testKey) // two runs
	other := newSealer([keyLen]byte{9})
	place, plain := []byte("device 1"), []byte("the master secret")
	sealed := one.seal(place, plain)
	again := one.seal(place, plain)
	if bytes.Equal(sealed, again) {
		t.Error("two records have the same nonce")
	}
	if bytes.Contains(sealed, plain) {
		t.Error("the record is in clear")
	}
	if got, err := two.open(place, bytes.Clone(sealed)); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("another run: got %q, %v", got, err)
	}
	if _, err := two.open([]byte("device 2"), bytes.Clone(sealed)); !errors.Is(err, errSeal) {
		t.Errorf("in another place: %v", err)
	}
	if _, err := other.open(place, bytes.Clone(sealed)); !errors.Is(err, errSeal) {
		t.Errorf("with another key: %v", err)
	}
	for n := range sealed {
		if _, err := one.open(place, bytes.Clone(sealed[:n])); err == nil {
			t.Errorf("the first %d bytes open", n)
		}
		damaged := bytes.Clone(sealed)
		damaged[n] ^= 0x80
		if _, err := one.open(place, damaged); err == nil {
			t.Errorf("opens with byte %d changed", n)
		}
	}
	if len(one.known) != 1 {
		t.Errorf("damaged records left %d keys behind", len(one.known)-1)
	}
	if one.keyID() != two.keyID() || one.keyID() == other.keyID() {
		t.Error("the id of a key does not name it")
	}
}

func TestRecordsOfANewerVersion(t *testing.T) {
	for name, parse := range map[string]func([]byte) error{
		"device":   func(b []byte) error { _, err := parseHead(DeviceID{}, b); return err },
		"session":  func(b []byte) error { _, err := parseSession(DeviceID{}, b); return err },
		"sealed":   func(b []byte) error { _, err := newSealer(testKey).open(nil, b); return err },
		"progress": func(b []byte) error { _, err := parseProgress(DeviceID{}, b); return err },
		"event":    func(b []byte) error { return new(Event).parse(b) },
		"app": func(b []byte) error {
			_, err := parseApp(entry{key: deviceID(1).String() + ".3", value: b})
			return err
		},
	} {
		if err := parse([]byte{3, 0, 0}); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: got %v, want ErrNewer", name, err)
		}
		if err := parse(nil); err == nil {
			t.Errorf("%s: an empty record is accepted", name)
		}
	}
	for name, parse := range map[string]func(entry) error{
		"account": func(e entry) error { _, err := parseAccount(e); return err },
		"claim":   func(e entry) error { _, err := parseClaim(e); return err },
	} {
		e := entry{key: alice.String(), value: []byte(`{"v":2}`)}
		if err := parse(e); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: got %v, want ErrNewer", name, err)
		}
	}
}

func TestMerge(t *testing.T) {
	base := Session{CID: cidOf(1), Reserved: 100, Top: 50, Window: 1}
	there := netip.MustParseAddrPort("10.9.8.7:258")
	for _, test := range []struct {
		name                  string
		p                     Progress
		reserved, top, window uint64
		peer                  netip.AddrPort
	}{
		{"ahead", Progress{CID: cidOf(1), Reserved: 200, Top: 60, Window: 4, Peer: there}, 200, 60, 4, there},
		{"behind", Progress{CID: cidOf(1), Reserved: 50, Top: 40, Window: 4, Peer: there}, 100, 50, 1, netip.AddrPort{}},
		{"same top", Progress{CID: cidOf(1), Reserved: 100, Top: 50, Window: 6, Peer: there}, 100, 50, 7, there},
		{"of another session", Progress{CID: cidOf(2), Reserved: 200, Top: 60, Window: 4, Peer: there}, 100, 50, 1, netip.AddrPort{}},
		{"none", Progress{}, 100, 50, 1, netip.AddrPort{}},
	} {
		s := base
		s.merge(test.p)
		if s.Reserved != test.reserved || s.Top != test.top || s.Window != test.window || s.Peer != test.peer {
			t.Errorf("%s: got %+v", test.name, s)
		}
	}
}

// TestStoredForms pins the bytes on disk: a change is a new version.
func TestStoredForms(t *testing.T) {
	s := Session{CID: CID{1, 2, 3, 4, 5, 6, 7, 8}, Key: Fingerprint{0: 0xaa, 31: 0xbb}, Reserved: 0x40, Top: 0x30, Window: 0x21, Record: []byte("rec")}
	young := s
	young.Node = NodeID{9, 10}
	p := Progress{CID: CID{1, 2, 3, 4, 5, 6, 7, 8}, Reserved: 0x80, Top: 0x70, Window: 3}
	located, located6 := p, p
	located.Peer = netip.MustParseAddrPort("10.9.8.7:258")
	located6.Peer = netip.MustParseAddrPort("[fd00::1]:258")
	e := Event{At: time.UnixMilli(0x18f00000001).UTC(), Body: []byte("body")}
	for name, form := range map[string]struct {
		got  []byte
		want string
	}{
		"session": {s.append(nil), "01 0102030405060708 aa000000000000000000000000000000000000000000000000000000000000bb" +
			" 0000000000000040 0000000000000030 0000000000000021 726563"},
		"session of a node": {young.append(nil), "02 0102030405060708 aa000000000000000000000000000000000000000000000000000000000000bb" +
			" 0000000000000040 0000000000000030 0000000000000021 090a000000000000 726563"},
		"progress":                 {p.append(nil), "01 0102030405060708 0000000000000080 0000000000000070 0000000000000003"},
		"progress with an address": {located.append(nil), "02 0102030405060708 0000000000000080 0000000000000070 0000000000000003 0a090807 0102"},
		"progress with an IPv6 address": {located6.append(nil), "02 0102030405060708 0000000000000080 0000000000000070 0000000000000003" +
			" fd000000000000000000000000000001 0102"},
		"event": {e.append(nil), "01 0000018f00000001 626f6479"},
	} {
		want, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(form.want), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(form.got, want) {
			t.Errorf("%s: got %x, want %x", name, form.got, want)
		}
	}
	for _, p := range []Progress{p, located, located6} {
		if got, err := parseProgress(p.Device, p.append(nil)); err != nil || got != p {
			t.Errorf("%+v was read as %+v, %v", p, got, err)
		}
		for cut := range p.append(nil) {
			got, err := parseProgress(p.Device, p.append(nil)[:cut])
			if err == nil && cut != progressLen+4+2 { // as long as one with an IPv4 address
				t.Errorf("%d bytes of %+v were read as %+v", cut, p, got)
			}
		}
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, key string
		want         bool
	}{
		{">", "a", true},
		{">", "a.b", true},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "b.b", false},
		{"*.b", "a.b", true},
		{"*.b", "a.bb", false},
		{"*", "a.b", false},
		{"a.>", "a.b.c", true},
		{"a", "a", true},
	} {
		if got := matches(test.pattern, test.key); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.key, got)
		}
	}
}

func TestIDs(t *testing.T) {
	id, err := ParseDeviceID("0123456789ABcdef01234567")
	if err != nil || id.String() != "0123456789abcdef01234567" {
		t.Errorf("got %v, %v", id, err)
	}
	for _, bad := range []string{"", "0123", "0123456789abcdef0123456x", "0123456789abcdef0123456789"} {
		if _, err := ParseDeviceID(bad); err == nil {
			t.Errorf("%q is a device id", bad)
		}
	}
}

// FuzzRecords reads damaged records: no panic, and what is accepted is written
// as it was read.
func FuzzRecords(f *testing.F) {
	d := device(1)
	f.Add(d.append(nil, d.head()))
	f.Add(session(1).append(nil))
	f.Add((&Progress{CID: cidOf(1)}).append(nil))
	f.Add((&Event{Body: []byte("x")}).append(nil))
	f.Add([]byte(`{"v":1,"account":"a10000000000000000000000"}`))
	seal := newSealer(testKey)
	f.Fuzz(func(t *testing.T, b []byte) {
		id := deviceID(1)
		if s, err := parseSession(id, b); err == nil && !bytes.Equal(s.append(nil), b) {
			t.Errorf("session %x became %x", b, s.append(nil))
		}
		if p, err := parseProgress(id, b); err == nil && !bytes.Equal(p.append(nil), b) {
			t.Errorf("progress %x became %x", b, p.append(nil))
		}
		var e Event
		if err := e.parse(b); err == nil && !bytes.Equal(e.append(nil), b) {
			t.Errorf("event %x became %x", b, e.append(nil))
		}
		if d, err := parseDevice(id, entry{value: b}); err == nil {
			again, err := parseDevice(id, entry{value: d.append(nil, d.head())})
			if err != nil || !reflect.DeepEqual(again, d) {
				t.Errorf("device %+v became %+v, %v", d, again, err)
			}
		}
		_, _ = parseAccount(entry{key: alice.String(), value: b})
		_, _ = parseClaim(entry{value: b})
		_, _ = parseAck(b)
		_, _ = seal.open(nil, bytes.Clone(b))
	})
}
