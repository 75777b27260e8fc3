package app

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

// An Image is a firmware image that was read and found whole.
type Image struct {
	ID   [32]byte // SHA-256 of the file
	Data []byte
	// What the first module says of itself.
	Hash            [32]byte // SHA-256 in its suffix
	Function, Index byte
	Version         uint16
	Platform        pdc.Platform
}

// imageSizeMax bounds an image in bytes: the largest slot of any device is 10
// MiB (the gcc platform's).
const imageSizeMax = 16 << 20

// legacyChunksMax bounds the chunks of the legacy transfer: a device refuses
// 65535 and more (PDC-6.2).
const legacyChunksMax = 65534

// ParseImage reads a firmware image, one module or two that are combined, and
// checks that it is whole: its length, CRC and SHA-256. Whether it suits a
// device is checked when it is sent ([Device.Flash]). It keeps data. The error is
// a *module.Error.
func ParseImage(data []byte) (*Image, error) {
	if len(data) > imageSizeMax {
		return nil, &module.Error{Code: pdc.ErrTooLarge, Reason: fmt.Sprintf("an image of %d bytes, at most %d", len(data), imageSizeMax)}
	}
	modules, err := module.ParseAll(data)
	if err != nil {
		return nil, err
	}
	for i := range modules {
		switch m := &modules[i]; {
		case !m.CRCValid():
			return nil, &module.Error{Code: pdc.ErrIntegrity, Reason: "its CRC is wrong: the file is damaged or was changed"}
		case !m.HashValid():
			return nil, &module.Error{Code: pdc.ErrIntegrity, Reason: "its SHA-256 is wrong: the file is damaged or was changed"}
		}
	}
	return newImage(data, &modules[0]), nil
}

func newImage(data []byte, first *module.Module) *Image {
	return &Image{
		ID: sha256.Sum256(data), Data: data, Hash: first.Hash, Function: byte(first.Function), Index: first.Index,
		Version: first.Version, Platform: first.Platform,
	}
}

// refuseImage says why an image cannot go to this device, nil if it can (C-39).
// What cannot be known, because the device did not tell, is left to the device.
func (d *Device) refuseImage(image *Image) *Failure {
	chunks := (len(image.Data) + legacyChunk - 1) / legacyChunk
	switch size := pdc.MaxChunkSize(d.profile.dialect.Limits().Message); {
	case !d.profile.dialect.OTA3 && chunks > legacyChunksMax:
		return d.badImage(pdc.ErrTooLarge, fmt.Sprintf("%d chunks, at most %d", chunks, legacyChunksMax))
	case d.profile.dialect.OTA3 && size < pdc.MinChunkSize:
		return d.fail(TooLong, fmt.Sprintf("its connection takes messages of %d bytes, too small for an update", d.profile.dialect.Limits().Message))
	}
	target := d.target()
	_, err := target.Check(image.Data)
	var fault *module.Error
	if errors.As(err, &fault) {
		return d.badImage(fault.Code, fault.Reason)
	}
	return nil
}

// target is what is known of the device for the judgement of an image.
func (d *Device) target() *module.Target {
	t := &module.Target{
		Platform: d.profile.dialect.Platform, MaxSize: d.profile.hello.MaxBinary,
		Compressed: d.profile.hello.Flags&pdc.HelloCompressed != 0,
	}
	if d.profile.describe.hasSystem() {
		t.Installed = module.FromDescribe(&d.profile.describe.System)
	}
	return t
}

func (d *Device) badImage(code pdc.SystemError, reason string) *Failure {
	failure := d.fail(BadImage, reason)
	failure.System = int32(code)
	return failure
}
