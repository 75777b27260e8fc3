package bench

import (
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/transport"
)

// millionNumbers are what a run saw. Bytes are bytes, times are seconds and
// latencies milliseconds.
type millionNumbers struct {
	Devices   int
	Profile   string
	KeepAlive string
	Failed    string `json:",omitempty"`

	Floor          []float64 // public-key operations of a handshake, µs of CPU, before and after
	Import         float64
	DiskRegistered uint64
	DiskConnected  uint64
	Starts         []millionStart // empty, with devices registered, with sessions
	Start          float64        // with sessions
	CloudEmpty     uint64
	FleetEmpty     uint64

	StartLive float64 // under live devices

	Connect, Idle, Resume, IdleAgain, GoOn millionSpan
	Publish                                []millionPublish
	CloudDrops, FleetDrops                 uint64
	Phases                                 []millionPhase
}

type millionPhase struct {
	What    string
	Seconds float64
}

type millionStart struct {
	Seconds  float64
	Resident uint64
}

// A millionPublish is what events at one rate took from their moment on the
// schedule to their ACK.
type millionPublish struct {
	Rate, Reached       float64
	Events, Failed      int
	P50, P99, P999, Max float64
	Cost                millionSpan
}

// A millionReading is the state of everything at one moment.
type millionReading struct {
	at                  time.Time
	fleetCPU, cloudCPU  time.Duration
	machine, machineAll time.Duration
	fleet               fleet.Metrics
	cloud               map[string]float64
}

// A millionSpan is what passed between two readings, and where things stood at its
// end.
type millionSpan struct {
	Seconds                         float64
	FleetCPU, CloudCPU              float64 // seconds
	Others                          float64 // seconds of CPU that everybody else used
	Load                            float64
	FleetResident, CloudResident    uint64
	FleetHeap, CloudHeap            uint64 // in use, garbage included
	Available                       uint64
	Attempts, Handshakes, Resumes   uint64
	Lost                            uint64 // attempts and connections
	CloudHandshakes                 float64
	CloudResumes, CloudHellos       float64
	ConnectP50, ConnectP99, Longest float64 // ms, all attempts so far
	DatagramsUp, DatagramsDown      uint64
	BytesUp, BytesDown              uint64 // with IPv4 and UDP
}

func (m *million) reading() millionReading {
	r := millionReading{
		at: time.Now(), fleetCPU: cpuTime(), cloudCPU: processTime(m.cloud.pid()),
		fleet: m.fleet.real.Metrics(), cloud: m.cloud.metrics(),
	}
	r.machine, r.machineAll = machineTime()
	return r
}

func (m *million) since(b millionReading) millionSpan {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	a := m.reading()
	up, down := func(c transport.Counts) uint64 { return c[transport.DatagramsOut] }, func(c transport.Counts) uint64 { return c[transport.DatagramsIn] }
	s := millionSpan{
		Seconds: seconds(a.at.Sub(b.at)), FleetCPU: seconds(a.fleetCPU - b.fleetCPU), CloudCPU: seconds(a.cloudCPU - b.cloudCPU),
		Load: loadAverage(), FleetResident: resident(0), CloudResident: resident(m.cloud.pid()),
		FleetHeap: memory.HeapInuse, CloudHeap: uint64(a.cloud["go_memstats_heap_inuse_bytes"]), Available: memoryAvailable(),
		Attempts: a.fleet.Attempts - b.fleet.Attempts, Handshakes: a.fleet.Handshakes - b.fleet.Handshakes,
		Resumes: a.fleet.Resumes - b.fleet.Resumes, Lost: a.fleet.Offline - b.fleet.Offline,
		CloudHandshakes: a.cloud["muster_cloud_handshakes_total"] - b.cloud["muster_cloud_handshakes_total"],
		CloudResumes:    a.cloud["muster_cloud_resumes_total"] - b.cloud["muster_cloud_resumes_total"],
		CloudHellos:     a.cloud["muster_cloud_hellos_total"] - b.cloud["muster_cloud_hellos_total"],
		ConnectP50:      millis(a.fleet.ConnectTime.P50), ConnectP99: millis(a.fleet.ConnectTime.P99), Longest: millis(a.fleet.ConnectTime.Max),
		DatagramsUp: up(a.fleet.Wire) - up(b.fleet.Wire), DatagramsDown: down(a.fleet.Wire) - down(b.fleet.Wire),
	}
	s.Others = seconds(a.machine-b.machine) - s.FleetCPU - s.CloudCPU
	s.BytesUp = a.fleet.Wire[transport.DatagramBytesOut] - b.fleet.Wire[transport.DatagramBytesOut] + ipv4UDP*s.DatagramsUp
	s.BytesDown = a.fleet.Wire[transport.DatagramBytesIn] - b.fleet.Wire[transport.DatagramBytesIn] + ipv4UDP*s.DatagramsDown
	return s
}

func seconds(d time.Duration) float64 { return d.Seconds() }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func ms(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	case v < 1000:
		return fmt.Sprintf("%.0f ms", v)
	default:
		return fmt.Sprintf("%.1f s", v/1000)
	}
}

