package cloudref

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/muster/muster/cloudref/endpoint"
)

// What the flags say arrives in the cloud, at webhooks and in the API; without any
// it is what packages take by themselves.
func TestTuning(t *testing.T) {
	s := &settings{data: t.TempDir(), udp: "127.0.0.1:0"}
	f := pflag.NewFlagSet("cloud", pflag.ContinueOnError)
	s.tuning.flags(f)
	o, err := s.options()
	if err != nil {
		t.Fatal(err)
	}
	var c endpoint.Config
	o.Adjust(&c)
	if o.AnswerTimeout != 30*time.Second || len(o.Hooks.Delays) != 2 || c.SilenceOther != 90*time.Second || s.tuning.api().CallOffline != http.StatusBadRequest {
		t.Errorf("by default: %+v, %+v", o.Hooks, s.tuning)
	}
	if err := f.Parse([]string{
		"--device-timeout", "1s", "--offline-call", "408", "--proven-releases", "--hook-timeout", "2s", "--hook-retries", "10ms,20ms",
		"--hook-pause", "30ms", "--silence-cellular", "1h", "--silence-udp", "2h", "--silence-tcp", "3h",
	}); err != nil {
		t.Fatal(err)
	}
	if o, err = s.options(); err != nil {
		t.Fatal(err)
	}
	o.Adjust(&c)
	if o.AnswerTimeout != time.Second || o.Hooks.Timeout != 2*time.Second || o.Hooks.ThrottlePause != 30*time.Millisecond ||
		!slices.Equal(o.Hooks.Delays, []time.Duration{10 * time.Millisecond, 20 * time.Millisecond}) {
		t.Errorf("got %+v", o.Hooks)
	}
	if c.SilenceCellular != time.Hour || c.SilenceOther != 2*time.Hour || c.SilenceTCP != 3*time.Hour {
		t.Errorf("got %v, %v, %v", c.SilenceCellular, c.SilenceOther, c.SilenceTCP)
	}
	if a := s.tuning.api(); a.DeviceTimeout != time.Second || a.CallOffline != http.StatusRequestTimeout || !a.ProvenReleases {
		t.Errorf("got %+v", a)
	}
}
