package target

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/muster/muster/sim/profile"
)

// A program is a device that is a program, such as the virtual device of Device OS.
// It has a folder of its own, in which it runs and keeps its state. Whenever it
// ends while it is to run it is started again, as a board restarts.
type program struct {
	spec     *ProcessSpec
	profile  *profile.Profile
	id       DeviceID
	dir      string
	temp     bool // dir is to be removed
	log      BoardLog
	identity Identity
	command  string // with everything in its place
	env      []string

	alone bool           // it has a network of its own
	at    netip.Addr     // where it is then, as its cloud sees it
	cloud netip.AddrPort // where it looks for its cloud

	had map[string]bool // in its folder, before it ever ran

	mu      sync.Mutex
	running *run // nil: it is off

	lastMu sync.Mutex
	last   string // line of the console
	ended  string // how it ended last, "" if it never did
	times  int    // that it ended soon, in a row

	hopeless chan struct{} // closed when that were too many
	giveUp   sync.Once
}

// Hopeless is closed when the program has ended soon again and again.
func (p *program) Hopeless() <-chan struct{} { return p.hopeless }

// Trouble says how the program ended last and what it said, "" if it never ended.
func (p *program) Trouble() string {
	p.lastMu.Lock()
	defer p.lastMu.Unlock()
	if p.ended == "" {
		return ""
	}
	said := "and said nothing"
	if p.last != "" {
		said = fmt.Sprintf("and the last that it said was %q", p.last)
	}
	if p.times > 1 {
		return fmt.Sprintf("it was started and ended %d times (%s), %s", p.times, p.ended, said)
	}
	return fmt.Sprintf("it ended (%s), %s", p.ended, said)
}

// A run is one time that a program is switched on: processes that follow one
// another until it is switched off.
type run struct {
	stop  context.CancelFunc
	ended chan struct{}

	mu     sync.Mutex
	stdin  io.Writer
	starts int
}

// openPrograms prepares the programs of a spec, none of which runs yet.
func openPrograms(spec *ProcessSpec, p *profile.Profile, log BoardLog) ([]*program, error) {
	if err := runnable(spec.Command); err != nil {
		return nil, err
	}
	list := spec.Devices
	if len(list) == 0 {
		list = []ProgramSpec{{}}
	}
	var programs []*program
	for i, one := range list {
		prog, err := openProgram(spec, one, p, i, log)
		if err != nil {
			for _, opened := range programs {
				err = errors.Join(err, opened.Close())
			}
			return nil, err
		}
		programs = append(programs, prog)
	}
	return programs, nil
}

func openProgram(spec *ProcessSpec, one ProgramSpec, p *profile.Profile, n int, log BoardLog) (*program, error) {
	prog := &program{spec: spec, profile: p, log: log, hopeless: make(chan struct{})}
	prog.alone = p.Board.UDP && !spec.SharedNetwork
	if err := prog.name(one.ID); err != nil {
		return nil, err
	}
	if err := prog.makeDir(n); err != nil {
		return nil, err
	}
	if err := prog.makeKey(one.Key); err != nil {
		return nil, errors.Join(err, prog.Close())
	}
	return prog, nil
}

// name gives the program its device id, a new one if there is none.
func (p *program) name(id string) error {
	if id == "" {
		copy(p.id[:], []byte{0xe0, 0x0f, 0xce, 0x68})
		_, err := rand.Read(p.id[4:])
		return err
	}
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(p.id) {
		return fmt.Errorf("the id of a device is 24 hexadecimal digits, and %q is not", id)
	}
	p.id = DeviceID(b)
	return nil
}

func (p *program) makeDir(n int) (err error) {
	if p.spec.Dir == "" {
		p.temp = true
		p.dir, err = os.MkdirTemp("", "muster-device-")
		return err
	}
	if p.dir, err = filepath.Abs(filepath.Join(p.spec.Dir, fmt.Sprintf("device-%d", n+1))); err != nil {
		return err
	}
	return os.MkdirAll(p.dir, 0o700)
}

