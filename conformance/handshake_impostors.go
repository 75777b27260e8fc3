package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/trace"
)

func checkStranger(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	d, err := e.Stranger(ctx, g)
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	packets, err := attempt(ctx, e, d, showedKey)
	if err != nil {
		return err
	}
	if !showedKey(packets) {
		return fmt.Errorf("the device did not come as far as to show its key")
	}
	r.Judged(1)
	if d.Connected() || len(messages(packets)) > 0 {
		r.Fail(report.Finding{Requirement: "R-32", Device: id(d), Text: "a device that nobody registered got in", Packets: lines(packets)})
	}
	return nil
}

// showedKey reports whether a device sent its key.
func showedKey(packets []*trace.Packet) bool {
	for _, p := range packets {
		for i := range p.Records {
			if p.Records[i].Unit == trace.C1 {
				return true
			}
		}
	}
	return sent(packets, trace.Up, trace.ClientKeyExchange)
}

func checkImpostorCloud(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	puppets := map[string]func(*target.CloudConfig){
		"a flipped bit in S":  func(c *target.CloudConfig) { c.LightFaults.FlipSignatureBit = true },
		"a DigestInfo in S":   func(c *target.CloudConfig) { c.LightFaults.DigestInfoInSignature = true },
		"a C2 that is random": func(c *target.CloudConfig) { c.LightFaults.GarbageC2 = true },
	}
	if g.Transport == "udp" {
		if err := judgeDeceived(ctx, e, g, r); err != nil {
			return err
		}
		puppets = map[string]func(*target.CloudConfig){
			"a signature over another random": func(c *target.CloudConfig) { c.ServerFaults.WrongSignature = true },
		}
	}
	for what, cloud := range inOrder(puppets) {
		v, err := e.Virtual(g.Devices[0].Profile, e.Seed(), target.Puppet{Cloud: cloud})
		if err != nil {
			return err
		}
		v.PowerOn()
		v.Run(20 * time.Second)
		judgeRefusal(r, g.Devices[0].Profile.String(), what, v.Packets(0))
	}
	return nil
}

// judgeDeceived shows the cloud to a device that pins another key. Over TCP the
// cloud could not read what such a device says.
func judgeDeceived(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	d, err := e.Deceived(ctx, g)
	if err != nil {
		return err
	}
	defer e.Dismiss(d)
	packets, err := attempt(ctx, e, d, proved)
	if err != nil {
		return err
	}
	judgeRefusal(r, id(d), "a signature by another key", packets)
	return nil
}

// judgeRefusal expects that a device that has seen the proof of the cloud says
// nothing more.
func judgeRefusal(r *Recorder, device, what string, packets []*trace.Packet) {
	if !proved(packets) {
		r.Inconclusive(report.Finding{Device: device, Text: "the cloud did not come as far as " + what})
		return
	}
	r.Judged(1)
	if sent(packets, trace.Up, trace.ClientKeyExchange) || len(messages(packets)) > 0 {
		r.Fail(report.Finding{Requirement: "R-43", Device: device, Text: "the device went on behind " + what, Packets: lines(packets)})
	}
}

// proved reports whether the cloud has shown what proves that it holds its key.
func proved(packets []*trace.Packet) bool {
	for _, p := range packets {
		for i := range p.Records {
			if p.Records[i].Unit == trace.Answer {
				return true
			}
		}
	}
	return sent(packets, trace.Down, trace.ServerKeyExchange)
}
