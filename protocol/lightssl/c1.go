package lightssl

import "bytes"

// c1 returns the answer to a nonce.
func (c *Client) c1(nonce []byte) []byte {
	f := &c.cfg.Faults
	m := c.plaintext(nonce)
	padding := make([]byte, C1Size-overhead-len(m))
	fillNonZero(c.cfg.Rand, padding)
	if f.FixedPadding {
		for i := range padding {
			padding[i] = 1
		}
	}
	if f.ZeroInPadding {
		padding[3] = 0
	}
	block := appendBlock(make([]byte, 0, C1Size), padding, m)
	if f.BlockType != 0 {
		block[1] = f.BlockType
	}
	if f.GarbageC1 {
		block[1], block[2] = 0, 0
	}
	c1 := encrypt(c.cfg.ServerKey, block)
	if f.HugeC1 {
		c1 = bytes.Repeat([]byte{0xff}, C1Size)
	}
	if f.C1Size > 0 {
		c1 = append(c1, make([]byte, C1Size)...)[:f.C1Size]
	}
	return c1
}

// plaintext returns what C1 holds: nonce, device id and, except from a Core, the
// device's key.
func (c *Client) plaintext(nonce []byte) []byte {
	f := &c.cfg.Faults
	m := make([]byte, 0, PlaintextSize)
	m = append(m, nonce...)
	m = append(m, c.cfg.ID[:]...)
	switch {
	case c.cfg.Core:
	case f.OfferSPKI != nil:
		m = append(m, f.OfferSPKI...)
	default:
		m = AppendDeviceSPKI(m, &c.cfg.Key.PublicKey)
	}
	if f.FlipNonceBit {
		m[NonceSize-1] ^= 1
	}
	if f.PlaintextSize > 0 {
		m = m[:f.PlaintextSize]
	}
	return m
}