// Attach implements Board: it writes what tells the program who it is and where
// its cloud is.
func (p *program) Attach(_ context.Context, cloud Address) (Identity, error) {
	if err := p.writeFiles(cloud); err != nil {
		return Identity{}, err
	}
	p.fill(cloud)
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the folder of a program: %w", err)
	}
	p.had = make(map[string]bool)
	for _, e := range entries {
		p.had[e.Name()] = true
	}
	p.identity.ID, p.identity.Profile = p.id, p.profile
	p.identity.Commands = p.spec.Commands
	p.identity.KeepsState, p.identity.Why = No, "the program keeps its session in its memory only"
	p.identity.Name = "program-" + p.id.String()[16:]
	return p.identity, nil
}

// fill puts the values into the command and its environment.
func (p *program) fill(cloud Address) {
	at, protocol := cloud.TCP, "tcp"
	if p.profile.Board.UDP {
		at, protocol = cloud.UDP, "udp"
	}
	values := []struct{ name, value string }{
		{"id", p.id.String()},
		{"key", filepath.Join(p.dir, fileDeviceKey)},
		{"server-key", filepath.Join(p.dir, fileServerKey)},
		{"protocol", protocol},
		{"dir", p.dir},
		{"host", at.Addr().String()},
		{"port", fmt.Sprint(at.Port())},
	}
	p.cloud, p.at = at, netip.AddrFrom4([4]byte{127, 64 | p.id[9]&0x3f, p.id[10], 1 | p.id[11]&0xfe})
	p.command = absolute("", p.spec.Command)
	p.env = os.Environ()
	for _, v := range values {
		p.command = strings.ReplaceAll(p.command, "{"+v.name+"}", quote(v.value))
		p.env = append(p.env, "MUSTER_"+strings.ToUpper(strings.ReplaceAll(v.name, "-", "_"))+"="+v.value)
	}
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// absolute makes the path of the program absolute, if it is one that starts in dir:
// the program runs in another folder than the one in which the user named it.
func absolute(dir, command string) string {
	first, rest, _ := strings.Cut(command, " ")
	if !strings.Contains(first, "/") || filepath.IsAbs(first) {
		return command
	}
	path, err := filepath.Abs(filepath.Join(dir, first))
	if err != nil {
		return command
	}
	if _, err := os.Stat(path); err != nil {
		return command
	}
	return strings.TrimRight(quote(path)+" "+rest, " ")
}

// PowerOn implements Board.
func (p *program) PowerOn(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &run{stop: stop, ended: make(chan struct{})}
	p.running = r
	go func() {
		defer close(r.ended)
		p.supervise(ctx, r)
	}()
	return nil
}

// PowerOff implements Board: the program is killed, with everything it started.
func (p *program) PowerOff(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return nil
	}
	p.running.stop()
	<-p.running.ended
	p.running = nil
	return nil
}

// Forget removes what the program has left in its folder since it ran first.
func (p *program) Forget() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("reading the folder of a program: %w", err)
	}
	for _, e := range entries {
		if !p.had[e.Name()] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(p.dir, e.Name())))
		}
	}
	return err
}

// CanReset implements Board.
func (p *program) CanReset() string {
	return "a program has no reset pin: killing it takes its memory, too"
}

// CanCut implements Board.
func (p *program) CanCut() string { return "" }

// Reset implements Board.
func (p *program) Reset(context.Context, func()) (time.Time, error) {
	return time.Time{}, errors.ErrUnsupported
}

// CutPower implements Board.
func (p *program) CutPower(ctx context.Context) error { return p.PowerOff(ctx) }

// Command implements Board.
func (p *program) Command(_ context.Context, line string) error {
	p.mu.Lock()
	r := p.running
	p.mu.Unlock()
	switch {
	case !p.spec.Commands:
		return errors.ErrUnsupported
	case r == nil:
		return errors.New("the program is not running")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stdin == nil {
		return errors.New("the program is not running")
	}
	_, err := io.WriteString(r.stdin, line+"\n")
	return err
}

// Close implements Board.
func (p *program) Close() error {
	err := p.PowerOff(context.Background())
	if p.temp {
		err = errors.Join(err, os.RemoveAll(p.dir))
	}
	return err
}

// The pauses before a program that has ended is started again: it doubles while it
// ends at once.
const (
	restartFirst = 100 * time.Millisecond
	restartMost  = 5 * time.Second
	livesLong    = 3 * time.Second
	hopelessly   = 5 // ends in a row, that soon
)

// supervise runs the program again and again until ctx ends.
func (p *program) supervise(ctx context.Context, r *run) {
	pause := restartFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := p.once(ctx, r)
		if ctx.Err() != nil {
			return
		}
		livedLong := time.Since(began) > livesLong
		if livedLong {
			pause = restartFirst
		}
		p.log("process", fmt.Sprintf("%s ended (%s); it is started again", p.id, outcome(err)))
		p.lastMu.Lock()
		p.ended = outcome(err)
		if p.times++; livedLong {
			p.times = 1
		}
		if p.times == hopelessly {
			p.giveUp.Do(func() { close(p.hopeless) })
		}
		p.lastMu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, restartMost)
	}
}

