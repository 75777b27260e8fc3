// Package rigtest is a fake bench with everything connected: boards that answer
// control requests, take images, and keep their keys in memory that a dfu-util of
// its own reads and writes. Tests drive it, and "muster rig fake" shows it to
// people.
//
// What this package is not: what drives real boards.
package rigtest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/dfu/fakedfu"
	"github.com/muster/muster/rigs/fake"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
)

// A Bench is a host with boards, and a dfu-util that sees them.
type Bench struct {
	*fake.Bench
	Host handle.Host

	dir      string
	dfu      *fakedfu.Server
	requests net.Listener // nil: for this process only

	mu     sync.Mutex
	boards []*Firmware
}

// New makes a bench in a folder of its own, which goes with it. The test binary
// must call [fakedfu.MainIfAsked].
func New() (*Bench, error) {
	dir, err := os.MkdirTemp("", "rig")
	if err != nil {
		return nil, err
	}
	return NewIn(dir)
}

// NewIn makes a bench in a folder, which goes with it. Its path must be short:
// sockets are made in it.
func NewIn(dir string) (_ *Bench, err error) {
	b := &Bench{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if b.Bench, err = fake.NewBench(dir); err != nil {
		return nil, err
	}
	if b.dfu, err = fakedfu.Serve(dir, b.inDFU); err != nil {
		return nil, err
	}
	tree := inventory.Tree{Sys: b.Sys(), Dev: b.Dev()}
	b.Host = handle.Host{
		Look:    tree.Ports,
		Control: b.transport,
		DFU:     dfu.Tool{Program: b.dfu.Program(), Scratch: dir},
		Within:  30 * time.Second,
		Soon:    20 * time.Millisecond,
		Pace:    5 * time.Millisecond,
	}
	return b, nil
}

// ServeControl lets other programs make control requests to the boards, when
// their [inventory.RootVariable] names the bench.
func (b *Bench) ServeControl() (err error) {
	b.requests, err = control.ServeSocket(filepath.Join(b.Dev(), control.SocketName), func(path string) (control.Transport, error) {
		return b.transport(inventory.Board{Path: path})
	})
	return err
}

// Close unplugs everything.
func (b *Bench) Close() error {
	if b.requests != nil {
		_ = b.requests.Close() // nobody is to come any more
	}
	return errors.Join(b.dfu.Close(), b.Bench.Close(), os.RemoveAll(b.dir))
}

// Plug adds a board that runs those modules. Functions and Install of the Spec
// are set here.
func (b *Bench) Plug(s fake.Spec, modules []pdc.ModuleInfo) (*Firmware, error) {
	f := &Firmware{platform: pdc.Platform(s.Platform), modules: modules}
	f.responder = control.Responder{Handle: f.handle, Raw: f.raw, Scant: 1}
	s.Functions.Running = f
	if modules != nil {
		s.Modules = f.console
	}
	s.Install = func(_ *fake.Board, _ string, image []byte) error { return f.install(image) }
	board, err := b.Add(s)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.Board = board
	f.mu.Unlock()
	b.mu.Lock()
	b.boards = append(b.boards, f)
	b.mu.Unlock()
	for wait := time.After(30 * time.Second); ; {
		changed := board.Changed()
		if board.Present() {
			return f, nil
		}
		select {
		case <-changed:
		case <-wait:
			return nil, errors.New("rigtest: the board does not boot")
		}
	}
}

func (b *Bench) at(path string) *Firmware {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.boards {
		if f.Spec().Path == path {
			return f
		}
	}
	return nil
}

// transport is the board's endpoint 0.
func (b *Bench) transport(at inventory.Board) (control.Transport, error) {
	f := b.at(at.Path)
	if f == nil {
		return nil, control.ErrGone
	}
	return endpoint{f.Board}, nil
}

// endpoint makes a fake board a Transport.
type endpoint struct{ board *fake.Board }

func (e endpoint) Control(s control.Setup, data []byte, _ time.Duration) (int, error) {
	n, err := e.board.Control(fake.Setup{RequestType: s.Type, Request: s.Request, Value: s.Value, Index: s.Index, Length: s.Length}, data)
	switch {
	case errors.Is(err, fake.ErrGone):
		err = control.ErrGone
	case errors.Is(err, fake.ErrStall):
		err = control.ErrStall
	case errors.Is(err, fake.ErrTimeout):
		err = control.ErrSilent
	}
	return n, err
}

func (endpoint) Close() error { return nil }

// inDFU lists the boards for dfu-util.
func (b *Bench) inDFU() (all []fakedfu.Board) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.boards {
		if f.Mode() != fake.DFU || !f.Present() {
			continue
		}
		vendor, product := f.ids()
		all = append(all, fakedfu.Board{
			Vendor: vendor, Product: product, Path: f.Spec().Path, Serial: strings.ToUpper(f.Serial()), Alts: fakedfu.AltsOf(f.platform),
			Read: f.dfuRead, Write: f.dfuWrite, Leave: f.dfuLeave,
		})
	}
	return all
}

func (f *Firmware) ids() (vendor, product uint16) {
	if f.platform == pdc.Core {
		return 0x1d50, 0x607f
	}
	return 0x2b04, 0xd000 | uint16(f.platform)
}
