package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A cloudProcess is "muster cloud" as a process.
type cloudProcess struct {
	cmd       *exec.Cmd
	udp, http netip.AddrPort
	logFile   string
	ended     chan error
}

func (c *cloudProcess) pid() int { return c.cmd.Process.Pid }

// kill ends it as a power cut would, but for the disk.
func (c *cloudProcess) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
	c.ended <- errors.New("killed")
}

// program returns the program whose cloud is used.
func (m *million) program(ctx context.Context) (string, error) {
	if *millionCloud != "" {
		return *millionCloud, nil
	}
	path := filepath.Join(m.dir, "muster")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/muster/muster")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w: %s", err, said)
	}
	return path, nil
}

// muster runs the program to its end.
func (m *million) muster(ctx context.Context, args ...string) error {
	program, err := m.program(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if m.log != nil {
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&said, m.log), io.MultiWriter(&said, m.log)
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("muster %s: %w: %s", strings.Join(args, " "), err, said.Bytes())
	}
	return nil
}

// freeAddress returns an address with a UDP port that nobody has, nor is given while
// the cloud is away: systems give those of 32768 and more.
func freeAddress() (address string, err error) {
	for range 100 {
		address = fmt.Sprint("127.0.0.1:", 10000+rand.IntN(20000))
		var c net.PacketConn
		if c, err = net.ListenPacket("udp4", address); err == nil {
			return address, c.Close()
		}
	}
	return "", err
}

// startCloud starts the cloud, on the address that it had before, and waits until
// it is up.
func (m *million) startCloud(ctx context.Context) error {
	program, err := m.program(ctx)
	if err != nil {
		return err
	}
	c := &cloudProcess{logFile: filepath.Join(m.dir, "cloud.log"), ended: make(chan error, 1)}
	udp, err := freeAddress()
	if err != nil {
		return err
	}
	if m.cloud != nil {
		udp = m.cloud.udp.String()
	}
	args := []string{"cloud", "--data", m.data(), "--udp", udp, "--tcp", "", "--http", "127.0.0.1:0", "--host", "127.0.0.1", "--log", "json"}
	if *millionPprof != "" {
		args = append(args, "--pprof", *millionPprof)
	}
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	at, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	c.cmd = exec.Command(program, args...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	start := time.Now()
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func() { c.ended <- c.cmd.Wait() }()
	m.cloud = c
	for {
		if up, err := c.isUp(at); err != nil || up {
			m.got.Starts = append(m.got.Starts, millionStart{seconds(time.Since(start)), resident(c.pid())})
			return err
		}
		select {
		case err := <-c.ended:
			c.ended <- err
			return fmt.Errorf("it ended: %w: %s", err, tail(c.logFile))
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// isUp looks for the line that says so, behind the offset at in the log.
func (c *cloudProcess) isUp(at int64) (bool, error) {
	f, err := os.Open(c.logFile)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return false, err
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct{ Msg, UDP, HTTP string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "the cloud is up" {
			continue
		}
		if c.udp, err = netip.ParseAddrPort(line.UDP); err != nil {
			return false, err
		}
		c.http, err = netip.ParseAddrPort(line.HTTP)
		return err == nil, err
	}
	return false, nil
}

// emptyCloud finds what a cloud without devices needs.
func (m *million) emptyCloud(ctx context.Context) error {
	if err := m.startCloud(ctx); err != nil {
		return err
	}
	m.got.CloudEmpty = resident(m.cloud.pid())
	if err := m.cloud.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	err := <-m.cloud.ended
	m.cloud.ended <- err
	return err
}

// metrics returns what the cloud says of itself, without labels: values of one
// name are added up.
func (c *cloudProcess) metrics() map[string]float64 {
	got := make(map[string]float64)
	client := http.Client{Timeout: 30 * time.Second}
	answer, err := client.Get("http://" + c.http.String() + "/metrics")
	if err != nil {
		return got // it is down: there is nothing to say
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		plain, _, _ := strings.Cut(name, "{")
		if value, err := strconv.ParseFloat(text[strings.LastIndexByte(text, ' ')+1:], 64); err == nil {
			got[plain] += value
			if plain != name {
				got[name] = value
			}
		}
	}
	return got
}

// heard returns how many devices the cloud has heard of since it started.
func (c *cloudProcess) heard() (n int) {
	for name, value := range c.metrics() {
		if strings.HasPrefix(name, "muster_cloud_sessions{") && strings.Contains(name, `state="online"`) {
			n += int(value)
		}
	}
	return n
}

// tail returns the end of a file.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}
