package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/dtls"
)

// An identity is a throwaway P-256 key in every form that a peer may want.
type identity struct {
	name  string
	key   *ecdsa.PrivateKey
	spki  []byte
	chain [][]byte // a certificate signed by itself
}

// The identities of all tests. They come from the vectors, so that a failing
// handshake can be told from a bad key.
var (
	ours    = newIdentity("ours", fixtures.Vector("appendix-b-1-keys", "cloud-private"))
	theirs  = newIdentity("theirs", fixtures.Vector("appendix-b-1-keys", "device-private"))
	another = newIdentity("another", fixtures.Vector("appendix-b-1-keys", "cloud-ephemeral-private"))
)

func newIdentity(name string, scalar []byte) *identity {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		panic(err)
	}
	id := &identity{name: name, key: key}
	if id.spki, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	id.chain = [][]byte{der}
	return id
}

// file writes one form of the identity, as PEM, and returns its path.
func (id *identity) file(t *testing.T, form string) string {
	t.Helper()
	var b pem.Block
	var err error
	switch form {
	case "sec1":
		b.Type = "EC PRIVATE KEY"
		b.Bytes, err = x509.MarshalECPrivateKey(id.key)
	case "pkcs8":
		b.Type = "PRIVATE KEY"
		b.Bytes, err = x509.MarshalPKCS8PrivateKey(id.key)
	case "public":
		b.Type, b.Bytes = "PUBLIC KEY", id.spki
	case "certificate":
		b.Type, b.Bytes = "CERTIFICATE", id.chain[0]
	default:
		t.Fatalf("no form %q", form)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), id.name+"."+form+".pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&b), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var errStranger = errors.New("not the key that was expected")

// only accepts the raw public key of id.
func only(id *identity) func(spki []byte) error {
	return func(spki []byte) error {
		if !bytes.Equal(spki, id.spki) {
			return errStranger
		}
		return nil
	}
}

// onlyChain accepts the certificate of id, by its hash as a pin would.
func onlyChain(id *identity) func(chain [][]byte) error {
	want := sha256.Sum256(id.chain[0])
	return func(chain [][]byte) error {
		if len(chain) != 1 || sha256.Sum256(chain[0]) != want {
			return errStranger
		}
		return nil
	}
}

// serverConfig is our server in the standard profile, which knows id's key.
func serverConfig(id *identity) *dtls.ServerConfig {
	return &dtls.ServerConfig{Profile: dtls.Standard, Key: ours.key, Rand: rand.Reader, Verify: only(id)}
}

// clientConfig is our client in the standard profile, which pins id's key.
func clientConfig(id *identity) *dtls.ClientConfig {
	return &dtls.ClientConfig{Profile: dtls.Standard, Key: ours.key, ServerKey: &id.key.PublicKey, Rand: rand.Reader}
}
