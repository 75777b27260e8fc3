package preflight

import (
	"fmt"
	"math"
	"time"

	"github.com/muster/muster/sim/show"
)

// A Plan is what is to run.
type Plan struct {
	Devices int `json:"devices"`
	TCP     int `json:"tcp"` // of them over TCP
	// Loopback says that the cloud is on 127.0.0.0/8: it shares this machine, and
	// devices need no sockets of their own over UDP.
	Loopback bool `json:"loopback"`
	Sources  int  `json:"sources"` // local addresses towards a cloud elsewhere; 0: one
}

// A Level is how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it may become the bottleneck
	Fail Level = "fail" // it will not work
)

// A Finding is what one check found.
type Finding struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	What  string `json:"what"`            // what is there
	Means string `json:"means,omitempty"` // what it means for the plan
	Do    string `json:"do,omitempty"`    // what to do: a command, if there is one
}

// What a device takes, in bytes. The first is measured by make fleet-million; the second
// is what the reference cloud has for a device, with the record of its session; the third
// is a socket in the kernel and here.
const (
	bytesDevice = 2 << 10
	bytesCloud  = 5 << 10
	bytesSocket = 4 << 10
	bytesBase   = 96 << 20 // of a program without devices
)

// spareFiles is how many open files a run needs beside the devices'.
const spareFiles = 128

// Check holds the facts against a plan, in the order in which people can do something.
func Check(f *Facts, p Plan) []Finding {
	checks := []func(*Facts, Plan) Finding{files, ports, buffers, tracking, loopback, memory, processors, load, clock, random}
	var list []Finding
	for _, check := range checks {
		if found := check(f, p); found.Name != "" {
			list = append(list, found)
		}
	}
	return list
}

// sockets is how many descriptors the devices need.
func (p Plan) sockets() int {
	if p.Loopback {
		return p.TCP
	}
	return p.Devices
}

func files(f *Facts, p Plan) Finding {
	if f.FilesMax == 0 {
		return Finding{}
	}
	need := uint64(p.sockets() + spareFiles)
	r := Finding{Name: "open files", Level: OK, What: fmt.Sprintf("this process may have %s open files", files64(f.FilesMax)), Means: "needs " + show.Number(need)}
	if f.FilesMax >= need {
		return r
	}
	r.Level = Fail
	r.Means = fmt.Sprintf("needs %s, a socket for each device: only %s can connect", show.Number(need), show.Count(int64(f.FilesMax)-spareFiles, "device"))
	raised := uint64(math.Pow(2, math.Ceil(math.Log2(float64(need)))))
	r.Do = fmt.Sprintf("sudo prlimit --pid $$ --nofile=%d", raised)
	if f.FilesMost > 0 && raised > f.FilesMost {
		r.Do = fmt.Sprintf("sudo sysctl -w fs.nr_open=%d && ", raised) + r.Do
	}
	return r
}

func files64(n uint64) string {
	if n > 1<<40 {
		return "any number of"
	}
	return show.Number(n)
}

func ports(f *Facts, p Plan) Finding {
	if f.PortHigh == 0 {
		return Finding{}
	}
	each, sources := f.PortHigh-f.PortLow+1, max(1, p.Sources)
	r := Finding{Name: "ports", Level: OK, What: fmt.Sprintf("ports %d to %d, %s for each source address", f.PortLow, f.PortHigh, show.Number(each))}
	if p.Loopback {
		r.Means = "enough: on loopback every device has an address of its own"
		return r
	}
	// UDP and TCP count apart.
	need := max(p.TCP, p.Devices-p.TCP)
	have := each * sources
	r.Means = fmt.Sprintf("needs %s of %s", show.Number(need), show.Number(have))
	if need <= have*9/10 {
		return r
	}
	if r.Level = Warn; need > have {
		r.Level = Fail
		r.Means += fmt.Sprintf(": only %s can connect", show.Count(have, "device"))
	}
	const low, high = 1024, 65535
	if r.Do = `sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"`; need > (high-low+1)*sources*9/10 {
		r.Do += fmt.Sprintf(", and %d addresses of this machine as --source ADDRESS", need/((high-low+1)*9/10)+1)
	}
	return r
}

func buffers(f *Facts, p Plan) Finding {
	if f.ReceiveBuffer == 0 {
		return Finding{}
	}
	r := Finding{Name: "receive buffers", Level: OK, What: fmt.Sprintf("a socket gets %s", show.Memory(uint64(f.ReceiveBuffer)))}
	if f.ReceiveBuffer >= ReceiveBufferWanted || !p.Loopback {
		if !p.Loopback {
			r.Means = "enough: each device has a socket of its own"
		}
		return r
	}
	r.Level, r.Means = Warn, fmt.Sprintf("wants %s: in a storm this machine will drop datagrams of the cloud", show.Memory(ReceiveBufferWanted))
	r.Do = fmt.Sprintf("sudo sysctl -w net.core.rmem_max=%d", ReceiveBufferWanted)
	return r
}