func bytesText(n uint64) string {
	switch {
	case n >= gib:
		return fmt.Sprintf("%.2f GiB", float64(n)/gib)
	case n >= mib:
		return fmt.Sprintf("%.0f MiB", float64(n)/mib)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// write prints the numbers for people.
func (g *millionNumbers) write(out *os.File) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	n := float64(g.Devices)
	row := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	fmt.Fprintf(w, "\n%d devices %s, ping every %s; %s, %d cores\n", g.Devices, g.Profile, g.KeepAlive, runtime.Version(), runtime.NumCPU())
	if g.Failed != "" {
		row("FAILED", "%s", g.Failed)
	}
	floor := 0.0
	for _, f := range g.Floor {
		floor += f / float64(len(g.Floor))
	}
	row("floor: public-key operations of a handshake, both ends", "%.0f µs of CPU (%.0f)", floor, g.Floor)
	row("import of the public keys", "%.1f s, %.0f a second; %s on the disk, %.0f B each", g.Import, n/g.Import, bytesText(g.DiskRegistered), float64(g.DiskRegistered)/n)
	g.writeSpan(row, "connect", g.Connect, floor)
	if c := g.Connect; c.Seconds > 0 {
		row("  time of one connect", "p50 %s, p99 %s, longest %s", ms(c.ConnectP50), ms(c.ConnectP99), ms(c.Longest))
	}
	g.writeMemory(row, "idle", g.Idle)
	g.writeSpan(row, "idle", g.Idle, 0)
	for _, p := range g.Publish {
		row(fmt.Sprintf("publish to ACK at %.0f/s", p.Rate), "p50 %s, p99 %s, p99.9 %s, max %s; %d events, %d failed, %.0f/s reached, and %.0f pings/s; CPU of an event %.0f µs cloud, %.0f µs fleet, pings included",
			ms(p.P50), ms(p.P99), ms(p.P999), ms(p.Max), p.Events, p.Failed, p.Reached, (float64(p.Cost.DatagramsUp)-float64(p.Events))/p.Cost.Seconds, p.Cost.CloudCPU/float64(p.Events)*1e6, p.Cost.FleetCPU/float64(p.Events)*1e6)
	}
	row("disk of the cloud", "%s, %.0f B a device", bytesText(g.DiskConnected), float64(g.DiskConnected)/n)
	for i, s := range g.Starts {
		what := []string{"empty", "with the devices registered", "with a session of each, after kill -9", "the same under live devices"}[min(i, 3)]
		row("start of the cloud, "+what, "%.1f s, %s resident", s.Seconds, bytesText(s.Resident))
	}
	g.writeSpan(row, "resume of all", g.Resume, 0)
	if r := g.Resume; r.Seconds > 0 {
		row("  handshakes after the restart", "%d seen by the fleet, %.0f by the cloud", r.Handshakes, r.CloudHandshakes)
	}
	g.writeMemory(row, "idle again", g.IdleAgain)
	g.writeSpan(row, "idle again", g.IdleAgain, 0)
	g.writeSpan(row, "killed under live devices, until all were heard", g.GoOn, 0)
	if r := g.GoOn; r.Seconds > 0 {
		row("  handshakes after the restart", "%d seen by the fleet, %.0f by the cloud; %d connections lost and resumed", r.Handshakes, r.CloudHandshakes, r.Resumes)
	}
	row("datagrams that the kernel dropped", "%d to the cloud, %d to the fleet", g.CloudDrops, g.FleetDrops)
	for _, p := range g.Phases {
		row("  took: "+p.What, "%.1f s", p.Seconds)
	}
}

func (g *millionNumbers) writeSpan(row func(string, string, ...any), what string, s millionSpan, floor float64) {
	if s.Seconds == 0 {
		return
	}
	n := float64(g.Devices)
	if s.Attempts == 0 {
		row(what, "%.1f s; load %.1f, others used %.0f s of CPU", s.Seconds, s.Load, s.Others)
	} else {
		row(what, "%.1f s, %.0f devices a second; load %.1f, others used %.0f s of CPU", s.Seconds, n/s.Seconds, s.Load, s.Others)
	}
	row("  CPU of a device", "%.0f µs cloud, %.0f µs fleet", s.CloudCPU/n*1e6, s.FleetCPU/n*1e6)
	if floor > 0 {
		row("  handshakes a second of CPU, both ends", "%.0f; floor %.0f; %.2f × floor", n/(s.CloudCPU+s.FleetCPU), 1e6/floor, (s.CloudCPU+s.FleetCPU)/n*1e6/floor)
	}
	row("  on the wire, headers included", "%.0f B a device up in %.2f datagrams, %.0f B down in %.2f", float64(s.BytesUp)/n, float64(s.DatagramsUp)/n, float64(s.BytesDown)/n, float64(s.DatagramsDown)/n)
	if floor == 0 && s.Attempts == 0 {
		return // nobody connected
	}
	row("  attempts, handshakes, resumes, lost", "%d, %d, %d, %d", s.Attempts, s.Handshakes, s.Resumes, s.Lost)
}

func (g *millionNumbers) writeMemory(row func(string, string, ...any), what string, s millionSpan) {
	if s.CloudResident == 0 {
		return
	}
	n := float64(g.Devices)
	for _, side := range []struct {
		name            string
		resident, empty uint64
		heap            uint64
	}{{"cloud", s.CloudResident, g.CloudEmpty, s.CloudHeap}, {"fleet", s.FleetResident, g.FleetEmpty, s.FleetHeap}} {
		row(what+": memory of the "+side.name, "%s resident, %.0f B a device, %.0f B above an idle start; heap %s", bytesText(side.resident),
			float64(side.resident)/n, (float64(side.resident)-float64(side.empty))/n, bytesText(side.heap))
	}
	row(what+": memory available on the machine", "%s", bytesText(s.Available))
}
