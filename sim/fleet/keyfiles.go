package fleet

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
)

// A Member is one device of a list: what has to be known besides its key.
type Member struct {
	ID      device.ID
	Profile *profile.Profile
}

// The files of a folder with the keys of a fleet. The list is written last: a
// folder without one is not complete.
const (
	listFile   = "devices.csv" // id,profile
	privateEnd = ".pem"        // PKCS #8, readable by the owner only
	publicEnd  = ".pub.pem"    // SubjectPublicKeyInfo, to register
	listHeader = "id,profile"
)

// Save writes the keys of the devices into a folder, which it makes, with the
// list of the devices. A folder that has a list already is refused.
func (k *Keys) Save(dir string, list []Member) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("fleet: making the folder for the keys: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, listFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("fleet: %s holds the keys of a fleet already: use another folder, or --keys to use them", dir)
	}
	var text strings.Builder
	text.WriteString(listHeader + "\n")
	for _, m := range list {
		der, err := x509.MarshalPKCS8PrivateKey(k.Get(m.ID))
		if err != nil {
			return fmt.Errorf("fleet: encoding the key of %s: %w", m.ID, err)
		}
		block := &pem.Block{Type: "PRIVATE KEY", Bytes: der}
		if err := writeFile(filepath.Join(dir, m.ID.String()+privateEnd), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s,%s\n", m.ID, m.Profile)
	}
	if err := k.SavePublic(dir, list); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, listFile), []byte(text.String()), 0o644)
}

// SavePublic writes the public halves into a folder, <id>.pub.pem each: what a
// cloud registers.
func (k *Keys) SavePublic(dir string, list []Member) error {
	return k.savePublic(dir, list, func(int, int) {})
}

func (k *Keys) savePublic(dir string, list []Member, progress func(done, of int)) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("fleet: making the folder for the public keys: %w", err)
	}
	for i, m := range list {
		block := &pem.Block{Type: "PUBLIC KEY", Bytes: k.Public(m.ID)}
		if err := writeFile(filepath.Join(dir, m.ID.String()+publicEnd), pem.EncodeToMemory(block), 0o644); err != nil {
			return err
		}
		progress(i+1, len(list))
	}
	return nil
}

// writeFile writes a file so that it is whole or not there.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	err := os.WriteFile(part, data, mode)
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return fmt.Errorf("fleet: writing %s: %w", path, err)
	}
	return nil
}

// LoadKeys reads what Save wrote, the first limit devices of it; 0: all.
func LoadKeys(dir string, limit int) (*Keys, []Member, error) {
	list, err := readList(filepath.Join(dir, listFile), limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("fleet: %s has no %s: make the keys with --keys-out", dir, listFile)
	} else if err != nil {
		return nil, nil, err
	}
	k := NewKeys(0)
	return k, list, k.load(dir, list)
}

// load reads the keys of a list.
func (k *Keys) load(dir string, list []Member) error {
	for _, m := range list {
		path := filepath.Join(dir, m.ID.String()+privateEnd)
		key, err := readKey(path)
		if err == nil && isECDSA(key) != m.Profile.Board.UDP {
			err = fmt.Errorf("fleet: %s is no key for %s", path, m.Profile)
		}
		if err != nil {
			return err
		}
		k.set(m.ID, key)
	}
	return nil
}

func isECDSA(key crypto.PrivateKey) bool {
	_, ok := key.(*ecdsa.PrivateKey)
	return ok
}

func readList(path string, limit int) ([]Member, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("fleet: the list of devices: %w", err)
	}
	defer f.Close()
	var list []Member
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line == listHeader {
			continue
		}
		m, err := parseMember(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if list = append(list, m); len(list) == limit {
			break
		}
	}
	return list, lines.Err()
}

func parseMember(line string) (m Member, err error) {
	id, name, _ := strings.Cut(line, ",")
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(m.ID) {
		return m, fmt.Errorf("%q is no device id: want 24 hexadecimal digits", id)
	}
	m.ID = device.ID(b)
	m.Profile, err = profile.Lookup(name)
	return m, err
}

func readKey(path string) (crypto.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("fleet: the key of a device: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("fleet: %s holds no PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("fleet: %s holds no PKCS #8 key", path) // the cause might quote it
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	case *rsa.PrivateKey:
		if lightssl.Nominal(key) {
			return key, nil
		}
	}
	return nil, fmt.Errorf("fleet: %s is neither a P-256 key nor an RSA-1024 key that a device can read", path)
}
