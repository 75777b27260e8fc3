package fakedfu

import (
	"fmt"
	"io"
	"net/rpc"
	"os"
	"strconv"
	"strings"
)

// variable names the bus to the program; its presence makes a test binary one.
const variable = "MUSTER_FAKE_DFU_USB"

// Exit codes of the real program (sysexits.h).
const (
	exitUsage    = 64
	exitNoInput  = 66
	exitSoftware = 70
	exitCreate   = 73
	exitIO       = 74
)

// transfer is the size in bytes of a block, as Particle's bootloaders have it.
const transfer = 4096

const banner = `dfu-util 0.11

Copyright 2005-2009 Weston Schmidt, Harald Welte and OpenMoko Inc.
Copyright 2010-2021 Tormod Volden and Stefan Schmidt
This program is Free Software and has ABSOLUTELY NO WARRANTY
Please report bugs to http://sourceforge.net/p/dfu-util/tickets/

`

// MainIfAsked becomes dfu-util, and never returns, if the script of [Serve] began
// this process.
func MainIfAsked() {
	if socket := os.Getenv(variable); socket != "" {
		os.Exit(Main(socket, os.Args[1:], os.Stdout, os.Stderr))
	}
}

// options are what the command line says.
type options struct {
	list, version              bool
	device, path, serial, file string
	alt                        int
	address, length            uint32
	upload, leave              bool
}