func outcome(err error) string {
	if err == nil {
		return "exit code 0"
	}
	return err.Error()
}

// once runs the program until it ends or ctx does.
func (p *program) once(ctx context.Context, r *run) error {
	cmd, console, net, err := p.begin(r)
	if err != nil {
		p.log("process", fmt.Sprintf("%s does not start: %v", p.id, err))
		return err
	}
	r.mu.Lock()
	r.starts++
	r.mu.Unlock()
	p.log("process", fmt.Sprintf("%s runs as process %d", p.id, cmd.Process.Pid))
	if net != nil {
		go net.started()
	}
	killed := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer killed()
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(console)
	}()
	err = cmd.Wait()
	// What it started and left behind goes with it.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-read
	r.mu.Lock()
	r.stdin = nil
	r.mu.Unlock()
	if net != nil {
		err = errors.Join(err, net.close())
	}
	return errors.Join(err, console.Close())
}

// begin starts the program, in a network of its own if it is to have one.
func (p *program) begin(r *run) (*exec.Cmd, io.ReadCloser, *network, error) {
	if p.alone {
		cmd := &exec.Cmd{Dir: p.dir, Env: p.env}
		net, err := ownNetwork(cmd, p.command, p.at, p.cloud)
		if err == nil {
			var console io.ReadCloser
			if console, err = p.start(cmd, r); err == nil {
				return cmd, console, net, nil
			}
			err = errors.Join(err, net.close())
		}
		if !noNetwork(err) {
			return nil, nil, nil, err
		}
		p.alone = false
		p.log("process", fmt.Sprintf("%s gets no network of its own (%v): programs that bind port %d of all addresses, as the virtual device of Device OS does, take what is meant for one another",
			p.id, err, p.cloud.Port()))
	}
	cmd := exec.Command("/bin/sh", "-c", p.command) //nolint:gosec // it is what the user asked for
	cmd.Dir, cmd.Env = p.dir, p.env
	console, err := p.start(cmd, r)
	return cmd, console, nil, err
}

// start starts the program with its console, a terminal or a pipe.
//
// Device OS: the virtual device prints its serial port through a buffer, which
// leaves at each line on a terminal, and when it is full on a pipe.
func (p *program) start(cmd *exec.Cmd, r *run) (io.ReadCloser, error) {
	if !p.spec.Pipe {
		return p.startOnTerminal(cmd, r)
	}
	ofItsOwn(cmd).Setpgid = true
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	console, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := errors.Join(cmd.Start(), out.Close()); err != nil {
		return nil, errors.Join(err, console.Close())
	}
	r.mu.Lock()
	r.stdin = stdin
	r.mu.Unlock()
	return console, nil
}

// ofItsOwn returns what is special of a process that is to be started.
func ofItsOwn(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}

// startOnTerminal gives it a terminal that changes nothing: no echo of what it is
// told, no keys with a meaning.
func (p *program) startOnTerminal(cmd *exec.Cmd, r *run) (io.ReadCloser, error) {
	console, tty, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("a terminal for the program: %w", err)
	}
	defer tty.Close()
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		return nil, errors.Join(fmt.Errorf("a terminal for the program: %w", err), console.Close())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	// A session of its own makes it the leader of a group, too.
	ofItsOwn(cmd).Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, console.Close())
	}
	r.mu.Lock()
	r.stdin = console
	r.mu.Unlock()
	return console, nil
}

// consoleLineMax bounds a line of a console, in bytes.
const consoleLineMax = 4096

// read logs what the program prints.
func (p *program) read(console io.Reader) {
	lines := bufio.NewReaderSize(console, consoleLineMax)
	for {
		line, err := lines.ReadSlice('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			p.log("console", p.id.String()+" "+string(line))
			p.lastMu.Lock()
			p.last = string(line)
			p.lastMu.Unlock()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return // the program has ended
		}
	}
}
