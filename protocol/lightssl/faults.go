package lightssl

import "crypto/rsa"

// ServerFaults make a [Server] misbehave, to test devices and suites. The zero
// value is correct behaviour.
type ServerFaults struct {
	// NonceSize, if positive, is the number of bytes of the nonce sent, at most
	// 80; if negative, none is sent.
	NonceSize int
	// FixedNonce sends zeros, against R-1.
	FixedNonce bool
	// AcceptAnyNonce does not compare the nonce, against R-4.
	AcceptAnyNonce bool
	// AcceptAnyKey encrypts to the key offered, for any id, against.
	AcceptAnyKey bool
	// RefuseCoreForm refuses a C1 without a key, against R-5.
	RefuseCoreForm bool
	// RefuseFast does no work once it knows that it will refuse, against R-4.
	RefuseFast bool
	// AnswerRefused sends one byte before it closes, against R-4.
	AnswerRefused bool
	// DigestInfoInSignature signs with the DigestInfo of RFC 8017 Section 9.2,
	// against R-3.
	DigestInfoInSignature bool
	// FlipSignatureBit flips the last bit of S.
	FlipSignatureBit bool
	// SignatureKey, if not nil, makes S with another RSA-2048 key.
	SignatureKey *rsa.PrivateKey
	// GarbageC2 sends a C2 that nobody can decrypt.
	GarbageC2 bool
	// ShortCredentials leaves the last byte of the credentials out of C2.
	ShortCredentials bool
	// SwapAnswer sends S before C2.
	SwapAnswer bool
	// AnswerSize, if positive, is the number of bytes of the answer sent, at most
	// 384, so that the device waits for the rest.
	AnswerSize int
	// NoTimeout waits for ever, against R-14.
	NoTimeout bool
	// WholeC1 refuses a C1 that does not come in one piece, against R-2.
	WholeC1 bool
	// Frames are the faults of the Session.
	Frames FrameFaults
}

// ClientFaults make a [Client] misbehave, to test clouds and suites. The zero
// value is correct behaviour.
type ClientFaults struct {
	// FlipNonceBit flips a bit of the nonce that is echoed.
	FlipNonceBit bool
	// PlaintextSize, if positive, cuts the plaintext of C1 to so many bytes, at
	// most 214.
	PlaintextSize int
	// BlockType, if not 0, is the second byte of the block, 2 in correct ones.
	BlockType uint8
	// ZeroInPadding puts a zero into the first eight bytes of the padding,
	// against RFC 8017 Section 7.2.1.
	ZeroInPadding bool
	// FixedPadding pads C1 with ones, against R-15.
	FixedPadding bool
	// GarbageC1 sends 256 bytes that are no block, below the modulus.
	GarbageC1 bool
	// HugeC1 sends a C1 that is not below the cloud's modulus.
	HugeC1 bool
	// OfferSPKI, if not nil, is sent in place of the device's key.
	OfferSPKI []byte
	// C1Size, if positive, is the number of bytes of C1 sent, at most 512: cut, or
	// with zeros behind.
	C1Size int
	// AcceptAnySignature does not check S, against R-16.
	AcceptAnySignature bool
	// AcceptDigestInfo takes an S with DigestInfo too, against R-16.
	AcceptDigestInfo bool
	// StayUndecrypted waits for another answer when C2 does not decrypt, against
	//
	StayUndecrypted bool
	// NoTimeout waits for ever, against R-19.
	NoTimeout bool
	// RestartTimeout restarts the limit whenever a byte comes, against R-19.
	RestartTimeout bool
	// Frames are the faults of the Session.
	Frames FrameFaults
}

// FrameFaults make a [Session] misbehave. They are bits, because a Session is
// small. The zero value is correct behaviour.
type FrameFaults uint16

// The faults of a Session.
const (
	// FaultLastBlockIV chains the IVs as other protocols do, from the last
	// ciphertext block of the frame before, in both directions, against R-7.
	FaultLastBlockIV FrameFaults = 1 << iota
	// FaultConstantIV starts each frame from the first IV, against R-7.
	FaultConstantIV
	// FaultNoPadding adds no padding to a message of a multiple of 16 bytes,
	// against R-8.
	FaultNoPadding
	// FaultBadPadding ends each frame with a padding byte of 0.
	FaultBadPadding
	// FaultOddLength announces one byte more than there is and sends a zero
	// behind.
	FaultOddLength
	// FaultEmptyFrame sends a frame of length 0 before each other.
	FaultEmptyFrame
	// FaultLongFrame announces 65520 bytes and sends what there is.
	FaultLongFrame
	// FaultAcceptBadFrames makes a cloud treat unusual frames as a device does,
	// against R-10.
	FaultAcceptBadFrames
	// FaultLoneByteLost makes a Session lose a byte of a length that stands alone
	// at the end of what was received.
	//
	// Device OS: every board does, so a real one tests R-9.
	FaultLoneByteLost
	// FaultNoStall waits for the rest of a frame for ever, against R-19.
	FaultNoStall
)
