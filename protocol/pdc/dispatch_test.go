package pdc

import "testing"

// TestDispatchOnDevice shows the quirks of PDC-0.2.
func TestDispatchOnDevice(t *testing.T) {
	for _, test := range []struct {
		name string
		wire []byte
		want Kind
	}{
		{"N-1/one byte", []byte{0}, KindInvalid},
		{"N-1/two bytes", []byte{0x40, 0}, KindInvalid},
		{"four bytes", []byte{0x40, 1, 0, 1}, KindUnknown},
		{"N-2/version 2", []byte{0x81, 2, 0, 1, 7, 0xb1, 'f', 1, 'x', 0x40}, KindFunctionCall},
		{"version 0 and another header", []byte{0x01, 2, 0, 1, 7, 0x91, 'f', 1, 'x', 0x40}, KindFunctionCall},
		{"N-4/token length 9", []byte{0x49, 2, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xb1, 'f'}, KindFunctionCall},
		{"N-6/unknown path", []byte{0x40, 1, 0, 1, 0xb1, 'q'}, KindUnknown},
		{"N-9/host before path", []byte{0x41, 1, 0, 1, 7, 0x31, 'x', 0x81, 'd'}, KindUnknown},
		{"variable", []byte{0x41, 1, 0, 1, 7, 0xb1, 'v'}, KindVariableRequest},
		{"describe", []byte{0x41, 1, 0, 1, 7, 0xb1, 'd'}, KindDescribeRequest},
		{"event e", []byte{0x40, 2, 0, 1, 0xb1, 'e'}, KindEventDelivery},
		{"event E", []byte{0x40, 2, 0, 1, 0xb1, 'E'}, KindEventDelivery},
		{"hello", []byte{0x40, 2, 0, 1, 0xb1, 'h'}, KindServerHello},
		{"update begin u", []byte{0x41, 2, 0, 1, 7, 0xb1, 'u'}, KindUpdateBegin},
		{"update begin s", []byte{0x41, 2, 0, 1, 7, 0xb1, 's'}, KindUpdateBegin},
		{"chunk", []byte{0x41, 2, 0, 1, 7, 0xb1, 'c'}, KindChunk},
		{"update start", []byte{0x41, 2, 0, 1, 7, 0xb1, 'S'}, KindUpdateStart},
		{"update finish", []byte{0x41, 2, 0, 1, 7, 0xb1, 'F'}, KindUpdateFinish},
		{"update chunk", []byte{0x50, 2, 0, 1, 0xb1, 'C'}, KindUpdateChunk},
		{"server moved", []byte{0x41, 2, 0, 1, 7, 0xb1, 'M'}, KindServerMoved},
		{"ledger", []byte{0x41, 2, 0, 1, 7, 0xb1, 'L'}, KindLedgerNotify},
		{"key change", []byte{0x41, 3, 0, 1, 7, 0xb1, 'k'}, KindKeyChange},
		{"update done", []byte{0x41, 3, 0, 1, 7, 0xb1, 'u'}, KindUpdateDone},
		{"signal", []byte{0x41, 3, 0, 1, 7, 0xb1, 's'}, KindSignal},
		{"ping", []byte{0x40, 0, 0, 1}, KindPing},
		{"ACK", []byte{0x60, 0, 0, 1}, KindAcknowledgement},
		{"RST", []byte{0x70, 0, 0, 1}, KindAcknowledgement},
		{"NON empty", []byte{0x50, 0, 0, 1}, KindAcknowledgement},
		{"2.05 CON", []byte{0x41, 0x45, 0, 1, 7}, KindTimeResponse},
		{"2.05 NON", []byte{0x51, 0x45, 0, 1, 7}, KindTimeResponse},
		{"N-10/2.05 ACK", []byte{0x61, 0x45, 0, 1, 7}, KindTimeResponse},
		{"2.04", []byte{0x61, 0x44, 0, 1, 7}, KindUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := DispatchOnDevice(test.wire); got != test.want {
				t.Errorf("%x: got %v, want %v", test.wire, got, test.want)
			}
		})
	}
}
