package rigtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/fake"
)

// vhci is where Linux's virtual host controller takes devices
// (drivers/usb/usbip/vhci_sysfs.c).
const vhci = "/sys/devices/platform/vhci_hcd.0"

// HasUSBIP reports whether this machine can have a fake board on its real USB
// bus: it is root's, and has the module vhci-hcd.
func HasUSBIP() bool {
	_, err := os.Stat(filepath.Join(vhci, "attach"))
	return err == nil && os.Geteuid() == 0
}

// An OnBus is a fake board on the machine's real USB bus, by USB/IP: behind
// Linux's own sysfs, usbfs, and dfu-util. It follows the mode of the board, as a
// running board with control requests or as a bootloader with DfuSe; it has no
// serial port there.
type OnBus struct {
	firmware *Firmware
	port     int
	stop     chan struct{}
	wg       sync.WaitGroup

	mu   sync.Mutex
	err  error
	here net.Conn // our end of the device that is attached
}

// PutOnBus attaches a board at a port of the virtual hub, 0 to 7.
func PutOnBus(f *Firmware, port int) *OnBus {
	o := &OnBus{firmware: f, port: port, stop: make(chan struct{})}
	o.wg.Go(o.follow)
	return o
}

// Close takes the board off the bus and returns what went wrong, if anything did.
func (o *OnBus) Close() error {
	close(o.stop)
	o.wg.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// follow attaches and detaches as the board comes, goes and changes its mode.
func (o *OnBus) follow() {
	was := -1
	for {
		changed := o.firmware.Changed()
		is := -1 // off the bus
		if o.firmware.Present() {
			is = 0
			if o.firmware.Mode() == fake.DFU {
				is = 1
			}
		}
		if is != was {
			o.detach()
			if is >= 0 {
				o.fail(o.attach(is == 1))
			}
			was = is
		}
		select {
		case <-changed:
		case <-o.stop:
			o.detach()
			return
		}
	}
}

func (o *OnBus) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

// attach gives the kernel one end of a socket, on which it speaks USB/IP.
func (o *OnBus) attach(inDFU bool) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours := os.NewFile(uintptr(ends[0]), "usbip")
	conn, err := net.FileConn(ours)
	if err = errors.Join(err, ours.Close()); err != nil {
		return errors.Join(err, unix.Close(ends[1]))
	}
	const fullSpeed = 2
	line := fmt.Sprintf("%d %d %d %d", o.port, ends[1], 1<<16|o.port+1, fullSpeed)
	err = os.WriteFile(filepath.Join(vhci, "attach"), []byte(line), 0)
	if err = errors.Join(err, unix.Close(ends[1])); err != nil { // the kernel has its own
		return errors.Join(err, conn.Close())
	}
	d := newUSBDevice(o.firmware, inDFU)
	o.mu.Lock()
	o.here = conn
	o.mu.Unlock()
	o.wg.Go(func() {
		if err := d.serve(conn); !detached(err) {
			o.fail(err)
		}
	})
	return nil
}

// detached reports whether an error is the end of a device that was unplugged: of one
// with requests under way, which the kernel does not wait for, in the middle of a
// request, by a reset, or by an answer that nobody takes any more.
func detached(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

func (o *OnBus) detach() {
	o.mu.Lock()
	conn := o.here
	o.here = nil
	o.mu.Unlock()
	if conn == nil {
		return
	}
	_ = os.WriteFile(filepath.Join(vhci, "detach"), []byte(fmt.Sprint(o.port)), 0) // or it noticed by itself
	_ = conn.Close()
}

// Commands of USB/IP (Documentation/usb/usbip_protocol.rst). All is big-endian
// but the setup packet.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4

	usbipHeader = 48
)

// usbDevice is a board as USB sees it.
type usbDevice struct {
	firmware *Firmware
	inDFU    bool
	strings  []string
	dfu      dfuse
}

func newUSBDevice(f *Firmware, inDFU bool) *usbDevice {
	d := &usbDevice{firmware: f, inDFU: inDFU, strings: []string{"Particle", "a board", strings.ToLower(f.Serial())}}
	if inDFU {
		d.strings = append(d.strings, dfuAlts...)
	}
	d.dfu = dfuse{firmware: f, state: dfuIdle}
	return d
}

