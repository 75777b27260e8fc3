package fakerig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/rigtest"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/profile"
)

// A simulated device inside a board. The board calls it one at a time.
type simulated struct {
	bench   *Bench
	board   *fake.Board
	id      device.ID
	profile *profile.Profile
	nv      device.NVRAM // of one machine at a time, on the fleet's only shard

	firmware atomic.Pointer[rigtest.Firmware] // of the board, nil while it is plugged in

	happen chan func() // to the board, in order

	mu      sync.Mutex
	index   int // in the fleet, -1: none yet
	blob    string
	private string
}

// PowerOn implements fake.Device.
func (s *simulated) PowerOn(m fake.Memory) {
	t := keyblob.TCP
	if s.profile.Board.UDP {
		t = keyblob.UDP
	}
	keys, err := dfu.KeysOf(s.profile.Board.Platform, t)
	if err != nil {
		panic(err) // there is no such fake
	}
	blob := m.Read(keys.Server.Alt, keys.Server.Address, keys.Server.Size)
	private := m.Read(keys.Device.Alt, keys.Device.Address, keys.Device.Size)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index < 0 || string(blob) != s.blob || string(private) != s.private {
		s.index = -1
		spec, err := s.spec(t, blob, private)
		if err != nil {
			s.say("no cloud: " + err.Error())
			return
		}
		if s.index, err = s.bench.add(spec, s); err != nil {
			s.index = -1
			s.say("no place in the fleet: " + err.Error())
			return
		}
		s.blob, s.private = string(blob), string(private)
	}
	s.bench.fleet.PowerOn(s.index)
}

// Reset implements fake.Device.
func (s *simulated) Reset() { s.do(s.bench.fleet.Suspend) }

// PowerOff implements fake.Device. No battery keeps the memory that the session is in,
// which survives a reset only.
func (s *simulated) PowerOff() {
	s.do(func(index int) {
		s.bench.fleet.PowerOff(index)
		s.bench.fleet.Do(index, func(clock.Instant, *device.Device, *device.Out) { s.nv.Session = nil })
	})
}

func (s *simulated) do(f func(int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index >= 0 {
		f(s.index)
	}
}

func (s *simulated) say(text string) { s.happen <- func() { s.board.Say(text) } }

// spec reads what the flash memory says.
func (s *simulated) spec(t keyblob.Transport, memory, private []byte) (fleet.Spec, error) {
	blob, err := keyblob.Parse(memory)
	if err != nil {
		return fleet.Spec{}, err
	}
	port := uint16(5684)
	if t == keyblob.TCP {
		port = 5683
	}
	if blob.Address.Port != 0 {
		port = blob.Address.Port
	}
	at := netip.AddrPortFrom(netip.AddrFrom4(blob.Address.IPv4), port)
	if !at.Addr().IsLoopback() {
		return fleet.Spec{}, fmt.Errorf("%q is out of a fake board's reach", blob.Address.Domain)
	}
	key, err := deviceKey(t, private)
	if err != nil {
		return fleet.Spec{}, err
	}
	public, err := cloudKey(t, blob.Key)
	if err != nil {
		return fleet.Spec{}, err
	}
	config := &device.Config{
		Profile: s.profile, Key: func(device.ID) crypto.PrivateKey { return key }, CloudKey: public,
		Server: at.String(), App: s.application(), Rand: rand.Reader,
	}
	cloud := at
	if t == keyblob.UDP {
		if cloud, err = s.bench.way(at); err != nil {
			return fleet.Spec{}, err
		}
	}
	return fleet.Spec{Config: config, ID: s.id, NVRAM: &s.nv, Cloud: cloud}, nil
}

func deviceKey(t keyblob.Transport, b []byte) (crypto.PrivateKey, error) {
	if len(b) < 4 || b[0] != 0x30 {
		return nil, fmt.Errorf("no device key")
	}
	if t == keyblob.TCP {
		key, err := lightssl.ParseDeviceKey(b)
		return key, err
	}
	return x509.ParseECPrivateKey(b[:2+int(b[1])])
}

func cloudKey(t keyblob.Transport, der []byte) (crypto.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("the server key: %w", err)
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if t == keyblob.UDP {
			return key, nil
		}
	case *rsa.PublicKey:
		if t == keyblob.TCP {
			return key, nil
		}
	}
	return nil, fmt.Errorf("the server key is of the other transport")
}