func tracking(f *Facts, p Plan) Finding {
	if f.TrackedMax == 0 {
		return Finding{}
	}
	r := Finding{
		Name: "connection tracking", Level: OK, What: fmt.Sprintf("the firewall may track %s connections, %s are tracked", show.Number(f.TrackedMax), show.Number(f.Tracked)),
		Means: "a device that is tracked needs one",
	}
	switch {
	case f.Tracked == 0:
		r.Means = "enough: it tracks none now"
	case f.TrackedMax-min(f.TrackedMax, f.Tracked) < uint64(p.Devices):
		r.Level, r.Means = Warn, fmt.Sprintf("%s need one each: beyond the limit their datagrams are dropped without a word", show.Count(p.Devices, "device"))
		r.Do = fmt.Sprintf("sudo sysctl -w net.netfilter.nf_conntrack_max=%d", f.Tracked+uint64(p.Devices)*5/4)
	}
	return r
}

func loopback(f *Facts, p Plan) Finding {
	if !p.Loopback {
		return Finding{}
	}
	r := Finding{Name: "loopback addresses", Level: OK, What: "addresses from 127.1.0.0 on can be used"}
	if f.Loopback != "" {
		r.Level, r.What, r.Means = Fail, "devices cannot have addresses of their own: "+f.Loopback, "every device towards a cloud on this machine needs one"
		r.Do = "use Linux, allow 127.0.0.0/8 on the interface lo in this container or firewall, or give the cloud's address on another interface"
	}
	return r
}

// need is the memory that a plan takes, in bytes.
func (p Plan) need() uint64 {
	n := uint64(bytesBase + p.Devices*bytesDevice + p.sockets()*bytesSocket)
	if p.Loopback {
		n += bytesBase + uint64(p.Devices)*bytesCloud
	}
	return n
}

func memory(f *Facts, p Plan) Finding {
	if f.Available == 0 {
		return Finding{}
	}
	need := p.need()
	r := Finding{Name: "memory", Level: OK, What: fmt.Sprintf("%s of %s free", show.Memory(f.Available), show.Memory(f.Memory)), Means: "needs about " + show.Memory(need)}
	if p.Loopback {
		r.Means += ", a cloud on this machine included"
	}
	if need <= f.Available/10*7 {
		return r
	}
	if r.Level = Warn; need > f.Available {
		r.Level = Fail
	}
	most := float64(f.Available) * 0.7 / float64(need) * float64(p.Devices)
	r.Do = fmt.Sprintf("use at most %s devices here, stop what else runs, or spread them with muster fleet worker", show.Short(math.Floor(most)))
	return r
}

func processors(f *Facts, p Plan) Finding {
	r := Finding{Name: "cores", Level: OK, What: fmt.Sprintf("this process may use %d of %d cores", f.UsedCores, f.Cores)}
	switch {
	case p.Loopback && f.UsedCores < 2:
		r.Level, r.Means = Warn, "the cloud on this machine and the fleet take turns on one core: times are those of the queue for it"
		r.Do = "use a machine with two cores or more, or put the cloud elsewhere"
	case f.UsedCores < f.Cores:
		r.Means = "a container or GOMAXPROCS holds it back"
	}
	return r
}

func load(f *Facts, _ Plan) Finding {
	if f.Load == 0 {
		return Finding{}
	}
	r := Finding{Name: "other programs", Level: OK, What: fmt.Sprintf("%.1f programs wanted a core, over the last minute", f.Load)}
	if f.Load > 0.7*float64(f.Cores) {
		r.Level, r.Means = Warn, fmt.Sprintf("with %d cores this machine is busy already: results may be inconclusive", f.Cores)
		r.Do = "stop them: ps aux --sort=-%cpu | head shows which"
	}
	return r
}

// timerMax is how late a timer may come on a machine that is at rest.
const timerMax = 5 * time.Millisecond

func clock(f *Facts, _ Plan) Finding {
	r := Finding{Name: "clock", Level: OK, What: fmt.Sprintf("timers come up to %s late", show.Duration(f.TimerLate))}
	if f.ClockSource != "" {
		r.What = "clock source " + f.ClockSource + ", " + r.What
	}
	switch f.ClockSource {
	case "hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit":
		r.Level, r.Means = Warn, "each look at this clock costs more than a packet"
		r.Do = "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource"
	default:
		if f.TimerLate > timerMax {
			r.Level, r.Means = Warn, "arrivals will begin late, and times will have that in them"
			r.Do = "stop what else runs; in a virtual machine, look for neighbours and throttling"
		}
	}
	return r
}

func random(f *Facts, _ Plan) Finding {
	r := Finding{Name: "random numbers", Level: OK, What: "32 bytes took " + show.Duration(f.Random)}
	if f.Random > 100*time.Millisecond {
		r.Level, r.Means = Warn, "handshakes wait for the system's random numbers"
		r.Do = "wait until the system has booted, or install rng-tools"
	}
	return r
}