// serve answers the kernel until the connection ends, which is an error.
func (d *usbDevice) serve(conn net.Conn) error {
	be := binary.BigEndian
	for {
		var h [usbipHeader]byte
		if _, err := io.ReadFull(conn, h[:]); err != nil {
			return err
		}
		answer := make([]byte, usbipHeader)
		copy(answer[4:8], h[4:8]) // sequence number
		switch be.Uint32(h[:]) {
		case cmdUnlink: // everything is answered at once, so it is late
			be.PutUint32(answer, retUnlink)
		case cmdSubmit:
			isIn, length := be.Uint32(h[12:]) == 1, int(be.Uint32(h[24:]))
			var data []byte
			if !isIn {
				data = make([]byte, length)
				if _, err := io.ReadFull(conn, data); err != nil {
					return err
				}
			}
			s := fake.Setup{
				RequestType: h[40], Request: h[41], Value: binary.LittleEndian.Uint16(h[42:]),
				Index: binary.LittleEndian.Uint16(h[44:]), Length: binary.LittleEndian.Uint16(h[46:]),
			}
			reply, err := d.control(s, data)
			be.PutUint32(answer, retSubmit)
			switch {
			case errors.Is(err, control.ErrGone): // it left in the middle: nobody answers on the wire
				be.PutUint32(answer[20:], negated(unix.EPROTO))
			case err != nil:
				be.PutUint32(answer[20:], negated(unix.EPIPE))
			case isIn:
				reply = reply[:min(len(reply), length)]
				be.PutUint32(answer[24:], uint32(len(reply)))
				answer = append(answer, reply...)
			default:
				be.PutUint32(answer[24:], uint32(length))
			}
		default:
			return fmt.Errorf("rigtest: USB/IP command %d", be.Uint32(h[:]))
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

// negated returns the status of a transfer that failed.
func negated(e unix.Errno) uint32 { return uint32(-int32(e)) }

// control answers a control transfer. A board that was unplugged meanwhile answers
// nothing, not even that it failed.
func (d *usbDevice) control(s fake.Setup, data []byte) ([]byte, error) {
	reply, err := d.answer(s, data)
	if !d.firmware.Present() {
		return nil, control.ErrGone
	}
	return reply, err
}

// answer answers standard requests here, and the others where they belong.
func (d *usbDevice) answer(s fake.Setup, data []byte) ([]byte, error) {
	const (
		getStatus, setConfiguration, setInterface, getDescriptor = 0, 9, 11, 6

		kind = 0x60
	)
	switch {
	case s.RequestType&kind != 0 && d.inDFU:
		return d.dfu.control(s, data)
	case s.RequestType&kind != 0:
		if s.In() {
			data = make([]byte, s.Length)
		}
		n, err := endpoint{d.firmware.Board}.Control(control.Setup{Type: s.RequestType, Request: s.Request, Value: s.Value, Index: s.Index, Length: s.Length}, data, 0)
		return data[:n], err
	case s.Request == getDescriptor:
		return d.descriptor(uint8(s.Value>>8), int(s.Value&0xff))
	case s.Request == getStatus:
		return []byte{0, 0}, nil
	case s.Request == setInterface:
		d.dfu.alt = int(s.Value)
		return nil, nil
	case s.Request == setConfiguration:
		return nil, nil
	}
	return nil, fake.ErrStall
}

// descriptor returns a descriptor (USB 2.0, Section 9.6).
func (d *usbDevice) descriptor(kind uint8, index int) ([]byte, error) {
	le := binary.LittleEndian
	switch kind {
	case 1: // device
		vendor, product := d.firmware.ids()
		if !d.inDFU {
			product = product&0xff | 0xc000
		}
		b := []byte{18, 1, 0x00, 0x02, 0, 0, 0, 64}
		b = le.AppendUint16(b, vendor)
		b = le.AppendUint16(b, product)
		return append(b, 0x51, 0x02, 1, 2, 3, 1), nil
	case 2: // configuration
		var body []byte
		if d.inDFU {
			for alt := range dfuAlts {
				body = append(body, 9, 4, 0, byte(alt), 0, 0xfe, 1, 2, byte(4+alt))
				body = append(body, 9, 0x21, 0x0b, 0xff, 0x00, byte(dfuTransfer&0xff), byte(dfuTransfer>>8), 0x1a, 0x01)
			}
		} else {
			body = []byte{9, 4, 0, 0, 0, 0xff, 0xff, 0xff, 0}
		}
		b := []byte{9, 2}
		b = le.AppendUint16(b, uint16(9+len(body)))
		return append(append(b, 1, 1, 0, 0x80, 250), body...), nil
	case 3: // string
		if index == 0 {
			return []byte{4, 3, 0x09, 0x04}, nil
		}
		if index > len(d.strings) {
			return nil, fake.ErrStall
		}
		text := d.strings[index-1]
		b := []byte{byte(2 + 2*len(text)), 3}
		for _, c := range []byte(text) {
			b = append(b, c, 0)
		}
		return b, nil
	}
	return nil, fake.ErrStall
}
