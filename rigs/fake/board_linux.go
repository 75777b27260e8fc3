package fake

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Mode is what a board does.
type Mode uint8

// The modes.
const (
	Off       Mode = iota // without power, asleep, or on its way up
	Normal                // the application runs
	Safe                  // Device OS runs without the application
	Listening             // waits for keys on the console
	DFU                   // the bootloader runs
)

var modeNames = [...]string{"off", "normal", "safe", "listening", "DFU"}

// String returns the name of m.
func (m Mode) String() string { return modeNames[min(int(m), len(modeNames)-1)] }

// A Cure is what wakes a hung board.
type Cure uint8

// The cures, weakest first. A stronger one cures too.
const (
	AnyReset  Cure = iota // a control request finds it hung, the pin does not
	OnlyPower             // nothing but the loss of power
	Nothing               // it is broken
)

// A Board is one board on a Bench. Its methods are safe for concurrent use,
// stand for what a person or the world does, and take effect before they return;
// restarts take the Spec's time.
type Board struct {
	bench   *Bench
	spec    Spec
	version version
	memory  Memory
	device  Device

	control sync.Mutex // held during a control transfer

	mu       sync.Mutex
	watchers []chan struct{}
	mode     Mode
	next     Mode // of the restart under way
	restarts int  // tells timers that they are late
	boots    int
	booted   time.Time
	hung     bool
	cure     Cure
	asleep   bool
	present  bool // on the bus
	cable    bool
	disabled bool // the hub port
	supply   bool // what feeds the hub
	pin      bool // the reset pin is held
	wifi     map[string]string
	claim    string
	claimed  bool
	consoles []*console
	numbers  []int // of ttyACM
	last     int   // ttyACM number of the first console before
	listen   dialogue
	failed   error // of the bench's files
}

func newBoard(bench *Bench, s Spec) *Board {
	v, err := parseVersion(s.DeviceOS)
	if err != nil {
		panic(err) // complete has looked
	}
	return &Board{bench: bench, spec: s, version: v, memory: newMemory(), supply: true, last: -1, wifi: make(map[string]string)}
}

// do changes something about a board and lets it follow.
func (b *Board) do(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	b.settle()
	b.changed()
}

// powered reports whether the board has power.
func (b *Board) powered() bool {
	vbus := b.cable && b.supply && !(b.disabled && b.spec.Port == Switched)
	return vbus || b.spec.Battery
}

// onBus reports whether the host can see the board.
func (b *Board) onBus() bool {
	return b.mode != Off && b.cable && b.supply && !(b.disabled && b.spec.Port != Deaf)
}

// settle makes the board follow its power and its cable.
func (b *Board) settle() {
	switch on := b.powered(); {
	case !on && (b.mode != Off || b.next != Off || b.asleep):
		b.down()
		b.next, b.asleep = Off, false
		b.hung = b.hung && b.cure == Nothing
		if b.device != nil {
			b.device.PowerOff()
		}
	case on && b.mode == Off && b.next == Off && !b.asleep && !b.pin:
		b.bootInto(Normal)
	}
	switch want := b.onBus(); {
	case want && !b.present:
		b.enumerate()
	case !want && b.present:
		b.vanish()
	}
}

// down stops what runs; timers of the time before are late.
func (b *Board) down() {
	b.restarts++
	b.mode = Off
	if b.present {
		b.vanish()
	}
}

// bootInto is up in a mode after the time that a restart takes.
func (b *Board) bootInto(m Mode) {
	b.restarts++
	b.next = m
	this := b.restarts
	time.AfterFunc(b.spec.Restart, func() {
		b.do(func() {
			if this == b.restarts {
				b.up()
			}
		})
	})
}

// up is the end of a restart.
func (b *Board) up() {
	b.mode, b.next = b.next, Off
	b.booted = time.Now()
	b.listen = dialogue{board: b}
	if b.mode == DFU {
		return
	}
	b.boots++
	if b.hung {
		return // broken
	}
	if b.device != nil && b.mode != Listening {
		b.device.PowerOn(b.memory)
	}
	if !b.spec.WaitForHost {
		b.greet()
	}
	b.beat(b.restarts)
}

