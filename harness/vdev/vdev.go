package vdev

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/fleet"
)

// Main runs the device until its standard input ends or it is killed, and returns
// the exit code. App is what it registers; edit, if not nil, changes how it works.
func Main(args []string, app *device.App, edit func(*device.Config), stdin io.Reader, stdout io.Writer) int {
	c, err := configure(args)
	if err != nil {
		fmt.Fprintln(stdout, "vdev:", err)
		return 1
	}
	if died(c.dies) {
		fmt.Fprintln(stdout, "vdev: dying, as told")
		return 3
	}
	if c.bare {
		app = nil
	}
	if err := run(c, app, edit, stdin, stdout); err != nil {
		fmt.Fprintln(stdout, "vdev:", err)
		return 1
	}
	return 0
}

// died reports whether the program is to end now. It counts in its folder.
func died(times int) bool {
	const file = "deaths"
	b, _ := os.ReadFile(file)
	if len(b) >= times {
		return false
	}
	return os.WriteFile(file, append(b, '.'), 0o600) == nil
}

func run(c *config, app *device.App, edit func(*device.Config), stdin io.Reader, stdout io.Writer) error {
	at := netip.AddrPortFrom(c.cloud, fleet.PortUDP)
	drain := func() error { return nil }
	if c.profile.Board.UDP {
		var err error
		if at, drain, err = bindPort(at); err != nil {
			return err
		}
	}
	again := make(chan struct{}, 1)
	f, err := fleet.NewReal(fleet.Options{
		UDP: at, TCP: netip.AddrPortFrom(c.cloud, fleet.PortTCP), Shards: 1,
		Observe: func(_ int, _ clock.Instant, e device.Event) {
			if c.verbosity > 0 {
				fmt.Fprintf(stdout, "0000000001 [app] INFO: %s %s\n", e.Kind, e.Name)
			}
			if e.Kind == device.UpdateApplied {
				again <- struct{}{}
			}
		},
	})
	if err != nil {
		return err
	}
	memory, err := remembered()
	if err != nil {
		return err
	}
	config := &device.Config{
		Profile: c.profile, Key: func(device.ID) crypto.PrivateKey { return c.key }, CloudKey: c.cloudKey,
		Server: c.cloud.String(), App: app, Rand: rand.Reader, Faults: &device.Faults{AnswerEverything: c.yes},
	}
	if edit != nil {
		edit(config)
	}
	if _, err := f.Add(fleet.Spec{ID: c.id, NVRAM: memory, Config: config}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.PowerOn(0)
	go func() {
		serial(f, stdin, stdout)
		stop()
	}()
	select {
	case err := <-ended:
		return err
	case <-again:
		return reExecute(f, func() error {
			stop()
			return errors.Join(<-ended, drain())
		})
	}
}

// memoryFile is what an update leaves behind.
const memoryFile = "memory"

// remembered is what the device had when it executed itself again, but for its
// session, which dies with the process.
func remembered() (*device.NVRAM, error) {
	b, err := os.ReadFile(memoryFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	nv, err := device.ParseNVRAM(b)
	if err == nil {
		nv.Session = nil
	}
	return nv, err
}

// reExecute replaces the process by itself, as the virtual device does to restart.
func reExecute(f *fleet.Real, drain func() error) error {
	b, err := f.Memory(context.Background(), 0)
	if err != nil {
		return err
	}
	// What it said last leaves first: its answer to the end of the update.
	if err := drain(); err != nil {
		return err
	}
	if err := os.WriteFile(memoryFile, b, 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, os.Environ())
}

// serial takes the lines that the application understands.
func serial(f *fleet.Real, stdin io.Reader, stdout io.Writer) {
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		fmt.Fprintf(stdout, "> %s\n", lines.Text())
		switch word {
		case "publish":
			name, data, _ := strings.Cut(rest, " ")
			f.Publish(0, device.Publication{Name: name, Data: []byte(data)}, func(err error) { fmt.Fprintln(stdout, "refused:", err) })
		case "connect":
			f.Connect(0)
		case "disconnect":
			f.Disconnect(0)
		}
	}
}
