package store

import (
	"bytes"
	"errors"
	"testing"
)

func TestSession(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		x.want(ErrUnknownDevice, x.Do(x.ctx, PutSession(session(1))))
		x.want(nil, x.Do(x.ctx, PutDevice(device(1)), PutDevice(device(2))))
		stranger := session(1)
		stranger.Key = FingerprintOf(spki(2))
		x.want(ErrRevoked, x.Do(x.ctx, PutSession(stranger)))

		s := session(1)
		s.Top, s.Window = 10, 1
		x.want(nil, x.Do(x.ctx, PutSession(s), PutSession(session(2))))
		x.want(nil, x.Do(x.ctx, Reserve(Progress{Device: s.Device, CID: s.CID, Reserved: 128, Top: 20, Window: 3})))
		x.want(nil, x.Do(x.ctx, DropSession(deviceID(2))))
		x.restart()

		all := x.sessions()
		got := all[s.Device]
		if len(all) != 1 || got == nil {
			x.Fatalf("got %d sessions, want that of device 1", len(all))
		}
		if got.Reserved != 128 || got.Top != 20 || got.Window != 3 || got.CID != s.CID || !bytes.Equal(got.Record, s.Record) {
			x.Errorf("got %+v", got)
		}
		if id, ok := x.DeviceByCID(s.CID); !ok || id != s.Device {
			x.Errorf("the connection id leads to %v, %v", id, ok)
		}
		if _, ok := x.DeviceByCID(cidOf(2)); ok {
			x.Error("a dropped session is found by its connection id")
		}
		one, err := x.Session(x.ctx, s.Device)
		x.want(nil, err)
		if one.Reserved != 128 || one.Revision != got.Revision {
			x.Errorf("got %+v", one)
		}
		_, err = x.Session(x.ctx, deviceID(2))
		x.want(ErrNotFound, err)
	})
}

func TestANewSessionReplacesTheOld(t *testing.T) {
	eachStore(t, func(x *storeTest) {
		x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
		old, young := session(1), session(1)
		young.CID, young.Reserved = cidOf(100), 5
		x.want(nil, x.Do(x.ctx, PutSession(old), Reserve(Progress{Device: old.Device, CID: old.CID, Reserved: 9000})))
		x.want(nil, x.Do(x.ctx, PutSession(young)))
		// A late word about the old one changes nothing.
		x.want(nil, x.Do(x.ctx, Reserve(Progress{Device: old.Device, CID: old.CID, Reserved: 9999})))
		if _, ok := x.DeviceByCID(old.CID); ok {
			x.Error("the old connection id is still found")
		}
		x.restart()
		if got := x.sessions()[old.Device]; got.CID != young.CID || got.Reserved != 5 {
			x.Errorf("got session %v, reserved %d", got.CID, got.Reserved)
		}
	})
}

func TestASessionGoesWithItsKey(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*storeTest)
		gone   bool
	}{
		{"replaced", func(x *storeTest) {
			d := device(1)
			d.P256 = spki(99)
			x.want(nil, x.Do(x.ctx, PutDevice(d)))
		}, true},
		{"revoked", func(x *storeTest) {
			d := device(1)
			d.P256 = nil
			x.want(nil, x.Do(x.ctx, PutDevice(d)))
		}, true},
		{"removed", func(x *storeTest) { x.want(nil, x.RemoveDevice(x.ctx, deviceID(1))) }, true},
		{"denied", func(x *storeTest) {
			d := device(1)
			d.Flags = Denied
			x.want(nil, x.Do(x.ctx, PutDevice(d)))
		}, false}, // its live sessions end; the flag keeps it out
		{"second key", func(x *storeTest) {
			d := device(1)
			d.RSA = spki(99)
			x.want(nil, x.Do(x.ctx, PutDevice(d)))
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachStore(t, func(x *storeTest) {
				x.want(nil, x.Do(x.ctx, PutDevice(device(1))))
				x.want(nil, x.Do(x.ctx, PutSession(session(1)), PutApp(deviceID(1), 0, []byte("hello"))))
				revoked := make(chan DeviceID, 1)
				x.OnRevoke(func(id DeviceID) { revoked <- id })
				test.change(x)
				if test.name != "second key" {
					if id := <-revoked; id != deviceID(1) {
						x.Errorf("told of device %v", id)
					}
				}
				if _, ok := x.DeviceByCID(cidOf(1)); ok == test.gone {
					x.Errorf("found by connection id: %v", ok)
				}
				x.restart()
				if _, ok := x.sessions()[deviceID(1)]; ok == test.gone {
					x.Errorf("session there: %v, want %v", ok, !test.gone)
				}
				_, err := x.App(x.ctx, deviceID(1), 0)
				if gone := errors.Is(err, ErrNotFound); gone != (test.name == "removed") {
					x.Errorf("application state: %v", err)
				}
			})
		})
	}
}