// longestSleep is how many seconds boards sleep at most, whatever they are told.
const longestSleep = 4

// application is that of all simulated devices, and sleep.
func (s *simulated) application() *device.App {
	app := *target.Application()
	app.Functions = append(app.Functions[:len(app.Functions):len(app.Functions)], device.Function{
		Name: target.FunctionSleep, Call: func(_ device.ID, arg []byte) int32 {
			seconds, err := strconv.Atoi(string(arg))
			if err != nil || seconds < 1 {
				return -1
			}
			return int32(min(seconds, longestSleep))
		},
	})
	return &app
}

// heard takes what happened in the device to the board, as firmware does to its
// console and its bus. It runs on the fleet's goroutine and must not wait.
func (s *simulated) heard(e *device.Event) {
	switch e.Kind {
	case device.Online:
		s.say("cloud connected")
	case device.Offline:
		s.say("cloud connection lost")
	case device.FunctionCalled:
		s.say("function " + e.Name + " called")
		if e.Name == target.FunctionSleep && e.Value > 0 {
			s.sleep(time.Duration(e.Value) * time.Second)
		}
	case device.EventReceived:
		s.say("event " + e.Name)
	case device.UpdateApplied:
		s.say("update applied")
		if f := s.firmware.Load(); f != nil {
			f.SetModules(s.nv.Modules)
		}
	case device.Restarting:
		why := fake.Restarted
		switch e.Reset {
		case pdc.ResetDFU:
			why = fake.IntoDFU
		case pdc.ResetSafeMode:
			why = fake.IntoSafe
		default:
		}
		s.happen <- func() { s.board.Restarting(why) }
	default:
		// It does not show.
	}
}

// installed takes what the board got over USB or its console to the device.
func (s *simulated) installed(modules []pdc.ModuleInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index < 0 {
		s.nv.Modules = modules // nothing runs
		return
	}
	s.bench.fleet.Do(s.index, func(clock.Instant, *device.Device, *device.Out) { s.nv.Modules = modules })
}

// sleep sends the device, and the board with it, to sleep. It wakes by itself.
func (s *simulated) sleep(d time.Duration) {
	index := s.place()
	s.bench.fleet.Sleep(index, d)
	s.happen <- func() { s.board.Restarting(fake.Asleep) }
	time.AfterFunc(d, func() {
		select {
		case s.happen <- func() { s.board.Restarting(fake.Awake) }:
		case <-s.bench.ended:
		}
	})
}

func (s *simulated) place() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index
}

// command takes a line of the console: "publish NAME DATA", "connect",
// "disconnect".
func (s *simulated) command(line string) {
	index := s.place()
	if index < 0 {
		return
	}
	word, rest, _ := strings.Cut(line, " ")
	name, data, _ := strings.Cut(rest, " ")
	switch word {
	case "publish":
		s.bench.fleet.Do(index, func(now clock.Instant, d *device.Device, out *device.Out) {
			_ = d.Publish(now, device.Publication{Name: name, Data: []byte(data)}, out) // the wire tells
		})
	case "connect":
		s.bench.fleet.Connect(index)
	case "disconnect":
		s.bench.fleet.Disconnect(index)
	}
}

// tell gives the board what happened, one after the other.
func (s *simulated) tell() {
	for {
		select {
		case f := <-s.happen:
			f()
		case <-s.bench.ended:
			return
		}
	}
}
