package cloudref

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
)

// The files with the cloud's private keys, PKCS #8 in PEM, readable by their
// owner only.
const (
	fileECKey  = "cloud-udp.pem"
	fileRSAKey = "cloud-tcp.pem"
)

// The bits of the cloud's RSA key. Device OS takes no other.
const rsaBits = 2048

// loadKeys completes the keys of o from its directory, and makes those that are
// not there.
func (o *Options) loadKeys() error {
	if o.ECKey == nil {
		key, err := loadKey(o.Dir, fileECKey, func() (any, error) {
			return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		})
		if err != nil {
			return err
		}
		ec, ok := key.(*ecdsa.PrivateKey)
		if !ok || ec.Curve != elliptic.P256() {
			return fmt.Errorf("cloud: %s is not a P-256 key: move it away to have a new one made, or put the right one there", filepath.Join(o.Dir, fileECKey))
		}
		o.ECKey = ec
	}
	if o.RSAKey == nil {
		key, err := loadKey(o.Dir, fileRSAKey, func() (any, error) {
			return rsa.GenerateKey(rand.Reader, rsaBits)
		})
		if err != nil {
			return err
		}
		r, ok := key.(*rsa.PrivateKey)
		if !ok || r.N.BitLen() != rsaBits {
			return fmt.Errorf("cloud: %s is not an RSA key of %d bits: move it away to have a new one made, or put the right one there", filepath.Join(o.Dir, fileRSAKey), rsaBits)
		}
		o.RSAKey = r
	}
	return nil
}

// loadKey reads a key from dir, or makes and writes it. Without a directory it
// only makes it.
func loadKey(dir, name string, make func() (any, error)) (any, error) {
	if dir == "" {
		return make()
	}
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err == nil {
		return parseKey(path, b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cloud: reading the key of the cloud: %w", err)
	}
	key, err := make()
	if err != nil {
		return nil, fmt.Errorf("cloud: making a key: %w", err)
	}
	return key, writeKey(path, key)
}

func parseKey(path string, b []byte) (any, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("cloud: %s holds no PEM: move it away to have a new key made", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cloud: %s holds no PKCS #8 key: move it away to have a new key made", path)
	}
	return key, nil
}

func writeKey(path string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("cloud: encoding a key: %w", err)
	}
	if err := writeSecret(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return fmt.Errorf("cloud: writing a key: %w", err)
	}
	return nil
}

// writeSecret writes a file so that it is whole or not there, and nobody else can
// read it.
func writeSecret(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
