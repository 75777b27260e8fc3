package fleet

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport/vnet"
)

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// A million devices must fit: at most 1 KiB for one that is online and idle, its
// place in the fleet included, but not what the virtual network keeps of a node.
func TestMemoryOfAnIdleDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the heap")
	}
	const n = 4000
	measure := func(profile string, n int) uint64 {
		f, c, net := startVirtual(t, 1, n, Options{}, nil, profile)
		f.Start(Ramp{Rate: 1000})
		if !f.RunOnline(net.Now().Add(time.Hour)) {
			t.Fatal("not online")
		}
		net.Run(net.Now().Add(10 * time.Minute))
		c.forget()
		heap := heapInUse()
		runtime.KeepAlive(f)
		return heap
	}
	for _, profile := range []string{"boron@6.2.0", "electron@0.5.3"} {
		few := measure(profile, n/4) // and what does not depend on the number
		per := float64(measure(profile, n)-few)/(n-n/4) - float64(unsafe.Sizeof(vnet.Node{}))
		t.Logf("%s: %.0f bytes a device, %d of them its place in the fleet", profile, per, unsafe.Sizeof(member{})+unsafe.Sizeof(place{}))
		if per > 1024 {
			t.Errorf("%s: %.0f bytes a device, want at most 1024", profile, per)
		}
	}
}

// BenchmarkConnect is a device that comes online with a handshake, scripted cloud
// included, all cores.
func BenchmarkConnect(b *testing.B) {
	for _, name := range []string{"boron@6.2.0", "photon@3.1.0"} {
		b.Run(name, func(b *testing.B) {
			f, _ := startReal(b, b.N, Options{}, name)
			b.ResetTimer()
			f.Start(Ramp{})
			if err := f.WaitOnline(patient(b)); err != nil {
				b.Fatal(err, f.Metrics())
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/(b.Elapsed()-time.Second).Seconds(), "handshakes/s") // less the boot
		})
	}
}

// BenchmarkMessage is an event that devices publish Confirmable, and its
// acknowledgement, over loopback, scripted cloud included.
func BenchmarkMessage(b *testing.B) {
	for _, name := range []string{"boron@6.2.0", "photon@3.1.0"} {
		b.Run(name, func(b *testing.B) { benchmarkMessage(b, name) })
	}
}

func benchmarkMessage(b *testing.B, name string) {
	const n = 100
	var acked atomic.Int64
	more := make(chan int, n)
	f, _ := startReal(b, n, Options{Observe: func(i int, _ clock.Instant, e device.Event) {
		if e.Kind == device.Published {
			acked.Add(1)
			more <- i
		}
	}}, name)
	online(b, f)
	data := []byte("21.5")
	publish := func(now clock.Instant, d *device.Device, out *device.Out) {
		if err := d.Publish(now, device.Publication{Name: "t", Data: data, WithAck: true}, out); err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range min(n, b.N) {
		f.Do(i, publish)
	}
	for sent := min(n, b.N); sent < b.N; sent++ {
		f.Do(<-more, publish)
	}
	for range min(n, b.N) {
		<-more
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkIdleHour is an hour of virtual time of a fleet that pings every 23
// minutes.
func BenchmarkIdleHour(b *testing.B) {
	const n = 1000
	f, _, net := startVirtual(b, 1, n, Options{}, nil, "boron@6.2.0")
	f.Start(Ramp{})
	if !f.RunOnline(net.Now().Add(time.Minute)) {
		b.Fatal("not online")
	}
	for b.Loop() {
		net.Run(net.Now().Add(time.Hour))
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Minutes(), "device-hours/min")
}
