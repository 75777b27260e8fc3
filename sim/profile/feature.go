package profile

import (
	"fmt"

	"github.com/muster/muster/protocol/pdc"
)

// A Feature is a difference between releases, or between boards. How messages
// are encoded is not among them: package pdc knows that.
type Feature uint8

// The features, in the order in which a connection meets them.
const (
	// SessionCounter discards a session after three restores without an answer.
	SessionCounter Feature = iota
	// SocketErrorDiscards discards the session on a socket error.
	SocketErrorDiscards
	// CachedState skips Hello on resume when the application state is known to
	// the cloud; before, only when Hello was sent since power-up.
	CachedState
	// DescribesItself posts the describes without being asked.
	DescribesItself
	// TimeFirst asks for the time before the system events instead of after.
	TimeFirst
	// ParticleFirst subscribes to "particle" before "spark".
	ParticleFirst
	// RandomTokens starts the token counter at a random value.
	RandomTokens
	// WaitsForAcks is connected only when everything was acknowledged.
	WaitsForAcks
	// PendingFailureDelays counts an unfinished connect as a failed attempt,
	// so that the next one waits.
	PendingFailureDelays

	// IdentEvent publishes the secondary device identifier.
	IdentEvent
	// MaxBinaryEvent publishes the size of the update area.
	MaxBinaryEvent
	// ChunkSizeEvent publishes the size of update chunks.
	ChunkSizeEvent
	// SubsystemEvent publishes the version of the Core's Wi-Fi module.
	SubsystemEvent
	// LastResetEvent publishes why the board restarted.
	LastResetEvent
	// UpdateEvents publishes and understands particle/device/updates/...
	UpdateEvents
	// KeyErrorEvent publishes trouble with the keys.
	KeyErrorEvent
	// Goodbyes says goodbye on an orderly disconnect.
	Goodbyes

	// BlockwiseDescribes splits describes that do not fit.
	BlockwiseDescribes
	// OneDescribe answers requests for exactly one describe only.
	OneDescribe
	// NetworkReset understands the "network" reset.
	NetworkReset
	// KeyRestore understands spark/device/key/restore.
	KeyRestore
	// KeyRestoreResets restarts after restoring the key.
	KeyRestoreResets
	// UpdateWaits waits for acknowledgements in the middle of a legacy update,
	// deaf to everything else.
	UpdateWaits
	// UpdateOwnDone finishes a legacy update by itself and repeats its list of
	// missing chunks; later the cloud paces that.
	UpdateOwnDone
	// StrictUpdateState disconnects on a chunk without an update.
	StrictUpdateState
	// DropsDuplicateChunks ignores a legacy chunk that is stored already.
	DropsDuplicateChunks
	// AssetUpdates takes asset modules and drops invalid data at once.
	AssetUpdates
	// NewChannel has the second CoAP channel, which decodes unknown messages
	// strictly.
	NewChannel
	// ServerMoves understands ServerMoved.
	ServerMoves

	numFeatures
)

// A span is a range of system module versions, until exclusive, 0 for open.
type span struct{ since, until uint16 }

func (s span) has(v uint16) bool { return v >= s.since && (s.until == 0 || v < s.until) }

// Where a feature exists at all.
type where uint8

const (
	everywhere where = iota
	realOnly         // not on the virtual device
	overUDP          // on DTLS devices only
	onCore
)

