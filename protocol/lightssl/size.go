package lightssl

import "time"

// Sizes of what travels, in bytes.
const (
	NonceSize       = 40
	DeviceIDSize    = 12
	CredentialsSize = 40
	DeviceSPKISize  = 162 // RSA-1024
	CloudSPKISize   = 294 // RSA-2048
	C1Size          = 256
	C2Size          = 128
	SignatureSize   = 256
	AnswerSize      = C2Size + SignatureSize

	// CorePlaintextSize is the size of the plaintext of a C1 without the
	// device's key, as the firmware of the Core sends it.
	CorePlaintextSize = NonceSize + DeviceIDSize
	// PlaintextSize is the size of the plaintext of a C1 of every later device.
	PlaintextSize = CorePlaintextSize + DeviceSPKISize
)

// Limits of the ciphertext of a frame that a side receives, in bytes. The
// plaintext is at least one byte shorter.
//
// Device OS: the buffer of the release less 18, rounded down to 16
// (communication/src/lightssl_message_channel.cpp).
const (
	LimitCore      = 608  // Core
	LimitDevice    = 768  // Photon, P1 and gcc up to 2.x
	LimitDevice3_0 = 928  // Photon, P1 and gcc from 3.0 on
	LimitDevice5_8 = 1120 // gcc from 5.8 on
	LimitCloud     = 1152 + 16
)

// Time limits, counted from the beginning of each step: partial progress does
// not restart them.
const (
	// DeviceStall is what a device waits for the nonce, for C2 and S, and for
	// the rest of a frame.
	DeviceStall = 20 * time.Second
	// CloudStep is what a cloud waits for C1, for the first frame, and
	// for the rest of a frame.
	CloudStep = 30 * time.Second
)

// A DeviceID names a device; its printed form is 24 lower-case hex digits.
type DeviceID [DeviceIDSize]byte
