package target

import (
	"testing"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/sim/profile"
)

// Every kind of device can be sent an image.
func TestImageOfEveryKind(t *testing.T) {
	const size = 9000
	for _, p := range profile.All() {
		d := &Device{ID: DeviceID{1}, Profile: p}
		img, err := app.ParseImage(Image(d, size))
		if err != nil || img.Platform != p.Board.Platform {
			t.Errorf("%s: %v, for platform %v", p, err, img.Platform)
		}
		if img, err = app.ParseImage(ForeignImage(d, size)); err != nil || img.Platform == p.Board.Platform {
			t.Errorf("%s: %v, foreign for platform %v", p, err, img.Platform)
		}
	}
}