// featureTable has a row for each Feature.
var featureTable = [numFeatures]struct {
	name   string
	spans  []span
	where  where
	source string
}{
	SessionCounter:       {"session counter", []span{{pdc.OS1_2, 0}}, everywhere, "TRN-3.5, 1.2.0-rc.1"},
	SocketErrorDiscards:  {"socket error discards", []span{{0, 2200}, {pdc.OS3_0, pdc.OS3_1}}, everywhere, "TRN-3.5"},
	CachedState:          {"cached state", []span{{pdc.OS0_6, 0}}, everywhere, "TRN-4.1"},
	DescribesItself:      {"describes itself", []span{{pdc.OS2_0, 0}}, everywhere, "PDC-3.3"},
	TimeFirst:            {"time first", []span{{5900, pdc.OS6_0}, {pdc.OS6_2, 0}}, everywhere, "PDC-1.1"},
	ParticleFirst:        {"particle first", []span{{pdc.OS2_0, 0}}, everywhere, "captures: 1.4.4 spark first, 2.3.0 particle first"},
	RandomTokens:         {"random tokens", []span{{pdc.OS2_0, 0}}, everywhere, "captures: 1.4.4 starts at 1"},
	WaitsForAcks:         {"waits for acks", []span{{pdc.OS1_4, 0}}, everywhere, "PDC-1.2: in 1.4.4, not in 1.2.1"},
	PendingFailureDelays: {"pending failure delays", []span{{pdc.OS4_0, 0}}, everywhere, "captures: RST to the resume ping, at once in 2.3.0 and 3.1.0, 1 s in 6.2.0; the release between is simulator's choice"},

	IdentEvent:     {"ident event", []span{{0, 5801}, {pdc.OS6_0, pdc.OS6_2}}, everywhere, "PDC-4.5"},
	MaxBinaryEvent: {"max_binary event", []span{{0, pdc.OS3_0}}, everywhere, "PDC-4.5"},
	ChunkSizeEvent: {"ota_chunk_size event", []span{{0, pdc.OS3_0}}, everywhere, "PDC-4.5"},
	SubsystemEvent: {"subsystem event", []span{{0, pdc.OS2_0}}, onCore, "PDC-4.5"},
	LastResetEvent: {"last_reset event", []span{{pdc.OS0_6, 0}}, realOnly, "PDC-4.5; captures: gcc has no reset reason"},
	UpdateEvents:   {"updates events", []span{{pdc.OS1_2, 0}}, everywhere, "PDC-4.5"},
	KeyErrorEvent:  {"key/error event", []span{{pdc.OS0_7, 0}}, everywhere, "PDC-4.5"},
	Goodbyes:       {"goodbyes", []span{{pdc.OS2_0, 0}}, realOnly, "PDC-2.5; captures: gcc sends none"},

	BlockwiseDescribes:   {"block-wise describes", []span{{pdc.OS3_3, 0}}, everywhere, "PDC-3.2"},
	OneDescribe:          {"one describe", []span{{pdc.OS5_5, 0}}, everywhere, "PDC-3.1"},
	NetworkReset:         {"network reset", []span{{pdc.OS2_3, 0}}, everywhere, "PDC-4.4"},
	KeyRestore:           {"key restore", []span{{pdc.OS0_7, 0}}, realOnly, "PDC-4.4"},
	KeyRestoreResets:     {"key restore resets", []span{{pdc.OS4_0, 0}}, realOnly, "PDC-4.4"},
	UpdateWaits:          {"update waits", []span{{0, 1600}}, everywhere, "PDC-0.4: up to 1.5"},
	UpdateOwnDone:        {"update own done", []span{{0, pdc.OS0_8}}, everywhere, "PDC-6.2"},
	StrictUpdateState:    {"strict update state", []span{{0, pdc.OS0_6}}, everywhere, "PDC-6.2"},
	DropsDuplicateChunks: {"drops duplicate chunks", []span{{pdc.OS2_0, 0}}, everywhere, "PDC-6.2"},
	AssetUpdates:         {"asset updates", []span{{pdc.OS5_5, 0}}, everywhere, "PDC-6.12"},
	NewChannel:           {"new channel", []span{{pdc.OS5_8, pdc.OS6_0}, {pdc.OS6_1, 0}}, everywhere, "PDC-0.1"},
	ServerMoves:          {"server moves", []span{{pdc.OS4_1, 0}}, overUDP, "PDC-8.6"},
}

// String returns the name of f.
func (f Feature) String() string {
	if f >= numFeatures {
		return fmt.Sprintf("Feature(%d)", uint8(f))
	}
	return featureTable[f].name
}

// Source names where the range of f comes from.
func (f Feature) Source() string { return featureTable[f].source }

// Features returns all features in order.
func Features() []Feature {
	all := make([]Feature, numFeatures)
	for i := range all {
		all[i] = Feature(i)
	}
	return all
}

// in reports whether release v on board b has f.
func (f Feature) in(b *Board, v uint16) bool {
	row := &featureTable[f]
	switch row.where {
	case realOnly:
		if b.Virtual {
			return false
		}
	case overUDP:
		if !b.UDP {
			return false
		}
	case onCore:
		if b.Platform != pdc.Core {
			return false
		}
	case everywhere:
		// No condition on the board.
	}
	for _, s := range row.spans {
		if s.has(v) {
			return true
		}
	}
	return false
}
