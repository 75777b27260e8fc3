package control

import (
	"context"
	"errors"
	"fmt"
)

// UpdateFirmware sends an image, has the board check it, and has it applied:
// since 0.9.0 (Gen 3) and 0.8.0 (Gen 2). The board restarts soon after. Progress,
// which may be nil, is told the bytes that the board took.
//
// Whatever fails before the board has accepted the image leaves the board with
// what it had; then, and when ctx ends, the board is told to forget the rest.
//
// Device OS: it erases the OTA section before it answers the first request, which
// takes seconds.
func (d *Device) UpdateFirmware(ctx context.Context, image []byte, progress func(sent int)) (err error) {
	reply, err := d.Do(ctx, StartUpdate, varint(uint64(len(image))))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !errors.Is(err, ErrGone) {
			forget, stop := context.WithTimeout(context.WithoutCancel(ctx), transferTimeout)
			defer stop()
			_ = d.Simple(forget, CancelUpdate) // the first error is the one to tell
		}
	}()
	chunk, err := parseVarint(reply)
	if err != nil {
		return err
	}
	if chunk == 0 {
		return fmt.Errorf("%s: %w: chunks of 0 bytes", StartUpdate, errProtocol)
	}
	// The chunk and its message must fit a transfer.
	size := int(min(chunk, uint64(TransferMax-overhead)))
	for sent := 0; sent < len(image); {
		part := image[sent:min(sent+size, len(image))]
		if _, err := d.Do(ctx, UpdateData, appendBytes(nil, 1, part)); err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", sent, len(image), err)
		}
		if sent += len(part); progress != nil {
			progress(sent)
		}
	}
	_, err = d.Do(ctx, FinishUpdate, varint(0)) // not "validate only"
	return err
}
