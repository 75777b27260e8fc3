package recording

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/muster/muster/harness/capture"
)

// keysMax bounds a file of keys, in bytes.
const keysMax = 64 << 20

// The sizes of RSA keys, in bits: the cloud has 2048, devices have 1024.
const cloudBits = 2048

// Keys are the secrets that open what is in recordings.
type Keys struct {
	// Cloud is the cloud's RSA key, nil if it is not known.
	Cloud *rsa.PrivateKey
	// Devices are the RSA keys of devices.
	Devices []*rsa.PrivateKey
	// Logs are key logs.
	Logs [][]byte
}

// Add adds what a file or a folder holds, see AddFile and AddFolder.
func (k *Keys) Add(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return k.AddFolder(path)
	}
	return k.AddFile(path)
}

// folderMax bounds how many files of a folder are looked at.
const folderMax = 1 << 20

// AddFolder adds the key logs and RSA private keys in a folder, such as a bundle, the
// data of a cloud, or the keys of a fleet; not those in folders in it. What else is
// there is passed over. The error says so if nothing in it opens anything.
func (k *Keys) AddFolder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("recording: keys: %w", err)
	}
	had := len(k.Logs) + len(k.Devices)
	curves, cloud := 0, k.Cloud
	for _, e := range entries[:min(len(entries), folderMax)] {
		info, err := os.Stat(filepath.Join(path, e.Name())) // through links
		if err != nil || !info.Mode().IsRegular() || info.Size() > keysMax {
			continue
		}
		b, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			return fmt.Errorf("recording: keys: %w", err)
		}
		if bytes.IndexByte(b, 0) >= 0 && parseKey(b) == nil {
			continue // a recording may have a key log inside: it gives that itself
		}
		if err := k.add(b); errors.Is(err, errCurve) {
			curves++
		}
	}
	switch {
	case len(k.Logs)+len(k.Devices) > had || k.Cloud != cloud:
		return nil
	case curves > 0:
		return fmt.Errorf("recording: keys: %s: of the %d private keys in it: %w", path, curves, errCurve)
	}
	return fmt.Errorf("recording: keys: %s: no file in it is a key log or an RSA private key", path)
}

// errCurve is about a key that opens nothing.
var errCurve = errors.New("an elliptic-curve key opens no DTLS session: its handshakes have forward secrecy; give a key log (muster conform leaves one in its bundle)")

// AddFile adds what a file holds: a key log (CLIENT_RANDOM of DTLS sessions,
// PARTICLE_NONCE or PARTICLE_CREDENTIALS of TCP connections), or RSA private keys in
// PEM or DER. The error says what is wrong, and nothing of what is in the file.
func (k *Keys) AddFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("recording: keys: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, keysMax))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("recording: keys: %w", err)
	}
	if err := k.add(b); err != nil {
		return fmt.Errorf("recording: keys: %s: %w", path, err)
	}
	return nil
}

func (k *Keys) add(b []byte) error {
	block, rest := pem.Decode(b)
	if block == nil {
		if key := parseKey(b); key != nil {
			return k.addKey(key)
		}
		if !capture.IsKeyLog(b) {
			return errors.New("it is neither a key log with lines of CLIENT_RANDOM, PARTICLE_NONCE or PARTICLE_CREDENTIALS, nor an RSA private key in PEM or DER")
		}
		k.Logs = append(k.Logs, b)
		return nil
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "EC PARAMETERS" {
			continue
		}
		key := parseKey(block.Bytes)
		if key == nil {
			return fmt.Errorf("a %q in it is no private key", block.Type)
		}
		if err := k.addKey(key); err != nil {
			return err
		}
	}
	return nil
}

// parseKey reads a private key in DER. Devices store theirs with zeros behind it.
func parseKey(der []byte) any {
	for _, b := range [][]byte{der, bytes.TrimRight(der, "\x00"), bytes.TrimRight(der, "\xff")} {
		if key, err := x509.ParsePKCS1PrivateKey(b); err == nil {
			return key
		}
		if key, err := x509.ParsePKCS8PrivateKey(b); err == nil {
			return key
		}
		if key, err := x509.ParseECPrivateKey(b); err == nil {
			return key
		}
	}
	return nil
}

func (k *Keys) addKey(key any) error {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() >= cloudBits {
			k.Cloud = key
		} else {
			k.Devices = append(k.Devices, key)
		}
		return nil
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
		return errCurve
	default:
		return errors.New("a private key of a kind that no device or cloud has")
	}
}

// Give hands the keys to a decoder, whose Config.CloudKey is Cloud.
func (k *Keys) Give(d *capture.Decoder) error {
	for _, key := range k.Devices {
		d.AddDeviceKey(key)
	}
	for _, log := range k.Logs {
		if err := d.ReadKeyLog(bytes.NewReader(log)); err != nil {
			return err
		}
	}
	return nil
}
