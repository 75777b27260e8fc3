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
	"github.com/muster/muster/protocol/pdc"
)

// flash answers PUT /v1/devices/:id with files. The answer comes when the
// transfer starts; what becomes of it is told by events.
func (s *Server) flash(q *request, d *store.Device) (any, error) {
	var binaries []file
	for _, f := range q.files {
		switch extension := strings.ToLower(path.Ext(f.name)); {
		case extension == ".bin" || q.body.text("file_type") == "binary":
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
	begun := make(chan app.FlashStage, 1)
	t := transfer{s: s, device: d.ID, owner: d.Owner, begun: begun}
	ended := make(chan error, 1)
	s.flashes.Go(func() {
		defer cancel()
		err := s.cloud.Flash(ctx, d.ID, image, t.progress)
		t.over(err)
		ended <- err
	})
	patience, stop := s.deviceContext(q)
	defer stop()
	select {
	case stage := <-begun:
		return stage == app.FlashHeld, nil
	case err := <-ended:
		return false, err
	case <-patience.Done():
		if q.Context().Err() == nil {
			cancel() // nobody was told that it started, so it must not
		}
		return false, context.DeadlineExceeded
	}
}

// A transfer turns the progress of a firmware transfer into events of the cloud.
type transfer struct {
	s      *Server
	device store.DeviceID
	owner  store.AccountID
	begun  chan<- app.FlashStage
	told   string // the last status that was announced
}

// progress is called by one goroutine at a time.
func (t *transfer) progress(p app.FlashProgress) {
	switch p.Stage {
	case app.FlashHeld:
		t.answer(p.Stage)
	case app.FlashTransferring:
		t.announce(pdc.FlashStarted)
		t.answer(p.Stage)
	case app.FlashRestarting, app.FlashDone:
		t.announce(pdc.FlashSuccess)
	case app.FlashFailed:
		if t.told != "" {
			t.announce(pdc.FlashFailed)
		}
	default:
		// Nothing that people are told.
	}
}

// over says that no more progress comes.
func (t *transfer) over(err error) {
	if err == nil {
		t.answer(app.FlashDone)
	}
}

func (t *transfer) answer(stage app.FlashStage) {
	select {
	case t.begun <- stage:
	default: // was answered before
	}
}

func (t *transfer) announce(status string) {
	if t.told == status {
		return
	}
	t.told = status
	t.s.cloud.Announce(t.owner, Event{
		Name: pdc.EventFlashStatus, Data: []byte(status), TTL: pdc.DefaultTTL,
		Published: t.s.c.Now(), Device: t.device,
	})
}
