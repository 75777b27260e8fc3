package provision

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
)

// TestUnusableDeviceKey: a key that is there but that no device could use is told
// apart from none, with what is wrong with it.
func TestUnusableDeviceKey(t *testing.T) {
	shortened := func() []byte {
		for {
			key, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			if !lightssl.Nominal(key) {
				return x509.MarshalPKCS1PrivateKey(key)
			}
		}
	}()
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherCurve, err := x509.MarshalECPrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		transport keyblob.Transport
		memory    []byte
		is        error
		says      string
	}{
		"shortened integer": {keyblob.TCP, shortened, errBadDeviceKey, "misread"},
		"another curve":     {keyblob.UDP, otherCurve, errBadDeviceKey, "P-256"},
		"erased":            {keyblob.TCP, []byte{0xff, 0xff, 0xff, 0xff}, errNoDeviceKey, "let it start"},
		"cut":               {keyblob.TCP, shortened[:600], errNoDeviceKey, "let it start"},
	} {
		t.Run(name, func(t *testing.T) {
			memory := append(append([]byte(nil), test.memory...), 0xff, 0xff)
			if name == "cut" {
				memory = test.memory
			}
			if _, err := devicePublicKey(test.transport, memory); !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Error(err)
			}
		})
	}
}
