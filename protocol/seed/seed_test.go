package seed

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"io"
	"testing"
)

func draw(t *testing.T, run uint64, part string) []byte {
	t.Helper()
	b := make([]byte, 64)
	if _, err := io.ReadFull(Bytes(run, part), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStreamsAreNamedAndRepeatable(t *testing.T) {
	first := draw(t, 1, "device/31/jitter")
	if !bytes.Equal(first, draw(t, 1, "device/31/jitter")) {
		t.Error("the same seed and name gave different bytes")
	}
	if bytes.Equal(first, draw(t, 1, "device/31/keys")) {
		t.Error("another name gave the same bytes")
	}
	if bytes.Equal(first, draw(t, 2, "device/31/jitter")) {
		t.Error("another seed gave the same bytes")
	}
}

func TestKeysRepeatAndWork(t *testing.T) {
	a, b := P256(Bytes(7, "key")), P256(Bytes(7, "key"))
	if !a.Equal(b) {
		t.Error("P256: the same stream gave different keys")
	}
	digest := sha256.Sum256([]byte("x"))
	one, err := a.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("two signatures without a reader differ: RFC 6979 is not in use")
	}

	r := RSA(Bytes(7, "rsa"), 1024)
	if !r.Equal(RSA(Bytes(7, "rsa"), 1024)) {
		t.Error("RSA: the same stream gave different keys")
	}
	if r.N.BitLen() != 1024 || r.E != 65537 {
		t.Errorf("modulus of %d bits and e %d, want 1024 and 65537", r.N.BitLen(), r.E)
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}
