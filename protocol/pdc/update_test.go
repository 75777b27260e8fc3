package pdc

import (
	"reflect"
	"testing"

	"github.com/muster/muster/protocol/coap"
)

// TestGeometry has the numbers of PDC-6.5, 6.6 and C-40 to C-42.
func TestGeometry(t *testing.T) {
	for size, want := range map[int]uint32{1152: 1136, 960: 944, 10: 0} {
		if got := MaxChunkSize(size); got != want {
			t.Errorf("MaxChunkSize(%d): got %d, want %d", size, got, want)
		}
	}
	for size, want := range map[uint32]uint32{1024: 128, 512: 256, 1136: 115} {
		if got := WindowFor(size); got != want {
			t.Errorf("WindowFor(%d): got %d, want %d", size, got, want)
		}
	}
	for _, test := range []struct {
		g            Geometry
		count, index uint32
		at, size     uint32
		ok           bool
	}{
		{Geometry{100000, 0, 1024}, 98, 1, 0, 1024, true},
		{Geometry{100000, 0, 1024}, 98, 98, 99328, 672, true},
		{Geometry{100000, 51200, 1024}, 48, 1, 51200, 1024, true},
		{Geometry{100000, 51200, 1024}, 48, 48, 99328, 672, true},
		{Geometry{100000, 51200, 1024}, 48, 49, 0, 0, false},
		{Geometry{100000, 51200, 1024}, 48, 0, 0, 0, false},
		{Geometry{1024, 0, 512}, 2, 2, 512, 512, true},
		{Geometry{1000, 1000, 512}, 0, 1, 0, 0, false},
		{Geometry{1000, 2000, 512}, 0, 1, 0, 0, false},
		{Geometry{1<<32 - 1, 0, 512}, 1 << 23, 1 << 23, 1<<32 - 512, 511, true},
	} {
		if got := test.g.Count(); got != test.count {
			t.Errorf("%+v: %d chunks, want %d", test.g, got, test.count)
		}
		at, size, ok := test.g.Chunk(test.index)
		if at != test.at || size != test.size || ok != test.ok {
			t.Errorf("%+v: chunk %d: got %d, %d, %v, want %d, %d, %v",
				test.g, test.index, at, size, ok, test.at, test.size, test.ok)
		}
	}
}

// TestGeometryCoversTheFile walks the chunks: they lie end to end.
func TestGeometryCoversTheFile(t *testing.T) {
	for size := uint32(1); size < 3000; size += 7 {
		for offset := uint32(0); offset <= size; offset += 333 {
			g, at := Geometry{size, offset, 512}, offset
			for i := uint32(1); i <= g.Count(); i++ {
				begin, n, ok := g.Chunk(i)
				if begin != at || n == 0 || n > 512 || !ok {
					t.Fatalf("%+v: chunk %d: %d, %d, %v", g, i, begin, n, ok)
				}
				at += n
			}
			if at != size {
				t.Fatalf("%+v ends at %d", g, at)
			}
		}
	}
}

// TestSelectiveAck has the examples of PDC-6.6 and D-15.
func TestSelectiveAck(t *testing.T) {
	for _, test := range []struct {
		name   string
		have   []uint32
		vector string
	}{
		{"no gap", []uint32{1, 2}, "update-ack/2"},
		{"gap", []uint32{1, 2, 4, 5, 7}, "update-ack/gap"},
		{"second word", []uint32{1, 2, 40}, "update-ack/second-word"},
	} {
		has := map[uint32]bool{}
		for _, i := range test.have {
			has[i] = true
		}
		got := NewUpdateAck(100, func(i uint32) bool { return has[i] })
		if !reflect.DeepEqual(got, vectorValues[test.vector]) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, vectorValues[test.vector])
		}
		for i := range uint32(300) {
			if got.Has(i) != has[i] {
				t.Errorf("%s: Has(%d): got %v", test.name, i, got.Has(i))
			}
		}
	}
	all := NewUpdateAck(300, func(i uint32) bool { return i != 1 && i <= 300 })
	if len(all.Selective) != selectiveMax || all.Count != 0 || !all.Has(256) || all.Has(257) {
		t.Errorf("got %+v, want 256 chunks in 32 bytes", all)
	}
}

func TestOnDeviceUpdateStart(t *testing.T) {
	d := NewDialect(6200, Boron)
	good := UpdateStart{Token: tok(1), FileSize: 1000, ChunkSize: 512}
	for _, test := range []struct {
		name   string
		change func(*UpdateStart)
		ok     bool
	}{
		{"good", func(*UpdateStart) {}, true},
		{"largest", func(u *UpdateStart) { u.ChunkSize = 1136 }, true},
		{"N-24/508", func(u *UpdateStart) { u.ChunkSize = 508 }, false},
		{"N-24/514", func(u *UpdateStart) { u.ChunkSize = 514 }, false},
		{"N-24/1140", func(u *UpdateStart) { u.ChunkSize = 1140 }, false},
		{"N-24/size 0", func(u *UpdateStart) { u.FileSize = 0 }, false},
		{"N-24/SHA of 31 bytes", func(u *UpdateStart) { u.SHA256 = fill(1, 31) }, false},
		{"N-24/no token", func(u *UpdateStart) { u.Token = nil }, false},
	} {
		u := good
		test.change(&u)
		_, err := OnDeviceUpdateStart(u.Message(d), d)
		if test.ok != (err == nil) {
			t.Errorf("%s: got %v", test.name, err)
			continue
		}
		if e := asError(err); e != nil && (e.Answer != coap.ServiceUnavailable || e.Reaction != Refuse) {
			t.Errorf("%s: got answer %v and %v, want 5.03", test.name, e.Answer, e.Reaction)
		}
	}
	m := good.Message(d)
	m.Type = coap.NonConfirmable
	_, err := OnDeviceUpdateStart(m, d)
	if e := asError(err); e == nil || e.Reaction != Disconnect {
		t.Errorf("N-24/NON: got %v, want a disconnect", err)
	}
	withUnknown := good.Message(d)
	withUnknown.Options = append(withUnknown.Options, coap.Uint(3001, 1))
	if _, err := OnDeviceUpdateStart(withUnknown, d); err != nil {
		t.Errorf("N-7: an unknown critical option: got %v", err)
	}
}

