package workers

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/muster/muster/sim/workers/plan"
)

// A Secret is shared by the coordinator and the workers of a site, outside NATS. It
// may be nil: then whoever may write to the server is trusted.
type Secret []byte

// secretLeast is how long a secret must be: it can be guessed at offline.
const secretLeast = 16

// LoadSecret reads a secret from a file, white space at its ends left out.
func LoadSecret(path string) (Secret, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("workers: the secret of the workers: %w", err)
	}
	s := strings.TrimSpace(string(b))
	if len(s) < secretLeast {
		return nil, fmt.Errorf("workers: %s holds %d bytes, and a secret needs %d or more: make one with \"openssl rand -hex 32\"", path, len(s), secretLeast)
	}
	return Secret(s), nil
}

// info binds what is sealed to the run, the worker and the secret (RFC 9180
// Section 8.1): who has another secret finds nothing.
func (s Secret) info(run, session string) []byte {
	name := "muster fleet 1 " + run + " " + session
	if s == nil {
		return []byte(name)
	}
	b, err := hkdf.Key(sha256.New, s, nil, name, sha256.Size)
	if err != nil {
		panic("workers: deriving a key: " + err.Error())
	}
	return b
}

// proof shows that a worker has the secret, without telling it; nil without one.
func (s Secret) proof(h *plan.Hello) []byte {
	if s == nil {
		return nil
	}
	m := hmac.New(sha256.New, s)
	fmt.Fprintf(m, "muster worker %s %s %x", h.Name, h.Session, h.Key)
	return m.Sum(nil)
}

// A keyPair is to what secrets are sealed for this process. It is never stored.
type keyPair struct {
	private hpke.PrivateKey
	public  []byte
}

func newKeyPair() (*keyPair, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("workers: making a key: %w", err)
	}
	private, err := hpke.NewDHKEMPrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("workers: making a key: %w", err)
	}
	return &keyPair{private, k.PublicKey().Bytes()}, nil
}

// seal encrypts for one worker.
func seal(to, info, plain []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(to)
	if err != nil {
		return nil, fmt.Errorf("the worker's key is none: %w", err)
	}
	public, err := hpke.NewDHKEMPublicKey(p)
	if err != nil {
		return nil, fmt.Errorf("the worker's key is none: %w", err)
	}
	return hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plain)
}

// errSealed is why something cannot be opened.
var errSealed = errors.New("it is sealed with another secret: give the coordinator and all workers the same --secret-file")

// open is the opposite of seal.
func (k *keyPair) open(info, sealed []byte) ([]byte, error) {
	b, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
	if err != nil {
		return nil, errSealed
	}
	return b, nil
}

// proves reports whether a worker has shown that it has the secret.
func (s Secret) proves(h *plan.Hello) bool { return hmac.Equal(h.Proof, s.proof(h)) }
