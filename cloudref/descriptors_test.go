package cloudref

import (
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDoors(t *testing.T) {
	for descriptors, want := range map[int]doors{
		math.MaxInt: {webConnectionsMax, boardConnectionsMax},
		1 << 20:     {webConnectionsMax, boardConnectionsMax},
		65536:       {webConnectionsMax, 65536 - 512 - webConnectionsMax},
		4096:        {1792, 1792},
		1024:        {256, 256},
		256:         {64, 64},
		0:           {1, 1},
	} {
		if got := doorsOf(descriptors); got != want {
			t.Errorf("of %d descriptors: got %+v, want %+v", descriptors, got, want)
		}
	}
}

// Strangers who open as many connections as the process may have files take neither
// the store's from it nor the connection of who was there.
func TestStrangersLeaveTheStoreItsFiles(t *testing.T) {
	const files = 128
	dir := t.TempDir()
	p := startProcess(t, childArgs{Kind: "cloud", Files: files, Args: []string{
		"--data", dir, "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--host", "127.0.0.1",
	}})
	eventually(t, "the cloud is up", func() bool {
		if p.cmd.ProcessState != nil {
			t.Fatal("the cloud ended by itself: ", p.log)
		}
		return strings.Contains(p.log.String(), "the cloud is up")
	})
	login := readLogin(t, filepath.Join(dir, fileLogin))
	api := apiOf(p.log.String())
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	publish := func() (int, string) {
		form := url.Values{"access_token": {login["token"]}, "name": {"still/here"}}
		a, err := client.PostForm(api+"/v1/devices/events", form)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b, _ := io.ReadAll(a.Body)
		return a.StatusCode, string(b)
	}
	if status, body := publish(); status != http.StatusOK {
		t.Fatal(status, body)
	}
	_, boards, _ := strings.Cut(p.log.String(), " tcp=")
	boards, _, _ = strings.Cut(boards, " ")
	for _, address := range []string{strings.TrimPrefix(api, "http://"), boards} {
		for range files {
			conn, err := net.Dial("tcp4", address)
			if err != nil {
				continue // turned away
			}
			defer conn.Close()
		}
	}
	// The store opens and syncs files while it is written to: for longer than that takes.
	for range 200 {
		if status, body := publish(); status != http.StatusOK {
			t.Fatal(status, body)
		}
	}
	if strings.Contains(p.log.String(), "too many open files") {
		t.Error(p.log)
	}
}
