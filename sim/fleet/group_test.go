package fleet

import (
	"net"
	"net/netip"
	"testing"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport/drive"
)

// Towards a cloud that is not on 127.0.0.0/8 each device has a socket of its own.
func TestGroup(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6 on this machine:", err)
	} else {
		l.Close()
	}
	c := newScripted(NewKeys(1))
	list := specs(t, c, false, 20, "boron@6.2.0", "argon@3.1.0")
	d := drive.New(c, drive.Config{})
	engine, err := d.ListenUDP(netip.MustParseAddrPort("[::1]:0"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, d.Run)
	f, err := NewReal(Options{UDP: engine.Addr(0)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, f.Run)
	if _, err := f.Add(list...); err != nil {
		t.Fatal(err)
	}
	online(t, f)
	published := f.Watch(func(i int, e *device.Event) bool { return i == 3 && e.Kind == device.Published && e.Tag == 4 })
	f.NetworkChange(3)
	f.Publish(3, device.Publication{Name: "x", WithAck: true, Tag: 4}, func(err error) { t.Error(err) })
	if _, err := published.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		f.PowerOff(i)
	}
	if err := f.WaitOffline(patient(t)); err != nil {
		t.Fatal(err)
	}
	open := 0
	for i, s := range f.shards {
		if err := f.Call(patient(t), i, nop); err != nil {
			t.Fatal(err)
		}
		open += s.network.(*group).sockets.Len()
	}
	if open != 0 {
		t.Errorf("%d sockets are left open", open)
	}
}
