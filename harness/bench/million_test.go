package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
)

var (
	millionDevices = flag.Int("devices", 2000, "TestMillion: how many devices")
	millionProfile = flag.String("profile", "boron@6.2.0", "TestMillion: kind of device, over UDP")
	millionAlive   = flag.Duration("keep-alive", 5*time.Minute, "TestMillion: how often each device pings")
	millionCloud   = flag.String("muster", "", "TestMillion: the program whose cloud is used; empty: it is built")
	millionData    = flag.String("data", "", "TestMillion: folder for the cloud's data, made and removed; empty: a temporary one")
	millionOut     = flag.String("out", "", "TestMillion: file for the numbers as JSON")
	millionWithin  = flag.Duration("within", 2*time.Hour, "TestMillion: how long all of it may take")
	millionPprof   = flag.String("cloud-pprof", "", "TestMillion: address for the profiles of the cloud")
)

// TestMillion holds very many live DTLS devices against the reference cloud, on
// one machine, through the kernel's UDP: the fleet in this process, the cloud as a
// process of its own with its state on the disk. Then the cloud is killed and
// started, and all devices resume, without a handshake.
//
// It prints what it saw. It fails when devices do not come online, an event is not
// acknowledged, or a device needs a handshake after the restart: never because
// something is slow.
func TestMillion(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc, and needs all of 127.0.0.0/8")
	}
	if testing.Short() {
		t.Skip("runs a cloud")
	}
	ctx, cancel := context.WithTimeout(t.Context(), *millionWithin)
	defer cancel()
	m := &million{t: t, n: *millionDevices, began: time.Now(), log: os.Stdout}
	m.dir = t.TempDir()
	if *millionData != "" {
		m.dir = *millionData
		if err := os.MkdirAll(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(m.dir)
	}
	if m.n <= 5000 {
		m.log = nil
	}
	ctx, m.tooLittle = context.WithCancelCause(ctx)
	defer m.tooLittle(nil)
	go m.watchMemory(ctx)
	err := m.run(ctx)
	m.close()
	if m.n > 5000 || err != nil {
		m.report(os.Stdout, err)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err)
		}
		t.Fatal(err)
	}
}

// A million is one run.
type million struct {
	t         *testing.T
	n         int
	dir       string
	began     time.Time
	log       *os.File // nil: quiet
	tooLittle context.CancelCauseFunc

	cloud *cloudProcess
	fleet *millionFleet
	live  millionReading // before the cloud was killed under live devices
	got   millionNumbers
}

// run goes through the phases. What they find is in m.got, also when one fails.
func (m *million) run(ctx context.Context) error {
	for _, phase := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"looking at the machine", m.look},
		{"measuring the floor", m.floor},
		{"starting an empty cloud", m.emptyCloud},
		{"registering the devices", m.register},
		{"starting the cloud", m.startCloud},
		{"making the fleet", m.makeFleet},
		{"connecting", m.connect},
		{"idling", m.idle},
		{"publishing", m.publish},
		{"killing the cloud and starting it", m.restart},
		{"resuming", m.resume},
		{"idling again", m.idleAgain},
		{"killing the cloud under live devices, and starting it", m.restartLive},
		{"waiting until every device was heard", m.goOn},
		{"measuring the floor again", m.floor},
	} {
		m.say("%s", phase.what)
		start := time.Now()
		err := phase.do(ctx)
		m.got.Phases = append(m.got.Phases, millionPhase{phase.what, seconds(time.Since(start))})
		if err != nil {
			return fmt.Errorf("%s: %w", phase.what, err)
		}
	}
	return nil
}

func (m *million) say(format string, args ...any) {
	if m.log != nil {
		fmt.Fprintf(m.log, "%8s  %s\n", time.Since(m.began).Round(time.Second), fmt.Sprintf(format, args...))
	}
}

func (m *million) close() {
	if m.fleet != nil {
		m.fleet.close()
	}
	if m.cloud != nil {
		m.cloud.kill()
	}
}