// greet prints what the application prints when it starts.
func (b *Board) greet() {
	if b.mode == Normal {
		for _, l := range b.spec.BootLines {
			b.print(l)
		}
	}
}

// beat logs a line now and then.
func (b *Board) beat(this int) {
	if b.spec.Heartbeat == 0 {
		return
	}
	time.AfterFunc(b.spec.Heartbeat, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if this == b.restarts {
			b.print("alive")
			b.beat(this)
		}
	})
}

// print logs a line of the application, as Device OS does: behind the
// milliseconds since it booted. Nothing is printed in listening mode.
func (b *Board) print(text string) {
	if b.hung || b.mode != Normal && b.mode != Safe || len(b.consoles) == 0 {
		return
	}
	b.consoles[0].line.send(fmt.Appendf(nil, "%010d [app] INFO: %s\r\n", time.Since(b.booted).Milliseconds(), text))
}

// restart goes down and up again.
func (b *Board) restart(into Mode) {
	if b.device != nil {
		b.device.Reset()
	}
	b.down()
	b.bootInto(into)
}

// enumerate appears on the bus.
func (b *Board) enumerate() {
	b.present = true
	var terminals []string
	if b.mode != DFU {
		for i := range b.spec.Consoles {
			c := &console{board: b, first: i == 0}
			l, err := openLine(b.bench.watcher, c, b.spec.Stuck)
			if err != nil {
				b.fail(err)
				return
			}
			c.line = l
			b.consoles = append(b.consoles, c)
			terminals = append(terminals, l.path)
		}
	}
	numbers, err := b.bench.enter(&b.spec, b.mode, b.last, terminals)
	b.fail(err)
	b.numbers = numbers
}

// vanish disappears from the bus.
func (b *Board) vanish() {
	b.present = false
	b.fail(b.bench.leave(&b.spec, b.numbers))
	b.last = -1
	if len(b.numbers) > 0 {
		b.last = b.numbers[0]
	}
	for _, c := range b.consoles {
		c.line.hangUp()
	}
	b.consoles, b.numbers = nil, nil
	b.listen = dialogue{board: b}
}

func (b *Board) fail(err error) {
	if err != nil && b.failed == nil {
		b.failed = err
	}
}

// Err returns what went wrong with the bench itself, as a lack of
// pseudo-terminals.
func (b *Board) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// SupplyFile is a file that switches what feeds the hub of the board, as a
// networked power strip does: 0 cuts it, 1 brings it back.
func (b *Board) SupplyFile() string { return filepath.Join(b.bench.dir, "supply", b.spec.Path) }

// Serial is the serial number, which is the device id.
func (b *Board) Serial() string { return b.spec.Serial }

// Spec returns what was added, with the defaults.
func (b *Board) Spec() Spec { return b.spec }

// Memory is the board's flash.
func (b *Board) Memory() Memory { return b.memory }

// Mode returns what the board does at present.
func (b *Board) Mode() Mode {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mode
}

// Boots returns how often it has started, DFU mode not counted.
func (b *Board) Boots() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.boots
}

// Present reports whether the host can see the board.
func (b *Board) Present() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.present
}

// Port returns the path of console n under Dev, empty if it is not there now.
func (b *Board) Port(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n >= len(b.numbers) {
		return ""
	}
	return filepath.Join(b.bench.Dev(), fmt.Sprintf("ttyACM%d", b.numbers[n]))
}

// Changed returns a channel that is closed at the next change of mode, power or
// cable. Take it before looking.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := make(chan struct{})
	b.watchers = append(b.watchers, c)
	return c
}

func (b *Board) changed() {
	for _, c := range b.watchers {
		close(c)
	}
	b.watchers = nil
}

