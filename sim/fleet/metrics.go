package fleet

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
)

// Metrics are the numbers of a fleet at one moment.
type Metrics struct {
	// Devices are all, Online those that call themselves connected, Connecting
	// those on their way, Queued those that wait for their turn to connect.
	Devices, Online, Connecting, Queued int

	// Attempts to connect; Handshakes are those that got a new session, Resumes
	// those that restored one, Connected those that came online.
	Attempts, Handshakes, Resumes, Connected uint64
	// Offline are connections and attempts that ended; Errors says why.
	Offline uint64
	Errors  map[device.Error]uint64

	// Messages that the devices' applications saw.
	Published, PublishFailed, EventsReceived, FunctionsCalled, VariablesRead uint64
	UpdatesApplied, UpdatesFailed                                            uint64
	// Dropped is what devices ignored; Stray are datagrams for a socket that is
	// closed or from somebody else than the cloud.
	Dropped, Stray uint64

	// ConnectTime is from the beginning of an attempt until the device was
	// online.
	ConnectTime Latency

	// Wire counts datagrams, bytes and failures of the sockets, of Real fleets.
	Wire transport.Counts
}

// A Latency is a distribution of durations, with two significant digits.
type Latency struct {
	Count                   int64
	Min, P50, P95, P99, Max time.Duration
}

// counters are the numbers of one core. Anybody may read them.
type counters struct {
	online, connecting, queued atomic.Int64
	stray                      atomic.Uint64
	resumed, handshakes        atomic.Uint64
	kinds                      [64]atomic.Uint64 // by device.EventKind
	errors                     [256]atomic.Uint64

	mu    sync.Mutex
	times *hdrhistogram.Histogram // in microseconds
}

// connectTimeMax bounds what a histogram tells apart.
const connectTimeMax = 10 * time.Minute

func newTimes() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, connectTimeMax.Microseconds(), 2)
}

func (c *counters) event(e *device.Event) {
	c.kinds[int(e.Kind)%len(c.kinds)].Add(1)
	switch {
	case e.Kind == device.Offline:
		c.errors[e.Err].Add(1)
	case e.Kind == device.Secured && e.Resumed:
		c.resumed.Add(1)
	case e.Kind == device.Secured:
		c.handshakes.Add(1)
	}
}

func (c *counters) connected(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = newTimes()
	}
	_ = c.times.RecordValue(min(d, connectTimeMax).Microseconds()) // in range
}

// addTo adds the numbers to m and to the histogram.
func (c *counters) addTo(m *Metrics, times *hdrhistogram.Histogram) {
	m.Online += int(c.online.Load())
	m.Connecting += int(c.connecting.Load())
	m.Queued += int(c.queued.Load())
	m.Stray += c.stray.Load()
	m.Resumes += c.resumed.Load()
	m.Handshakes += c.handshakes.Load()
	for kind, sum := range map[device.EventKind]*uint64{
		device.Connecting: &m.Attempts, device.Online: &m.Connected, device.Offline: &m.Offline,
		device.Published: &m.Published, device.PublishFailed: &m.PublishFailed, device.EventReceived: &m.EventsReceived,
		device.FunctionCalled: &m.FunctionsCalled, device.VariableRead: &m.VariablesRead,
		device.UpdateApplied: &m.UpdatesApplied, device.UpdateFailed: &m.UpdatesFailed, device.Dropped: &m.Dropped,
	} {
		*sum += c.kinds[kind].Load()
	}
	for i := range c.errors {
		if n := c.errors[i].Load(); n > 0 {
			if m.Errors == nil {
				m.Errors = make(map[device.Error]uint64)
			}
			m.Errors[device.Error(i)] += n
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times != nil {
		times.Merge(c.times)
	}
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond }
	return Latency{
		Count: h.TotalCount(), Min: time.Duration(h.Min()) * time.Microsecond,
		P50: at(50), P95: at(95), P99: at(99), Max: time.Duration(h.Max()) * time.Microsecond,
	}
}
