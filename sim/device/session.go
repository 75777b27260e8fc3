package device

// A Session is a stored session (TRN-3.2).
type Session struct {
	// Size is that of the structure in the release that stored it; another size
	// discards the session (TRN-3.5).
	Size uint16
	// Uses counts restores without an answer.
	Uses uint8
	// LastID is the CoAP message id that was used last.
	LastID uint16
	// Server and Keys are checksums of what the session belongs to.
	Server, Keys uint32
	// App is what the cloud knows.
	App AppState
}

// An AppState is what the cloud knows of the device, as checksums (TRN-4.2).
type AppState struct {
	Valid                              uint8 // bit set of the fields that count
	Subscriptions, Application, System uint32
	ProtocolFlags                      uint32
	MaxBinary                          uint32
	Version, MaxMessage, ChunkSize     uint16
}
