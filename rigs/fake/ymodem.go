//go:build linux

package fake

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// The bytes of YMODEM.
const (
	soh = 0x01 // a block of 128 bytes
	stx = 0x02 // a block of 1024 bytes
	eot = 0x04
	ack = 0x06
	nak = 0x15
	can = 0x18
)

// What the receiver bears.
const (
	maxErrors = 5
	maxImage  = 4 << 20
)

// A receiver takes a file by YMODEM, as Device OS does up to 5.x
// (system/src/system_ymodem.cpp).
//
// Device OS: the CRC of a block is not verified, the end is acknowledged only
// when the image is valid, 'a' aborts, and a stray space is acknowledged.
type receiver struct {
	talk   *dialogue
	buffer []byte
	next   byte // the block that is due
	begun  bool // block 0 came
	name   string
	size   int
	image  []byte
	errors int
	turn   int // tells timers that they are late
}

// receive begins to receive a file, or says that this release cannot.
func (d *dialogue) receive() {
	d.out("Waiting for the binary file to be sent ... (press 'a' to abort)\r\n")
	if d.board.version.atLeast(6, 0, 0) {
		d.out("\x18\x18\x18\x18Flashing over serial is no longer supported\r\n")
		return
	}
	d.ymodem = &receiver{talk: d}
	d.ymodem.wait()
}

// wait asks for the file when nothing comes for a while, and gives up in the
// end.
func (r *receiver) wait() {
	r.turn++
	this, b := r.turn, r.talk.board
	time.AfterFunc(b.spec.Quiet, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.listen.ymodem != r || this != r.turn {
			return
		}
		r.buffer = nil
		if r.begun {
			if r.errors++; r.errors > maxErrors {
				r.abort()
				return
			}
		}
		r.send('C')
		r.wait()
	})
}

func (r *receiver) send(b ...byte) { r.talk.out("%s", b) }

func (r *receiver) abort() {
	r.send(can, can)
	r.talk.ymodem = nil
}

// input takes what the host sends.
func (r *receiver) input(in []byte) {
	r.buffer = append(r.buffer, in...)
	r.wait()
	for len(r.buffer) > 0 && r.talk.ymodem == r {
		n := r.block()
		if n == 0 {
			return // the rest is on its way
		}
		r.buffer = r.buffer[n:]
	}
}

// block looks at what came and returns how much of it is done.
func (r *receiver) block() int {
	size := 128
	switch r.buffer[0] {
	case soh:
	case stx:
		size = 1024
	case eot:
		r.end()
		return 1
	case 'a', 'A':
		r.abort()
		return 1
	case ' ':
		r.send(ack)
		return 1
	case can:
		r.talk.ymodem = nil
		return 1
	default:
		r.wrong()
		return len(r.buffer)
	}
	total := 3 + size + 2
	if len(r.buffer) < total {
		return 0
	}
	number, inverse, data := r.buffer[1], r.buffer[2], r.buffer[3:3+size]
	switch {
	case number != ^inverse:
		r.wrong()
	case r.begun && number == r.next-1: // the ACK was lost
		r.send(ack)
	case number != r.next:
		r.wrong()
	case !r.begun:
		r.header(data)
	case len(r.image)+len(data) > r.size+1024:
		r.abort()
	default:
		r.errors = 0
		r.image = append(r.image, data...)
		r.next++
		r.send(ack)
	}
	return total
}

func (r *receiver) wrong() {
	if r.errors++; r.errors > maxErrors {
		r.abort()
		return
	}
	r.send(nak)
}

// header takes block 0: the name, a zero, the size, a space.
func (r *receiver) header(data []byte) {
	name, rest, _ := bytes.Cut(data, []byte{0})
	if len(name) == 0 { // no more files
		r.send(ack)
		r.talk.ymodem = nil
		return
	}
	digits, _, _ := strings.Cut(string(rest), " ")
	size, err := strconv.Atoi(strings.TrimRight(digits, "\x00"))
	if err != nil || size < 0 || size > maxImage {
		r.abort()
		return
	}
	r.begun, r.next, r.name, r.size = true, 1, string(name), size
	r.send(ack, 'C')
}

// end takes the end of the file: the image is judged, and only then answered.
func (r *receiver) end() {
	b := r.talk.board
	image := r.image[:min(len(r.image), r.size)]
	r.talk.ymodem = nil
	if !r.begun || len(image) < r.size {
		r.send(can, can)
		r.talk.out("Validation failed: 1\r\n")
		return
	}
	if b.spec.Install != nil {
		if err := b.spec.Install(b, r.name, image); err != nil {
			r.send(can, can)
			r.talk.out("Validation failed: 2\r\n")
			return
		}
	}
	r.send(ack)
	r.talk.out("\r\nName: %s\r\nSize: %d bytes\r\nRestarting system to apply firmware update...\r\n", r.name, r.size)
	this := b.restarts
	time.AfterFunc(b.spec.Linger, func() {
		b.do(func() {
			if this == b.restarts {
				b.restart(Normal)
			}
		})
	})
}
