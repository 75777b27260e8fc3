package fleet

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

var virtualCloud = netip.MustParseAddr("192.0.2.1")

// startVirtual puts a scripted cloud and n devices on a virtual network.
func startVirtual(t testing.TB, run uint64, n int, o Options, tap transport.Tap, profiles ...string) (*Virtual, *scripted, *vnet.Network) {
	t.Helper()
	c := newScripted(SeededKeys(1, 2))
	net := vnet.New(vnet.Config{Seed: run, Tap: tap})
	net.Attach(c, virtualCloud).Listen(PortTCP)
	o.UDP, o.TCP = netip.AddrPortFrom(virtualCloud, PortUDP), netip.AddrPortFrom(virtualCloud, PortTCP)
	f := NewVirtual(net, o, nil)
	f.Add(specs(t, c, true, n, profiles...)...)
	return f, c, net
}

// A fleet of thousands connects in virtual time, lives through hours of pings,
// loses its network and comes back by resuming.
func TestVirtualFleet(t *testing.T) {
	n := 2000
	if testing.Short() {
		n = 100
	}
	f, _, net := startVirtual(t, 1, n, Options{}, nil, "boron@6.2.0", "boron@6.2.0", "boron@6.2.0", "electron@3.1.0", "electron@0.5.3")
	f.Start(Ramp{Rate: 50})
	began := net.Now()
	if !f.RunOnline(began.Add(10 * time.Minute)) {
		t.Fatalf("%+v", f.Metrics())
	}
	if took, least := net.Now().Sub(began), time.Duration(n-1)*time.Second/50; took < least {
		t.Errorf("the ramp took %v, want at least %v", took, least)
	}
	net.Run(net.Now().Add(2 * time.Hour))
	if m := f.Metrics(); m.Online != n || m.Offline != 0 || m.Connected != uint64(n) {
		t.Fatalf("after two hours: %+v", m)
	}
	for i := range n {
		f.NetworkChange(i)
		f.Suspend(i)
		f.PowerOn(i)
	}
	net.Run(net.Now().Add(time.Minute))
	if m := f.Metrics(); m.Online != n || m.Resumes != uint64(n) || m.Errors[device.DisconnectWanted] != uint64(n) {
		t.Errorf("after the restart: %+v", m)
	}
}

// Equal seeds give equal traces, TCP included; another seed gives another one.
func TestVirtualRunsRepeat(t *testing.T) {
	trace := func(run uint64) [32]byte {
		var lines bytes.Buffer
		f, _, net := startVirtual(t, run, 40, Options{}, vnet.Trace(&lines), "boron@6.2.0", "photon@3.1.0", "electron@1.4.4")
		access := &vnet.Access{Up: vnet.Link{Delay: 40 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.02}}
		for i := range f.Len() {
			f.Node(i).SetAccess(access)
		}
		f.Start(Ramp{Rate: 20})
		f.RunOnline(net.Now().Add(time.Hour))
		f.NetworkChange(0)
		f.NetworkChange(1)
		f.Sleep(2, time.Minute)
		f.Reset(3, pdc.ResetUser)
		net.Run(net.Now().Add(time.Hour))
		if m := f.Metrics(); m.Online != 40 {
			t.Errorf("%+v", m)
		}
		return sha256.Sum256(lines.Bytes())
	}
	if a, b := trace(1), trace(1); a != b {
		t.Error("two runs with one seed differ")
	}
	if a, b := trace(1), trace(2); a == b {
		t.Error("two seeds give one run")
	}
}

// Commands that an observer gives are carried out.
func TestVirtualObserver(t *testing.T) {
	var f *Virtual
	calls := 0
	o := Options{Observe: func(i int, _ clock.Instant, e device.Event) {
		switch e.Kind {
		case device.Online:
			f.Publish(i, device.Publication{Name: "up"}, func(err error) { t.Error(err) })
		case device.FunctionCalled:
			calls++
		default: // none of ours
		}
	}}
	f, c, net := startVirtual(t, 1, 3, o, nil, "boron@6.2.0")
	f.Start(Ramp{})
	if !f.RunOnline(net.Now().Add(time.Minute)) {
		t.Fatal("not online")
	}
	net.Run(net.Now().Add(time.Minute))
	if got := c.count(pdc.KindPublish); got < 3 {
		t.Errorf("%d events", got)
	}
}
