package target

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
)

// The files in the folder of a program, by the names that the virtual device of
// Device OS gives them (TRN-6.7).
const (
	fileDeviceKey = "device_key.der"
	fileServerKey = "server_key.der"
	fileConfig    = "vdev.conf"
)

// makeKey gives the program its private key: that in a file, else the one that its
// folder has, else a new one.
func (p *program) makeKey(file string) error {
	at := filepath.Join(p.dir, fileDeviceKey)
	if file == "" {
		file = at
	}
	b, err := os.ReadFile(file)
	switch {
	case err == nil:
	case file == at && errors.Is(err, fs.ErrNotExist):
		b = p.newKey()
	default:
		return fmt.Errorf("the key of a device: %w", err)
	}
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	der, err := p.useKey(b)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(at, der, 0o600)
}

func (p *program) newKey() []byte {
	if p.profile.Board.UDP {
		der, err := x509.MarshalECPrivateKey(seed.P256(rand.Reader))
		if err != nil {
			panic(fmt.Sprintf("target: encoding our own key: %v", err))
		}
		return der
	}
	return x509.MarshalPKCS1PrivateKey(lightssl.GenerateDeviceKey(rand.Reader))
}

// useKey takes the private key in der, and returns it in the form that devices
// read: SEC1 over UDP, PKCS #1 over TCP.
func (p *program) useKey(der []byte) ([]byte, error) {
	key := privateKey(der)
	switch {
	case p.profile.Board.UDP:
		ec, ok := key.(*ecdsa.PrivateKey)
		if !ok || ec.Curve != elliptic.P256() {
			return nil, errors.New("a device over UDP has a P-256 key: this is none")
		}
		p.identity.Key = dtls.SPKI(&ec.PublicKey)
		return x509.MarshalECPrivateKey(ec)
	default:
		r, ok := key.(*rsa.PrivateKey)
		if !ok || !lightssl.Nominal(r) {
			return nil, errors.New("a device over TCP has an RSA-1024 key: this is none")
		}
		p.identity.Key, p.identity.Private = lightssl.AppendDeviceSPKI(nil, &r.PublicKey), r
		return x509.MarshalPKCS1PrivateKey(r), nil
	}
}

// privateKey reads the forms in which keys of devices are kept. It returns nil for
// anything else.
func privateKey(der []byte) any {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	if key, err := lightssl.ParseDeviceKey(der); err == nil {
		return key
	}
	return nil
}

// writeFiles writes where the cloud is, and who the device is.
func (p *program) writeFiles(cloud Address) error {
	blob, protocol := keyblob.Blob{Transport: keyblob.TCP, Key: cloud.RSA}, "tcp"
	at := cloud.TCP
	if p.profile.Board.UDP {
		blob, protocol, at = keyblob.Blob{Transport: keyblob.UDP, Key: cloud.EC}, "udp", cloud.UDP
	}
	if !at.Addr().Is4() {
		return fmt.Errorf("a program finds its cloud by an IPv4 address, and %s is none", at)
	}
	blob.Address = keyblob.Address{IPv4: at.Addr().As4(), Port: at.Port()}
	if err := os.WriteFile(filepath.Join(p.dir, fileServerKey), blob.Append(nil), 0o600); err != nil {
		return fmt.Errorf("writing the key of the cloud for a program: %w", err)
	}
	lines := []string{
		"device_id=" + p.id.String(), "device_key=" + fileDeviceKey, "server_key=" + fileServerKey, "protocol=" + protocol,
	}
	text := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(p.dir, fileConfig), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the configuration of a program: %w", err)
	}
	return nil
}