func TestOnDeviceUpdateChunk(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*coap.Message)
		answer coap.Code
		then   Reaction
	}{
		{"N-27/no index", func(m *coap.Message) { m.Options = m.Options[:1] }, coap.Empty, Disconnect},
		{"N-27/empty", func(m *coap.Message) { m.Payload = nil }, coap.Empty, Disconnect},
		{"N-27/token", func(m *coap.Message) { m.Token = tok(1) }, coap.ServiceUnavailable, Disconnect},
		{"N-27/CON", func(m *coap.Message) { m.Type = coap.Confirmable }, coap.ServiceUnavailable, Refuse},
	} {
		m := UpdateChunk{Index: 1, Data: fill(1, 512)}.Message(Dialect{})
		test.change(&m)
		_, err := OnDeviceUpdateChunk(m)
		if e := asError(err); e == nil || e.Answer != test.answer || e.Reaction != test.then {
			t.Errorf("%s: got %+v, want %v and %v", test.name, err, test.answer, test.then)
		}
	}
}

// TestSystemErrorCodes is the table of PDC-6.8.
func TestSystemErrorCodes(t *testing.T) {
	for code, errors := range map[coap.Code][]SystemError{
		coap.Changed:            {0},
		coap.BadRequest:         {-270, -280, -290, -190, -191, -1000},
		coap.Forbidden:          {-130},
		coap.NotFound:           {-170},
		coap.InternalError:      {-250},
		coap.NotImplemented:     {-120, -300},
		coap.GatewayTimeout:     {-160},
		coap.ServiceUnavailable: {-110, -140, -150, -210, -240, -260, -219, -1300, -1331, -1380, -1399, -5},
	} {
		for _, e := range errors {
			if got := e.Code(); got != code {
				t.Errorf("%v: got %v, want %v", e, got, code)
			}
		}
	}
	for i, row := range systemErrors {
		if row.name == "" || row.code == 0 || row.err >= 0 {
			t.Errorf("row %d: %+v", i, row)
		}
	}
}

func TestDiagnostic(t *testing.T) {
	want := Diagnostic{ErrProtocol, `say "no"`}
	payload := want.Append(nil)
	if got, whole := ParseDiagnostic(payload); got != want || !whole {
		t.Errorf("got %+v, %v", got, whole)
	}
	if got, whole := ParseDiagnostic(payload[:len(payload)-3]); got.Code != ErrProtocol || whole {
		t.Errorf("cut: got %+v, %v, want the code", got, whole)
	}
	for _, bad := range []string{"", "text", `{"code":-2`, `{"code":x,`, `{}`} {
		if got, whole := ParseDiagnostic([]byte(bad)); got != (Diagnostic{}) || whole {
			t.Errorf("%q: got %+v, %v", bad, got, whole)
		}
	}
}

func TestUpdateReport(t *testing.T) {
	old, later := NewDialect(1406, Electron), NewDialect(2302, Electron)
	for _, test := range []struct {
		d      Dialect
		result SystemError
		want   string
	}{
		{old, 0, `{"r":"ok"}`}, {old, ErrIntegrity, `{"r":"error"}`}, {later, 0, `{"r":0}`}, {later, ErrPlatform, `{"r":-1360}`},
	} {
		got := AppendUpdateReport(nil, test.result, test.d)
		if string(got) != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
		if back, err := ParseUpdateReport(got); (back == 0) != (test.result == 0) || err != nil {
			t.Errorf("%s: got %v, %v", got, back, err)
		}
	}
	// From a recording of 1.4.4: the module's information is not read.
	captured := `{"r":"ok","u":{"s":0,"l":"m","vc":0,"vv":0,"f":"n","n":"0","v":0,"p":0,"d":[]}}`
	if got, err := ParseUpdateReport([]byte(captured)); got != 0 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"r":"x"}`, `{"r":[]}`} {
		if _, err := ParseUpdateReport([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestLegacyHelpers(t *testing.T) {
	if got := ChunkCRC([]byte("123456789")); got != 0xcbf43926 {
		t.Errorf("CRC: got %08x, want cbf43926", got)
	}
	if got := ChunkCRC(counted()); got != 0x1c613576 {
		t.Errorf("CRC: got %08x, want 1c613576", got)
	}
	if ChunkCount(4100, 512) != 9 || ChunkCount(4096, 512) != 8 || ChunkCount(1, 0) != 0 || ChunkCount(1<<32-1, 1) != 1<<32-1 {
		t.Error("ChunkCount is wrong")
	}
	for _, test := range []struct {
		d        Dialect
		got, max int
	}{
		{NewDialect(21, Photon), 0, 50},
		{NewDialect(1406, Photon), 0, 2},
		{NewDialect(1406, Photon), 5, 7},
		{NewDialect(1406, Photon), 20, 24},
		{NewDialect(1406, Photon), 1000, 40},
		{NewDialect(2302, Argon), 1000, 20},
	} {
		if got := MissedLimit(test.d, test.got); got != test.max {
			t.Errorf("%+v after %d: got %d, want %d", test.d, test.got, got, test.max)
		}
	}
}
