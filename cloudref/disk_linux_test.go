package cloudref

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
)

// diskEnv makes the test program play with disks of its own, in a mount namespace:
// the directory to mount them on.
const diskEnv = "MUSTER_CLOUD_DISK_DIR"

// ownDisks runs a test again in a process whose mounts nobody else sees. It returns
// the directory in that process, and false in the first.
func ownDisks(t *testing.T) (dir string, inside bool) {
	t.Helper()
	if dir := os.Getenv(diskEnv); dir != "" {
		return dir, true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), diskEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skip("mounting needs root: ", err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return "", false
}

// mountDisk mounts a disk of so many MiB in memory.
func mountDisk(t *testing.T, dir string, mib int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// fill leaves so many MiB of a disk, and returns what gives the rest back.
func fill(t *testing.T, dir string, leave int) (free func()) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	size := int64(fs.Bavail)*fs.Bsize - int64(leave)<<20
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for size > 0 {
		n, err := f.Write(block[:min(size, int64(len(block)))])
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size -= int64(n)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// On a full disk nothing is acknowledged, everybody is told why, and sessions live:
// when there is space again, what devices still send is taken.
func TestFullDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir, inside := ownDisks(t)
	if !inside {
		return
	}
	disk := filepath.Join(dir, "disk")
	mountDisk(t, disk, 256)
	c := startCloud(t, Options{Dir: disk, Log: func(line string) { t.Log(line) }})
	owner := must(c.Account(t.Context(), "alice"))
	p := connected(t, c, owner)
	for _, leave := range []int{32, 0} {
		free := fill(t, disk, leave)
		full := func() bool { return errors.Is(c.store.Check(t.Context()), store.ErrFull) }
		eventually(t, "the store notices", full)
		err := c.Publish(t.Context(), owner, app.Event{Name: "news"})
		if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "free some") {
			t.Errorf("publishing: %v", err)
		}
		if report := c.diagnose(t.Context()); !strings.Contains(report.Storage, "no space left") {
			t.Errorf("the doctor hears %q", report.Storage)
		}
		id := p.post(p.publish("temp", fmt.Sprint(leave)))
		if p.run(time.Second, func() bool { return p.acked[id] }) {
			t.Error("acknowledged what cannot be stored")
		}
		stop := inBackground(p)
		if err := c.Ping(t.Context(), p.id); err != nil {
			t.Errorf("the session does not live: %v", err)
		}
		stop()
		free()
		eventually(t, "the store notices", func() bool { return !full() })
		if !p.run(patience, func() bool { return p.acked[id] }) {
			t.Errorf("with space again: no acknowledgement: %v", p.ended)
		}
	}
	if p.shakes != 1 || p.back != 0 {
		t.Errorf("%d handshakes, %d sequences went back", p.shakes, p.back)
	}
}

// A store whose server met a disk without any space gives it up. When there is space
// again it goes on by itself, with all that was acknowledged, and nothing was meanwhile.
func TestDiskHeals(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir, inside := ownDisks(t)
	if !inside {
		return
	}
	disk := filepath.Join(dir, "disk")
	mountDisk(t, disk, 64)
	data := filepath.Join(disk, "data")
	config := store.Config{Dir: data, FreeBytesMin: -1, Warn: func(line string) { t.Log(line) }}
	s := must(store.Open(t.Context(), config))
	id := func(n int) store.DeviceID { return store.DeviceID{0xe0, 0x0f, byte(n >> 8), byte(n)} }
	put := func(n int) error {
		return s.Do(t.Context(), store.PutDevice(&store.Device{ID: id(n), Notes: strings.Repeat("x", 8000)}))
	}
	n, acked := 0, map[int]bool{}
	for ; n < 100; n++ {
		if err := put(n); err != nil {
			t.Fatal(err)
		}
		acked[n] = true
	}
	for round := range 2 {
		free := fill(t, disk, 0)
		var err error
		for ; err == nil; n++ {
			if err = put(n); err == nil {
				acked[n] = true
			}
		}
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("round %d: on a full disk: %v", round, err)
		}
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("round %d: the store says it is well: %v", round, err)
		}
		free()
		eventually(t, "the store heals", func() bool { return s.Check(t.Context()) == nil })
		if err := put(n); err != nil {
			t.Errorf("round %d: healed, it stores nothing: %v", round, err)
		}
		acked[n] = true
		n++
	}
	count := func() (there int) {
		for n := range acked {
			if d, err := s.Device(t.Context(), id(n)); err != nil || len(d.Notes) != 8000 {
				t.Errorf("device %d was acknowledged: %v", n, err)
			} else {
				there++
			}
		}
		return there
	}
	t.Logf("%d of %d are there", count(), len(acked))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = must(store.Open(t.Context(), config))
	count()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Something else fills the disk between two looks at it, while devices are registered
