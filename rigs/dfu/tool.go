package dfu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What dfu-util could not do, to be told apart with [errors.Is].
var (
	// ErrNoProgram: there is no dfu-util.
	ErrNoProgram = errors.New("dfu-util is not installed: apt-get install dfu-util (Debian, Ubuntu), dnf install dfu-util (Fedora), brew install dfu-util (macOS)")
	// ErrNoBoard: the board is not in DFU mode, or gone.
	ErrNoBoard = errors.New("no such board in DFU mode: it left, or was unplugged")
	// ErrAmbiguous: several boards fit.
	ErrAmbiguous = errors.New("several boards in DFU mode fit: name one by USB path")
	// ErrPermission: this user may not open the board.
	ErrPermission = errors.New("you may not open the board: install the udev rules that \"muster rig udev\" prints, or join their group (plugdev)")
	// ErrProtected: the bootloader refuses the address.
	ErrProtected = errors.New("the bootloader refuses this address: the image is for another board, or the board is protected")
	// ErrInterrupted: the board left in the middle.
	ErrInterrupted = errors.New("the board left in the middle: it was unplugged, lost power, or the cable is bad")
)

// patience is how long dfu-util may take: the slowest write, of a system part of
// a Gen 2 board, takes under a minute.
const patience = 5 * time.Minute

// A Tool is dfu-util. The zero value finds the program in PATH.
type Tool struct {
	Program string // its path; empty: from MUSTER_DFU_UTIL, else "dfu-util" in PATH
	// Scratch is the folder for files that dfu-util reads and writes, some of
	// them private keys: only its owner should be able to enter it. Empty: a new
	// folder of the system's for temporary ones.
	Scratch string
	// Hold are files that dfu-util keeps open, so that a lock that this process
	// has lasts as long as the program runs, even if this process is killed.
	Hold []*os.File
}

// A Target names a board in DFU mode. Empty fields match every board.
type Target struct {
	Vendor, Product uint16
	Path            string // USB path, as 1-1.4
	Serial          string // as in [Found]; not used when there is a Path
}

func (t Target) args() []string {
	args := []string{"-d", fmt.Sprintf("%04x:%04x", t.Vendor, t.Product)}
	switch {
	case t.Path != "":
		args = append(args, "-p", t.Path)
	case t.Serial != "":
		args = append(args, "-S", t.Serial)
	}
	return args
}

// A Progress is how far dfu-util is.
type Progress struct {
	Phase string // "Erase", "Download" (to the board) or "Upload"
	Bytes int64  // so far, of this phase
}

// Find returns the path of the program, or [ErrNoProgram].
func (t Tool) Find() (string, error) {
	program := t.Program
	if program == "" {
		program = os.Getenv("MUSTER_DFU_UTIL")
	}
	if program == "" {
		program = "dfu-util"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w (%w)", ErrNoProgram, err)
	}
	return path, nil
}

var version = regexp.MustCompile(`^dfu-util (\S+)`)

// Version returns the version of the program, as "0.11".
func (t Tool) Version(ctx context.Context) (string, error) {
	out, err := t.run(ctx, nil, "--version")
	if err != nil {
		return "", err
	}
	m := version.FindStringSubmatch(out.stdout)
	if m == nil {
		return "", fmt.Errorf("dfu-util does not tell its version: %s", firstLine(out.stdout))
	}
	return m[1], nil
}

// Read returns a region of the board's memory. With leave the board then leaves
// DFU mode.
func (t Tool) Read(ctx context.Context, board Target, r Region, leave bool) (data []byte, err error) {
	dir, clean, err := t.scratch()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	file := filepath.Join(dir, "read") // dfu-util wants to make it itself
	args := append(board.args(), "-a", strconv.Itoa(r.Alt), "-i", "0", "-s", fmt.Sprintf("%d:%d%s", r.Address, r.Size, leaving(leave)), "-U", file)
	if _, err := t.run(ctx, nil, args...); err != nil && !(leave && fileSize(file) == int64(r.Size)) {
		return nil, fmt.Errorf("reading %s: %w", r, err)
	}
	data, err = os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: dfu-util left no file: %w", r, err)
	}
	if len(data) != r.Size {
		return nil, fmt.Errorf("reading %s: dfu-util gave %d bytes", r, len(data))
	}
	return data, nil
}

func fileSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return -1
	}
	return info.Size()
}

