package flash

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/restapi"
)

// OTA flashes over the air, through the REST API of a cloud that the board is
// connected to.
type OTA struct {
	Cloud *restapi.Cloud
	// Within is how long the transfer may take; 0 is 10 minutes.
	Within time.Duration
}

// Name implements Way.
func (OTA) Name() string { return "ota" }

// Flash implements Way.
func (o OTA) Flash(ctx context.Context, b *handle.Board, i *Image, tell Tell) error {
	id := b.DeviceID()
	if id == "" {
		return fmt.Errorf("%s tells no device id: start it, so that its serial number is known", b)
	}
	within := o.Within
	if within <= 0 {
		within = 10 * time.Minute
	}
	wait, stop := context.WithTimeoutCause(ctx, within, fmt.Errorf("the update did not end within %s", within))
	defer stop()
	tell(Progress{Stage: "asking the cloud"})
	events, err := o.Cloud.Events(wait, id)
	if err != nil {
		return err
	}
	defer events.Close() //nolint:errcheck // only read
	status, err := o.Cloud.Flash(wait, id, filepath.Base(i.Name), i.Data)
	if err != nil {
		return fmt.Errorf("%w; %s", err, kept)
	}
	tell(Progress{Stage: status})
	var seen sequence
	for {
		e, err := events.Next()
		if err != nil {
			if wait.Err() != nil {
				err = context.Cause(wait)
			}
			if _, away := b.State(); errors.Is(away, handle.ErrNoBoard) {
				return fmt.Errorf("%w: the board is not plugged in: plug it in, and see what it runs (\"muster rig control %s modules\")", err, id)
			}
			return fmt.Errorf("%w; the update may still go on: the cloud's event stream tells", err)
		}
		stage, err := seen.hear(e.Name, strings.TrimSpace(e.Data))
		if err != nil || seen.done() {
			return err
		}
		if stage != "" {
			tell(Progress{Stage: stage})
		}
	}
}

// sequence is what was heard of an update. Clouds differ in whether they say
// "success" when the device has the image, and it restarts then, or when it is
// back.
type sequence struct {
	started, success, left, back bool
}

// done reports whether the device has the image and is back.
func (s *sequence) done() bool { return s.success && s.back }

// hear takes an event and returns what to tell of it.
func (s *sequence) hear(name, data string) (stage string, err error) {
	switch name + " " + data {
	case "spark/flash/status started":
		*s = sequence{started: true}
		return "the cloud sends it", nil
	case "spark/flash/status failed":
		return "", fmt.Errorf("the board refused the image: the cloud says that the update failed; %s", kept)
	case "spark/flash/status success":
		s.success = true
		if !s.back {
			return "waiting for the board to restart and connect", nil
		}
	case "spark/status offline":
		s.left = s.started
	case "spark/status online":
		// Before "success" it counts only if it went away before: it may have lost
		// its network in the middle.
		s.back = s.success || s.left
	}
	return "", nil
}
