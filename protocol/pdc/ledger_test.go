package pdc

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/muster/muster/fixtures/gen"
)

var (
	scope5678 = []byte{5, 6, 7, 8}
	scope1234 = []byte{1, 2, 3, 4}
	// 0x0000019b76daa800 milliseconds are 2026-01-01T00:00:00Z.
	newYear = LedgerUpdated{Milliseconds: 0x0000019b76daa800, Known: true}
	keyMap  = []byte{0xa1, 0x63, 'k', 'e', 'y', 0x18, 0x2a}
)

// TestLedgerCalls reads and writes the protobuf of the worked examples.
func TestLedgerCalls(t *testing.T) {
	for name, want := range map[string]LedgerCall{
		"ledger/get-info": {Method: LedgerGetInfo, Ledgers: []LedgerRef{{Name: "mydata"}}},
		"ledger/set-data": {
			Method:  LedgerSetData,
			Ledgers: []LedgerRef{{Name: "mydata", ScopeID: scope1234, Updated: newYear}}, Data: keyMap,
		},
		"ledger/subscribe": {Method: LedgerSubscribe, Ledgers: []LedgerRef{{Name: "cfg", ScopeID: scope5678}}},
		"ledger/get-data":  {Method: LedgerGetData, Ledgers: []LedgerRef{{Name: "cfg", ScopeID: scope5678}}},
		"ledger/notify":    {Method: LedgerNotifyUpdate, Ledgers: []LedgerRef{{Name: "cfg", Updated: newYear}}},
	} {
		payload := mustParse(t, vector(t, name).Bytes).Payload
		got, err := ParseLedgerCall(payload)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
		if wire := want.Append(nil); !bytes.Equal(wire, payload) {
			t.Errorf("%s: got %x, want %x", name, wire, payload)
		}
	}
	reset := LedgerCall{Method: LedgerResetInfo}
	if got := reset.Append(nil); !bytes.Equal(got, []byte{8, 6, 0x3a, 0}) {
		t.Errorf("reset info: got %x", got)
	}
	for _, bad := range []string{"", "0800", "0807", "08", "12020a00" + "ff", "08011203" + "080100", "0802" + "1a02" + "1900"} {
		if got, err := ParseLedgerCall(gen.Hex(bad)); err == nil {
			t.Errorf("%s: no error: %+v", bad, got)
		}
	}
	many := LedgerCall{Method: LedgerGetInfo, Ledgers: make([]LedgerRef, LedgersMax+1)}
	if _, err := ParseLedgerCall(many.Append(nil)); err == nil {
		t.Error("21 ledgers: no error")
	}
}

func TestLedgerReplies(t *testing.T) {
	for name, want := range map[string]LedgerReply{
		"ledger/get-info-response": {
			Method: LedgerGetInfo,
			Ledgers: []LedgerInfo{{
				Name: "mydata", ScopeID: scope1234, Scope: LedgerScopeDevice, Direction: LedgerDeviceToCloud,
			}},
		},
		"ledger/no-ledgers":         {Method: LedgerGetInfo},
		"ledger/set-data-response":  {Method: LedgerSetData},
		"ledger/subscribe-response": {Method: LedgerSubscribe, Ledgers: []LedgerInfo{{Name: "cfg", Updated: newYear}}},
		"ledger/get-data-response":  {Method: LedgerGetData, Updated: newYear, Data: keyMap},
	} {
		payload := mustParse(t, vector(t, name).Bytes).Payload
		got, err := ParseLedgerReply(payload)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
		if wire := want.Append(nil); !bytes.Equal(wire, payload) {
			t.Errorf("%s: got %x, want %x", name, wire, payload)
		}
	}
	// C-54: the result first, the data last; sint32 2 is varint 4.
	refused := LedgerReply{Method: LedgerSetData, Result: LedgerNotFound, Message: "no"}
	want := []byte{8, 4, 0x12, 2, 'n', 'o', 0x22, 0}
	if got := refused.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got, err := ParseLedgerReply(want); err != nil || !reflect.DeepEqual(got, refused) {
		t.Errorf("got %+v, %v", got, err)
	}
	all := LedgerReply{Method: LedgerGetInfo, Ledgers: []LedgerInfo{{
		Name: "a", ScopeID: scope1234, Scope: LedgerScopeOwner, Direction: LedgerCloudToDevice, Updated: newYear,
	}}}
	if got, err := ParseLedgerReply(all.Append(nil)); err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("got %+v, %v, want %+v", got, err, all)
	}
}
