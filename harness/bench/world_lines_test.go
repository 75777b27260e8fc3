package bench

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// idleFleet is a fleet that is online and has nothing to say but a ping every 23
// minutes: how fast its time passes, and what each device weighs at either end.
func (r *run) idleFleet() error {
	w, err := newWorld("boron@6.2.0", r.scale(20_000, 20), nil)
	if err != nil {
		return err
	}
	if err := w.connect(); err != nil {
		return err
	}
	if err := r.virtualTime(w); err != nil {
		return err
	}
	return r.memory(w)
}

// virtualTime measures turns of some hours.
func (r *run) virtualTime(w *world) error {
	var onWall, onCPU []float64
	hours := r.scale(4, 1)
	for range r.scale(9, 1) {
		runtime.GC()
		start, cpu := time.Now(), cpuTime()
		w.pass(time.Duration(hours) * time.Hour)
		done := float64(hours * w.fleet.Len())
		onCPU = append(onCPU, done/(cpuTime()-cpu).Minutes())
		onWall = append(onWall, done/time.Since(start).Minutes())
	}
	if m := w.fleet.Metrics(); m.Online != w.fleet.Len() || m.Offline != 0 {
		return fmt.Errorf("%d of %d devices are online: this was no idle fleet", m.Online, w.fleet.Len())
	}
	row := Row{What: "virtual time of an idle cellular fleet, per minute of CPU", Unit: "device-hours", Ours: median(onCPU), Target: "≥ 1,000,000"}
	row.Reached = reached(row.Ours >= 1_000_000)
	wall := Row{What: "  and per minute on the wall, one network at a time", Unit: "device-hours", Ours: median(onWall)}
	r.rows = append(r.rows, row, wall)
	return nil
}

// weights are the bytes of the parts of a world.
type weights struct {
	devices                       int
	atDevice, atCloud, inTheStore float64
}

// weigh lets one part of w after the other become garbage.
func weigh(w *world) weights {
	g := weights{devices: w.fleet.Len()}
	all := heap()
	w.store.OnRevoke(func(store.DeviceID) {}) // the store holds the cloud by this
	w.cloud.Host = nil
	withoutCloud := heap()
	runtime.KeepAlive(w)
	w.net, w.fleet = nil, nil
	withoutDevices := heap()
	runtime.KeepAlive(w)
	w.store = nil
	withoutStore := heap()
	g.atCloud, g.atDevice = float64(all)-float64(withoutCloud), float64(withoutCloud)-float64(withoutDevices)
	g.inTheStore = float64(withoutDevices) - float64(withoutStore)
	return g
}

// each returns what a device weighs: the difference between two worlds, because
// tables of a fixed size, such as that of the last handshakes, are no device's.
func (g weights) each(small weights) weights {
	n := float64(g.devices - small.devices)
	return weights{
		atDevice: (g.atDevice - small.atDevice) / n, atCloud: (g.atCloud - small.atCloud) / n,
		inTheStore: (g.inTheStore - small.inTheStore) / n,
	}
}

// memory is what a device weighs at either end, from w and a smaller world.
func (r *run) memory(w *world) error {
	large := weigh(w)
	w, err := newWorld("boron@6.2.0", r.scale(2000, 10), nil) // enough to fill what is fixed
	if err != nil {
		return err
	}
	if err := w.connect(); err != nil {
		return err
	}
	each := large.each(weigh(w))
	each.atDevice -= networkMemory(large.devices)
	pion, err := pionMemory(r.scale(2000, 4))
	if err != nil {
		return err
	}
	device := Row{What: "memory of a live idle DTLS device, its own end", Unit: "B", Ours: each.atDevice}
	cloud := Row{What: "memory of a live idle DTLS device, the cloud's end", Unit: "B", Ours: each.atCloud}
	for _, row := range []*Row{&device, &cloud} {
		row.Pion, row.UnderPion, row.Target, row.Reached = pion, pion/row.Ours, "≤ 1,024", reached(row.Ours <= 1024)
	}
	r.rows = append(r.rows, device, cloud, Row{What: "  and what the store in memory keeps of it", Unit: "B", Ours: each.inTheStore})
	return nil
}

// networkMemory returns what a place in the virtual network takes for each of n
// hosts, which is not the device's.
func networkMemory(n int) float64 {
	before := heap()
	net := vnet.New(vnet.Config{Seed: 1})
	for i := range n {
		net.Attach(absent{}, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})).SetAccess(lte)
	}
	each := float64(heap()-before) / float64(n)
	runtime.KeepAlive(net)
	return each
}

// An absent host has a place and nothing to do there.
type absent struct{ transport.Host }

// Deadline implements transport.Host.
func (absent) Deadline() clock.Instant { return clock.Never }

// heap returns what is reachable, and the stacks of goroutines, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what pools hold lives for one collection more
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// pionMemory returns what a connection of pion takes at one end, over UDP, both
// ends being alike: its goroutines and their stacks included, the sockets of the
// kernel not.
func pionMemory(n int) (float64, error) {
	server, client := pionConfigs()
	cloud, err := newPionCloud(server, 16)
	if err != nil {
		return 0, err
	}
	defer cloud.close()
	pairs := &pionPairs{}
	defer pairs.close()
	var devices, clouds []net.Conn
	before := heap()
	for len(devices) < n && err == nil {
		var d, c []net.Conn
		d, c, err = cloud.connect(client, min(100, n-len(devices)), 16)
		pairs.add(d...)
		pairs.add(c...)
		devices, clouds = append(devices, d...), append(clouds, c...)
	}
	if err != nil {
		return 0, err
	}
	each := float64(heap()-before) / float64(2*n)
	runtime.KeepAlive(devices)
	runtime.KeepAlive(clouds)
	return each, nil
}
