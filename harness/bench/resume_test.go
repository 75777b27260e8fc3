package bench

import (
	"fmt"
	"time"

	"github.com/muster/muster/transport"
)

// resume is what it takes until a stored session goes on: the first datagram of
// the device after power-on and the cloud's answer. From 2.0 on Device OS publishes
// some events of its own then, which the informing line has too.
func (r *run) resume() error {
	for _, line := range []struct {
		profile string
		want    int
	}{{"boron@6.2.0", 142}, {"boron@3.1.0", 142}, {"boron@3.0.0", 135}, {"electron@2.3.1", 135}} {
		resumed, all, err := resumeBytes(line.profile)
		if err != nil {
			return fmt.Errorf("%s: %w", line.profile, err)
		}
		r.rows = append(r.rows, Row{
			What: "resume on the wire with IPv4 and UDP headers, " + line.profile, Unit: "B",
			Floor: float64(line.want), Ours: float64(resumed), OverFloor: float64(resumed) / float64(line.want),
			Target: fmt.Sprintf("exactly %d", line.want), Reached: reached(resumed == line.want),
		})
		if line.profile == "boron@6.2.0" {
			r.rows = append(r.rows, Row{What: "  and the events of the system after a reset, with their ACKs", Unit: "B", Ours: float64(all)})
		}
	}
	return nil
}

// resumeBytes returns the bytes of the resume, and of all that was sent in the
// half minute after power-on.
func resumeBytes(profile string) (resumed, all int, err error) {
	var heard, answered bool
	w, err := newWorld(profile, 1, func(s transport.Sighting) {
		if !s.Sent {
			return
		}
		n, once := len(s.Data)+ipv4UDP, &heard
		if s.Local.Addr() == worldCloud {
			once = &answered
		}
		if !*once {
			*once = true
			resumed += n
		}
		all += n
	})
	if err != nil {
		return 0, 0, err
	}
	if err := w.connect(); err != nil {
		return 0, 0, err
	}
	w.fleet.Suspend(0)
	w.pass(time.Second)
	resumed, all, heard, answered = 0, 0, false, false
	w.fleet.PowerOn(0)
	w.pass(30 * time.Second)
	if m := w.fleet.Metrics(); m.Resumes != 1 || m.Online != 1 {
		return 0, 0, fmt.Errorf("the device did not resume: %d resumes", m.Resumes)
	}
	return resumed, all, nil
}