func parse(args []string) (o options, err error) {
	o.alt = -1
	for len(args) > 0 {
		flag := args[0]
		args = args[1:]
		switch flag {
		case "-l", "--list":
			o.list = true
			continue
		case "-V", "--version":
			o.version = true
			continue
		}
		if len(args) == 0 {
			return o, fmt.Errorf("option requires an argument -- '%s'", strings.TrimLeft(flag, "-"))
		}
		value := args[0]
		args = args[1:]
		switch flag {
		case "-d":
			o.device = value
		case "-p":
			o.path = value
		case "-S":
			o.serial = value
		case "-i", "-c", "-t", "-Z":
		case "-a":
			o.alt, err = strconv.Atoi(value)
		case "-s":
			err = o.dfuse(value)
		case "-U", "-D":
			o.file, o.upload = value, flag == "-U"
		default:
			err = fmt.Errorf("invalid option -- '%s'", strings.TrimLeft(flag, "-"))
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *options) dfuse(value string) error {
	parts := strings.Split(value, ":")
	address, err := strconv.ParseUint(parts[0], 0, 32)
	if err != nil {
		return fmt.Errorf("Invalid dfuse address: %s", parts[0]) //nolint:staticcheck // the real one's words
	}
	o.address = uint32(address)
	for _, p := range parts[1:] {
		n, err := strconv.ParseUint(p, 0, 32)
		switch {
		case p == "leave":
			o.leave = true
		case err == nil:
			o.length = uint32(n)
		default:
			return fmt.Errorf("Invalid dfuse modifier: %s", p) //nolint:staticcheck // the real one's words
		}
	}
	return nil
}

// Main is dfu-util on the bus at a socket. It returns the exit code.
func Main(socket string, args []string, stdout, stderr io.Writer) int {
	complain := func(code int, format string, a ...any) int {
		fmt.Fprintf(stderr, "dfu-util: "+format+"\n", a...)
		return code
	}
	o, err := parse(args)
	if err != nil {
		return complain(exitUsage, "%v", err)
	}
	fmt.Fprint(stdout, banner)
	if o.version {
		return 0
	}
	usb, err := rpc.Dial("unix", socket)
	if err != nil {
		return complain(exitIO, "unable to initialize libusb: %v", err)
	}
	defer usb.Close() //nolint:errcheck // the process ends
	var all []Listed
	if err := usb.Call("USB.List", struct{}{}, &all); err != nil {
		return complain(exitIO, "unable to initialize libusb: %v", err)
	}
	if o.list {
		for i, d := range all {
			for alt := len(d.Alts) - 1; alt >= 0; alt-- {
				fmt.Fprintf(stdout, "Found DFU: [%04x:%04x] ver=0251, devnum=%d, cfg=1, intf=0, path=%q, alt=%d, name=%q, serial=%q\n",
					d.Vendor, d.Product, i+10, d.Path, alt, d.Alts[alt], d.Serial)
			}
		}
		return 0
	}
	if o.file == "" {
		return complain(exitUsage, "You need to specify one of -D or -U")
	}
	var image []byte
	if !o.upload {
		if image, err = os.ReadFile(o.file); err != nil {
			return complain(exitNoInput, "Could not open file %s for reading", o.file)
		}
		complain(0, "Warning: Invalid DFU suffix signature")
		complain(0, "A valid DFU suffix will be required in a future dfu-util release")
	}
	var hits []Listed
	for _, d := range all {
		id := fmt.Sprintf("%04x:%04x", d.Vendor, d.Product)
		if (o.device == "" || o.device == id) && (o.path == "" || o.path == d.Path) && (o.serial == "" || o.serial == d.Serial) {
			hits = append(hits, d)
		}
	}
	switch {
	case len(hits) == 0:
		return complain(exitIO, "No DFU capable USB device available")
	case len(hits) > 1:
		return complain(exitIO, "More than one DFU capable USB device found! Try `--list' and specify the serial number or disconnect all but one device")
	case o.alt < 0, o.alt >= len(hits[0].Alts):
		return complain(exitIO, "No DFU capable USB device available")
	}
	r := &session{o: o, usb: usb, board: hits[0], stdout: stdout, complain: complain}
	if o.upload {
		return r.upload()
	}
	return r.download(image)
}

// session is one transfer.
type session struct {
	o        options
	usb      *rpc.Client
	board    Listed
	stdout   io.Writer
	complain func(int, string, ...any) int
}

func (r *session) say(format string, a ...any) { fmt.Fprintf(r.stdout, format, a...) }

func (r *session) open() {
	r.say("Opening DFU capable USB device...\nDevice ID %04x:%04x\nDevice DFU version 011a\nClaiming USB DFU Interface...\n", r.board.Vendor, r.board.Product)
	r.say("Setting Alternate Interface #%d ...\nDetermining device status...\nDFU state(2) = dfuIDLE, status(0) = No error condition is present\n", r.o.alt)
	r.say("DFU mode device DFU version 011a\nDevice returned transfer size %d\n", transfer)
}

// dfuse begins what is DfuSe's, and returns the end of the memory.
func (r *session) dfuse() (end uint64) {
	name, layout, _ := strings.Cut(strings.TrimPrefix(r.board.Alts[r.o.alt], "@"), "/")
	r.say("DfuSe interface name: %q\n", name)
	return memoryEnd(layout)
}

// memoryEnd returns the address behind a memory, of its layout as a bootloader
// tells it, such as 0x00000000/48*004Kg,200*004Kg (ST, UM0424).
func memoryEnd(layout string) (end uint64) {
	base, pages, _ := strings.Cut(layout, "/")
	end, _ = strconv.ParseUint(base, 0, 32)
	for _, p := range strings.Split(pages, ",") {
		var count, size uint64
		var unit rune
		if _, err := fmt.Sscanf(p, "%d*%d%c", &count, &size, &unit); err != nil {
			continue
		}
		if unit == 'K' {
			size <<= 10
		}
		end += count * size
	}
	return end
}

// bar draws progress as the real one does: in place, 25 wide.
func (r *session) bar(what string, done, total int) {
	const width = 25
	full, percent := width, 100
	if total > 0 {
		full, percent = width*done/total, 100*done/total
	}
	r.say("\r%s\t[%s%s] %3d%% %12d bytes", what, strings.Repeat("=", full), strings.Repeat(" ", width-full), percent, done)
	if done == total {
		r.say("\n%s done.\n", what)
	}
}

// broke tells what a board's error looks like.
func (r *session) broke(err error, words string) int {
	if err.Error() == ErrProtected.Error() { // errors cross the socket as text
		return r.complain(exitUsage, "Page at 0x%08x is not writeable", r.o.address)
	}
	return r.complain(exitIO, "%s", words)
}

func (r *session) upload() int {
	r.open()
	file, err := os.OpenFile(r.o.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return r.complain(exitCreate, "Cannot open file %s for writing: File exists", r.o.file)
	}
	defer file.Close() //nolint:errcheck // the process ends
	r.dfuse()
	total := int(r.o.length)
	r.bar("Upload", 0, total)
	for at := 0; at < total; {
		n := min(transfer, total-at)
		var data []byte
		if err := r.usb.Call("USB.Read", Access{Path: r.board.Path, Alt: r.o.alt, Address: r.o.address + uint32(at), Size: n}, &data); err != nil {
			return r.broke(err, "dfuse_upload: libusb_control_transfer returned -4 (LIBUSB_ERROR_NO_DEVICE)")
		}
		if _, err := file.Write(data); err != nil {
			return r.complain(exitIO, "%v", err)
		}
		at += n
		r.bar("Upload", at, total)
	}
	return r.finish()
}

func (r *session) download(data []byte) int {
	r.open()
	end := r.dfuse()
	r.say("Downloading element to address = 0x%08x, size = %d\n", r.o.address, len(data))
	if last := uint64(r.o.address) + uint64(len(data)) - 1; last >= end {
		return r.complain(exitUsage, "Last page at 0x%08x is not writeable", last)
	}
	for at := 0; at < len(data); at = min(at+transfer, len(data)) {
		r.bar("Erase   ", at, len(data))
	}
	r.bar("Erase   ", len(data), len(data))
	r.bar("Download", 0, len(data))
	for at := 0; at < len(data); {
		part := data[at:min(at+transfer, len(data))]
		if err := r.usb.Call("USB.Write", Access{Path: r.board.Path, Alt: r.o.alt, Address: r.o.address + uint32(at), Data: part}, new(struct{})); err != nil {
			return r.broke(err, "Error during download get_status")
		}
		at += len(part)
		r.bar("Download", at, len(data))
	}
	r.say("File downloaded successfully\n")
	return r.finish()
}

func (r *session) finish() int {
	if !r.o.leave {
		return 0
	}
	r.say("Submitting leave request...\n")
	if err := r.usb.Call("USB.Leave", r.board.Path, new(struct{})); err != nil {
		return r.complain(exitSoftware, "Error during download get_status")
	}
	return 0
}