// Write writes a region of the board's memory; tell, which may be nil, hears how
// far it is. With leave the board then leaves DFU mode and starts.
func (t Tool) Write(ctx context.Context, board Target, w Write, leave bool, tell func(Progress)) (err error) {
	dir, clean, err := t.scratch()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	file := filepath.Join(dir, "write")
	if err := os.WriteFile(file, w.Data, 0o600); err != nil {
		return err
	}
	args := append(board.args(), "-a", strconv.Itoa(w.Alt), "-i", "0", "-s", fmt.Sprintf("%d%s", w.Address, leaving(leave)), "-D", file)
	out, err := t.run(ctx, tell, args...)
	// Some bootloaders are gone before dfu-util has asked how it went.
	if err != nil && !(leave && strings.Contains(out.stdout, "File downloaded successfully")) {
		return fmt.Errorf("writing %s: %w", w.Region, err)
	}
	return nil
}

// Leave has the board leave DFU mode and start. Releases of dfu-util differ in how
// to say only that, so a few bytes are read on the way.
func (t Tool) Leave(ctx context.Context, board Target) error {
	_, err := t.Read(ctx, board, Region{Configuration, 0, 4}, true)
	return err
}

func leaving(leave bool) string {
	if leave {
		return ":leave"
	}
	return ""
}

// scratch makes a folder for one run.
func (t Tool) scratch() (dir string, clean func() error, err error) {
	dir, err = os.MkdirTemp(t.Scratch, "dfu-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

type output struct{ stdout, stderr string }

// run runs dfu-util. The error is one of the package's when its words are known.
func (t Tool) run(ctx context.Context, tell func(Progress), args ...string) (output, error) {
	program, err := t.Find()
	if err != nil {
		return output{}, err
	}
	ctx, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("dfu-util did nothing for %s, and was ended", patience))
	defer stop()
	cmd := exec.CommandContext(ctx, program, args...)
	stdout, stderr := &watch{tell: tell}, &watch{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.ExtraFiles = t.Hold
	cmd.SysProcAttr = detached() // a Ctrl-C is for us: half a write helps nobody
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	out := output{stdout.text(), stderr.text()}
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return out, context.Cause(ctx)
	}
	return out, explain(out, err)
}

// words are what dfu-util says when it fails, in the order in which to look: the
// cause before its consequences.
var words = []struct {
	text string
	err  error
}{
	{"LIBUSB_ERROR_ACCESS", ErrPermission},
	{"More than one DFU capable USB device found", ErrAmbiguous},
	{"is not writeable", ErrProtected},
	{"can not be erased", ErrProtected},
	{"is not readable", ErrProtected},
	{"Cannot program memory due to received address that is out of range", ErrProtected},
	{"LIBUSB_ERROR_NO_DEVICE", ErrInterrupted},
	{"LIBUSB_ERROR_IO", ErrInterrupted},
	{"Lost device", ErrInterrupted},
	{"get_status", ErrInterrupted}, // it asks a board that is gone how the last block went
	{"Error during special command", ErrInterrupted},
	{"No DFU capable USB device available", ErrNoBoard},
}

func explain(out output, err error) error {
	said := strings.TrimSpace(lastLine(out.stderr))
	if said == "" {
		said = strings.TrimSpace(lastLine(out.stdout))
	}
	for _, w := range words {
		if strings.Contains(out.stderr, w.text) || strings.Contains(out.stdout, w.text) {
			return fmt.Errorf("%w (%s)", w.err, said)
		}
	}
	return fmt.Errorf("dfu-util: %s (%w)", said, err)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\r\n ")
	return s[strings.LastIndexAny(s, "\r\n")+1:]
}

// watch keeps what a program prints, at most 64 KiB of it, and looks for
// progress.
type watch struct {
	tell func(Progress)

	mu   sync.Mutex
	kept bytes.Buffer
	line []byte
}

const keptMax = 64 << 10

var bar = regexp.MustCompile(`^(Erase|Download|Upload)\s*\[[= ]*\]\s*\d+%\s+(\d+) bytes`)

// Write implements io.Writer.
func (w *watch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range b {
		if c != '\r' && c != '\n' {
			if len(w.line) < 1024 {
				w.line = append(w.line, c)
			}
			// A bar is rewritten in place: it is whole before the next begins.
			if c == 's' {
				w.look()
			}
			continue
		}
		if c == '\n' && w.kept.Len() < keptMax {
			w.kept.Write(w.line)
			w.kept.WriteByte('\n')
		}
		w.line = w.line[:0]
	}
	return len(b), nil
}

// look tells the progress if the line is a bar.
func (w *watch) look() {
	if w.tell == nil {
		return
	}
	if m := bar.FindSubmatch(w.line); m != nil {
		n, err := strconv.ParseInt(string(m[2]), 10, 64)
		if err == nil {
			w.tell(Progress{string(m[1]), n})
		}
	}
}

func (w *watch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept.String() + string(w.line)
}

var _ io.Writer = (*watch)(nil)
