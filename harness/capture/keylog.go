package capture

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/trace"
)

// The labels of a key log. Tools that do not know a label skip its line.
const (
	labelDTLS = "CLIENT_RANDOM"
	labelTCP  = "PARTICLE_NONCE"
	// labelLoose is read only: the credentials of a TCP connection whose nonce is not
	// known.
	labelLoose = "PARTICLE_CREDENTIALS"
)

// A KeyLog writes the secrets of sessions as lines of the NSS key log format:
//
//	CLIENT_RANDOM <client random> <master secret>
//	PARTICLE_NONCE <nonce> <credentials>
//
// Whoever has the file reads everything that its sessions said. Make one only when
// the user asks for it, and readable for its owner only. It is safe for
// concurrent use.
type KeyLog struct {
	mu sync.Mutex
	w  io.Writer
}

// NewKeyLog returns a KeyLog that writes to w.
func NewKeyLog(w io.Writer) *KeyLog { return &KeyLog{w: w} }

// Secrets are those of one session: of a DTLS session, or of a TCP connection.
type Secrets struct {
	// DTLS are the secrets of a DTLS session; nil for a TCP connection.
	DTLS *dtls.Secrets
	// Nonce and Credentials are those of a TCP connection.
	Nonce       []byte
	Credentials lightssl.Credentials
	// DeviceAddress is where the device was when it connected.
	DeviceAddress netip.AddrPort
}

// Add writes the line of a session.
func (k *KeyLog) Add(s Secrets) error {
	if s.DTLS != nil {
		return k.line(labelDTLS, s.DTLS.ClientRandom[:], s.DTLS.Master[:])
	}
	return k.line(labelTCP, s.Nonce, s.Credentials[:])
}

func (k *KeyLog) line(label string, name, secret []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := fmt.Fprintf(k.w, "%s %x %x\n", label, name, secret)
	return err
}

// ReadKeyLog adds the secrets of a key log. Lines with other labels, comments and
// empty lines are skipped. An error names the line and nothing of what is in it.
func (d *Decoder) ReadKeyLog(r io.Reader) error {
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		fields := strings.Fields(scanner.Text())
		if len(fields) == 2 && fields[0] == labelLoose {
			c, err := hex.DecodeString(fields[1])
			if err != nil || len(c) != lightssl.CredentialsSize {
				return fmt.Errorf("capture: key log: line %d is not %s and 40 bytes in hex", n, labelLoose)
			}
			d.AddCredentials(nil, lightssl.Credentials(c), trace.DeviceID{})
			continue
		}
		if len(fields) == 0 || fields[0] != labelDTLS && fields[0] != labelTCP {
			continue
		}
		if len(fields) != 3 || !d.addLine(fields[0], fields[1], fields[2]) {
			return fmt.Errorf("capture: key log: line %d is not %s and two values in hex", n, fields[0])
		}
	}
	return scanner.Err()
}

func (d *Decoder) addLine(label, name, secret string) bool {
	n, err1 := hex.DecodeString(name)
	s, err2 := hex.DecodeString(secret)
	switch {
	case err1 != nil || err2 != nil:
		return false
	case label == labelDTLS && len(n) == 32 && len(s) == 48:
		d.AddSecrets(dtls.Secrets{ClientRandom: [32]byte(n), Master: [48]byte(s)})
		return true
	case label == labelTCP && len(n) == lightssl.NonceSize && len(s) == lightssl.CredentialsSize:
		d.AddCredentials(n, lightssl.Credentials(s), trace.DeviceID{})
		return true
	}
	return false
}

// IsKeyLog reports whether a text has a line that ReadKeyLog reads.
func IsKeyLog(b []byte) bool {
	for line := range bytes.Lines(b) {
		word, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		switch string(word) {
		case labelDTLS, labelTCP, labelLoose:
			return true
		}
	}
	return false
}
