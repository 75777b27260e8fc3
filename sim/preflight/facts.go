package preflight

import (
	"crypto/rand"
	"fmt"
	"net"
	"runtime"
	"slices"
	"time"
)

// Facts are what is known of a machine. A number that could not be found out is 0.
type Facts struct {
	OS        string `json:"os"`
	Cores     int    `json:"cores"`     // of the machine
	UsedCores int    `json:"use_cores"` // that this process may use
	// Memory and Available are in bytes: what the machine or container has, and what
	// of it is free for programs.
	Memory    uint64  `json:"memory"`
	Available uint64  `json:"available"`
	Load      float64 `json:"load"` // programs that want a core, averaged over a minute

	FilesMax  uint64 `json:"files_max"`  // open files that this process may have
	FilesMost uint64 `json:"files_most"` // to which an administrator can raise that (fs.nr_open)
	// ReceiveBuffer is what a socket gets that asks for ReceiveBufferWanted, in bytes.
	ReceiveBuffer int `json:"receive_buffer"`
	PortLow       int `json:"port_low"` // of outgoing connections
	PortHigh      int `json:"port_high"`
	// Tracked connections of the firewall, and how many there may be; 0: it tracks none.
	Tracked    uint64 `json:"tracked"`
	TrackedMax uint64 `json:"tracked_max"`
	// Loopback is why addresses above 127.1.0.0 cannot be used; "": they can.
	Loopback string `json:"loopback,omitempty"`

	ClockSource string        `json:"clock_source,omitempty"`
	TimerLate   time.Duration `json:"timer_late"` // worst of a few timers
	Random      time.Duration `json:"random"`     // how long 32 random bytes took
}

// ReceiveBufferWanted is what sockets of fleets ask for, in bytes.
const ReceiveBufferWanted = 4 << 20

// Look looks at this machine. It takes some 100 ms.
func Look() Facts {
	f := Facts{OS: runtime.GOOS, Cores: runtime.NumCPU(), UsedCores: runtime.GOMAXPROCS(0), Loopback: tryLoopback()}
	f.TimerLate, f.Random = tryTimers(), tryRandom()
	f.system()
	return f
}

// loopbacks are addresses of the beginning, the middle and the end of a large fleet.
var loopbacks = []string{"127.1.0.0", "127.8.1.7", "127.16.255.254"}

// tryLoopback sends a datagram from and to addresses that devices would have.
func tryLoopback() string {
	for _, addr := range loopbacks {
		if err := echo(addr); err != nil {
			return fmt.Sprintf("%s: %v", addr, err)
		}
	}
	return ""
}

func echo(addr string) error {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer to.Close()
	from, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(addr)}, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := from.Write([]byte("x")); err != nil {
		return err
	}
	if err := to.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	b := make([]byte, 8)
	_, peer, err := to.ReadFromUDP(b)
	if err == nil && peer.IP.String() != addr {
		err = fmt.Errorf("arrives from %s", peer.IP)
	}
	return err
}

// tryTimers returns how late the latest but one of some timers came.
func tryTimers() time.Duration {
	const tries, length = 12, 5 * time.Millisecond
	var late []time.Duration
	for range tries {
		began := time.Now()
		<-time.After(length)
		late = append(late, time.Since(began)-length)
	}
	slices.Sort(late)
	return late[tries-2]
}

func tryRandom() time.Duration {
	began := time.Now()
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return time.Hour
	}
	return time.Since(began)
}
