package lightssl

import (
	"crypto"
	"crypto/rsa"
	"crypto/subtle"
	"math/big"
	"slices"
)

// c2PaddingSize is the size of the padding in C2.
const c2PaddingSize = C2Size - overhead - CredentialsSize

// A Work is the part of a cloud's handshake that costs RSA operations, about
// 2 ms of CPU: the decryption of C1, and C2 and S. It depends on nothing else of
// its Server, so a pool of goroutines can run it.
type Work struct {
	cfg         *ServerConfig
	c1          [C1Size]byte
	nonce       [NonceSize]byte
	credentials Credentials
	padding     [c2PaddingSize]byte
}

// A Result is what a Work has found, for [Server.Finish].
type Result struct {
	refusal     Refusal
	id          DeviceID
	spki        []byte // as offered, nil when it was not
	credentials Credentials
	answer      []byte
}

// nobody is a number in the place of N of devices that are not known: the work
// must not show that. Nobody knows its factors.
var nobody = func() *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 8*deviceKeySize)
	return &rsa.PublicKey{N: n.Sub(n, big.NewInt(105)), E: exponent}
}()

// Run decrypts C1, decides, and makes the answer. Whatever it finds, it decrypts,
// looks up, encrypts and signs once.
func (w *Work) Run() Result {
	m, valid := decryptC1(w.cfg.Key, w.c1[:])
	r := Result{credentials: w.credentials, refusal: w.refusal(m, valid)}
	if len(m) < CorePlaintextSize {
		m = make([]byte, CorePlaintextSize)
	}
	copy(r.id[:], m[NonceSize:])
	if offered := m[CorePlaintextSize:]; len(offered) > 0 {
		r.spki = slices.Clone(offered)
	}
	key := w.recipient(&r)
	if w.cfg.Faults.RefuseFast && r.refusal != NotRefused {
		return r
	}
	if key == nil {
		key = nobody
	}
	r.answer = w.answer(key)
	return r
}

// refusal judges what does not depend on who the device is.
func (w *Work) refusal(m []byte, valid bool) Refusal {
	var echoed [NonceSize]byte
	copy(echoed[:], m)
	same := subtle.ConstantTimeCompare(echoed[:], w.nonce[:]) == 1 || w.cfg.Faults.AcceptAnyNonce
	switch {
	case !valid:
		return RefusedBlock
	case len(m) < CorePlaintextSize:
		return RefusedShort
	case !same:
		return RefusedNonce
	default:
		return NotRefused
	}
}

// recipient returns the key that C2 is for, nil when there is none. It looks the
// device up in any case and completes the refusal.
func (w *Work) recipient(r *Result) *rsa.PublicKey {
	registered := w.cfg.Lookup(r.id)
	if w.cfg.Faults.AcceptAnyKey && r.spki != nil {
		registered = r.spki
	}
	if registered == nil && r.spki != nil && w.cfg.Trust != nil && w.cfg.Trust(r.id, r.spki) {
		registered = r.spki
	}
	key, err := ParseDeviceSPKI(registered)
	refusal := NotRefused
	switch {
	case err != nil:
		key, refusal = nil, RefusedUnknown
	case r.spki == nil && w.cfg.Faults.RefuseCoreForm,
		r.spki != nil && subtle.ConstantTimeCompare(r.spki, registered) == 0:
		// A plaintext of any other length than 52 or 214 bytes offers something
		// that is no key.
		refusal = RefusedKey
	}
	if r.refusal == NotRefused {
		r.refusal = refusal
	}
	return key
}

// answer returns C2 and S.
func (w *Work) answer(key *rsa.PublicKey) []byte {
	f := &w.cfg.Faults
	credentials, padding := w.credentials[:], w.padding[:]
	if f.ShortCredentials {
		credentials = credentials[:CredentialsSize-1]
		padding = append(slices.Clone(padding), 1)
	}
	block := appendBlock(make([]byte, 0, C2Size), padding, credentials)
	if f.GarbageC2 {
		block[1] = 0
	}
	c2 := encrypt(key, block)
	s := w.sign(w.credentials.mac(c2))
	if f.FlipSignatureBit {
		s[SignatureSize-1] ^= 1
	}
	answer := slices.Concat(c2, s)
	if f.SwapAnswer {
		answer = slices.Concat(s, c2)
	}
	if f.AnswerSize > 0 {
		answer = answer[:f.AnswerSize]
	}
	return answer
}

// sign makes S.
//
// Device OS: there is no DigestInfo in it (RFC 8017 Section 9.2 step 2).
func (w *Work) sign(mac []byte) []byte {
	key, hash := w.cfg.Key, crypto.Hash(0)
	if w.cfg.Faults.SignatureKey != nil {
		key = w.cfg.Faults.SignatureKey
	}
	if w.cfg.Faults.DigestInfoInSignature {
		hash = crypto.SHA1
	}
	s, err := rsa.SignPKCS1v15(nil, key, hash, mac)
	if err != nil {
		panic("lightssl: signing: " + err.Error()) // the key was checked
	}
	return s
}
