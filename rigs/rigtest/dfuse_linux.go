package rigtest

import (
	"encoding/binary"

	"github.com/muster/muster/rigs/dfu/fakedfu"
	"github.com/muster/muster/rigs/fake"
)

// dfuTransfer is the size of a block in bytes, as Particle's bootloaders have it.
const dfuTransfer = 4096

var dfuAlts = fakedfu.DefaultAlts()

// Requests, states and errors of DFU 1.1 (USB Device Firmware Upgrade, Section 3
// and 6).
const (
	dfuDownload  = 1
	dfuUpload    = 2
	dfuGetStatus = 3
	dfuClear     = 4
	dfuGetState  = 5
	dfuAbort     = 6

	dfuIdle         = 2
	dfuDownloadSync = 3
	dfuBusy         = 4
	dfuDownloadIdle = 5
	dfuManifestSync = 6
	dfuManifest     = 7
	dfuUploadIdle   = 9
	dfuError        = 10

	statusOK      = 0
	statusAddress = 8
)

// Commands of DfuSe, in a download of block 0 (ST, AN3156).
const (
	dfuseSetAddress = 0x21
	dfuseErase      = 0x41
)

// dfuse is a bootloader: DFU with ST's extensions.
type dfuse struct {
	firmware *Firmware
	alt      int
	state    byte
	status   byte
	address  uint32
}

func (d *dfuse) control(s fake.Setup, data []byte) ([]byte, error) {
	switch s.Request {
	case dfuDownload:
		return nil, d.download(s.Value, data)
	case dfuUpload:
		return d.upload(s.Value, int(s.Length))
	case dfuGetStatus:
		return d.getStatus(), nil
	case dfuClear, dfuAbort:
		d.state, d.status = dfuIdle, statusOK
		return nil, nil
	case dfuGetState:
		return []byte{d.state}, nil
	}
	return nil, fake.ErrStall
}

func (d *dfuse) download(block uint16, data []byte) error {
	if d.state != dfuIdle && d.state != dfuDownloadIdle {
		d.state = dfuError
		return fake.ErrStall
	}
	switch {
	case len(data) == 0:
		d.state = dfuManifestSync
		return nil
	case block == 0 && len(data) == 5 && data[0] == dfuseSetAddress:
		d.address = binary.LittleEndian.Uint32(data[1:])
	case block == 0 && len(data) == 5 && data[0] == dfuseErase:
		// Erased when it is written.
	case block >= 2:
		if err := d.firmware.dfuWrite(d.alt, d.address+uint32(block-2)*dfuTransfer, data); err != nil {
			d.state, d.status = dfuError, statusAddress
			return nil
		}
	default:
		d.state = dfuError
		return fake.ErrStall
	}
	d.state = dfuDownloadSync
	return nil
}

func (d *dfuse) upload(block uint16, length int) ([]byte, error) {
	if block < 2 || d.state != dfuIdle && d.state != dfuUploadIdle {
		return nil, fake.ErrStall
	}
	d.state = dfuUploadIdle
	return d.firmware.dfuRead(d.alt, d.address+uint32(block-2)*uint32(dfuTransfer), length)
}

// getStatus tells the state, and goes on to the next.
func (d *dfuse) getStatus() []byte {
	poll := byte(0)
	switch d.state {
	case dfuDownloadSync:
		d.state = dfuBusy
		poll = 1 // ms
	case dfuBusy:
		d.state = dfuDownloadIdle
	case dfuManifestSync:
		d.state = dfuManifest
		go d.firmware.dfuLeave()
	}
	return []byte{d.status, poll, 0, 0, d.state, 0}
}
