package lightssl

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/seed"
)

// TestKeysAgreeWithTheStandardLibrary reads and writes by offset what crypto/x509
// reads and writes by DER.
func TestKeysAgreeWithTheStandardLibrary(t *testing.T) {
	device := GenerateDeviceKey(seed.Bytes(5, "device"))
	if got, want := AppendDeviceKey(nil, device), x509.MarshalPKCS1PrivateKey(device); !bytes.Equal(got, want) {
		t.Errorf("private key is %x, want %x", got, want)
	}
	cloud := GenerateCloudKey(seed.Bytes(5, "cloud"))
	for _, test := range []struct {
		got []byte
		key *rsa.PublicKey
	}{
		{AppendDeviceSPKI(nil, &device.PublicKey), &device.PublicKey},
		{AppendCloudSPKI(nil, &cloud.PublicKey), &cloud.PublicKey},
	} {
		want, err := x509.MarshalPKIXPublicKey(test.key)
		if err != nil || !bytes.Equal(test.got, want) {
			t.Errorf("public key is %x, want %x (%v)", test.got, want, err)
		}
	}
	if !device.Equal(GenerateDeviceKey(seed.Bytes(5, "device"))) {
		t.Error("the same stream gave another key")
	}
}

// TestRecordedKeys: real devices have the layout too.
func TestRecordedKeys(t *testing.T) {
	for _, c := range fixtures.Captures() {
		if c.Transport != "tcp" {
			continue
		}
		k, err := ParseDeviceKey(c.DeviceKey)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if !bytes.Equal(AppendDeviceSPKI(nil, &k.PublicKey), c.DeviceSPKI) || !bytes.Equal(AppendDeviceKey(nil, k), c.DeviceKey) {
			t.Errorf("%s: the keys do not belong together", c.Name)
		}
		if len(c.ServerSPKI) != CloudSPKISize || !bytes.Equal(c.ServerSPKI[33:33+256], pkcs1(t, c.ServerKey).N.Bytes()) {
			t.Errorf("%s: N is not at offset 33", c.Name)
		}
	}
}

// TestNominalWidths: a key with a shortened integer is not for a device, and the
// generator draws again. About one key in 64 is short; these streams begin with
// one.
func TestNominalWidths(t *testing.T) {
	for run, short := range map[uint64]string{136: "dq", 165: "d", 366: "qinv"} {
		k := seed.RSA(seed.Bytes(run, "short"), 1024)
		der := x509.MarshalPKCS1PrivateKey(k)
		_, err := ParseDeviceKey(der)
		if Nominal(k) || !isKeyError(err) || !strings.Contains(err.Error(), short+" of the private key") {
			t.Errorf("%s: Nominal is %t, reading gives %v", short, Nominal(k), err)
		}
		if x, err := x509.ParsePKCS1PrivateKey(der); err != nil || !x.Equal(k) {
			t.Errorf("%s: the key is not only short: %v", short, err)
		}
		if g := GenerateDeviceKey(seed.Bytes(run, "short")); g.Equal(k) || !Nominal(g) {
			t.Errorf("%s: the generator gave it", short)
		}
	}
	if Nominal(vectorCloud) {
		t.Error("a cloud's key is nominal for a device")
	}
}

func TestParseSPKIRefuses(t *testing.T) {
	good := vector(vectorKeys, "device-spki")
	for name, b := range map[string][]byte{
		"empty":    nil,
		"cloud":    vector(vectorKeys, "cloud-spki"),
		"trailing": append(slices.Clone(good), 0),
		"even":     changed(good, 29+127, 1),
		"short N":  changed(good, 29, 0x80),
		"exponent": changed(good, 161, 2),
	} {
		if _, err := ParseDeviceSPKI(b); !isKeyError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if _, err := ParseDeviceSPKI(good[:n]); !isKeyError(err) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
}

func TestParseDeviceKeyRefuses(t *testing.T) {
	good := vector(vectorKeys, "device-private-pkcs1")
	if k, err := ParseDeviceKey(append(slices.Clone(good), 0xff, 0xff)); err != nil || !k.Equal(vectorDevice) {
		t.Errorf("erased flash behind the key: %v", err)
	}
	for n := range good {
		if _, err := ParseDeviceKey(good[:n]); !isKeyError(err) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	for i := range good {
		if k, err := ParseDeviceKey(changed(good, i, 0x55)); !isKeyError(err) {
			t.Errorf("byte %d changed: %v, equal %t", i, err, k.Equal(vectorDevice))
		}
	}
}

func changed(b []byte, at int, mask byte) []byte {
	b = slices.Clone(b)
	b[at] ^= mask
	return b
}

func isKeyError(err error) bool {
	var e *KeyError
	return errors.As(err, &e) && e.Error() != ""
}

func TestAppendRefusesOtherKeys(t *testing.T) {
	wrong := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: vectorDevice.N, E: 3}, D: big.NewInt(1)}
	for name, use := range map[string]func(){
		"exponent": func() { AppendDeviceSPKI(nil, &wrong.PublicKey) },
		"size":     func() { AppendDeviceSPKI(nil, &vectorCloud.PublicKey) },
		"nil":      func() { AppendCloudSPKI(nil, nil) },
		"private":  func() { AppendDeviceKey(nil, wrong) },
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
