package pdc

import (
	"fmt"

	"github.com/muster/muster/protocol/coap"
)

// A Kind is one kind of message. The kinds from [KindHello] to
// [KindSessionReset] have the numbers of the message catalogue (PDC-9); behind
// them come the answers that the catalogue only mentions and what belongs to
// no kind.
type Kind uint8

// The catalogue.
const (
	KindInvalid              Kind = iota
	KindHello                     // 1
	KindServerHello               // 2
	KindGoodbye                   // 3
	KindDescribeRequest           // 4
	KindDescribeResponse          // 5
	KindDescribeError             // 6
	KindDescribePost              // 7
	KindPublish                   // 8
	KindSubscribe                 // 9
	KindEventDelivery             // 10
	KindFunctionCall              // 11
	KindFunctionResult            // 12
	KindVariableRequest           // 13
	KindVariableValue             // 14
	KindTimeRequest               // 15
	KindTimeResponse              // 16
	KindPing                      // 17
	KindSignal                    // 18
	KindKeyChange                 // 19
	KindUpdateBegin               // 20
	KindUpdateReady               // 21
	KindChunk                     // 22
	KindChunkReceived             // 23
	KindUpdateDone                // 24
	KindChunkMissed               // 25
	KindDeviceUpdateDone          // 26
	KindUpdateStart               // 27
	KindUpdateStartResponse       // 28
	KindUpdateChunk               // 29
	KindUpdateAck                 // 30
	KindUpdateFinish              // 31
	KindUpdateFinishResponse      // 32
	KindServerMoved               // 33
	KindLedgerRequest             // 34
	KindLedgerNotify              // 35
	KindMesh                      // 36
	KindPresence                  // 37
	KindSessionReset              // 38

	// Answers that the catalogue has no row for.
	KindSignalResponse       // to Signal
	KindUpdateBeginRefusal   // to UpdateBegin
	KindUpdateDoneResponse   // to UpdateDone
	KindServerMovedResponse  // to ServerMoved
	KindLedgerResponse       // to LedgerRequest
	KindLedgerNotifyResponse // to LedgerNotify

	// What belongs to no kind.
	KindAcknowledgement // empty ACK
	KindRejection       // a device's RST: one message, not the session
	KindResponse        // a response: only its request tells the kind
	KindUnknown         // a request that nobody has defined

	numKinds
)

// catalogued is the number of kinds with a row in the catalogue.
const catalogued = int(KindSessionReset)

// A row is what the catalogue says of one kind.
type row struct {
	name string
	from Party
	typ  typeRule
	// code is the method of a request, the success code of a response.
	code coap.Code
	// chars are the path characters of a request, empty for a response.
	chars string
	// tokenMin and tokenMax bound the token length in bytes.
	tokenMin, tokenMax uint8
	// since and until are system module versions: from since, before until;
	// zero is no bound. Ledgers and OTA protocols depend on more, see
	// [Kind.SpokenBy].
	since, until uint16
}

