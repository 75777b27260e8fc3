package pdc

import (
	"bytes"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
)

var (
	testID   = []byte{0xe0, 0x0f, 0xce, 0x68, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18}
	testETag = []byte{0x11, 0x22, 0x33, 0x44}
)

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func tok(b byte) []byte { return []byte{b} }

func block(num uint32, more bool) *coap.Block { return &coap.Block{Num: num, More: more, SZX: 6} }

// coreID is 53ff73065067544816300187.
var coreID = [12]byte{0x53, 0xff, 0x73, 0x06, 0x50, 0x67, 0x54, 0x48, 0x16, 0x30, 0x01, 0x87}

func counted() []byte {
	b := make([]byte, 512)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

var boronHello = Hello{
	ProductID: 13, ProductVersion: 0xffff, Flags: 0xf6, Platform: Boron, DeviceID: testID,
	System: 6200, MaxMessage: 1152, MaxBinary: 1536000, ChunkSize: 512,
}

// vectorValues says what each vector means, written by hand from the text of
// the protocol reference.
var vectorValues = map[string]Message{
	"hello/oldest-core":  Hello{ProductID: 0xffff, ProductVersion: 0xffff, NoPlatform: true},
	"hello/photon-1.5":   Hello{ProductID: 6, ProductVersion: 0xffff, Flags: 6, Platform: Photon},
	"hello/electron-1.5": Hello{ProductID: 10, ProductVersion: 0xffff, Flags: 6, Platform: Electron, DeviceID: testID},
	"hello/photon-3.3": Hello{
		ProductID: 6, ProductVersion: 0xffff, Flags: 0x36, Platform: Photon,
		System: 3302, MaxMessage: 960, MaxBinary: 393216, ChunkSize: 512,
	},
	"hello/boron-6.2":  boronHello,
	"hello/future":     boronHello,
	"server-hello/non": ServerHello{Reliability: Unconfirmed},
	"server-hello/con": ServerHello{Reliability: Confirmed},
	"goodbye/update": Goodbye{
		Fields: GoodbyeCloudReason | GoodbyeResetReason, CloudReason: CloudSystemReset, ResetReason: ResetUpdate,
	},
	"goodbye/sleep": Goodbye{
		Fields: GoodbyeCloudReason | GoodbyeSleep, CloudReason: CloudSleep, SleepSeconds: 3600,
	},
	"goodbye/tcp":                  Goodbye{Fields: GoodbyeCloudReason, CloudReason: CloudUser},
	"goodbye/moved":                Goodbye{Fields: GoodbyeCloudReason, CloudReason: CloudServerMoved},
	"time-request":                 TimeRequest{Token: tok(0x98)},
	"time-request/6.2":             TimeRequest{Token: tok(0x81)},
	"time-response":                TimeResponse{Token: tok(0x99), Unix: 1398367917},
	"time-response/2026":           TimeResponse{Token: tok(0x81), Unix: 1767225600},
	"ping":                         Ping{},
	"acknowledgement":              Acknowledgement{},
	"acknowledgement/function":     Acknowledgement{},
	"acknowledgement/update-begin": Acknowledgement{},
	"session-reset":                SessionReset{},
	"rejection":                    Rejection{},
	"signal/start":                 Signal{Token: tok(0xef), On: true},
	"signal/stop":                  Signal{Token: tok(0xef)},
	"signal/response":              SignalResponse{Token: tok(0xef)},
	"key-change":                   KeyChange{Token: tok(0x92), Value: DiscardSession, Reliability: Confirmed},
	"presence":                     Presence{DeviceID: testID},
	"mesh/join":                    Mesh{Token: tok(0x71), Path: []string{"n", "abc"}, Query: "j=1"},
	"server-moved": ServerMoved{
		Token: tok(0xe2), Address: "a.example", Port: 5684, PublicKey: []byte{1, 2, 3}, Signature: []byte{4, 5},
	},
	"server-moved/response": ServerMovedResponse{Token: tok(0xe2)},
	"server-moved/refused": ServerMovedResponse{
		Token: tok(0xe2), Refused: coap.BadRequest, Diagnostic: Diagnostic{-280, "Invalid signature"},
	},

	"describe-request":        DescribeRequest{Token: tok(0x5a), Flags: DescribeApplication},
	"describe-request/oldest": DescribeRequest{Token: tok(0x28), Flags: DescribeDefault, NoFlags: true},
	"describe-request/block":  DescribeRequest{Token: tok(0x5c), Flags: DescribeApplication, Block: block(1, false)},
	"describe-response/oldest": DescribeResponse{
		Token: tok(0x28), Payload: []byte(`{"f":["brew"],"v":{"temperature":2}}`), Piggybacked: true,
	},
	"describe-response/block": DescribeResponse{
		Token: tok(0x5a), ETag: tok(1), Protobuf: true, Block: block(0, true), Payload: fill(0xa5, 1024),
	},
	"describe-response/metrics": DescribeResponse{
		Token: tok(0x5b),
		Payload: []byte("\x00\x04\x00\x02\x00\x04\x00\x06\x00\x39\x30\x00\x00\x02\x00\xe0\x28\x01\x00" +
			"\x13\x80\x2e\xff\xff\xff"),
	},
	"describe-error/no-query":   DescribeError{Token: tok(0x5a), Code: coap.BadRequest},
	"describe-error/non":        DescribeError{Token: tok(0x5a), Code: coap.BadRequest, Unconfirmed: true},
	"describe-error/block-size": DescribeError{Token: tok(0x5a), Code: coap.BadOption},
	"describe-post/2.0":         DescribePost{Flags: DescribeApplication, Payload: []byte(`{"f":[]}`)},
	"describe-post/application": DescribePost{
		Token: tok(0x31), Flags: DescribeApplication, Payload: []byte(`{"f":["brew"],"v":{"temp":2}}`),
	},
	"describe-post/system": DescribePost{
		Token: tok(0x31), Flags: DescribeSystem, Protobuf: true, Payload: []byte{0x30, 1},
	},
	"describe-post/system-module": DescribePost{
		Token: tok(0x31), Flags: DescribeSystem, Protobuf: true,
		Payload: gen.Hex("0a170804100118b83020002880802a353e0000003d3e000000"),
	},
	"describe-post/system-block-0": DescribePost{
		Token: tok(0x31), Flags: DescribeSystem, Protobuf: true, Block: block(0, true), Payload: fill(0x5a, 1024),
	},
	"describe-post/system-block-1": DescribePost{
		Token: tok(0x32), Flags: DescribeSystem, Protobuf: true, Block: block(1, false), Payload: fill(0x5a, 7),
	},

	"publish/public":  Publish{Name: "x", Reliability: Unconfirmed},
	"publish/private": Publish{Name: "front-door-unlocked", Private: true, Reliability: Unconfirmed},
	"publish/ttl-data": Publish{
		Name: "weather/us/mn/minneapolis", Data: []byte("t:5F,d:-2F,p:15%"), TTL: 3600, HasTTL: true,
		Reliability: Unconfirmed,
	},
	"publish/private-ttl": Publish{
		Name: "lake-depth/1", Private: true, Data: []byte("28m"), TTL: 21600, HasTTL: true, Reliability: Unconfirmed,
	},
	"publish/6.2": Publish{Name: "temp", Private: true, Data: []byte("21.5"), Reliability: Confirmed},
	"publish/6.2-structured": Publish{
		Name: "temp", Private: true, Data: []byte{0xa1, 0x61, 0x76, 0x18, 0x2a},
		Format: FormatStructured, HasFormat: true, Reliability: Confirmed,
	},
	"publish/6.2-ttl": Publish{
		Name: "temp", Private: true, Data: []byte("21.5"), TTL: 3600, HasTTL: true, Reliability: Confirmed,
	},
	"publish/lone-marker":             Publish{Name: "x", Private: true, Data: []byte{}, Reliability: Confirmed},
	"publish/split-name":              Publish{Name: "a/b", Private: true, Reliability: Confirmed},
	"publish/unknown-critical-option": Publish{Name: "a", Private: true, Reliability: Confirmed},
	"publish/token":                   Publish{Token: tok(0x77), Name: "a", Private: true, Reliability: Confirmed},
	"subscribe/firehose-longest":      Subscribe{Filter: "a/real" + string(fill('x', 57)), Reliability: Confirmed},
	"subscribe/my-devices":            Subscribe{Filter: "motion/open", Scope: ScopeMyDevices, Reliability: Confirmed},
	"subscribe/one-device":            Subscribe{Scope: ScopeOneDevice, DeviceID: coreID, Reliability: Confirmed},
	"subscribe/one-device-filtered": Subscribe{
		Filter: "weather", Scope: ScopeOneDevice, DeviceID: coreID, Reliability: Confirmed,
	},
	"subscribe/6.2":            Subscribe{Filter: "particle", Reliability: Confirmed},
	"subscribe/6.2-structured": Subscribe{Filter: "cfg", Type: HandlerStructured, Reliability: Confirmed},
	"subscribe/6.2-binary-tcp": Subscribe{Filter: "cfg", Type: HandlerBinary, Reliability: Unconfirmed},
	"delivery/teapot":          EventDelivery{Name: "teapot-boiled", Data: []byte("208F"), Reliability: Unconfirmed},
	"delivery/max-age": EventDelivery{
		Name: "teacup-overflow", Data: []byte("11404"), TTL: 60, HasTTL: true, Reliability: Unconfirmed,
	},
	"delivery/split-path": EventDelivery{
		Name: "a/b/c/d", SplitName: true, Data: []byte("xyz"), TTL: 60, HasTTL: true, Reliability: Unconfirmed,
	},
	"delivery/con": EventDelivery{Name: "cfg", Private: true, Data: []byte("on"), Reliability: Confirmed},
	"delivery/updates-forced": EventDelivery{
		Name: "particle/device/updates/forced", Private: true, Data: []byte("true"), Reliability: Confirmed,
	},
	"delivery/safe-mode": EventDelivery{
		Name: "spark/device/reset", Private: true, Data: []byte("safe mode"), Reliability: Confirmed,
	},
	"delivery/hook-response": EventDelivery{
		Name: "hook-response/temp/0", Private: true, Data: []byte("ok"), Reliability: Confirmed,
	},
	"delivery/6.2-cbor": EventDelivery{
		Name: "cfg", Private: true, Data: []byte{0xa0}, Format: FormatCBOR, HasFormat: true, Reliability: Confirmed,
	},

	"function-call/brew":      FunctionCall{Token: tok(0xef), Name: "brew", Argument: "32,240"},
	"function-call/63-bytes":  FunctionCall{Token: tok(0xef), Name: "brew", Argument: string(fill('a', 63))},
	"function-call/empty":     FunctionCall{Token: tok(0x62), Name: "brew"},
	"function-call/300-bytes": FunctionCall{Token: tok(0x63), Name: "brew", Argument: string(fill('a', 300))},
	"function-result/42":      FunctionResult{Token: tok(0xc3), Value: 42},
	"function-result/minus-1": FunctionResult{Token: tok(0x61), Value: -1},

	"variable-request/temperature":   VariableRequest{Token: tok(0x88), Name: "temperature"},
	"variable-request/19-characters": VariableRequest{Token: tok(0x71), Name: "te" + string(fill('a', 17))},
	"variable-value/bool":            VariableValue{Token: tok(0x5f), Code: coap.Content, Payload: []byte{0}, Piggybacked: true},
	"variable-value/int": VariableValue{
		Token: tok(0x88), Code: coap.Content, Payload: []byte{0xff, 0xfe, 0x7e, 0x33}, Piggybacked: true,
	},
	"variable-value/string": VariableValue{
		Token: tok(0x5c), Code: coap.Content, Payload: []byte("woot"), Piggybacked: true,
	},
	"variable-value/double": VariableValue{
		Token: tok(0x5d), Code: coap.Content, Payload: []byte("\xf4\xfd\xd4\x78\xe9\x36\x5a\xc0"), Piggybacked: true,
	},
	"variable-value/empty":     VariableValue{Token: tok(0x71), Code: coap.Content},
	"variable-value/6.2":       VariableValue{Token: tok(0x71), Code: coap.Content, Payload: []byte("\x00\x00\x00\x00\x00\x80\x35\x40")},
	"variable-value/not-found": VariableValue{Token: tok(0x71), Code: coap.NotFound},

	"update-begin/fast":        UpdateBegin{Token: tok(0xa1), Fast: true, ChunkSize: 512, Length: 4100},
	"update-begin/oldest":      UpdateBegin{Token: tok(0x33), Defaults: true},
	"update-begin/refused-1.1": UpdateBeginRefusal{},
	"update-begin/refused":     UpdateBeginRefusal{Token: tok(0xa1)},
	"update-ready/fast":        UpdateReady{Token: tok(0xa1), Fast: true},
	"update-ready/oldest":      UpdateReady{Token: tok(0x10), NoMode: true},
	"chunk/slow":               Chunk{Token: tok(0x22), CRC: 0x01234567, Data: fill(0x5a, 512), Confirmed: true},
	"chunk/fast":               Chunk{Token: tok(0xa2), CRC: 0x1c613576, Fast: true, Index: 3, Data: counted()},
	"chunk-received/ok":        ChunkReceived{Token: tok(1), OK: true},
	"chunk-received/bad-crc":   ChunkReceived{Token: tok(0xa2)},
	"update-done":              UpdateDone{Token: tok(0xa4)},
	"update-done/0.5":          UpdateDone{Token: tok(0x11)},
	"update-done/complete-0.5": UpdateDoneResponse{Token: tok(0x11), Complete: true},
	"update-done/complete":     UpdateDoneResponse{Token: tok(0xa4), Complete: true, Report: []byte(`{"r":0}`)},
	"update-done/incomplete":   UpdateDoneResponse{Token: tok(0xa4)},
	"chunk-missed":             ChunkMissed{Indices: []uint16{1, 5}},
	"chunk-missed/tcp-2.0":     ChunkMissed{Indices: []uint16{1, 5}},
	"device-update-done":       DeviceUpdateDone{},
	"device-update-done/tcp":   DeviceUpdateDone{},

	"update-start":         UpdateStart{Token: tok(0xb1), FileSize: 100000, SHA256: fill(0xc3, 32), ChunkSize: 1024},
	"update-start/minimal": UpdateStart{Token: tok(0xb1), FileSize: 1000, ChunkSize: 512},
	"update-start/all-options": UpdateStart{
		Token: tok(0xb1), FileSize: 1000, SHA256: fill(0xc3, 32), ChunkSize: 512, DiscardData: true,
		ModuleFunction: uint8(ModuleUserPart), HasModuleFunction: true,
	},
	"update-start-response":            UpdateStartResponse{Token: tok(0xb1), Window: 128},
	"update-start-response/resume":     UpdateStartResponse{Token: tok(0xb1), Window: 128, Offset: 51200},
	"update-start-response/window-256": UpdateStartResponse{Token: tok(0xb1), Window: 256},
	"update-start-response/disabled": UpdateStartResponse{
		Token: tok(0xb1), Refused: coap.ServiceUnavailable, Diagnostic: Diagnostic{ErrUpdatesDisabled, "Updates are disabled"},
	},
	"update-start-response/malformed": UpdateStartResponse{
		Token: tok(0xb1), Refused: coap.ServiceUnavailable, Diagnostic: Diagnostic{ErrProtocol, "Invalid option"},
		Piggybacked: true,
	},
	"update-chunk/1":               UpdateChunk{Index: 1, Data: fill(0x5a, 512)},
	"update-chunk/300":             UpdateChunk{Index: 300, Data: fill(0x5a, 512)},
	"update-ack/2":                 UpdateAck{Count: 2},
	"update-ack/gap":               UpdateAck{Count: 2, Selective: SelectiveAck{0x16, 0, 0, 0}},
	"update-ack/second-word":       UpdateAck{Count: 2, Selective: SelectiveAck{0, 0, 0, 0, 0x20, 0, 0, 0}},
	"update-finish":                UpdateFinish{Token: tok(0xb2)},
	"update-finish/cancel-discard": UpdateFinish{Token: tok(0xb3), DiscardData: true, Cancel: true},
	"update-finish-response/statistics": UpdateFinishResponse{
		Token: tok(0xb2),
		Stats: &TransferStats{Received: 8, Duplicate: 1, OutOfOrder: 2, SentAcks: 4, ProcessingTime: 15},
	},
	"update-finish-response/incomplete": UpdateFinishResponse{
		Token: tok(0xb2), Refused: coap.ServiceUnavailable, Diagnostic: Diagnostic{ErrProtocol, "Incomplete file transfer"},
	},
	"update-finish-response/cancelled": UpdateFinishResponse{Token: tok(0xb3)},

	"ledger/get-info": LedgerRequest{
		Token: tok(0xd1), Payload: []byte("\x08\x01\x12\x08\x0a\x06mydata"),
	},
	"ledger/get-info-response": LedgerResponse{
		Token: tok(0xd1), Code: coap.Changed,
		Payload: []byte("\x1a\x14\x0a\x12\x0a\x06mydata\x12\x04\x01\x02\x03\x04\x18\x01\x20\x01"),
	},
	"ledger/no-ledgers": LedgerResponse{Token: tok(0xd1), Code: coap.Changed, Payload: []byte{0x1a, 0}},
	"ledger/set-data": LedgerRequest{Token: tok(0xd2), Payload: []byte("\x08\x02\x1a\x20\x0a\x06mydata\x12\x04" +
		"\x01\x02\x03\x04\x19\x00\xa8\xda\x76\x9b\x01\x00\x00\x52\x07\xa1\x63key\x18\x2a")},
	"ledger/set-data-response": LedgerResponse{Token: tok(0xd2), Code: coap.Changed, Payload: []byte{0x22, 0}},
	"ledger/subscribe": LedgerRequest{
		Token: tok(0xd3), Payload: []byte("\x08\x04\x2a\x0d\x0a\x0b\x0a\x03cfg\x12\x04\x05\x06\x07\x08"),
	},
	"ledger/subscribe-response": LedgerResponse{
		Token: tok(0xd3), Code: coap.Changed,
		Payload: []byte("\x32\x10\x0a\x0e\x0a\x03cfg\x11\x00\xa8\xda\x76\x9b\x01\x00\x00"),
	},
	"ledger/get-data": LedgerRequest{
		Token: tok(0xd4), Payload: []byte("\x08\x03\x22\x0b\x0a\x03cfg\x12\x04\x05\x06\x07\x08"),
	},
	"ledger/get-data-response": LedgerResponse{
		Token: tok(0xd4), Code: coap.Changed,
		Payload: []byte("\x2a\x12\x09\x00\xa8\xda\x76\x9b\x01\x00\x00\x52\x07\xa1\x63key\x18\x2a"),
	},
	"ledger/notify": LedgerNotify{
		Token: tok(0xe1), Payload: []byte("\x08\x05\x32\x10\x0a\x0e\x0a\x03cfg\x11\x00\xa8\xda\x76\x9b\x01\x00\x00"),
	},
	"ledger/notify-response": LedgerNotifyResponse{Token: tok(0xe1), OK: true},
	"ledger/notify-refused":  LedgerNotifyResponse{Token: tok(0xe1)},
	"ledger/block-request": LedgerRequest{
		Token: tok(0xd5), Block1: block(0, true), RequestTag: []byte{0, 0, 0, 1}, Payload: fill(0x5a, 1024),
	},
	"ledger/continue":      LedgerResponse{Token: tok(0xd5), Code: coap.Continue},
	"ledger/continue-echo": LedgerResponse{Token: tok(0xd5), Code: coap.Continue, Block1: block(0, true)},
	"ledger/block-response": LedgerResponse{
		Token: tok(0xd6), Code: coap.Changed, ETag: testETag, Block2: block(0, true), Payload: fill(0x5a, 1024),
	},
	"ledger/next-block": LedgerRequest{Token: tok(0xd7), ETag: testETag, Block2: block(1, false)},
	"ledger/not-found":  LedgerResponse{Token: tok(0xd7), Code: coap.NotFound},
}
