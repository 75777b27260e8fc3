package pdc

import "github.com/muster/muster/protocol/coap"

// Classify returns the kind of a message from the device or from the cloud,
// strictly: a request must have the method, the path character and a type that
// its kind allows, and from the cloud the path must come first (C-9).
//
// A response has no kind of its own: [KindResponse], until [ClassifyResponse]
// is told its request. The one exception is the cloud's piggybacked 2.05,
// which cannot be anything but the time (C-10).
func Classify(m coap.Message, fromDevice bool) Kind {
	switch {
	case m.Code == coap.Empty:
		return classifyEmpty(m.Type, fromDevice)
	case coap.IsResponse(m.Code):
		if !fromDevice && m.Code == coap.Content && m.Type == coap.Acknowledgement {
			return KindTimeResponse
		}
		return KindResponse
	case m.Type == coap.Acknowledgement || m.Type == coap.Reset:
		return KindInvalid // a request in a reply
	}
	char := m.PathChar()
	k := KindUnknown
	if fromDevice {
		k = deviceRequest(m, char)
	} else if len(m.Options) > 0 && m.Options[0].ID == coap.URIPath {
		k = cloudRequest(m.Code, char)
	}
	if !kinds[k].typ.possible(m.Type) {
		return KindUnknown
	}
	return k
}

func classifyEmpty(t coap.Type, fromDevice bool) Kind {
	switch {
	case t == coap.Confirmable:
		return KindPing
	case t == coap.Acknowledgement:
		return KindAcknowledgement
	case t == coap.Reset && fromDevice:
		return KindRejection
	case t == coap.Reset:
		return KindSessionReset
	}
	return KindInvalid // RFC 7252 Section 4.3: a NON is never Empty
}

func deviceRequest(m coap.Message, char byte) Kind {
	switch m.Code {
	case coap.GET:
		switch char {
		case 'e':
			return KindSubscribe
		case 't':
			return KindTimeRequest
		case 'c':
			return KindChunkMissed
		}
	case coap.POST:
		return devicePost(m, char)
	case coap.PUT:
		switch char {
		case 'u':
			return KindDeviceUpdateDone
		case 'm':
			return KindMesh
		}
	default:
		// Neither side has another method.
	}
	return KindUnknown
}

func devicePost(m coap.Message, char byte) Kind {
	switch char {
	case 'h':
		// No Hello has a payload of 12 bytes.
		if m.Type == coap.NonConfirmable && len(m.Token) == 0 && len(m.Payload) == deviceIDSize {
			return KindPresence
		}
		return KindHello
	case 'x':
		return KindGoodbye
	case 'd':
		return KindDescribePost
	case 'e', 'E':
		return KindPublish
	case 'A':
		return KindUpdateAck
	case 'L':
		return KindLedgerRequest
	}
	return KindUnknown
}

func cloudRequest(code coap.Code, char byte) Kind {
	switch code {
	case coap.GET:
		switch char {
		case 'd':
			return KindDescribeRequest
		case 'v':
			return KindVariableRequest
		}
	case coap.POST:
		return cloudPost(char)
	case coap.PUT:
		return cloudPut(char)
	default:
		// Neither side has another method.
	}
	return KindUnknown
}

// cloudPost and cloudPut are what both the strict and the device's own reading
// make of a path character.
func cloudPost(char byte) Kind {
	switch char {
	case 'h':
		return KindServerHello
	case 'e', 'E':
		return KindEventDelivery
	case 'f':
		return KindFunctionCall
	case 'u', 's':
		return KindUpdateBegin
	case 'c':
		return KindChunk
	case 'S':
		return KindUpdateStart
	case 'F':
		return KindUpdateFinish
	case 'C':
		return KindUpdateChunk
	case 'M':
		return KindServerMoved
	case 'L':
		return KindLedgerNotify
	}
	return KindUnknown
}

func cloudPut(char byte) Kind {
	switch char {
	case 'k':
		return KindKeyChange
	case 'u':
		return KindUpdateDone
	case 's':
		return KindSignal
	}
	return KindUnknown
}

// ClassifyResponse returns the kind of response m to a request of the given
// kind. An empty ACK is [KindAcknowledgement]; a response that the request
// never has is [KindUnknown].
func ClassifyResponse(request Kind, m coap.Message) Kind {
	if m.Code == coap.Empty {
		return classifyEmpty(m.Type, request.From() == Cloud)
	}
	if !coap.IsResponse(m.Code) {
		return KindUnknown
	}
	switch request {
	case KindDescribeRequest:
		if m.Code == coap.Content {
			return KindDescribeResponse
		}
		return KindDescribeError
	case KindFunctionCall:
		return KindFunctionResult
	case KindVariableRequest:
		return KindVariableValue
	case KindTimeRequest:
		return KindTimeResponse
	case KindSignal:
		return KindSignalResponse
	case KindUpdateBegin:
		if m.Code == coap.Changed {
			return KindUpdateReady
		}
		return KindUpdateBeginRefusal
	case KindChunk:
		return KindChunkReceived
	case KindUpdateDone:
		return KindUpdateDoneResponse
	case KindUpdateStart:
		return KindUpdateStartResponse
	case KindUpdateFinish:
		return KindUpdateFinishResponse
	case KindServerMoved:
		return KindServerMovedResponse
	case KindLedgerRequest:
		return KindLedgerResponse
	case KindLedgerNotify:
		return KindLedgerNotifyResponse
	default:
		// Answered by an ACK or not at all.
		return KindUnknown
	}
}