var kinds = [numKinds]row{
	KindInvalid:              {name: "invalid"},
	KindHello:                {"Hello", Device, typeByTransport, coap.POST, "h", 0, 0, 0, 0},
	KindServerHello:          {"Server hello", Cloud, typeConOrNon, coap.POST, "h", 0, 8, 0, 0},
	KindGoodbye:              {"Goodbye", Device, typeByTransport, coap.POST, "x", 0, 0, OS2_0, 0},
	KindDescribeRequest:      {"Describe request", Cloud, typeCon, coap.GET, "d", 1, 1, 0, 0},
	KindDescribeResponse:     {"Describe response", Device, typeAckBefore2, coap.Content, "", 1, 1, 0, 0},
	KindDescribeError:        {"Describe error", Device, typeAckOrNon, coap.BadRequest, "", 0, 8, OS3_3, 0},
	KindDescribePost:         {"Describe post", Device, typeCon, coap.POST, "d", 0, 1, OS1_2, 0},
	KindPublish:              {"Publish", Device, typeForced, coap.POST, "eE", 0, 0, 0, 0},
	KindSubscribe:            {"Subscribe", Device, typeConBefore62, coap.GET, "e", 0, 0, 0, 0},
	KindEventDelivery:        {"Event delivery", Cloud, typeConOrNon, coap.POST, "eE", 0, 8, 0, 0},
	KindFunctionCall:         {"Function call", Cloud, typeCon, coap.POST, "f", 1, 1, 0, 0},
	KindFunctionResult:       {"Function result", Device, typeByTransport, coap.Changed, "", 1, 1, 0, 0},
	KindVariableRequest:      {"Variable request", Cloud, typeCon, coap.GET, "v", 1, 1, 0, 0},
	KindVariableValue:        {"Variable value", Device, typeAckBefore15, coap.Content, "", 1, 1, 0, 0},
	KindTimeRequest:          {"Time request", Device, typeCon, coap.GET, "t", 1, 1, 0, 0},
	KindTimeResponse:         {"Time response", Cloud, typeAck, coap.Content, "", 1, 1, 0, 0},
	KindPing:                 {"Ping", Either, typeCon, coap.Empty, "", 0, 0, 0, 0},
	KindSignal:               {"Signal", Cloud, typeCon, coap.PUT, "s", 1, 1, 0, 0},
	KindKeyChange:            {"Key change", Cloud, typeConOrNon, coap.PUT, "k", 1, 1, 0, 0},
	KindUpdateBegin:          {"UpdateBegin", Cloud, typeCon, coap.POST, "us", 1, 1, 0, 0},
	KindUpdateReady:          {"UpdateReady", Device, typeByTransport, coap.Changed, "", 1, 1, 0, 0},
	KindChunk:                {"Chunk", Cloud, typeConOrNon, coap.POST, "c", 1, 1, 0, 0},
	KindChunkReceived:        {"ChunkReceived", Device, typeByTransport, coap.Changed, "", 1, 1, 0, 0},
	KindUpdateDone:           {"UpdateDone", Cloud, typeCon, coap.PUT, "u", 1, 1, 0, 0},
	KindChunkMissed:          {"ChunkMissed", Device, typeConTCPBefore2, coap.GET, "c", 0, 0, 0, 0},
	KindDeviceUpdateDone:     {"Device UpdateDone", Device, typeByTransport, coap.PUT, "u", 0, 0, 0, OS0_8},
	KindUpdateStart:          {"UpdateStart", Cloud, typeCon, coap.POST, "S", 1, 8, OS3_0, 0},
	KindUpdateStartResponse:  {"UpdateStart response", Device, typeCon, coap.Created, "", 1, 8, OS3_0, 0},
	KindUpdateChunk:          {"UpdateChunk", Cloud, typeNon, coap.POST, "C", 0, 0, OS3_0, 0},
	KindUpdateAck:            {"UpdateAck", Device, typeNon, coap.POST, "A", 0, 0, OS3_0, 0},
	KindUpdateFinish:         {"UpdateFinish", Cloud, typeCon, coap.POST, "F", 1, 8, OS3_0, 0},
	KindUpdateFinishResponse: {"UpdateFinish response", Device, typeCon, coap.Changed, "", 1, 8, OS3_0, 0},
	KindServerMoved:          {"Server moved", Cloud, typeCon, coap.POST, "M", 1, 1, OS4_1, 0},
	KindLedgerRequest:        {"Ledger request", Device, typeCon, coap.POST, "L", 1, 1, OS5_8, 0},
	KindLedgerNotify:         {"Ledger notify/reset", Cloud, typeCon, coap.POST, "L", 1, 1, OS5_8, 0},
	KindMesh:                 {"Mesh network", Device, typeCon, coap.PUT, "m", 0, 8, OS0_8, OS2_0},
	KindPresence:             {"Presence", Device, typeNon, coap.POST, "h", 0, 0, 0, 0},
	KindSessionReset:         {"Session reset", Cloud, typeRst, coap.Empty, "", 0, 0, 0, 0},

	KindSignalResponse:       {"Signal response", Device, typeAck, coap.Changed, "", 1, 1, 0, 0},
	KindUpdateBeginRefusal:   {"UpdateBegin refusal", Device, typeAck, coap.ServiceUnavailable, "", 0, 1, 0, 0},
	KindUpdateDoneResponse:   {"UpdateDone response", Device, typeAck, coap.Changed, "", 1, 1, 0, 0},
	KindServerMovedResponse:  {"Server moved response", Device, typeCon, coap.Changed, "", 1, 1, OS4_1, 0},
	KindLedgerResponse:       {"Ledger response", Cloud, typeAckOrCon, coap.Changed, "", 1, 1, OS5_8, 0},
	KindLedgerNotifyResponse: {"Ledger notify/reset response", Device, typeCon, coap.Changed, "", 1, 1, OS5_8, 0},

	KindAcknowledgement: {"acknowledgement", Either, typeAck, coap.Empty, "", 0, 0, 0, 0},
	KindRejection:       {"rejection", Device, typeRst, coap.Empty, "", 0, 0, 0, 0},
	KindResponse:        {"response", Either, typeAny, coap.Changed, "", 0, 8, 0, 0},
	KindUnknown:         {"unknown", Either, typeAny, coap.Empty, "", 0, 8, 0, 0},
}

// Kinds returns the kinds of the catalogue, in its order.
func Kinds() []Kind {
	all := make([]Kind, catalogued)
	for i := range all {
		all[i] = KindHello + Kind(i)
	}
	return all
}

// Number returns the number of the kind in the message catalogue, 0 for one
// that has no row there.
func (k Kind) Number() int {
	if int(k) > catalogued {
		return 0
	}
	return int(k)
}

// String returns the catalogue's name of the kind.
func (k Kind) String() string {
	if k >= numKinds {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kinds[k].name
}

// From returns who sends messages of the kind.
func (k Kind) From() Party { return kinds[k].from }

// Code returns the method of a request, the success code of a response.
func (k Kind) Code() coap.Code { return kinds[k].code }

// PathChars returns the path characters of a request, any of which may be its
// first segment; empty for anything else.
func (k Kind) PathChars() string { return kinds[k].chars }

// TokenLengths returns the shortest and longest token in bytes.
func (k Kind) TokenLengths() (shortest, longest int) {
	return int(kinds[k].tokenMin), int(kinds[k].tokenMax)
}

// TypeAllowed reports whether a message of the kind may have type t when the
// device speaks d.
func (k Kind) TypeAllowed(d Dialect, t coap.Type) bool { return kinds[k].typ.allows(d, t) }

// SpokenBy reports whether a device of dialect d sends or understands messages
// of the kind.
func (k Kind) SpokenBy(d Dialect) bool {
	r := &kinds[k]
	if d.System < r.since || r.until != 0 && d.System >= r.until {
		return false
	}
	switch k {
	case KindUpdateBegin, KindUpdateReady, KindChunk, KindChunkReceived,
		KindUpdateDone, KindChunkMissed, KindDeviceUpdateDone,
		KindUpdateBeginRefusal, KindUpdateDoneResponse:
		return !d.OTA3
	case KindUpdateStart, KindUpdateStartResponse, KindUpdateChunk,
		KindUpdateAck, KindUpdateFinish, KindUpdateFinishResponse:
		return d.OTA3
	case KindLedgerRequest, KindLedgerNotify, KindLedgerResponse, KindLedgerNotifyResponse:
		return d.Ledger()
	default:
		return true
	}
}
