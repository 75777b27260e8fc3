package flash

import (
	"context"
	"fmt"
	"path/filepath"
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
	restarting := false
	for {
		e, err := events.Next()
		if err != nil {
			if wait.Err() != nil {
				err = context.Cause(wait)
			}
			return fmt.Errorf("%w; the update may still go on: the cloud's event stream tells", err)
		}
		switch {
		case e.Name == "spark/flash/status" && trimmed(e.Data) == "failed":
			return fmt.Errorf("the board refused the image: the cloud says that the update failed; %s", kept)
		case e.Name == "spark/flash/status" && trimmed(e.Data) == "started":
			tell(Progress{Stage: "the cloud sends it"})
		case e.Name == "spark/flash/status" && trimmed(e.Data) == "success":
			tell(Progress{Stage: "waiting for the board to restart and connect"})
			restarting = true
		case e.Name == "spark/status" && trimmed(e.Data) == "online" && restarting:
			return nil
		}
	}
}
