package fleet

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
)

// A CloudKeys are the public keys of a cloud, nil where there is none.
type CloudKeys struct {
	EC  *ecdsa.PublicKey // over UDP
	RSA *rsa.PublicKey   // over TCP
}

// cloudFiles are what the reference cloud writes for boards.
var cloudFiles = []string{"server-udp.der", "server-tcp.der"}

// Load reads a public key of a cloud: a file as it is flashed to boards, or a
// SubjectPublicKeyInfo in DER or PEM; or those of a folder, by the names that
// "muster cloud" gives them.
func (c *CloudKeys) Load(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return c.loadFolder(path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("fleet: the key of the cloud: %w", err)
	}
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	if blob, err := keyblob.Parse(b); err == nil {
		b = blob.Key
	}
	if key, ok := dtls.ParseSPKI(b); ok {
		c.EC = key
		return nil
	}
	if key, err := lightssl.ParseCloudSPKI(b); err == nil {
		c.RSA = key
		return nil
	}
	if _, err := x509.ParsePKCS8PrivateKey(b); err == nil {
		return fmt.Errorf("fleet: %s is a private key: devices need the public half, such as server-udp.der", path)
	}
	return fmt.Errorf("fleet: %s is no public key of a cloud: want P-256 (over UDP) or RSA-2048 (over TCP)", path)
}

func (c *CloudKeys) loadFolder(dir string) error {
	found := false
	for _, name := range cloudFiles {
		err := c.Load(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		found = found || err == nil
	}
	if !found {
		return fmt.Errorf("fleet: %s has neither %s nor %s: start the cloud once, or name the file", dir, cloudFiles[0], cloudFiles[1])
	}
	return nil
}