// floor measures the public-key operations of a handshake alone, both ends.
func (m *million) floor(context.Context) error {
	c, e := Contest{Rounds: 11, Turn: 100 * time.Millisecond}, &Entrant{Name: "floor", Do: func(n int) error {
		for range n {
			if err := asymmetric(); err != nil {
				return err
			}
		}
		return nil
	}}
	if m.n <= 5000 {
		c = Contest{Rounds: 1, Turn: time.Millisecond}
	}
	if err := c.Run(e); err != nil {
		return err
	}
	m.got.Floor = append(m.got.Floor, e.Cost())
	return nil
}

// register makes the keys from a seed, and imports the public halves.
func (m *million) register(ctx context.Context) error {
	m.fleet = &millionFleet{m: m, keys: fleet.SeededKeys(millionSeed, 0)}
	list := make([]fleet.Member, m.n)
	for i := range list {
		list[i].ID = fleet.ID(fleet.SeededMark(millionSeed), i)
	}
	file := filepath.Join(m.dir, "fleet.jsonl")
	if err := m.fleet.keys.ExportPublic(file, list, nil); err != nil {
		return err
	}
	before := diskUsed(m.data())
	start := time.Now()
	if err := m.muster(ctx, "cloud", "device", "import", file, "--data", m.data()); err != nil {
		return err
	}
	m.got.Import = seconds(time.Since(start))
	m.got.DiskRegistered = diskUsed(m.data()) - before
	return os.Remove(file)
}

const millionSeed = 7

func (m *million) data() string { return filepath.Join(m.dir, "cloud") }

// connect switches all devices on. They connect as fast as the two ends can,
// bounded by how many may be on their way.
func (m *million) connect(ctx context.Context) error {
	before := m.reading()
	m.fleet.real.Start(fleet.Ramp{})
	if err := m.wait(ctx, func(f fleet.Metrics) bool { return f.Online == m.n }); err != nil {
		return err
	}
	m.got.Connect = m.since(before)
	return nil
}

// idle lets the fleet rest, so that what the connecting needed is given back.
func (m *million) idle(ctx context.Context) error {
	before := m.reading()
	if err := m.sleep(ctx, m.little(30*time.Second)); err != nil {
		return err
	}
	m.got.Idle = m.since(before)
	return nil
}

func (m *million) idleAgain(ctx context.Context) error {
	before := m.reading()
	if err := m.sleep(ctx, m.little(30*time.Second)); err != nil {
		return err
	}
	m.got.IdleAgain = m.since(before)
	return m.keepDrops()
}

