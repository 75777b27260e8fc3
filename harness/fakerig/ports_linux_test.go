package fakerig

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/harness/target"
)

// TestPortsAreTakenForAMoment: whoever looks whether a port is free has it while it
// looks.
func TestPortsAreTakenForAMoment(t *testing.T) {
	b, err := Start(t.TempDir(), "boron@6.2.0")
	if err != nil {
		t.Skipf("no bench here: %v", err)
	}
	defer b.Close() //nolint:errcheck // the test ends
	rig, err := b.Rig()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", fmt.Sprintf("%v:5684", rig.Cloud))
	if err != nil {
		t.Fatal(err)
	}
	env, err := target.Start(t.Context(), target.Options{
		Spec: &target.Spec{Device: &target.DeviceSpec{Rig: "board-1"}}, Rig: rig, Memory: true,
		Log: func(_, line string) {
			if strings.Contains(line, "boards find the cloud at") {
				time.AfterFunc(300*time.Millisecond, func() { _ = conn.Close() })
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Stop(); err != nil {
		t.Error(err)
	}
}
