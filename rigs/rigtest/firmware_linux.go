package rigtest

import (
	"errors"
	"math"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu/fakedfu"
	"github.com/muster/muster/rigs/fake"
)

// Faults are what goes wrong with a board; the zero value is a good one.
type Faults struct {
	NoRequests bool // a Device OS without control requests
	NoModules  bool // one that does not tell its modules
	KeepsOld   bool // takes images and does not apply them
	Busy       bool // takes requests and does none: its application keeps its system busy
	// Chunk is called before each chunk of an image by control request, with what
	// arrived before; DFU before each block that dfu-util reads or writes. They
	// may unplug the board.
	Chunk func(arrived int)
	DFU   func(write bool, alt int, address uint32) error
}

// A Firmware is what a board runs: it answers control requests and takes images.
type Firmware struct {
	*fake.Board
	platform  pdc.Platform
	responder control.Responder

	mu       sync.Mutex
	faults   Faults
	modules  []pdc.ModuleInfo
	image    []byte
	size     uint64
	installs int
	onApply  func([]pdc.ModuleInfo)
	starts   []uint32 // where dfu-util began to write
	next     uint32
}

// Fail sets what goes wrong from now on.
func (f *Firmware) Fail(w Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = w
}

// Modules returns what the board runs.
func (f *Firmware) Modules() []pdc.ModuleInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.modules)
}

// SetModules says what the board runs from now on: what runs inside was updated
// by its cloud.
func (f *Firmware) SetModules(modules []pdc.ModuleInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.modules = slices.Clone(modules)
}

// OnApply calls f with what the board runs, each time that it has taken an image
// over USB or its console, and before it starts with it. The function must not
// call the Firmware.
func (f *Firmware) OnApply(do func([]pdc.ModuleInfo)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onApply = do
}

// console is what the board tells of its modules in listening mode.
func (f *Firmware) console() string {
	s := pdc.SystemDescribe{Platform: f.platform, HasPlatform: true, Modules: f.Modules()}
	return string(s.AppendJSON(nil))
}

// Installs returns how many images it has applied.
func (f *Firmware) Installs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.installs
}

// Control implements fake.Function.
func (f *Firmware) Control(_ *fake.Board, s fake.Setup, data []byte) ([]byte, error) {
	f.mu.Lock()
	silent, busy := f.faults.NoRequests, f.faults.Busy
	f.mu.Unlock()
	f.responder.Pending = 0
	if busy {
		f.responder.Pending = math.MaxInt
	}
	if silent {
		return nil, fake.ErrStall
	}
	if s.In() {
		data = make([]byte, s.Length)
	}
	n, err := f.responder.Control(control.Setup{Type: s.RequestType, Request: s.Request, Value: s.Value, Index: s.Index, Length: s.Length}, data, 0)
	if err != nil {
		return nil, fake.ErrStall
	}
	return data[:n], nil
}

func (f *Firmware) raw(kind control.Kind) bool {
	if kind != control.Reset {
		return false
	}
	go f.Reset()
	return true
}

// handle does a control request.
func (f *Firmware) handle(r control.Request) control.Response {
	enter := func(m fake.Mode) control.Response {
		return control.Response{After: func() { go f.Enter(m) }}
	}
	switch r.Kind {
	case control.Reset:
		return enter(fake.Normal)
	case control.EnterDFU:
		return enter(fake.DFU)
	case control.EnterSafeMode:
		return enter(fake.Safe)
	case control.StartListening:
		f.Enter(fake.Listening)
		return control.Response{}
	case control.StopListening:
		f.StopListening()
		return control.Response{}
	case control.DeviceID:
		return message(1, []byte(f.Serial()))
	case control.SystemVersion:
		return message(1, []byte(f.Spec().DeviceOS))
	case control.GetMode:
		if f.Mode() == fake.Listening {
			return control.Response{Payload: []byte{0x08, 1}}
		}
		return control.Response{Payload: []byte{0x08, 0}}
	case control.ModuleInfo:
		return f.tellModules()
	case control.Diagnostics:
		return control.Response{Payload: []byte(`{"network":{}}`)}
	case control.StartUpdate, control.UpdateData, control.FinishUpdate, control.CancelUpdate:
		return f.update(r)
	default:
		return control.Response{Result: int32(pdc.ErrNotSupported)}
	}
}

func message(field protowire.Number, data []byte) control.Response {
	return control.Response{Payload: protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), data)}
}

func (f *Firmware) tellModules() control.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults.NoModules {
		return control.Response{Result: int32(pdc.ErrNotSupported)}
	}
	return control.Response{Payload: control.AppendModules(nil, f.modules)}
}