// restart kills the cloud and starts it. Meanwhile all devices lose their power,
// with their memory kept, as after an outage of everything.
func (m *million) restart(ctx context.Context) error {
	if err := m.keepDrops(); err != nil {
		return err
	}
	m.got.DiskConnected = diskUsed(m.data())
	m.cloud.kill()
	for i := range m.n {
		m.fleet.real.Suspend(i)
	}
	// Commands of one shard are done in their order.
	for i := range min(m.n, runtime.GOMAXPROCS(0)) {
		if err := m.fleet.real.Call(ctx, m.n-1-i, nothing); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := m.startCloud(ctx); err != nil {
		return err
	}
	m.got.Start = seconds(time.Since(start))
	return nil
}

// resume switches all devices on.
func (m *million) resume(ctx context.Context) error {
	before := m.reading()
	m.fleet.real.Start(fleet.Ramp{})
	if err := m.wait(ctx, func(f fleet.Metrics) bool { return f.Online == m.n }); err != nil {
		return err
	}
	m.got.Resume = m.since(before)
	switch r := m.got.Resume; {
	case r.Handshakes != 0:
		return fmt.Errorf("%d devices needed a handshake", r.Handshakes)
	case r.CloudHandshakes != 0:
		return fmt.Errorf("the cloud did %v handshakes", r.CloudHandshakes)
	}
	return nil
}

// restartLive kills the cloud and starts it. The devices stay on: who pings
// meanwhile hears nothing, and resumes.
func (m *million) restartLive(ctx context.Context) error {
	m.live = m.reading()
	m.cloud.kill()
	start := time.Now()
	if err := m.startCloud(ctx); err != nil {
		return err
	}
	m.got.StartLive = seconds(time.Since(start))
	m.live.cloudCPU, m.live.cloud = 0, m.cloud.metrics() // a new process counts from nothing
	return nil
}

// goOn waits until the cloud has heard of every device again, by its own pings.
func (m *million) goOn(ctx context.Context) error {
	if m.n <= 5000 {
		m.fleet.real.Start(fleet.Ramp{Do: func(now clock.Instant, d *device.Device, out *device.Out) { d.Ping(now, out) }})
	}
	for {
		heard, f := m.cloud.heard(), m.fleet.real.Metrics()
		if heard == m.n && f.Online == m.n {
			break
		}
		m.say("heard of %d of %d since the start; %d devices call themselves online", heard, m.n, f.Online)
		if err := m.sleep(ctx, m.little(10*time.Second)); err != nil {
			return fmt.Errorf("heard of %d of %d: %w", heard, m.n, err)
		}
	}
	m.got.GoOn = m.since(m.live)
	if err := m.keepDrops(); err != nil {
		return err
	}
	if g := m.got.GoOn; g.Handshakes != 0 || g.CloudHandshakes != 0 {
		return fmt.Errorf("%d devices needed a handshake, the cloud did %v", g.Handshakes, g.CloudHandshakes)
	}
	return nil
}

// little is d, or a moment in a run that only proves that the measuring works.
func (m *million) little(d time.Duration) time.Duration {
	if m.n <= 5000 {
		return min(d, 100*time.Millisecond)
	}
	return d
}

// wait waits for the fleet, and tells how it goes.
func (m *million) wait(ctx context.Context, done func(fleet.Metrics) bool) error {
	look := time.NewTicker(m.little(500 * time.Millisecond))
	defer look.Stop()
	said, last := time.Now(), m.fleet.real.Metrics()
	for {
		f := m.fleet.real.Metrics()
		if done(f) {
			return nil
		}
		if now := time.Now(); now.Sub(said) >= 10*time.Second {
			m.say("online %d of %d, %.0f/s; attempts %d, lost %d; resident: cloud %s, fleet %s; available %s", f.Online, m.n,
				float64(f.Online-last.Online)/now.Sub(said).Seconds(), f.Attempts, f.Offline,
				bytesText(resident(m.cloud.pid())), bytesText(resident(os.Getpid())), bytesText(memoryAvailable()))
			said, last = now, f
		}
		select {
		case <-look.C:
		case err := <-m.cloud.ended:
			m.cloud.ended <- err
			return fmt.Errorf("the cloud ended: %w: see %s", err, m.cloud.logFile)
		case <-ctx.Done():
			return fmt.Errorf("online %d of %d, errors %v: %w", f.Online, m.n, f.Errors, context.Cause(ctx))
		}
	}
}

func (m *million) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *million) report(w *os.File, failed error) {
	m.got.Devices, m.got.Profile, m.got.KeepAlive = m.n, *millionProfile, millionAlive.String()
	if failed != nil {
		m.got.Failed = failed.Error()
	}
	m.got.write(w)
	if *millionOut == "" {
		return
	}
	b, err := json.MarshalIndent(m.got, "", "  ")
	if err == nil {
		err = os.WriteFile(*millionOut, append(b, '\n'), 0o644)
	}
	if err != nil {
		m.t.Error(err)
	}
}

// deviceIndex is the number of a device in the fleet.
func deviceIndex(id device.ID) int {
	return int(id[8])<<24 | int(id[9])<<16 | int(id[10])<<8 | int(id[11])
}
