package capture

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"net/netip"
	"slices"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/trace"
)

// anonymousMax bounds the credentials that name no connection.
const anonymousMax = 4096

// A Session is a DTLS session whose handshake was not sighted, given with its
// keys: one that was restored from a store.
type Session struct {
	Keys   dtls.Keys
	Device trace.DeviceID // zero if it is not known
	// DeviceAddress and CloudAddress, if valid, tell where it is in use.
	DeviceAddress, CloudAddress netip.AddrPort
}

// AddSecrets adds the secrets of a DTLS session, before or after its packets. The
// ServerRandom may be zero: the wire tells it.
func (d *Decoder) AddSecrets(s dtls.Secrets) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secrets.put(s.ClientRandom, s)
	if a := d.byRandom[s.ClientRandom]; a != nil {
		d.unlock(a)
		d.advance()
	}
}

// AddSession adds a session with its keys, before or after its packets.
func (d *Decoder) AddSession(s Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.newAssociation()
	a.cid, a.serverCID = s.Keys.ClientCID, s.Keys.ServerCID
	a.opener = dtls.NewOpener(d.cfg.Profile, s.Keys)
	d.own(a, s.Device)
	if a.cid.Len() > 0 {
		d.byCID[a.cid] = a
	}
	if s.DeviceAddress.IsValid() && s.CloudAddress.IsValid() {
		d.flowOf(pathKey{s.DeviceAddress, s.CloudAddress}).prefer(a)
	}
	d.advanceAll()
}

// AddDevice tells whose key it is: the SubjectPublicKeyInfo of a device in DER,
// and over TCP perhaps its private key, which together with Config.CloudKey
// opens connections without any secrets of the endpoints.
func (d *Decoder) AddDevice(id trace.DeviceID, spki []byte, key *rsa.PrivateKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owners[string(spki)] = id
	if key != nil {
		d.deviceKeys[id] = key
	}
}

// looseMax bounds the keys of devices whose ids are not known.
const looseMax = 256

// AddDeviceKey adds the RSA private key of a device whose id is not known. It is tried
// on every TCP connection that no other key opens.
func (d *Decoder) AddDeviceKey(key *rsa.PrivateKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.looseKeys) < looseMax {
		d.looseKeys = append(d.looseKeys, key)
	}
}

// AddCredentials adds the credentials of a TCP connection, before or after its
// packets. The nonce tells which connection it is; nil if it is not known: then
// the first frame of the device tells. The device is zero if it is not known.
func (d *Decoder) AddCredentials(nonce []byte, c lightssl.Credentials, device trace.DeviceID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := given{c, device}
	for f := range d.blocked {
		if s := f.stream; s != nil && !s.keyed && (nonce == nil && s.fits(&g) || nonce != nil && slices.Equal(s.nonce, nonce)) {
			d.key(s, &g)
			d.advance(f)
			return
		}
	}
	if nonce != nil {
		d.credentials.put(string(nonce), g)
		return
	}
	if d.anonymous = append(d.anonymous, g); len(d.anonymous) > anonymousMax {
		d.anonymous = d.anonymous[1:]
	}
}

// unlock makes the keys of an association, once the wire and the secrets are
// there, and makes ready what has waited for them.
func (d *Decoder) unlock(a *association) {
	s, ok := d.secrets.get(a.clientRandom)
	if !ok || a.opener != nil {
		return
	}
	server := s.ServerRandom
	if server == ([32]byte{}) {
		server = a.serverRandom
	}
	if !a.answered || server != a.serverRandom {
		return // the ServerHello that belongs to them has not been seen
	}
	block := keyBlock(s.Master[:], server[:], s.ClientRandom[:])
	a.opener = dtls.NewOpener(d.cfg.Profile, dtls.KeysFromBlock(&block, a.cid.Bytes(), a.serverCID.Bytes()))
	d.ready = append(d.ready, a.waiters...)
	a.waiters = nil
	if d.cfg.Unlocked != nil {
		s.ServerRandom = server
		d.cfg.Unlocked(Secrets{DTLS: &s, DeviceAddress: a.at.key.device})
	}
}

// keyBlock expands a master secret (RFC 5246 Sections 5 and 6.3). It is written
// out here so that a decoder shares no key derivation with the endpoints.
func keyBlock(master, serverRandom, clientRandom []byte) (block [40]byte) {
	seed := append([]byte("key expansion"), serverRandom...)
	seed = append(seed, clientRandom...)
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, master)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	a := mac(seed)
	n := copy(block[:], mac(a, seed))
	copy(block[n:], mac(mac(a), seed))
	return block
}