// and publish: the server inside the cloud gives up, or not. Either way sessions live, the
// cloud goes on when there is space, and what was acknowledged is there.
func TestDiskFillsUnderLoad(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir, inside := ownDisks(t)
	if !inside {
		return
	}
	disk := filepath.Join(dir, "disk")
	mountDisk(t, disk, 192)
	c := startCloud(t, Options{Dir: disk, Log: func(line string) { t.Log(line) }})
	owner := must(c.Account(t.Context(), "alice"))
	p := connected(t, c, owner)
	acked := map[store.DeviceID]bool{}
	n := 0
	put := func() error {
		n++
		id := store.DeviceID{0xe1, byte(n >> 16), byte(n >> 8), byte(n)}
		err := c.store.Do(t.Context(), store.PutDevice(&store.Device{ID: id, Notes: strings.Repeat("x", 4000)}))
		if err == nil {
			acked[id] = true
		}
		return err
	}
	for round := range 3 {
		filled := make(chan func())
		go func() { filled <- fill(t, disk, 0) }()
		for put() == nil {
			// until the disk is full
		}
		free := <-filled
		if err := put(); err == nil {
			t.Errorf("round %d: something was stored on a full disk", round)
		}
		stop := inBackground(p)
		if err := c.Ping(t.Context(), p.id); err != nil {
			t.Errorf("round %d: the session does not live: %v", round, err)
		}
		stop()
		free()
		eventually(t, "something can be stored again", func() bool { return put() == nil })
		if !p.say(p.publish("temp", fmt.Sprint(round)), time.Minute) {
			t.Errorf("round %d: no acknowledgement: %v", round, p.ended)
		}
	}
	for id := range acked {
		if _, err := c.store.Device(t.Context(), id); err != nil {
			t.Errorf("%s was acknowledged: %v", id, err)
		}
	}
	if p.shakes != 1 || p.back != 0 {
		t.Errorf("%d handshakes, %d sequences went back", p.shakes, p.back)
	}
	t.Logf("%d devices of %d were acknowledged", len(acked), n)
}

// A start on a disk that is full or cannot be written says so, and harms nothing.
func TestStartOnBadDisk(t *testing.T) {
	dir, inside := ownDisks(t)
	if !inside {
		return
	}
	disk := filepath.Join(dir, "disk")
	mountDisk(t, disk, 256)
	start := func(name string) error {
		c, err := Start(t.Context(), Options{Dir: filepath.Join(disk, name), UDP: anyPort})
		if err == nil {
			err = c.Stop()
		}
		return err
	}
	if err := start("old"); err != nil {
		t.Fatal(err)
	}
	free := fill(t, disk, 0)
	if err := start("new"); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a new directory on a full disk: %v", err)
	}
	if err := start("old"); err != nil {
		t.Logf("an old directory on a full disk: %v", err)
		if !strings.Contains(err.Error(), "no space left") {
			t.Error("that does not say why")
		}
	}
	free()
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "new"} {
		if err := start(name); err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("on a read-only disk: %v", err)
		} else {
			t.Logf("on a read-only disk: %v", err)
		}
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if err := start("old"); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

// When the system makes a disk read-only under a running cloud, as it does after an
// error of the disk, nothing more is acknowledged, everybody is told why, sessions
// live, and after a repair and a start devices go on with them.
func TestDiskTurnsReadOnly(t *testing.T) {
	t.Parallel() // it waits most of the time
	dir, inside := ownDisks(t)
	if !inside {
		return
	}
	disk, image := filepath.Join(dir, "disk"), filepath.Join(dir, "image")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Skipf("no disk to break: %s %v: %v: %s", name, args, err, out)
		}
	}
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	run("truncate", "-s", "300M", image)
	run("mkfs.ext4", "-q", image)
	run("mount", "-o", "loop", image, disk)
	defer func() { _ = unix.Unmount(disk, unix.MNT_DETACH) }()
	data := filepath.Join(disk, "data")
	// What was not on the disk yet is lost with the disk; here all of it is.
	c, err := Start(t.Context(), Options{Dir: data, UDP: netip.MustParseAddrPort(freeAddress(t)), SyncAlways: true, Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	owner := must(c.Account(t.Context(), "alice"))
	p := connected(t, c, owner)
	run("mount", "-o", "remount,abort", disk)
	eventually(t, "the store notices", func() bool { return c.store.Check(t.Context()) != nil })
	err = c.Publish(t.Context(), owner, app.Event{Name: "news"})
	if err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("publishing: %v", err)
	}
	if report := c.diagnose(t.Context()); !strings.Contains(report.Storage, "read-only") {
		t.Errorf("the doctor hears %q", report.Storage)
	}
	id := p.post(p.publish("temp", "1"))
	if p.run(time.Second, func() bool { return p.acked[id] }) {
		t.Error("acknowledged what cannot be stored")
	}
	stop := inBackground(p)
	if err := c.Ping(t.Context(), p.id); err != nil {
		t.Errorf("the session does not live: %v", err)
	}
	stop()
	up := c.UDP()
	if err := c.Stop(); err != nil {
		t.Log("stopping: ", err)
	}
	if err := unix.Unmount(disk, 0); err != nil {
		t.Fatal(err)
	}
	_ = exec.Command("e2fsck", "-fy", image).Run() // says by its exit code that it repaired
	run("mount", "-o", "loop", image, disk)
	hearOut(t, up.String(), p)
	c, err = Start(t.Context(), Options{Dir: data, UDP: up})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if !p.say(p.publish("temp", "2"), patience) {
		t.Errorf("after the repair: no acknowledgement: %v", p.ended)
	}
	if p.shakes != 1 || p.back != 0 {
		t.Errorf("%d handshakes, %d sequences went back", p.shakes, p.back)
	}
}
