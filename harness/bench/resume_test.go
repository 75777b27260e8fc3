package bench

import (
	"fmt"
	"time"

	"github.com/muster/muster/transport"
)

// resume is what a device and the cloud send when a stored session goes on: every
// datagram from power-on until half a minute later, counted by the network.
func (r *run) resume() error {
	for _, line := range []struct {
		profile string
		want    int
	}{{"boron@6.2.0", 142}, {"boron@3.1.0", 142}, {"boron@2.3.1", 135}, {"electron@3.0.0", 135}} {
		bytes, err := resumeBytes(line.profile)
		if err != nil {
			return fmt.Errorf("%s: %w", line.profile, err)
		}
		r.rows = append(r.rows, Row{
			What: "session resume on the wire, IPv4 and UDP headers included, " + line.profile, Unit: "B",
			Floor: float64(line.want), Ours: float64(bytes), OverFloor: float64(bytes) / float64(line.want),
			Target: "exactly", Reached: bytes == line.want,
		})
	}
	return nil
}

func resumeBytes(profile string) (bytes int, err error) {
	w, err := newWorld(profile, 1, func(s transport.Sighting) {
		if s.Sent {
			bytes += len(s.Data) + ipv4UDP
		}
	})
	if err != nil {
		return 0, err
	}
	if err := w.connect(); err != nil {
		return 0, err
	}
	w.fleet.Suspend(0)
	w.pass(time.Second)
	bytes = 0
	w.fleet.PowerOn(0)
	w.pass(30 * time.Second)
	if m := w.fleet.Metrics(); m.Resumes != 1 || m.Online != 1 {
		return 0, fmt.Errorf("the device did not resume: %d resumes", m.Resumes)
	}
	return bytes, nil
}
