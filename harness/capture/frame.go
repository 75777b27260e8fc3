package capture

import (
	"crypto/aes"
	"crypto/cipher"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// framePrefix is the length before each frame, in bytes.
const framePrefix = 2

// secrets decrypt the frames of a connection. The frames are opened here and not
// by a session of package lightssl, so that a fault in that one's chaining shows.
type secrets struct {
	block cipher.Block
	iv    [2][aes.BlockSize]byte // by direction
	first []byte                 // the device's first frame, while there are no keys
}

func (s *secrets) set(c *lightssl.Credentials) {
	block, err := aes.NewCipher(c.Key())
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	s.block, s.first = block, nil
	for i := range s.iv {
		copy(s.iv[i][:], c.IV())
	}
}

// decrypt returns the plaintext of a frame's body with its padding, nil when the
// body is not one.
func decrypt(block cipher.Block, iv, body []byte) []byte {
	if len(body) == 0 || len(body)%aes.BlockSize != 0 {
		return nil
	}
	plain := make([]byte, len(body))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, body)
	return plain
}

// padding returns the number of padding bytes (RFC 5652 Section 6.3), 0 when they
// are wrong.
func padding(plain []byte) int {
	p := int(plain[len(plain)-1])
	if p < 1 || p > aes.BlockSize {
		return 0
	}
	for _, b := range plain[len(plain)-p:] {
		if int(b) != p {
			return 0
		}
	}
	return p
}

// frame opens a frame.
//
// Device OS: the IV of the next one is the first block of this one's ciphertext.
func (d *Decoder) frame(st *stream, p *trace.Packet, r *trace.Record, data []byte) {
	r.Length = len(data) - framePrefix
	body := data[framePrefix:]
	if !st.keyed {
		r.State, r.Problem = trace.Sealed, "no keys"
		return
	}
	iv := st.iv[p.Direction]
	copy(st.iv[p.Direction][:], body)
	plain := decrypt(st.block, iv[:], body)
	if plain == nil {
		r.State, r.Problem = trace.Broken, "a frame is a positive multiple of 16 bytes"
		return
	}
	if r.Padding = padding(plain); r.Padding == 0 {
		r.State, r.Problem = trace.Rejected, "padding"
		return
	}
	r.State = trace.Opened
	r.Message = d.message(st.association, p, plain[:len(plain)-r.Padding])
}

// fits reports whether credentials are those of a connection, by the device's
// first frame: it is padded, is a Hello and has the ID that follows from them.
func (st *stream) fits(g *given) bool {
	if len(st.first) < framePrefix {
		return false
	}
	block, err := aes.NewCipher(g.credentials.Key())
	if err != nil {
		return false
	}
	plain := decrypt(block, g.credentials.IV(), st.first[framePrefix:])
	if plain == nil || padding(plain) == 0 {
		return false
	}
	m, err := coap.Parse(plain[:len(plain)-padding(plain)])
	return err == nil && pdc.Classify(m, true) == pdc.KindHello &&
		(m.ID == g.credentials.FirstID() || m.ID == g.credentials.CoreFirstID())
}