// Unplug pulls the cable; Plug puts it back, at the same port.
func (b *Board) Unplug() { b.do(func() { b.cable = false }) }

// Plug undoes Unplug.
func (b *Board) Plug() { b.do(func() { b.cable = true }) }

// Hang makes the board answer nothing any more, but it stays on the bus.
func (b *Board) Hang(c Cure) {
	b.do(func() {
		b.hung, b.cure = true, c
		b.restarts++
		if b.device != nil {
			b.device.Reset() // nothing runs that could say goodbye
		}
	})
}

// Hung reports whether it hangs.
func (b *Board) Hung() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hung
}

// Reset restarts the board in an orderly way, as control request 40 does. It
// does nothing when the board hangs or is off.
func (b *Board) Reset() { b.Enter(Normal) }

// Enter restarts the board into a mode; Listening is entered without a restart.
// It does nothing when the board hangs or is off.
func (b *Board) Enter(m Mode) {
	b.do(func() {
		if b.hung || b.mode == Off {
			return
		}
		if m == Listening && b.mode != DFU {
			b.enterListening()
			return
		}
		b.restart(m)
	})
}

// StopListening leaves listening mode.
func (b *Board) StopListening() {
	b.do(func() {
		if b.mode == Listening && !b.hung {
			b.leaveListening()
		}
	})
}

func (b *Board) enterListening() {
	if b.mode == Listening {
		return
	}
	b.mode = Listening
	b.listen = dialogue{board: b}
	if b.device != nil {
		b.device.Reset() // Device OS leaves the cloud while it listens
	}
}

func (b *Board) leaveListening() {
	b.mode = Normal
	if b.device != nil {
		b.device.PowerOn(b.memory)
	}
}

// Pin holds the reset pin, or lets go of it.
func (b *Board) Pin(held bool) {
	b.do(func() {
		if held == b.pin {
			return
		}
		b.pin = held
		if held && b.powered() {
			if b.device != nil {
				b.device.Reset()
			}
			b.down()
			b.next = Off
			b.hung = b.hung && b.cure > AnyReset
		}
	})
}

// Say makes the application log a line.
func (b *Board) Say(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.print(text)
}

// Print makes the application print bytes as they are.
func (b *Board) Print(raw string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.hung && b.mode != Listening && len(b.consoles) > 0 {
		b.consoles[0].line.send([]byte(raw))
	}
}

// Restarting is for the device inside: it restarts by itself, or stops.
func (b *Board) Restarting(why Restart) {
	b.do(func() {
		switch {
		case !b.powered() || b.hung:
		case why == Awake:
			b.asleep = false
			if b.mode == Off && b.next == Off {
				b.wake(Normal)
			}
		case b.mode == Off:
		case why == Asleep:
			b.down()
			b.asleep = true
		case why == IntoDFU:
			b.down()
			b.bootInto(DFU)
		case why == IntoSafe:
			b.down()
			b.wake(Safe)
		default:
			b.down()
			b.wake(Normal)
		}
	})
}

// wake is up in a mode after the time that a restart takes; the device inside
// runs already.
func (b *Board) wake(m Mode) {
	b.restarts++
	b.next = m
	this := b.restarts
	time.AfterFunc(b.spec.Restart, func() {
		b.do(func() {
			if this != b.restarts {
				return
			}
			device := b.device
			b.device = nil
			b.up()
			b.device = device
		})
	})
}

// touched hears of a speed.
func (b *Board) touched(baud int) {
	switch {
	case b.hung || b.mode == Off || b.mode == DFU:
	case baud == b.spec.DFUSpeed:
		b.restart(DFU)
	case baud == b.spec.ListenSpeed && !b.version.atLeast(6, 0, 0) && !b.spec.Protected:
		if b.mode == Listening {
			b.listen.receive()
			return
		}
		b.enterListening()
	}
}

// String names the board.
func (b *Board) String() string {
	return fmt.Sprintf("%s at %s", strings.ToLower(b.spec.Serial), b.spec.Path)
}