func (f *Firmware) update(r control.Request) control.Response {
	const chunk = 1024
	f.mu.Lock()
	hook, arrived := f.faults.Chunk, len(f.image)
	f.mu.Unlock()
	if r.Kind == control.UpdateData && hook != nil {
		hook(arrived)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Kind {
	case control.StartUpdate:
		_, _, n := protowire.ConsumeTag(r.Payload)
		f.size, _ = protowire.ConsumeVarint(r.Payload[n:])
		f.image = []byte{}
		return control.Response{Payload: protowire.AppendVarint([]byte{0x08}, chunk)}
	case control.UpdateData:
		_, _, n := protowire.ConsumeTag(r.Payload)
		data, n := protowire.ConsumeBytes(r.Payload[n:])
		if f.image == nil || n < 0 || len(data) > chunk || len(data) == 0 {
			f.image = nil
			return control.Response{Result: int32(pdc.ErrInvalidState)}
		}
		f.image = append(f.image, data...)
		return control.Response{}
	case control.FinishUpdate:
		image := f.image
		f.image = nil
		if uint64(len(image)) != f.size {
			return control.Response{Result: int32(pdc.ErrInvalidState)}
		}
		if err := f.apply(image); err != nil {
			return control.Response{Result: int32(code(err))}
		}
		return control.Response{After: func() { go f.Reset() }}
	default:
		f.image = nil
		return control.Response{}
	}
}

func code(err error) pdc.SystemError {
	var e *module.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return pdc.ErrUnknown
}

// install takes an image that came over the console.
func (f *Firmware) install(image []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.apply(image)
}

// apply validates an image as Device OS does, and puts its modules into their
// slots. f.mu is held.
func (f *Firmware) apply(image []byte) error {
	b := module.Board{Platform: f.platform, Installed: module.FromDescribe(&pdc.SystemDescribe{Modules: f.modules})}
	all, err := b.Validate(image)
	if err != nil {
		return err
	}
	if f.faults.KeepsOld {
		return nil
	}
	for i := range all {
		f.put(&all[i])
	}
	f.applied()
	return nil
}

// applied counts an image. f.mu is held.
func (f *Firmware) applied() {
	f.installs++
	if f.onApply != nil {
		f.onApply(slices.Clone(f.modules))
	}
}

func (f *Firmware) put(m *module.Module) {
	checks := pdc.CheckIntegrity | pdc.CheckDependencies | pdc.CheckRange | pdc.CheckPlatform
	info := pdc.ModuleInfo{
		Function: m.Function, Index: uint32(m.Index), Version: uint32(m.Version), Size: uint32(m.Length()), Checked: checks, Passed: checks,
	}
	if m.Function == pdc.ModuleUserPart {
		info.Hash = m.Hash[:]
	}
	for _, d := range m.AllDependencies() {
		info.Dependencies = append(info.Dependencies, pdc.ModuleDependency{Function: d.Function, Index: uint32(d.Index), Version: uint32(d.Version)})
	}
	if len(m.Missing(module.FromDescribe(&pdc.SystemDescribe{Modules: f.modules}))) > 0 {
		info.Passed &^= pdc.CheckDependencies
	}
	for i := range f.modules {
		if have := &f.modules[i]; have.Function == info.Function && have.Index == info.Index {
			info.MaxSize = have.MaxSize
			*have = info
			return
		}
	}
	f.modules = append(f.modules, info)
}

// stillInDFU reports whether dfu-util still reaches the board.
func (f *Firmware) stillInDFU() error {
	if f.Mode() != fake.DFU || !f.Present() {
		return fakedfu.ErrGone
	}
	return nil
}

func (f *Firmware) dfuRead(alt int, address uint32, n int) ([]byte, error) {
	if err := f.dfuHook(false, alt, address); err != nil {
		return nil, err
	}
	return f.Memory().Read(alt, address, n), nil
}

func (f *Firmware) dfuHook(write bool, alt int, address uint32) error {
	f.mu.Lock()
	hook := f.faults.DFU
	f.mu.Unlock()
	if hook != nil {
		if err := hook(write, alt, address); err != nil {
			return err
		}
	}
	return f.stillInDFU()
}

func (f *Firmware) dfuWrite(alt int, address uint32, data []byte) error {
	if err := f.dfuHook(true, alt, address); err != nil {
		return err
	}
	f.Memory().Write(alt, address, data)
	f.mu.Lock()
	defer f.mu.Unlock()
	if alt == fake.InternalFlash && address != f.next {
		f.starts = append(f.starts, address)
	}
	f.next = address + uint32(len(data))
	return nil
}

// dfuLeave starts Device OS with what is in flash.
func (f *Firmware) dfuLeave() {
	f.mu.Lock()
	const longest = 4 << 20
	for _, at := range f.starts {
		m, _, err := module.Cut(f.Memory().Read(fake.InternalFlash, at, longest))
		if err == nil && m.CRCValid() && m.Platform == f.platform && !f.faults.KeepsOld {
			f.put(&m)
			f.applied()
		}
	}
	f.starts = nil
	f.mu.Unlock()
	f.Enter(fake.Normal)
}
