package control

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/muster/muster/protocol/pdc"
)

const testID = "e00fce68aabbccddeeff0011"

// board answers with Particle's own vectors.
type board struct {
	t *testing.T
	v vectors
	Responder
	modes    []Kind
	key      []byte
	restarts int

	image   []byte // that arrives
	size    uint64
	chunk   uint64
	applied []byte
	refuse  Kind
	cancels int
}

func newBoard(t *testing.T) *board {
	b := &board{t: t, v: loadVectors(t), chunk: 1024}
	b.Handle = b.handle
	b.Raw = func(kind Kind) bool {
		b.restarts++
		return kind == Reset
	}
	return b
}

func (b *board) handle(r Request) Response {
	if r.Kind == b.refuse {
		return Response{Result: int32(pdc.ErrInvalidState)}
	}
	say := func(name string) Response { return Response{Payload: b.v.message(b.t, name)} }
	switch r.Kind {
	case DeviceID:
		return say("device id")
	case SerialNumber:
		return say("serial number")
	case SystemVersion:
		return say("version 6.2.0")
	case GetMode:
		return say("listening")
	case ModuleInfo:
		return say("modules new")
	case CloudStatus:
		return say("cloud connected")
	case Diagnostics:
		return Response{Payload: []byte(`{"a":1}`)}
	case GetSecurityKey:
		if !bytes.Equal(r.Payload, b.v.message(b.t, "get key udp device")) {
			return Response{Result: int32(pdc.ErrInvalidArgument)}
		}
		return say("key")
	case SetSecurityKey:
		b.key = r.Payload
	case StartUpdate, UpdateData, FinishUpdate, CancelUpdate:
		return b.update(r)
	default:
		b.modes = append(b.modes, r.Kind)
	}
	return Response{}
}

func (b *board) update(r Request) Response {
	switch r.Kind {
	case StartUpdate:
		b.size, _ = parseVarint(r.Payload)
		return Response{Payload: protowire.AppendVarint([]byte{0x08}, b.chunk)}
	case UpdateData:
		data, _ := parseBytes(r.Payload)
		if len(data) == 0 || uint64(len(data)) > b.chunk {
			return Response{Result: int32(pdc.ErrOutOfRange)}
		}
		b.image = append(b.image, data...)
	case FinishUpdate:
		if uint64(len(b.image)) != b.size || !bytes.Equal(r.Payload, b.v.message(b.t, "finish")) {
			return Response{Result: int32(pdc.ErrInvalidState)}
		}
		return Response{After: func() { b.applied = b.image }}
	case CancelUpdate:
		b.cancels++
		b.image = nil
	default:
	}
	return Response{}
}

func TestDeviceAsks(t *testing.T) {
	b := newBoard(t)
	d := New(b, 0)
	ctx := context.Background()
	id, err1 := d.DeviceID(ctx)
	serial, err2 := d.SerialNumber(ctx)
	version, err3 := d.Version(ctx)
	mode, err4 := d.Mode(ctx)
	cloud, err5 := d.CloudStatus(ctx)
	diagnostics, err6 := d.Diagnostics(ctx)
	key, err7 := d.SecurityKey(ctx, UDPDevicePrivateKey)
	modules, err8 := d.Modules(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		t.Fatal(err)
	}
	if id != testID || serial != "B40KAB005XYZ123" || version != "6.2.0" || mode != Listening || cloud != "connected" ||
		string(diagnostics) != `{"a":1}` || !bytes.Equal(key, []byte{0x30, 0x77}) || len(modules) != 2 {
		t.Error(id, serial, version, mode, cloud, string(diagnostics), key, modules)
	}
	err1 = d.SetSecurityKey(ctx, UDPServerPublicKey, []byte{0x30, 0x59})
	err2 = d.Simple(ctx, StopListening)
	err3 = d.ForceReset()
	if err := errors.Join(err1, err2, err3, d.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.key, b.v.message(t, "set key udp server")) || len(b.modes) != 1 || b.modes[0] != StopListening || b.restarts != 1 {
		t.Errorf("%x, %v, %d", b.key, b.modes, b.restarts)
	}
}

func TestDeviceRefusesNonsense(t *testing.T) {
	for name, answer := range map[string][]byte{
		"not an id":   {0x0a, 0x01, 'x'},
		"not a state": {0x08, 99},
		"cut":         {0x0a},
		"bad tag":     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		b := &Responder{Handle: func(Request) Response { return Response{Payload: answer} }}
		d := New(b, 0)
		_, err1 := d.DeviceID(context.Background())
		_, err2 := d.CloudStatus(context.Background())
		if name != "not a state" && err1 == nil || name != "not an id" && err2 == nil {
			t.Errorf("%s: %v, %v", name, err1, err2)
		}
	}
	long := make([]byte, TransferMax+1)
	if _, err := New(&Responder{}, 0).Do(context.Background(), AppCustom, long); err == nil {
		t.Error("a payload that no transfer carries went")
	}
}

func TestUpdateFirmware(t *testing.T) {
	image := bytes.Repeat([]byte("firmware"), 1000)
	for _, chunk := range []uint64{512, 1024, 4096, 1 << 40} {
		b := newBoard(t)
		b.chunk = chunk
		var seen []int
		if err := New(b, 0).UpdateFirmware(context.Background(), image, func(n int) { seen = append(seen, n) }); err != nil {
			t.Fatalf("chunks of %d: %v", chunk, err)
		}
		if !bytes.Equal(b.applied, image) || len(seen) < 2 || seen[len(seen)-1] != len(image) || b.cancels != 0 {
			t.Errorf("chunks of %d: applied %d bytes, progress %v", chunk, len(b.applied), seen)
		}
	}
}

// TestUpdateFirmwareFails: the board is told to forget, and says why.
func TestUpdateFirmwareFails(t *testing.T) {
	image := make([]byte, 5000)
	for _, kind := range []Kind{StartUpdate, UpdateData, FinishUpdate} {
		b := newBoard(t)
		b.refuse = kind
		err := New(b, 0).UpdateFirmware(context.Background(), image, nil)
		if !errors.Is(err, pdc.ErrInvalidState) || !strings.Contains(err.Error(), kind.String()) || b.applied != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if want := map[Kind]int{UpdateData: 1, FinishUpdate: 1}[kind]; b.cancels != want {
			t.Errorf("%s: cancelled %d times, want %d", kind, b.cancels, want)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	b := newBoard(t)
	if err := New(b, 0).UpdateFirmware(ctx, image, func(int) { stop() }); !errors.Is(err, context.Canceled) || b.cancels != 1 || b.applied != nil {
		t.Errorf("interrupted: %v, cancelled %d times", err, b.cancels)
	}
	b = newBoard(t)
	b.chunk = 0
	if err := New(b, 0).UpdateFirmware(context.Background(), image, nil); err == nil {
		t.Error("chunks of 0 bytes were taken")
	}
}

// TestForgetOthers: what an earlier program left is no obstacle.
func TestForgetOthers(t *testing.T) {
	b := newBoard(t)
	for range activeMax {
		_, _ = b.Control(initSetup(AppCustom, 0), make([]byte, ReplySize), 0)
	}
	if _, err := New(b, 0).Version(context.Background()); err != nil {
		t.Error(err)
	}
}
