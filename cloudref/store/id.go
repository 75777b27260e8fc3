package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
)

// A DeviceID is the 12-byte id of a device, 24 hexadecimal digits in text.
type DeviceID [12]byte

// String returns the id as 24 lower-case hexadecimal digits.
func (id DeviceID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id DeviceID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *DeviceID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseDeviceID(string(text))
	return err
}

// ParseDeviceID reads 24 hexadecimal digits of either case.
func ParseDeviceID(s string) (id DeviceID, err error) {
	return id, parseHex(id[:], s, "a device id")
}

// An AccountID names an account (the user_id of the cloud API), 24 hexadecimal
// digits in text. Zero stands for "no account": the owner of an unclaimed
// device.
type AccountID [12]byte

// String returns the id as 24 lower-case hexadecimal digits.
func (id AccountID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id AccountID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *AccountID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseAccountID(string(text))
	return err
}

// ParseAccountID reads 24 hexadecimal digits of either case.
func ParseAccountID(s string) (id AccountID, err error) {
	return id, parseHex(id[:], s, "an account id")
}

// A CID is the 8-byte connection id of a session, unique over all sessions
// stored. A session of a device that uses none (Device OS before 3.1) has one
// all the same, drawn the same way: it tells one session from the next.
type CID [8]byte

// String returns the connection id as 16 hexadecimal digits.
func (c CID) String() string { return hex.EncodeToString(c[:]) }

// A NodeID names one process of a cloud that has several. Zero: there is one.
type NodeID [8]byte

// String returns the id as 16 hexadecimal digits.
func (n NodeID) String() string { return hex.EncodeToString(n[:]) }

// ParseNodeID reads 16 hexadecimal digits of either case.
func ParseNodeID(s string) (n NodeID, err error) { return n, parseHex(n[:], s, "a node id") }

// A Fingerprint is the SHA-256 of a public key in SubjectPublicKeyInfo form.
// Zero stands for "no key".
type Fingerprint [sha256.Size]byte

// FingerprintOf returns the fingerprint of a DER-encoded SubjectPublicKeyInfo,
// and the zero Fingerprint for an empty one.
func FingerprintOf(spki []byte) Fingerprint {
	if len(spki) == 0 {
		return Fingerprint{}
	}
	return sha256.Sum256(spki)
}

// String returns the fingerprint as 64 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// An ImageID is the SHA-256 of a firmware image: an image is found by what it
// contains.
type ImageID [sha256.Size]byte

// String returns the id as 64 hexadecimal digits.
func (id ImageID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ImageID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ImageID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseImageID(string(text))
	return err
}

// ParseImageID reads 64 hexadecimal digits of either case.
func ParseImageID(s string) (id ImageID, err error) {
	return id, parseHex(id[:], s, "an image id")
}

// A Revision numbers the writes to one kind of record; a later write has a
// higher one. Zero stands for "no revision".
type Revision uint64

// claimCodeLen is the length of a claim code in characters.
//
// Device OS: the code is kept in a 63-character field.
const claimCodeLen = 63

// NewClaimCode draws a claim code, 63 characters of base64, from rand.
func NewClaimCode(rand io.Reader) (string, error) {
	var b [48]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("store: drawing a claim code: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b[:])[:claimCodeLen], nil
}

func parseHex(dst []byte, s, what string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("store: %q is not %s: want %d hexadecimal digits", s, what, 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return fmt.Errorf("store: %q is not %s: want %d hexadecimal digits", s, what, 2*len(dst))
	}
	return nil
}
