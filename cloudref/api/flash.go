package api

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/module"
)

// flash answers PUT /v1/devices/:id with files. The answer comes when the
// transfer starts; what becomes of it is told by events.
func (s *Server) flash(q *request, d *store.Device) (any, error) {
	var binaries []file
	for _, f := range q.files {
		switch extension := strings.ToLower(path.Ext(f.base())); {
		case extension == ".bin", q.body.text("file_type") == "binary", extension == "" && isImage(f.data):
			binaries = append(binaries, f)
		case extension == ".zip":
			return nil, refuse(http.StatusBadRequest, "This cloud sends no asset bundles. Flash the .bin in %s.", path.Base(f.name))
		default:
			// As the real service answers when a source does not compile.
			return object{
				"ok": false, "output": "build didn't produce binary",
				"errors": []string{"This cloud has no compiler. Compile first and flash the .bin."},
			}, nil
		}
	}
	if len(binaries) != 1 {
		return nil, refuse(http.StatusBadRequest, "Flash one binary at a time: %d came.", len(binaries))
	}
	held, err := s.startFlash(q, d, binaries[0].data)
	switch {
	case err != nil:
		return nil, flashFailed(err)
	case held:
		return object{"id": d.ID.String(), "status": "Update pending: the device does not allow updates now"}, nil
	}
	return object{"id": d.ID.String(), "status": "Update started"}, nil
}

// isImage reports whether what has no name, or one that says nothing, is a firmware
// binary. Browsers call what a page made itself "blob".
func isImage(data []byte) bool {
	_, err := app.ParseImage(data)
	return err == nil
}

// flashFailed is the answer when a transfer does not start.
func flashFailed(err error) error {
	var image *module.Error
	var device *app.Failure
	switch {
	case errors.As(err, &image):
		return refuse(http.StatusBadRequest, "Not a firmware binary: %v", image)
	case errors.As(err, &device) && device.Reason == app.BadImage:
		return refuse(http.StatusBadRequest, "The binary does not fit this device: %s", device.Detail)
	}
	return changeFailed(err)
}

// startFlash begins a transfer and waits until the device takes it, or until
// its application holds it back.
func (s *Server) startFlash(q *request, d *store.Device, image []byte) (held bool, err error) {
	// The transfer outlives the request.
	ctx, cancel := context.WithCancel(context.WithoutCancel(q.Context()))
	begun, ended := make(chan app.FlashStage, 1), make(chan error, 1)
	go func() {
		defer cancel()
		ended <- s.cloud.Flash(ctx, d.ID, image, func(p app.FlashProgress) {
			if p.Stage != app.FlashHeld && p.Stage != app.FlashTransferring {
				return
			}
			select {
			case begun <- p.Stage:
			default: // the request was answered before
			}
		})
	}()
	patience, stop := s.deviceContext(q)
	defer stop()
	select {
	case stage := <-begun:
		return stage == app.FlashHeld, nil
	case err := <-ended:
		select {
		case stage := <-begun: // and then it failed: the streams tell
			return stage == app.FlashHeld, nil
		default:
			return false, err
		}
	case <-patience.Done():
		cancel() // nobody was told that it started, so it must not
		return false, context.DeadlineExceeded
	}
}
