package fakedfu

import (
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"sync"

	"github.com/muster/muster/protocol/pdc"
)

// A Board is one that is in DFU mode.
type Board struct {
	Vendor, Product uint16
	Path            string   // USB path, as 1-1.4
	Serial          string   // as the bootloader tells it
	Alts            []string // names of the alternate settings, by number

	// Read and Write reach a memory. An error of [ErrGone] is a board that left
	// the bus, one of [ErrProtected] an address that the bootloader refuses.
	Read  func(alt int, address uint32, n int) ([]byte, error)
	Write func(alt int, address uint32, data []byte) error
	// Leave makes the board leave DFU mode.
	Leave func()
}

// What a board cannot do.
var (
	ErrGone      = errors.New("gone")
	ErrProtected = errors.New("protected")
)

// DefaultAlts are the memories of a Gen 3 board with external flash.
func DefaultAlts() []string {
	return []string{
		"@Internal Flash   /0x00000000/48*004Kg,200*004Kg", "@DCT Flash   /0x00000000/2*008Kg", "@External Flash   /0x80000000/1024*004Kg",
	}
}

// AltsOf are the memories of boards of a platform, as their bootloaders tell them.
// Those of the RTL872x are the reach of its flash.
func AltsOf(p pdc.Platform) []string {
	switch {
	case p == pdc.Core:
		return []string{"@Internal Flash   /0x08000000/20*001Ka,108*001Kg", "@SPI Flash : SST25x/0x00000000/512*004Kg"}
	case p.Generation() == pdc.Gen2:
		return []string{"@Internal Flash   /0x08000000/03*016Ka,01*016Kg,01*064Kg,07*128Kg", "@DCT Flash   /0x00000000/01*016Kg"}
	case p.Generation() == pdc.Gen3RTL:
		return []string{"@Internal Flash   /0x08000000/2048*004Kg", "@DCT Flash   /0x00000000/2*008Kg", "@External Flash   /0x80000000/1024*004Kg"}
	default:
		return DefaultAlts()
	}
}

// A Server is the bus that the program sees.
type Server struct {
	dir      string
	listener net.Listener
	boards   func() []Board
	wg       sync.WaitGroup
}

// Serve serves the boards that the function gives, each time that a program
// asks. The folder must have a short path: a socket is made in it.
func Serve(dir string, boards func() []Board) (*Server, error) {
	listener, err := net.Listen("unix", filepath.Join(dir, "usb"))
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, listener: listener, boards: boards}
	if err := s.install(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	r := rpc.NewServer()
	if err := r.RegisterName("USB", &bus{s}); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			s.wg.Go(func() { r.ServeConn(conn) })
		}
	})
	return s, nil
}

// Close ends the bus: programs that run see their board leave.
func (s *Server) Close() error { return s.listener.Close() }

// Program is the path of the dfu-util.
func (s *Server) Program() string { return filepath.Join(s.dir, "dfu-util") }

// install writes the script that is dfu-util.
func (s *Server) install() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", variable, filepath.Join(s.dir, "usb"), self)
	return os.WriteFile(s.Program(), []byte(script), 0o755) //nolint:gosec // a program that others may run too
}

// bus is what the program calls.
type bus struct{ server *Server }

// A Listed is a board as the program sees it.
type Listed struct {
	Vendor, Product uint16
	Path, Serial    string
	Alts            []string
}

// List tells the boards.
func (b *bus) List(_ struct{}, all *[]Listed) error {
	for _, d := range b.server.boards() {
		*all = append(*all, Listed{d.Vendor, d.Product, d.Path, d.Serial, d.Alts})
	}
	return nil
}

// An Access is what the program wants of a memory.
type Access struct {
	Path    string
	Alt     int
	Address uint32
	Size    int
	Data    []byte
}

func (b *bus) board(path string) (Board, error) {
	for _, d := range b.server.boards() {
		if d.Path == path {
			return d, nil
		}
	}
	return Board{}, ErrGone
}

// Read reads memory.
func (b *bus) Read(a Access, data *[]byte) error {
	d, err := b.board(a.Path)
	if err == nil {
		*data, err = d.Read(a.Alt, a.Address, a.Size)
	}
	return err
}

// Write writes memory.
func (b *bus) Write(a Access, _ *struct{}) error {
	d, err := b.board(a.Path)
	if err == nil {
		err = d.Write(a.Alt, a.Address, a.Data)
	}
	return err
}

// Leave leaves DFU mode.
func (b *bus) Leave(path string, _ *struct{}) error {
	d, err := b.board(path)
	if err == nil {
		d.Leave()
	}
	return err
}
