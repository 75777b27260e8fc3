package keyblob

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
)

func key(t Transport) []byte {
	if t == TCP {
		return fixtures.Vector("appendix-a-1-keys", "cloud-spki")
	}
	return fixtures.ByName("v6.2.0-udp-session").ServerSPKI
}

// TestLayout has the examples of the transport reference, Section 6.1.
func TestLayout(t *testing.T) {
	for _, test := range []struct {
		name      string
		transport Transport
		address   Address
		at        int
		head      string
		port      string
	}{
		{"UDP/domain", UDP, Address{Domain: "cloud.example.org", Port: 5684}, 192, "0111636c6f75642e6578616d706c652e6f7267", "1634"},
		{"UDP/IPv4", UDP, Address{IPv4: [4]byte{192, 0, 2, 7}, Port: 5684}, 192, "0004c0000207", "1634"},
		{"TCP/IPv4", TCP, Address{IPv4: [4]byte{192, 0, 2, 7}, Port: 5683}, 384, "0004c0000207", "1633"},
		{"TCP/none", TCP, Address{}, 384, "ffff", "ffff"},
		{"TCP/default-port", TCP, Address{Domain: "$id.example.org"}, 384, "010f246964", "ffff"},
	} {
		t.Run(test.name, func(t *testing.T) {
			blob := Blob{test.transport, key(test.transport), test.address}
			b := blob.Append(nil)
			if len(b) != test.at+128 || len(b) != test.transport.Size() || len(blob.Key) != test.transport.KeySize() {
				t.Fatalf("%d bytes", len(b))
			}
			head, _ := hex.DecodeString(test.head)
			port, _ := hex.DecodeString(test.port)
			if !bytes.HasPrefix(b, key(test.transport)) || !bytes.HasPrefix(b[test.at:], head) || !bytes.Equal(b[test.at+66:test.at+68], port) {
				t.Errorf("got %x", b[test.at:])
			}
			if padding := b[test.transport.KeySize():test.at]; !bytes.Equal(padding, bytes.Repeat([]byte{0xff}, len(padding))) {
				t.Errorf("padding %x", padding)
			}
			got, err := Parse(b)
			if err != nil || got.Transport != test.transport || !bytes.Equal(got.Key, blob.Key) || got.Address != test.address {
				t.Errorf("got %+v, %v", got, err)
			}
			if got.Address.IsZero() != (test.name == "TCP/none") {
				t.Error("IsZero is wrong")
			}
		})
	}
}

// TestKeyAlone: a device without an address uses its own.
func TestKeyAlone(t *testing.T) {
	for _, transport := range []Transport{TCP, UDP} {
		for _, rest := range []int{0, 1, 50} {
			b := append(slices.Clone(key(transport)), make([]byte, rest)...)
			got, err := Parse(b)
			if err != nil || !got.Address.IsZero() || !bytes.Equal(got.Key, key(transport)) {
				t.Errorf("%s and %d bytes: %+v, %v", transport, rest, got, err)
			}
		}
	}
}

func TestCutAtEveryByte(t *testing.T) {
	for _, transport := range []Transport{TCP, UDP} {
		b := Blob{transport, key(transport), Address{Domain: "example.org"}}.Append(nil)
		at := layouts[transport].address
		for n := range b {
			_, err := Parse(b[:n])
			complete := n >= transport.KeySize() && n <= at || n >= at+68
			var e *FormatError
			if complete != (err == nil) || err != nil && (!errors.As(err, &e) || e.Error() == "") {
				t.Fatalf("%s cut to %d: %v", transport, n, err)
			}
		}
	}
}

func TestAddressRefuses(t *testing.T) {
	block := func(b ...byte) []byte { return append(b, make([]byte, 128-len(b))...) }
	for name, b := range map[string][]byte{
		"zero":            block(0, 4),
		"broadcast":       block(0, 4, 255, 255, 255, 255),
		"IPv4 of 16":      block(0, 16, 1, 2, 3, 4),
		"empty domain":    block(1, 0),
		"long domain":     append([]byte{1, 64}, bytes.Repeat([]byte{'a'}, 126)...),
		"not printable":   block(1, 2, 'a', 0),
		"space in domain": block(1, 3, 'a', ' ', 'b'),
		"too short":       make([]byte, 67),
	} {
		if a, err := ParseAddress(b); err == nil {
			t.Errorf("%s: got %+v", name, a)
		}
	}
	if a, err := ParseAddress(append([]byte{1, 63}, bytes.Repeat([]byte{'a'}, 126)...)); err != nil || len(a.Domain) != 63 {
		t.Errorf("63 bytes: %+v, %v", a, err)
	}
	if a, err := ParseAddress(block(7, 4, 1, 2, 3, 4)); err != nil || !a.IsZero() {
		t.Errorf("unknown type: %+v, %v", a, err)
	}
}

func TestMisuseIsOurBug(t *testing.T) {
	for name, use := range map[string]func(){
		"key":       func() { Blob{TCP, key(UDP), Address{}}.Append(nil) },
		"both":      func() { Address{Domain: "a", IPv4: [4]byte{1}}.Append(nil) },
		"long":      func() { Address{Domain: strings.Repeat("a", 63)}.Append(nil) },
		"broadcast": func() { Address{IPv4: [4]byte{255, 255, 255, 255}}.Append(nil) },
		"port only": func() { Address{Port: 1}.Append(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			use()
		}()
	}
}

// FuzzParse: what can be written is read back the same.
func FuzzParse(f *testing.F) {
	for _, transport := range []Transport{TCP, UDP} {
		f.Add(key(transport))
		f.Add(Blob{transport, key(transport), Address{Domain: "a.b", Port: 1}}.Append(nil))
		f.Add(Blob{transport, key(transport), Address{IPv4: [4]byte{1, 2, 3, 4}}}.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		blob, err := Parse(b)
		if err != nil || len(blob.Address.Domain) > DomainMax {
			return
		}
		back, err := Parse(blob.Append(nil))
		if err != nil || !bytes.Equal(back.Key, blob.Key) || back.Address != blob.Address {
			t.Fatalf("got %+v, want %+v (%v)", back, blob, err)
		}
	})
}
