package dtls

import (
	"crypto"
	"errors"

	"github.com/muster/muster/protocol/clock"
)

// sendFlight draws the ECDHE key, computes the session's keys and sends
// Certificate to Finished.
func (c *Client) sendFlight(now clock.Instant, out *Out) {
	own := ephemeral(c.cfg.Rand)
	secret, ok := premaster(own, c.serverPoint)
	if !ok {
		c.fail(IllegalParameter, errors.New("point not on the curve"), out)
		return
	}
	c.begin()
	proof := c.asked
	if c.asked {
		body, isKey := c.certificate()
		c.add(typeCertificate, body)
		proof = isKey && !c.cfg.Faults.OmitCertificateVerify
	}
	c.add(typeClientKeyExchange, appendClientKeyExchange(nil, own.PublicKey().Bytes()))
	c.key(secret, c.newSession(), c.clientCID, c.serverCID)
	if proof {
		c.add(typeCertificateVerify, c.certificateVerify())
	}
	verify := c.prf.verifyData(labelClient, c.sum())
	if c.cfg.Faults.BadFinished {
		verify[0] ^= 1
	}
	c.addFinished(verify[:])
	c.state = clientWaitFinished
	c.tx.limit(c.cfg.Faults.FragmentSize)
	c.send(now, out)
}

// newSession returns the session that the keys go into.
func (c *Client) newSession() *Session {
	gen := c.cfg.Gen.resolve()
	return &Session{
		profile: c.cfg.Profile, gen: gen, sends: c.cfg.Mark.resolve(gen), deviceID: c.cfg.DeviceID, faults: c.cfg.RecordFaults,
	}
}

// certificate returns the body of Certificate, and whether a CertificateVerify
// follows.
//
// Device OS: without client_certificate_type in ServerHello the body is an empty
// X.509 list with one length too many, and the proof follows all the same.
func (c *Client) certificate() (body []byte, proof bool) {
	switch {
	case c.cfg.Faults.Certificate != nil:
		return c.cfg.Faults.Certificate, true
	case c.clientType == typeRawKey:
		return appendRawKey(nil, SPKI(&c.cfg.Key.PublicKey)), true
	case c.cfg.Profile == DeviceOS:
		return []byte{0, 0, 3, 0, 0, 0}, true
	default:
		// Without a chain an empty list, and then no proof (RFC 5246 Section
		// 7.4.6).
		return appendChain(nil, c.cfg.Certificate), len(c.cfg.Certificate) > 0
	}
}

// certificateVerify returns the body of CertificateVerify.
func (c *Client) certificateVerify() []byte {
	sum := c.sum()
	if c.cfg.Faults.BadCertificateVerify {
		sum[0] ^= 1
	}
	return appendSignature(nil, hashSHA256, sign(c.cfg.Key, sum, crypto.SHA256))
}
