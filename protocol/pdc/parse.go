package pdc

import "github.com/muster/muster/protocol/coap"

// parsers has the parser of every kind that has a struct.
var parsers = [numKinds]func(coap.Message) (Message, error){
	KindHello:                parser(ParseHello),
	KindServerHello:          parser(ParseServerHello),
	KindGoodbye:              parser(ParseGoodbye),
	KindDescribeRequest:      parser(ParseDescribeRequest),
	KindDescribeResponse:     parser(ParseDescribeResponse),
	KindDescribeError:        parser(ParseDescribeError),
	KindDescribePost:         parser(ParseDescribePost),
	KindPublish:              parser(ParsePublish),
	KindSubscribe:            parser(ParseSubscribe),
	KindEventDelivery:        parser(ParseEventDelivery),
	KindFunctionCall:         parser(ParseFunctionCall),
	KindFunctionResult:       parser(ParseFunctionResult),
	KindVariableRequest:      parser(ParseVariableRequest),
	KindVariableValue:        parser(ParseVariableValue),
	KindTimeRequest:          parser(ParseTimeRequest),
	KindTimeResponse:         parser(ParseTimeResponse),
	KindPing:                 parser(ParsePing),
	KindSignal:               parser(ParseSignal),
	KindKeyChange:            parser(ParseKeyChange),
	KindUpdateBegin:          parser(ParseUpdateBegin),
	KindUpdateReady:          parser(ParseUpdateReady),
	KindChunk:                parser(ParseChunk),
	KindChunkReceived:        parser(ParseChunkReceived),
	KindUpdateDone:           parser(ParseUpdateDone),
	KindChunkMissed:          parser(ParseChunkMissed),
	KindDeviceUpdateDone:     parser(ParseDeviceUpdateDone),
	KindUpdateStart:          parser(ParseUpdateStart),
	KindUpdateStartResponse:  parser(ParseUpdateStartResponse),
	KindUpdateChunk:          parser(ParseUpdateChunk),
	KindUpdateAck:            parser(ParseUpdateAck),
	KindUpdateFinish:         parser(ParseUpdateFinish),
	KindUpdateFinishResponse: parser(ParseUpdateFinishResponse),
	KindServerMoved:          parser(ParseServerMoved),
	KindLedgerRequest:        parser(ParseLedgerRequest),
	KindLedgerNotify:         parser(ParseLedgerNotify),
	KindMesh:                 parser(ParseMesh),
	KindPresence:             parser(ParsePresence),
	KindSessionReset:         parser(ParseSessionReset),

	KindSignalResponse:       parser(ParseSignalResponse),
	KindUpdateBeginRefusal:   parser(ParseUpdateBeginRefusal),
	KindUpdateDoneResponse:   parser(ParseUpdateDoneResponse),
	KindServerMovedResponse:  parser(ParseServerMovedResponse),
	KindLedgerResponse:       parser(ParseLedgerResponse),
	KindLedgerNotifyResponse: parser(ParseLedgerNotifyResponse),

	KindAcknowledgement: empty(KindAcknowledgement, Acknowledgement{}),
	KindRejection:       empty(KindRejection, Rejection{}),
}

func parser[M Message](parse func(coap.Message) (M, error)) func(coap.Message) (Message, error) {
	return func(m coap.Message) (Message, error) {
		parsed, err := parse(m)
		if err != nil {
			return nil, err
		}
		return parsed, nil
	}
}

func empty(k Kind, e Message) func(coap.Message) (Message, error) {
	return func(m coap.Message) (Message, error) {
		if m.Code != coap.Empty {
			return nil, faultf(k, "PDC-9", "code %v, want 0.00", m.Code)
		}
		return e, check(k, m)
	}
}

// Parse reads a message of the given kind with the kind's own parser. It is for
// tools that show or check any message; a peer calls the parser it wants.
// KindInvalid, KindResponse and KindUnknown have none: the error is an *Error.
func Parse(k Kind, m coap.Message) (Message, error) {
	if k >= numKinds || parsers[k] == nil {
		return nil, fault(k, "PDC-9", "no such message")
	}
	return parsers[k](m)
}
